"""The sections of space.yaml: the choices for every field of a network."""

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from models.architecture import Block, EvenKernel

Value = TypeVar("Value")


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _distinct(values: tuple[Value, ...]) -> tuple[Value, ...]:
    if not values:
        raise ValueError("must have at least one choice")
    if len(set(values)) < len(values):
        raise ValueError("has the same choice twice")
    if all(isinstance(value, int | float) for value in values):
        return tuple(sorted(values))  # type: ignore[type-var]  # mypy does not see that all are numbers
    return values


Choices = Annotated[tuple[Value, ...], BeforeValidator(_as_list), AfterValidator(_distinct)]
Count = Annotated[int, Field(ge=1, le=65_536, strict=True)]


class Section(BaseModel):
    """A frozen section of the file, in which an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StemChoices(Section):
    """Choices of the first convolution; see `models.architecture.Stem`."""

    width: Choices[Count]
    kernel: Choices[Count] = (3,)
    stride: Choices[Count] = (1,)
    padding: Choices[Annotated[int, Field(ge=0, le=16, strict=True)]] = (1,)


class StageChoices(Section):
    """Choices of a stage; see `models.architecture.Stage`."""

    block: Choices[Block]
    depth: Choices[Count]
    width: Choices[Count]
    kernel: Choices[Count] = (3,)
    reduction: Choices[Count] = (4,)
    even_kernel: Choices[EvenKernel] = ("pad-then-valid",)


class StageOverride(Section):
    """Choices for one stage, in place of those of `stage`."""

    block: Choices[Block] | None = None
    depth: Choices[Count] | None = None
    width: Choices[Count] | None = None
    kernel: Choices[Count] | None = None
    reduction: Choices[Count] | None = None
    even_kernel: Choices[EvenKernel] | None = None


class Rules(Section):
    """Rules that every design of the space keeps."""

    non_decreasing_width: bool = False
