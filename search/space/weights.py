"""How a space weighs its choices in random draws: the section `weights` of space.yaml."""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    StrictBool,
    TypeAdapter,
    ValidationError,
    model_serializer,
)

from models.architecture import Activation, Block, EvenKernel, Shortcut
from search.quantities import brief
from search.space.choices import (
    Choice,
    Count,
    Dropout,
    Expansion,
    NumStages,
    Padding,
    Section,
    Stride,
    rank,
    word,
)

Word = Literal["equal", "falling", "steep"]
# A word, or numbers by the choices as the file has them; a choice without a number weighs 1.
Weighing = Word | dict[str, float]
_POWERS = {"falling": 1, "steep": 2}


def _of(kind: Any) -> BeforeValidator:
    """Weighs a field whose choices are of this type. It need not have a choice that is weighed: so a file whose choices
    are narrowed keeps its weights, while a name that no choice can have is found."""
    choice: TypeAdapter[Choice] = TypeAdapter(kind)

    def weighing(value: Any) -> Any:
        if value in ("equal", "falling", "steep"):
            return value
        if not isinstance(value, dict | list | tuple) or not value:
            raise ValueError("must be equal, falling, steep, or numbers by choice, such as {basic: 2, bottleneck: 1}")
        if not all(map(_is_weight, value.values() if isinstance(value, dict) else value)):
            raise ValueError("weights must be numbers of 0 or more")
        if not isinstance(value, dict):
            raise ValueError("a list must have a number for each choice, and then overrides have no others")
        numbers = dict[str, float]()
        for name, number in value.items():
            try:
                key = word(choice.validate_python(_read(name)))
            except ValidationError:
                raise ValueError(f"this field has no choice {brief(word(name))}") from None
            if key in numbers:
                raise ValueError(f"the choice {key} is given twice")
            numbers[key] = float(number)
        return {name: number for name, number in numbers.items() if number != 1} or "equal"

    return BeforeValidator(weighing)


def _read(name: Any) -> Any:
    """The choice of this name, which in a stored space is a text."""
    if not isinstance(name, str):
        return name
    if name in ("none", "true", "false"):
        return {"none": None, "true": True, "false": False}[name]
    for kind in (int, float):
        try:
            return kind(name)
        except ValueError:
            continue
    return name


def _is_weight(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and 0 <= float(value) < math.inf
    except (TypeError, ValueError, OverflowError):
        return False


class _Weights(Section):
    @model_serializer(mode="wrap")
    def _without_what_is_left_out(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A study's plan, and what it says of another question, name what is weighed and nothing else."""
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        return {name: value for name, value in dump(self).items() if value not in (defaults[name], {})}


class StemWeights(_Weights):
    """Of the choices of `stem`."""

    width: Annotated[Weighing, _of(Count)] = "equal"
    kernel: Annotated[Weighing, _of(Count)] = "equal"
    stride: Annotated[Weighing, _of(Count)] = "equal"
    padding: Annotated[Weighing, _of(Padding)] = "equal"


class StageWeights(_Weights):
    """Of the choices of every stage, its overrides included."""

    block: Annotated[Weighing, _of(Block)] = "equal"
    depth: Annotated[Weighing, _of(Count)] = "equal"
    width: Annotated[Weighing, _of(Count)] = "equal"
    kernel: Annotated[Weighing, _of(Count)] = "equal"
    reduction: Annotated[Weighing, _of(Count)] = "equal"
    even_kernel: Annotated[Weighing, _of(EvenKernel)] = "equal"
    stride: Annotated[Weighing, _of(Stride | None)] = "equal"
    group_width: Annotated[Weighing, _of(Count | None)] = "equal"
    expansion: Annotated[Weighing, _of(Expansion)] = "equal"
    squeeze_excitation: Annotated[Weighing, _of(Count | None)] = "equal"


class Weights(_Weights):
    """The weights of a space's choices, by the names of its fields.

    A draw is a vector of choices with the product of their weights, conditioned on what fits. With `num_stages`, the
    number of stages is drawn first, by these weights, from those of which a network fits; without, it follows from the
    other weights.

    With `least_macs`, draws within a limit on multiply-accumulates are conditioned on using at least this share of it
    too, unless no such network is met.
    """

    num_stages: Annotated[Weighing, _of(NumStages)] | None = None
    least_macs: Annotated[float, Field(ge=0, le=1)] = 0.0
    stem: StemWeights = StemWeights()
    stage: StageWeights = StageWeights()
    dropout: Annotated[Weighing, _of(Dropout)] = "equal"
    shortcut: Annotated[Weighing, _of(Shortcut)] = "equal"
    preactivation: Annotated[Weighing, _of(StrictBool)] = "equal"
    activation: Annotated[Weighing, _of(Activation)] = "equal"
    head_width: Annotated[Weighing, _of(Count | None)] = "equal"

    def of(self, field: str) -> Weighing:
        """How a field is weighed: num_stages, shortcut, dropout, stem.width, stage.depth and the like."""
        section, _, name = field.rpartition(".")
        weighing: Weighing | None = getattr(getattr(self, section) if section else self, name)
        return "equal" if weighing is None else weighing

    @property
    def text(self) -> str:
        """In words, but for what is weighed equally: 'num_stages first, equal; stage.depth falling'."""
        fields = ["shortcut", "dropout", "preactivation", "activation", "head_width"]
        fields += [f"stem.{name}" for name in StemWeights.model_fields]
        fields += [f"stage.{name}" for name in StageWeights.model_fields]
        weighed = [] if self.num_stages is None else [f"num_stages first, {in_words(self.num_stages)}"]
        weighed += [f"{field} {in_words(self.of(field))}" for field in fields if self.of(field) != "equal"]
        texts = [*weighed, "all else equal" if weighed else "all equal"]
        if self.least_macs:
            texts.append(f"of a limit on MACs {self.least_macs:.0%} or more used")
        return "; ".join(texts)


def in_words(weighing: Weighing) -> str:
    """The word, or the numbers as the file would have them."""
    if isinstance(weighing, str):
        return weighing
    return f"{{{', '.join(f'{name}: {number:g}' for name, number in weighing.items())}}}"


def shares(weighing: Weighing, choices: Sequence[Choice]) -> tuple[float, ...]:
    """The weight of each choice; together they are one.

    Raises:
        ValueError: the choices cannot be weighed so; the message is the rule.
    """
    if weighing == "equal":
        return _normalized([1.0] * len(choices))
    if isinstance(weighing, str):
        power = _POWERS[weighing]
        if not all(isinstance(choice, int | float) and choice > 0 for choice in choices):
            law = "1 / choice" if power == 1 else f"1 / choice**{power}"
            raise ValueError(f"{weighing} is {law}, so every choice must be a number above 0")
        return _normalized([1 / rank(choice) ** power for choice in choices])
    weights = [weighing.get(word(choice), 1.0) for choice in choices]
    if not any(weights):
        raise ValueError("gives no weight above 0 to any choice")
    return _normalized(weights)


def _normalized(weights: list[float]) -> tuple[float, ...]:
    largest = max(weights)
    scaled = [weight / largest for weight in weights]  # the sum of weights of 1e308 would be infinite
    total = math.fsum(scaled)
    return tuple(weight / total for weight in scaled)


def by_choice(values: Any) -> Any:
    """The values of a space's file with every list of weights, which has a number for each choice in the order of the
    file, as numbers by choice. Files and studies from before these have lists. What is not as it should be is left for
    validation to find."""
    if not isinstance(values, dict) or not isinstance(values.get("weights"), dict):
        return values
    weights = _named(values["weights"], values)
    for section in ("stem", "stage"):
        if isinstance(weights.get(section), dict) and isinstance(values.get(section), dict):
            overrides = values.get("overrides") if section == "stage" else None
            others = list(overrides.values()) if isinstance(overrides, dict) else []
            weights[section] = _named(weights[section], values[section], others)
    return values | {"weights": weights}


def _named(weights: dict[Any, Any], choices: dict[Any, Any], overrides: Sequence[Any] = ()) -> dict[Any, Any]:
    """The weights of one section, of whose fields these are the choices, and these replace them."""
    named = dict(weights)
    for name, listed in weights.items():
        if not isinstance(listed, list | tuple) or not all(map(_is_weight, listed)):
            continue
        if name not in choices:  # what is left out has one choice
            named[name] = "equal" if len(listed) == 1 else listed
            continue
        of_field = _words(choices[name])
        given = [
            override[name] for override in overrides if isinstance(override, dict) and override.get(name) is not None
        ]
        replaced = {choice for choices_of_stage in given for choice in _words(choices_of_stage)}
        if len(listed) == len(of_field) and replaced <= set(of_field):
            named[name] = dict(zip(of_field, listed, strict=True))
    return named


def _words(choices: Any) -> list[str]:
    return [word(choice) for choice in (choices if isinstance(choices, list | tuple) else (choices,))]
