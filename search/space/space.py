"""The search space: which networks may be built, and how a vector of choices stands for a network.

The vector has a fixed length: a slot for every choice of every stage, whether or not the network has that stage. Slots
of absent stages are drawn and ignored, so a sampler always sees the same joint space.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache, cached_property, lru_cache
from importlib.resources import files
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from pydantic import Field, StrictBool, field_validator, model_validator

from models.architecture import Activation, Architecture, ArchitectureError, Shortcut, Stage, Stem, stage_stride
from search.errors import SpaceError
from search.quantities import brief
from search.space.choices import (
    Choice,
    Choices,
    ChoicesOrNone,
    Count,
    Dropout,
    GrownSection,
    NumStages,
    Rules,
    StageChoices,
    StageOverride,
    StemChoices,
    word,
)
from search.space.weights import Weights, by_choice, in_words, shares
from search.yamlfile import read_model, read_text

Vector = Mapping[str, int | str]
NAMES = ("resnet", "modern", "tiny")  # of the spaces that come with the package; the first is the default


class Task(NamedTuple):
    """What a network must fit: the image size in pixels, the channels and the classes of the data."""

    image_size: int
    in_channels: int
    num_classes: int


@dataclass(frozen=True, slots=True)
class Slot:
    """One entry of the vector: the index of a choice if the slot is ordered, else the choice itself."""

    name: str
    choices: tuple[Choice, ...]
    ordered: bool

    def distribution(self) -> BaseDistribution:
        if self.ordered:
            return IntDistribution(0, len(self.choices) - 1)
        return CategoricalDistribution(self.choices)

    def choice(self, value: int | str) -> Choice:
        return self.choices[int(value)] if self.ordered else value

    def value(self, index: int) -> int | str:
        return index if self.ordered else str(self.choices[index])


STAGE_FIELDS = tuple(StageChoices.model_fields)
NETWORK_FIELDS = ("shortcut", "preactivation", "activation", "head_width")
# Fields of a stage of which several choices may make the same network.
_SOMETIMES_FREE = frozenset(STAGE_FIELDS) - {"block", "depth", "width", "kernel"}


@lru_cache(maxsize=200_000)
def _stage(dropout: float, *values: Any) -> Stage:
    """A canonical stage of values for `STAGE_FIELDS`. Stages are immutable, so equal ones are shared: every draw
    decodes a vector."""
    return stage_of(values, dropout).canonical()


def stage_of(values: Sequence[Any], dropout: float = 0.0) -> Stage:
    """The stage of values for `STAGE_FIELDS`.

    Raises:
        ArchitectureError: the values contradict each other.
    """
    return Stage(**dict(zip(STAGE_FIELDS, values, strict=True)), dropout=dropout)


@lru_cache(maxsize=200_000)
def same_choices(stage: Stage, is_first: bool, field: str, choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """Those choices of a field with which a canonical stage, the first of its network or not, stays what it is."""
    if field not in _SOMETIMES_FREE:
        return tuple(choice for choice in choices if choice == getattr(stage, field))
    if field == "stride":
        own = stage_stride(stage.stride, is_first)
        return tuple(choice for choice in choices if stage_stride(choice, is_first) == own)  # type: ignore[arg-type]

    def is_same(choice: Choice) -> bool:
        try:
            return replace(stage, **{field: choice}).canonical() == stage  # type: ignore[arg-type]
        except ArchitectureError:
            return False

    return tuple(filter(is_same, choices))


class Space(GrownSection):
    """A search space, as space.yaml describes it.

    Attributes:
        weights: of the choices in random draws; None where all vectors weigh the same, as in studies begun before there
            were weights.
    """

    stem: StemChoices
    num_stages: Choices[NumStages]
    stage: StageChoices
    overrides: dict[Annotated[int, Field(ge=1, le=16)], StageOverride] = Field(default_factory=dict)
    dropout: Choices[Dropout] = (0.0,)
    shortcut: Choices[Shortcut] = ("B",)
    preactivation: Choices[StrictBool] = (False,)
    activation: Choices[Activation] = ("relu",)
    head_width: ChoicesOrNone[Count] = (None,)
    rules: Rules = Rules()
    weights: Weights | None = None

    @model_validator(mode="before")
    @classmethod
    def _lists_of_weights_are_named(cls, values: Any) -> Any:
        return by_choice(values)

    @field_validator("weights")
    @classmethod
    def _equal_weights_are_none(cls, weights: Weights | None) -> Weights | None:
        return None if weights == Weights() else weights

    @model_validator(mode="after")
    def _overrides_have_stages(self) -> Self:
        beyond = [stage for stage in self.overrides if stage > self.num_stages[-1]]
        if beyond:
            most = self.num_stages[-1]
            raise ValueError(f"overrides.{min(beyond)}: there is no such stage; num_stages has at most {most}")
        return self

    @model_validator(mode="after")
    def _weights_fit_their_choices(self) -> Self:
        # Of a copy: pydantic copies what is cached as well, and a copy with other choices would keep the old shares.
        assert self.model_copy().choice_shares
        return self

    def __hash__(self) -> int:
        return hash((self.stem, self.num_stages, self.stage, self.dropout, self.shortcut))

    def stage_choices(self, index: int) -> StageChoices:
        """The choices of stage `index`, counted from 0, with its override."""
        override = self.overrides.get(index + 1)
        if override is None:
            return self.stage
        own = {name: choices for name in STAGE_FIELDS if (choices := getattr(override, name)) is not None}
        return self.stage.model_copy(update=own)

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """The entries of the vector: every field with more than one choice."""
        return tuple(slot for slot in self._fields.values() if len(slot.choices) > 1)

    @cached_property
    def _fields(self) -> dict[str, Slot]:
        """Every field of a network by its name in the vector, searched or not."""
        slots = [Slot("num_stages", self.num_stages, ordered=True)]
        for name in StemChoices.model_fields:
            slots.append(Slot(f"stem_{name}", getattr(self.stem, name), ordered=True))
        slots.append(Slot("shortcut", self.shortcut, ordered=False))
        slots.append(Slot("dropout", self.dropout, ordered=True))
        slots.append(Slot("preactivation", self.preactivation, ordered=True))
        slots.append(Slot("activation", self.activation, ordered=False))
        slots.append(Slot("head_width", self.head_width, ordered=True))
        for index in range(self.num_stages[-1]):
            choices = self.stage_choices(index)
            for name in STAGE_FIELDS:
                ordered = name not in ("block", "even_kernel")
                slots.append(Slot(f"stage{index + 1}_{name}", getattr(choices, name), ordered))
        return {slot.name: slot for slot in slots}

    @property
    def most_blocks(self) -> int:
        """The number of blocks of its deepest network."""
        return sum(self.stage_choices(index).depth[-1] for index in range(self.num_stages[-1]))

    @property
    def num_free(self) -> int:
        """The number of choices of what costs nothing: dropout and activation."""
        return len(self.dropout) * len(self.activation)

    @cached_property
    def choice_shares(self) -> dict[str, tuple[float, ...]]:
        """The weight of every choice of every field by its name in the vector; those of a field are one together.

        Raises:
            ValueError: weights do not fit the choices of their field; the message names it and the rule.
        """
        weights, found = self.weights or Weights(), dict[str, tuple[float, ...]]()
        for name, slot in self._fields.items():
            number, field = _place(name)
            key = f"stage.{field}" if number else name.replace("stem_", "stem.")
            weighing = weights.of(key)
            try:
                found[name] = shares(weighing, slot.choices)
            except ValueError as error:
                override = self.overrides.get(number)
                of = "" if override is None or getattr(override, field) is None else f" (overrides.{number}.{field})"
                raise ValueError(f"weights.{key} = {brief(in_words(weighing))}: {error}{of}") from None
        return found

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The vector as Optuna sees it."""
        return {slot.name: slot.distribution() for slot in self.slots}

    def choices(self, vector: Vector) -> dict[str, Any]:
        """The value of every field of the network, searched or not, absent stages included."""
        return {
            name: slot.choice(vector[name]) if len(slot.choices) > 1 else slot.choices[0]
            for name, slot in self._fields.items()
        }

    def taken(self, vector: Vector) -> dict[str, Any]:
        """The value of every field that the network has: those of absent stages left out."""
        chosen = self.choices(vector)
        return {name: value for name, value in chosen.items() if stage_number(name) <= chosen["num_stages"]}

    def decode(self, vector: Vector, task: Task) -> Architecture:
        """The network of a vector, in canonical form.

        Raises:
            ArchitectureError: the choices contradict each other, or the design breaks a rule of the space.
        """
        chosen = self.choices(vector)
        stages = tuple(
            _stage(chosen["dropout"], *(chosen[f"stage{number}_{name}"] for name in STAGE_FIELDS))
            for number in range(1, chosen["num_stages"] + 1)
        )
        stem = Stem(chosen["stem_width"], chosen["stem_kernel"], chosen["stem_stride"], chosen["stem_padding"])
        widths = [stem.width, *(stage.width for stage in stages)]
        for number, (before, after) in enumerate(pairwise(widths), 1):
            if not self.rules.allow(after, before, number == len(stages)):
                but = " before the last stage" if self.rules.last_may_narrow else ""
                raise ArchitectureError(f"widths = {widths}: must not decrease{but}")
        network = {name: chosen[name] for name in NETWORK_FIELDS}
        return Architecture(
            stem, stages, **network, in_channels=task.in_channels, num_classes=task.num_classes
        ).canonical()

    def encode(
        self, architecture: Architecture, choose: Callable[[Slot, tuple[Choice, ...]], Choice] | None = None
    ) -> dict[str, int | str]:
        """A vector that decodes to the architecture.

        Of the choices of a slot with which it does, `choose` takes one; without it, it is the first.

        Raises:
            SpaceError: the space does not hold the architecture; the message names the first field that does not fit.
        """
        dropouts = {stage.dropout for stage in architecture.stages}
        if len(dropouts) > 1:
            raise SpaceError(f"dropout = {sorted(dropouts)}: the space has one choice for the whole network")
        vector: dict[str, int | str] = {}
        for name, same in self._same(architecture).items():
            slot = self._fields[name]
            if not same:
                own, known = self._value(name, architecture), ", ".join(map(word, slot.choices))
                raise SpaceError(f"{name} = {word(own)}: the space has {known}")
            if len(slot.choices) > 1:
                choice = choose(slot, same) if choose is not None else same[0]
                vector[name] = slot.value(slot.choices.index(choice))
        task = Task(0, architecture.in_channels, architecture.num_classes)
        try:
            decoded = self.decode(vector, task)
        except ArchitectureError as error:
            raise SpaceError(str(error)) from None
        if decoded != architecture.canonical():
            raise SpaceError("num_stages: the space does not hold this architecture")
        return vector

    def holds(self, architecture: Architecture, task: Task) -> bool:
        """Whether the architecture, in any of its forms, is a network of this space for such data."""
        try:
            vector = self.encode(architecture)
        except SpaceError:
            return False
        return self.decode(vector, task) == architecture.canonical()

    def num_vectors(self, architecture: Architecture) -> int:
        """The number of vectors that decode to an architecture of the space."""
        return prod(map(len, self._same(architecture).values()))

    def _same(self, architecture: Architecture) -> dict[str, tuple[Choice, ...]]:
        """The choices of every field with which a vector may decode to the architecture."""
        canonical = architecture.canonical()
        has_shortcut = replace(canonical, shortcut="b").canonical().shortcut == "b"
        same: dict[str, tuple[Choice, ...]] = {}
        for name, slot in self._fields.items():
            number, field = _place(name)
            if number > len(canonical.stages) or (name == "shortcut" and not has_shortcut):
                same[name] = slot.choices
            elif number:
                stage = replace(canonical.stages[number - 1], dropout=0.0)
                same[name] = same_choices(stage, number == 1, field, slot.choices)
            else:
                own = self._value(name, canonical)
                same[name] = tuple(choice for choice in slot.choices if choice == own)
        return same

    def _value(self, name: str, architecture: Architecture) -> Choice:
        """The value that a field of the vector has in an architecture."""
        number, field = _place(name)
        owner: Any = architecture.stages[number - 1] if number else architecture
        if name == "num_stages":
            return len(architecture.stages)
        if name == "dropout":
            owner = architecture.stages[0]
        elif name.startswith("stem_"):
            owner, field = architecture.stem, name.removeprefix("stem_")
        value: Choice = getattr(owner, field)
        return value


def stage_number(name: str) -> int:
    """The stage of a field, counted from 1; 0 for a field of the network."""
    return _place(name)[0]


@cache
def _place(name: str) -> tuple[int, str]:
    """The stage of a field, counted from 1, and its name there; 0 and the whole name for one of the network."""
    number, _, field = name.removeprefix("stage").partition("_")
    return (int(number), field) if number.isdigit() else (0, name)


def load_space(path: Path | None = None) -> Space:
    """The space of a name (see `NAMES`) or of a YAML file, or the default space of the package.

    Raises:
        SpaceError: there is no such name or file, or it does not describe a search space.
    """
    name = str(path or NAMES[0])
    if name in NAMES:
        return read_model(space_text(name), f"{name}.yaml" if path else "space.yaml", Space, SpaceError)
    assert path is not None
    if not path.suffix and not path.exists():
        near = get_close_matches(name, NAMES, n=1) or NAMES
        raise SpaceError(f"space = {name!r}: no such space or file; there is {', '.join(near)}, or a .yaml file")
    return read_model(read_text(path, SpaceError), name, Space, SpaceError)


def space_text(name: str) -> str:
    """The file of a space that is known by its name."""
    if name == NAMES[0]:
        return default_space_text()
    return files("search.space").joinpath("named", f"{name}.yaml").read_text(encoding="utf-8")


def default_space_text() -> str:
    """The default space.yaml: beside the code in a checkout, inside the package in a wheel."""
    packaged = files("search.space").joinpath("space.yaml")
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / "space.yaml").read_text(encoding="utf-8")
