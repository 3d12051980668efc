"""The recipes that have a name: three of ours, and those of the reports whose networks are in models/baselines.py.

A report's recipe is as its authors wrote it. What they left open is inferred, as follows. Report 2 names what it tried
(100 to 400 epochs, either rotation or AutoAugment) but not which network got what, so each of its optimisers has one
recipe, of 200 epochs; its rotation is report 1's, and AutoAugment keeps the crop and the flip. FT mixes half of the
batches. Precision is the device's fastest throughout; only report 4 says that it mixed precisions.
"""

from difflib import get_close_matches
from typing import Any

import yaml

from search.errors import RecipeError
from search.files import expanded
from search.recipe import Recipe
from search.recipe_fields import POLICIES
from search.yamlfile import read_model, read_text

# Constants of CIFAR-10: the deviations of report 0 are means over images, those of report 4 are over all pixels.
MEAN = (0.4914, 0.4822, 0.4465)
STD_PER_IMAGE = (0.2023, 0.1994, 0.2010)
STD = (0.2470, 0.2435, 0.2616)

# What was measured for them stands in benchmarks/LOG.md. Half way through a one-cycle schedule the average ranks
# designs far better than the weights themselves; at its end, where the rate is zero, the two are the same.
FAST = Recipe(
    name="fast",
    epochs=8,
    batch_size="auto",
    optimizer="muon",
    lr=0.8,
    muon_lr=0.1,
    weight_decay=2.5e-4,
    ema_window=0.09,
    crop_padding="auto",
    padding_mode="reflect",
    flip="auto",
    label_smoothing=0.1,
)
FULL = FAST.model_copy(update={"name": "full", "epochs": 60, "ema_window": 0.0})
SPRINT = FULL.model_copy(update={"name": "sprint", "epochs": 15})

# What the reports have in common: plain SGD at 0.1, all parameters decayed, torch's own initial BatchNorm.
_PLAIN = Recipe(
    name="plain",
    epochs=200,
    nesterov=False,
    decay_norm_and_bias=True,
    schedule="cosine",
    warmup=0.0,
    zero_init_last_norm=False,
    mean=MEAN,
    std=STD_PER_IMAGE,
    crop_padding=4,
    flip=True,
)


def _reported(name: str, base: Recipe = _PLAIN, **changes: object) -> Recipe:
    return Recipe.model_validate(base.model_dump() | changes | {"name": name})


_JITTER = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2}
_AFFINE = {"degrees": 10, "translate": 0.1, "scale": (0.9, 1.1), "shear": 10}
_REPORT_2 = _reported("report2", batch_size=256, lr=1e-3, weight_decay=0.0, schedule="constant", crop_padding=2)
_AS1 = _reported("as1")

RECIPES = {
    recipe.name: recipe
    for recipe in (
        FAST,
        SPRINT,
        FULL,
        _reported("report0", weight_decay=1e-4, schedule="multi-step", milestones=(0.5, 0.75), keep_best=True),
        _reported("report1", epochs=300, rotation=15, color_jitter=_JITTER | {"hue": 0.1}),
        _reported("report2-adam", _REPORT_2, optimizer="adam", rotation=15),
        _reported("report2-adamw", _REPORT_2, optimizer="adamw", weight_decay=0.01, auto_augment=True),
        _reported("report2-cyclic", _REPORT_2, lr=0.3, min_lr=0.075, schedule="cyclic", cycles=5, auto_augment=True),
        _AS1,
        _reported("as1-linear", _AS1, schedule="linear"),
        _reported("as2", optimizer="adam", weight_decay=1e-4, schedule="plateau", factor=0.5, patience=5),
        _reported("ft", _AS1, epochs=310, cutmix=1.0, mix_probability=0.5, affine=_AFFINE),
        _reported("report4", nesterov=True, std=STD, color_jitter=_JITTER),
    )
}


AUGMENTATIONS = (
    *POLICIES, "rotation", "affine", "color_jitter", "crop_padding", "flip", "cutout", "random_erasing", "cutmix",
    "mixup",
)  # fmt: skip


def load_recipe(name: str) -> Recipe:
    """The recipe of that name, or the one in that YAML file.

    Raises:
        RecipeError: there is no such name or file, or the file is not a recipe.
    """
    if name in RECIPES:
        return RECIPES[name]
    path = expanded(name)
    if path.suffix not in (".yaml", ".yml"):
        near = get_close_matches(name, RECIPES, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else f"; known are {', '.join(RECIPES)}, or a .yaml file"
        raise RecipeError(f"recipe = {name!r}: no such recipe{hint}")
    text = read_text(path, RecipeError)
    return read_model(text, str(path), Recipe, RecipeError)


def all_values(recipe: Recipe) -> dict[str, Any]:
    """Every field of a recipe by its name, as plain values."""
    values = recipe.model_dump(mode="json")
    return {name: values.get(name, field.default) for name, field in Recipe.model_fields.items()}


def to_yaml(recipe: Recipe) -> str:
    """The recipe as a file that `load_recipe` reads, with a line above every field that says what it is."""
    fields = Recipe.model_fields
    return "".join(
        f"# {fields[name].description}\n{name}: {as_written(value)}\n" for name, value in all_values(recipe).items()
    )


def as_written(value: Any) -> str:
    """A plain value of a recipe as a file has it, on one line."""
    in_brackets = yaml.safe_dump([value], default_flow_style=True, sort_keys=False, width=1_000).strip()
    return in_brackets[1:-1]


def differences(one: Recipe, other: Recipe) -> dict[str, tuple[Any, Any]]:
    """The plain values of both recipes, by field, where they differ; their names aside."""
    theirs = all_values(other)
    return {
        name: (value, theirs[name])
        for name, value in all_values(one).items()
        if name != "name" and value != theirs[name]
    }


def summary(recipe: Recipe) -> dict[str, Any]:
    """What tells recipes apart at a glance: their length, their optimiser, and the augmentations that they use."""
    values = all_values(recipe)
    used = [name for name in AUGMENTATIONS if values[name]]
    shown = ("name", "epochs", "batch_size", "optimizer", "lr", "schedule")
    return {name: values[name] for name in shown} | {"augmentation": ", ".join(used)}
