"""What the fields of a network may be: the parts of space.yaml."""

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from models.architecture import Block, EvenKernel

Value = TypeVar("Value")


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _distinct(values: tuple[Value, ...]) -> tuple[Value, ...]:
    if not values:
        raise ValueError("must have at least one choice")
    if len(set(values)) < len(values):
        raise ValueError("has the same choice twice")
    if all(isinstance(value, int | float) for value in values):
        return tuple(sorted(values))  # type: ignore[type-var]  # all numbers, as was just seen
    return values


Choices = Annotated[tuple[Value, ...], BeforeValidator(_listed), AfterValidator(_distinct)]
Count = Annotated[int, Field(ge=1, le=65_536, strict=True)]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StemChoices(Part):
    """Choices of the first convolution; see `models.architecture.Stem`."""

    width: Choices[Count]
    kernel: Choices[Count] = (3,)
    stride: Choices[Count] = (1,)
    padding: Choices[Annotated[int, Field(ge=0, le=16, strict=True)]] = (1,)


class StageChoices(Part):
    """Choices of a stage; see `models.architecture.Stage`."""

    block: Choices[Block]
    depth: Choices[Count]
    width: Choices[Count]
    kernel: Choices[Count] = (3,)
    reduction: Choices[Count] = (4,)
    even_kernel: Choices[EvenKernel] = ("pad-then-valid",)


class StageOverride(Part):
    """Choices that replace those of `stage` for one stage."""

    block: Choices[Block] | None = None
    depth: Choices[Count] | None = None
    width: Choices[Count] | None = None
    kernel: Choices[Count] | None = None
    reduction: Choices[Count] | None = None
    even_kernel: Choices[EvenKernel] | None = None


class Rules(Part):
    """Conditions that every design meets."""

    non_decreasing_width: bool = False
