"""The sections of space.yaml: the choices for every field of a network."""

from math import inf
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from models.architecture import MAX_EXPANSION, Block, EvenKernel
from search.grown import Grown

Value = TypeVar("Value")
Choice = int | float | str | None  # of a field; None is `none` in the file

# Keys that came after plans of studies had been written; see search.grown.
LATER = frozenset({
    "stride", "group_width", "expansion", "squeeze_excitation", "preactivation", "activation", "head_width",
    "last_may_narrow",
})  # fmt: skip


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _with_none(value: Any) -> Any:
    return [None if choice == "none" else choice for choice in _as_list(value)]


def _distinct(values: tuple[Value, ...]) -> tuple[Value, ...]:
    if not values:
        raise ValueError("must have at least one choice")
    if len(set(values)) < len(values):
        raise ValueError("has the same choice twice")
    if all(isinstance(value, int | float | None) for value in values):
        return tuple(sorted(values, key=rank))
    return values


def rank(choice: Any) -> float:
    """Where a number stands among the choices of its field, which are sorted: none is the last."""
    return inf if choice is None else float(choice)


def word(choice: Any) -> str:
    """A choice as the file has it."""
    if isinstance(choice, bool | None):
        return "none" if choice is None else str(choice).lower()
    return str(choice + 0.0 if isinstance(choice, float) else choice)  # -0.0 is 0.0


Choices = Annotated[tuple[Value, ...], BeforeValidator(_as_list), AfterValidator(_distinct)]
ChoicesOrNone = Annotated[tuple[Value | None, ...], BeforeValidator(_with_none), AfterValidator(_distinct)]
Count = Annotated[int, Field(ge=1, le=65_536, strict=True)]
NumStages = Annotated[int, Field(ge=1, le=16, strict=True)]
Padding = Annotated[int, Field(ge=0, le=16, strict=True)]
Stride = Annotated[int, Field(ge=1, le=2, strict=True)]
Expansion = Annotated[int, Field(ge=1, le=MAX_EXPANSION, strict=True)]
Dropout = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A frozen section of the file, in which an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class GrownSection(Section, Grown):
    """A section with keys that came later."""

    later: ClassVar[frozenset[str]] = LATER


class StemChoices(Section):
    """Choices of the first convolution; see `models.architecture.Stem`."""

    width: Choices[Count]
    kernel: Choices[Count] = (3,)
    stride: Choices[Count] = (1,)
    padding: Choices[Padding] = (1,)


class StageChoices(GrownSection):
    """Choices of a stage; see `models.architecture.Stage`."""

    block: Choices[Block]
    depth: Choices[Count]
    width: Choices[Count]
    kernel: Choices[Count] = (3,)
    reduction: Choices[Count] = (4,)
    even_kernel: Choices[EvenKernel] = ("pad-then-valid",)
    stride: ChoicesOrNone[Stride] = (None,)
    group_width: ChoicesOrNone[Count] = (None,)
    expansion: Choices[Expansion] = (6,)
    squeeze_excitation: ChoicesOrNone[Count] = (None,)


class StageOverride(GrownSection):
    """Choices for one stage, in place of those of `stage`."""

    block: Choices[Block] | None = None
    depth: Choices[Count] | None = None
    width: Choices[Count] | None = None
    kernel: Choices[Count] | None = None
    reduction: Choices[Count] | None = None
    even_kernel: Choices[EvenKernel] | None = None
    stride: ChoicesOrNone[Stride] | None = None
    group_width: ChoicesOrNone[Count] | None = None
    expansion: Choices[Expansion] | None = None
    squeeze_excitation: ChoicesOrNone[Count] | None = None


class Rules(GrownSection):
    """Rules that every design of the space keeps.

    Attributes:
        non_decreasing_width: no stage is narrower than the one before it, or than the stem.
        last_may_narrow: but for a network's last stage.
    """

    non_decreasing_width: bool = False
    last_may_narrow: bool = False

    def allow(self, width: int, before: int, is_last: bool) -> bool:
        """Whether a stage may have this width after so many channels."""
        return width >= before or not self.non_decreasing_width or (is_last and self.last_may_narrow)
