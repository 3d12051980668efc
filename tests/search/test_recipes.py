"""The named recipes, held against the reports they come from, and the loading of recipes."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.errors import RecipeError
from search.recipe import Recipe, with_epochs
from search.recipe_parts import Affine, ColorJitter, RandAugment
from search.recipes import FAST, FULL, RECIPES, SPRINT, all_values, load_recipe, summary, to_yaml

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)
STD_OF_REPORT_4 = (0.2470, 0.2435, 0.2616)
JITTER_OF_REPORT_1 = ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1)
JITTER_OF_REPORT_4 = ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2)

# Written out in full, from the reports and not from the recipes. A report's network has torch's own initial BatchNorm
# and decays all its parameters; nothing smooths labels, cuts out, blends or stops early.
COMMON: dict[str, Any] = {
    "optimizer": "sgd",
    "lr": 0.1,
    "momentum": 0.9,
    "nesterov": False,
    "decay_norm_and_bias": True,
    "zero_init_last_norm": False,
    "epochs": 200,
    "batch_size": 128,
    "warmup": 0,
    "min_lr": 0,
    "label_smoothing": 0,
    "stop_patience": None,
    "keep_best": False,
    "mean": MEAN,
    "std": STD,
    "crop_padding": 4,
    "flip": True,
    "rotation": 0,
    "affine": None,
    "color_jitter": None,
    "auto_augment": False,
    "cutout": 0,
    "cutmix": 0,
    "mixup": 0,
    "precision": "auto",
}
ROTATION_FLIP_CROP = {"rotation": 15, "flip": True, "crop_padding": 2}
# Report 2 says 'or AutoAugment': that flip and crop go with it is inferred, from the paper on AutoAugment.
AUTO_AUGMENT = {"auto_augment": True, "flip": True, "crop_padding": 2}
REPORTED: dict[str, dict[str, Any]] = {
    "report0": {
        "weight_decay": 1e-4,
        "schedule": "multi-step",
        "milestones": (100 / 200, 150 / 200),
        "factor": 0.1,
        "keep_best": True,
    },
    "report1": {
        "weight_decay": 5e-4,
        "schedule": "cosine",
        "epochs": 300,
        "rotation": 15,
        "color_jitter": JITTER_OF_REPORT_1,
    },
    "report2-adam": {
        "optimizer": "adam",
        "lr": 1e-3,
        "weight_decay": 0,
        "batch_size": 256,
        "schedule": "constant",
        **ROTATION_FLIP_CROP,
    },
    "report2-adamw": {
        "optimizer": "adamw",
        "lr": 1e-3,
        "weight_decay": 0.01,
        "batch_size": 256,
        "schedule": "constant",
        **AUTO_AUGMENT,
    },
    "report2-cyclic": {
        "lr": 0.3,
        "min_lr": 0.3 / 4,
        "weight_decay": 0,
        "batch_size": 256,
        "schedule": "cyclic",
        **AUTO_AUGMENT,
    },
    "as1": {"weight_decay": 5e-4, "schedule": "cosine"},
    "as1-linear": {"weight_decay": 5e-4, "schedule": "linear"},
    "as2": {"optimizer": "adam", "weight_decay": 1e-4, "schedule": "plateau", "factor": 0.5, "patience": 5},
    "ft": {
        "weight_decay": 5e-4,
        "schedule": "cosine",
        "epochs": 310,
        "cutmix": 1,
        "mix_probability": 0.5,
        "affine": Affine(degrees=10, translate=0.1, scale=(0.9, 1.1), shear=10),
    },
    "report4": {
        "nesterov": True,
        "weight_decay": 5e-4,
        "schedule": "cosine",
        "std": STD_OF_REPORT_4,
        "color_jitter": JITTER_OF_REPORT_4,
    },
}


@pytest.mark.parametrize("name", REPORTED)
def test_a_reports_recipe_is_as_its_authors_wrote_it(name: str) -> None:
    expected = COMMON | REPORTED[name]
    assert {key: getattr(RECIPES[name], key) for key in expected} == expected


def test_all_recipes_are_ours_or_a_reports() -> None:
    assert set(RECIPES) == {"fast", "sprint", "full"} | set(REPORTED)


def test_names_are_the_keys_and_no_two_recipes_are_alike() -> None:
    assert all(recipe.name == name for name, recipe in RECIPES.items())
    assert len({recipe.model_copy(update={"name": ""}) for recipe in RECIPES.values()}) == len(RECIPES)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_a_named_recipe_passes_its_own_rules(recipe: Recipe) -> None:
    assert Recipe.model_validate(recipe.model_dump()) == recipe


def test_sprint_and_full_are_longer_than_fast_and_average_nothing() -> None:
    assert FULL.epochs > SPRINT.epochs > FAST.epochs
    assert with_epochs(SPRINT, FULL.epochs) == FULL.model_copy(update={"name": "sprint"})
    changes = {"name": "full", "epochs": FULL.epochs, "ema_window": 0.0}
    assert FAST.model_copy(update=changes) == FULL


# Writing and listing.


def unusual(recipe: Recipe) -> Recipe:
    """The recipe with values that are easily written wrong."""
    changes = {
        "name": "on",
        "stop_patience": 3,
        "milestones": (0.5, 1e-5),
        "affine": Affine(degrees=1e-7, scale=(0.5, 2)),
        "color_jitter": ColorJitter(hue=0.1),
        "rand_augment": RandAugment(),
        "weight_decay": 1e-5,
    }
    return recipe.model_copy(update=changes)


@pytest.mark.parametrize("recipe", [*RECIPES.values(), unusual(FULL)], ids=lambda recipe: recipe.name)
def test_a_recipe_that_is_written_out_is_read_as_the_same(tmp_path: Path, recipe: Recipe) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(to_yaml(recipe))
    assert load_recipe(str(path)) == recipe


@pytest.mark.parametrize("recipe", [FAST, unusual(FULL)], ids=lambda recipe: recipe.name)
def test_every_field_that_is_written_out_is_explained_in_a_line_of_its_own(recipe: Recipe) -> None:
    lines = to_yaml(recipe).splitlines()
    explained = dict(zip([line.partition(":")[0] for line in lines[1::2]], lines[::2], strict=True))
    assert [*explained] == [*Recipe.model_fields]
    for name, line in explained.items():
        assert line == f"# {Recipe.model_fields[name].description}" and 5 < len(line) <= 110 and line.endswith(".")


def test_all_values_are_those_of_json() -> None:
    for recipe in RECIPES.values():
        values = all_values(recipe)
        assert list(values) == list(Recipe.model_fields) and json.loads(json.dumps(values)) == values
        assert Recipe.model_validate(values) == recipe


def test_a_summary_names_the_augmentations_that_a_recipe_uses() -> None:
    assert summary(FAST)["augmentation"] == "crop_padding, flip"
    assert summary(unusual(FULL))["augmentation"] == "rand_augment, affine, color_jitter, crop_padding, flip"
    assert summary(RECIPES["ft"])["augmentation"] == "affine, crop_padding, flip, cutmix"


# Loading.


def test_named_recipes_are_found_by_their_name() -> None:
    assert {name: load_recipe(name) for name in RECIPES} == RECIPES
    assert load_recipe("fast") is FAST and load_recipe("full") is FULL


@pytest.mark.parametrize("suffix", ["yaml", "yml"])
@pytest.mark.parametrize("name", ["fast", "ft", "report4"])
def test_a_recipe_is_read_from_a_file(tmp_path: Path, name: str, suffix: str) -> None:
    path = tmp_path / f"copy.{suffix}"
    path.write_text(yaml.safe_dump(RECIPES[name].model_dump(mode="json")))
    assert load_recipe(str(path)) == RECIPES[name]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("faster", "fast"),
        ("report-4", "report4"),
        ("as1-liner", "as1-linear"),
        ("report2_adamw", "report2-adamw"),
        ("ful", "full"),
        ("../fast", "fast"),
    ],
)
def test_the_nearest_name_is_offered_first(name: str, near: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(name)
    message = str(caught.value)
    assert message.startswith(f"recipe = {name!r}: no such recipe; did you mean {near}")
    offered = message.removeprefix(f"recipe = {name!r}: no such recipe; did you mean ").removesuffix("?").split(" or ")
    assert len(offered) <= 3 and set(offered) <= set(RECIPES)


@pytest.mark.parametrize("name", ["", "sota-2031", "mine.json"])
def test_known_names_are_told_where_none_is_near(name: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(name)
    known = ", ".join(RECIPES)
    assert str(caught.value) == f"recipe = {name!r}: no such recipe; known are {known}, or a .yaml file"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(tmp_path / "none.yaml"))
    assert str(caught.value) == f"{tmp_path}/none.yaml: No such file or directory"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name: mine\nepochs: 3\nlearning_rate: 0.1", "learning_rate: unknown key"),
        ("name: mine\nepochs: 3\naffine: {rotate: 5}", "affine.rotate: unknown key"),
        ("name: mine\nepochs: 3\nbatch_size: 1\ncutmix: 1", "cutmix = 1: needs a batch_size of 2 or more"),
        ("epochs: [", "not YAML: "),
    ],
)
def test_a_problem_in_a_file_is_one_line_with_the_files_name(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path))
    assert str(caught.value).startswith(f"{path}: {problem}")
    assert "\n" not in str(caught.value)
