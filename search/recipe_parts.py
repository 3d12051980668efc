"""The values that a recipe is made of: ranges of numbers, and augmentations that have several strengths."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _nothing_or_enough(alpha: float) -> float:
    if 0 < alpha < 1e-3:
        raise ValueError("must be 0 or from 0.001 on")
    return alpha


Auto = Literal["auto"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Schedule = Literal["one-cycle", "linear", "cosine", "multi-step", "cyclic", "plateau", "constant"]
Positive = Annotated[float, Field(gt=0, le=1e6)]
NotNegative = Annotated[float, Field(ge=0, le=1e6)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Alpha = Annotated[float, Field(ge=0, le=1e3), AfterValidator(_nothing_or_enough)]
Degrees = Annotated[float, Field(ge=0, le=180)]


class Part(BaseModel):
    """A frozen value that is read from a file and knows no other keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class ColorJitter(Part):
    """Strengths as torchvision's `ColorJitter` takes them: factors lie within 1 +- strength, hues are in turns."""

    brightness: NotNegative = 0.0
    contrast: NotNegative = 0.0
    saturation: NotNegative = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0


class Affine(Part):
    """Ranges as torchvision's `RandomAffine` takes them: angles in degrees, translation as a share of the image."""

    degrees: Degrees = 0.0
    translate: Probability = 0.0
    scale: tuple[Positive, Positive] = (1.0, 1.0)
    shear: Annotated[float, Field(ge=0, lt=90)] = 0.0

    @model_validator(mode="after")
    def _is_a_range(self) -> "Affine":
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale = {list(self.scale)}: must be the smallest and the largest factor")
        return self


class SmallImages(Part):
    """The share of the epochs that have smaller images, and the share of its side that an image keeps in them."""

    epochs: Annotated[float, Field(gt=0, lt=1)] = 0.5
    size: Annotated[float, Field(ge=0.25, lt=1)] = 0.5

    def pixels(self, image_size: int) -> int:
        """The side in pixels of a smaller image."""
        return max(1, round(self.size * image_size))


class RandAugment(Part):
    """So many operations of one magnitude, 0 to 30, as torchvision's `RandAugment` takes them."""

    operations: Annotated[int, Field(ge=1, le=10, strict=True)] = 2
    magnitude: Annotated[int, Field(ge=0, le=30, strict=True)] = 9
