"""How a network is trained, as a frozen value: optimiser, schedule, augmentation, epochs, precision."""

from difflib import get_close_matches
from math import log2
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from search.errors import RecipeError
from search.yamlfile import describe, read_model, read_text

Auto = Literal["auto"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Recipe(BaseModel):
    """One way to train an image classifier.

    The learning rate is the peak of the schedule. 'one-cycle' rises linearly from zero over `warmup` (a fraction of
    all steps) and falls linearly to zero (Smith and Topin 2017, https://arxiv.org/abs/1708.07120); 'cosine' rises the
    same way and falls along half a cosine (https://arxiv.org/abs/1608.03983). Both move once per step.

    `crop_padding` and `cutout` are in pixels; a crop pads with zeros after normalisation. Images are normalised by
    `mean` and `std` per channel on the scale 0 to 1, or by those of the training images where they are None.

    Where a value is 'auto', `fit_to` sets it for the data; the precision alone is left to the device.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    epochs: Annotated[int, Field(ge=1, le=10_000)]
    batch_size: Annotated[int, Field(ge=1, le=65_536)] | Auto = 128
    optimizer: Literal["sgd"] = "sgd"
    lr: Positive = 0.1
    momentum: Fraction = 0.9
    nesterov: bool = True
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    decay_norm_and_bias: bool = False
    schedule: Literal["one-cycle", "cosine"] = "one-cycle"
    warmup: Fraction = 0.2
    label_smoothing: Fraction = 0.0
    zero_init_last_norm: bool = True
    precision: Precision = "auto"
    mean: tuple[float, ...] | None = None
    std: tuple[Positive, ...] | None = None
    crop_padding: Annotated[int, Field(ge=0, le=64)] | Auto = 0
    flip: bool | Auto = False
    cutout: Annotated[int, Field(ge=0, le=512)] | Auto = 0

    @model_validator(mode="after")
    def _is_consistent(self) -> "Recipe":
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std: give both or neither")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov = true: needs momentum above 0")
        return self

    def fit_to(self, data: str, num_train: int, image_size: int) -> "Recipe":
        """This recipe with every 'auto' set for a data set of `num_train` images of `image_size` pixels.

        A batch is 128 images, or fewer (a power of two, 16 at least) so that an epoch has 32 steps. A crop pads by an
        eighth of the image and cutout hides a square of a quarter of its side. Images are mirrored unless the data is
        known to be characters, which are not the same in a mirror.
        """
        resolved: dict[str, int | bool] = {}
        if self.batch_size == "auto":
            resolved["batch_size"] = min(128, max(16, 2 ** int(log2(max(1, num_train // 32)))))
        if self.crop_padding == "auto":
            resolved["crop_padding"] = image_size // 8
        if self.cutout == "auto":
            resolved["cutout"] = image_size // 4
        if self.flip == "auto":
            resolved["flip"] = data not in CHARACTERS
        return self.model_copy(update=resolved)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Batch size, crop padding and side of the cutout, of a recipe that is fitted to its data."""
        assert self.batch_size != "auto" and self.crop_padding != "auto" and self.cutout != "auto"
        return self.batch_size, self.crop_padding, self.cutout


CHARACTERS = ("digits", "svhn", "mnist")

FAST = Recipe(name="fast", epochs=8, batch_size="auto", lr=0.2, crop_padding="auto", flip="auto", label_smoothing=0.1)
FULL = FAST.model_copy(update={"name": "full", "epochs": 60, "cutout": "auto"})

RECIPES = {recipe.name: recipe for recipe in (FAST, FULL)}


def load_recipe(name: str) -> Recipe:
    """The recipe of that name, or the one in that YAML file.

    Raises:
        RecipeError: no such name or file, or a file that is no recipe.
    """
    if name in RECIPES:
        return RECIPES[name]
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        near = get_close_matches(name, RECIPES, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else f"; known are {', '.join(RECIPES)}, or a .yaml file"
        raise RecipeError(f"recipe = {name!r}: no such recipe{hint}")
    text = read_text(path, RecipeError)
    return read_model(text, str(path), Recipe, RecipeError)


def with_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe with another length.

    Raises:
        RecipeError: the length is out of range.
    """
    values = recipe.model_dump() | {"epochs": epochs}
    try:
        return Recipe.model_validate(values)
    except ValidationError as problem:
        raise RecipeError(describe(problem, values)) from None
