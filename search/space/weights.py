"""How a space weighs its choices in random draws: the section `weights` of space.yaml."""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer

from search.quantities import plural
from search.space.choices import Choice, Section, rank


def _weighing(value: Any) -> Any:
    """The value of a key, with a list as a tuple of floats."""
    if value in ("equal", "falling", "steep"):
        return value
    if not isinstance(value, list | tuple):
        raise ValueError("must be equal, falling, steep, or a list with a number for each choice")
    numbers = tuple(map(_number, value))
    if any(not math.isfinite(number) or number < 0 for number in numbers):
        raise ValueError("weights must be numbers of 0 or more")
    if not any(numbers):
        raise ValueError("one weight at least must be above 0")
    return numbers


def _number(value: Any) -> float:
    """The number, or NaN for what is none."""
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


Word = Literal["equal", "falling", "steep"]
Weighing = Annotated[Word | tuple[float, ...], BeforeValidator(_weighing)]
_POWERS = {"falling": 1, "steep": 2}


class _Weights(Section):
    @model_serializer(mode="wrap")
    def _without_what_is_left_out(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A study's plan, and what it says of another question, name what is weighed and nothing else."""
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        return {name: value for name, value in dump(self).items() if value not in (defaults[name], {})}


class StemWeights(_Weights):
    """Of the choices of `stem`."""

    width: Weighing = "equal"
    kernel: Weighing = "equal"
    stride: Weighing = "equal"
    padding: Weighing = "equal"


class StageWeights(_Weights):
    """Of the choices of every stage, its overrides included."""

    block: Weighing = "equal"
    depth: Weighing = "equal"
    width: Weighing = "equal"
    kernel: Weighing = "equal"
    reduction: Weighing = "equal"
    even_kernel: Weighing = "equal"
    stride: Weighing = "equal"
    group_width: Weighing = "equal"
    expansion: Weighing = "equal"
    squeeze_excitation: Weighing = "equal"


class Weights(_Weights):
    """The weights of a space's choices, by the names of its fields.

    A draw is a vector of choices with the product of their weights, conditioned on what fits. With `num_stages`, the
    number of stages is drawn first, by these weights, from those of which a network fits; without, it follows from the
    other weights.

    With `least_macs`, draws within a limit on multiply-accumulates are conditioned on using at least this share of it
    too, unless no such network is met.
    """

    num_stages: Weighing | None = None
    least_macs: Annotated[float, Field(ge=0, le=1)] = 0.0
    stem: StemWeights = StemWeights()
    stage: StageWeights = StageWeights()
    dropout: Weighing = "equal"
    shortcut: Weighing = "equal"
    preactivation: Weighing = "equal"
    activation: Weighing = "equal"
    head_width: Weighing = "equal"

    def of(self, field: str) -> Word | tuple[float, ...]:
        """How a field is weighed: num_stages, shortcut, dropout, stem.width, stage.depth and the like."""
        section, _, name = field.rpartition(".")
        weighing: Word | tuple[float, ...] | None
        weighing = getattr(getattr(self, section) if section else self, name)
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


def in_words(weighing: str | tuple[float, ...]) -> str:
    """The word, or the list as the file would have it."""
    return weighing if isinstance(weighing, str) else f"[{', '.join(f'{number:g}' for number in weighing)}]"


def shares(weighing: str | tuple[float, ...], choices: Sequence[Choice]) -> tuple[float, ...]:
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
    if len(weighing) != len(choices):
        raise ValueError(f"must have {plural(len(choices), 'number')}, one for each choice")
    return _normalized([float(weight) for weight in weighing])


def shares_of_some(
    weighing: str | tuple[float, ...],
    choices: Sequence[Choice],
    some: Sequence[Choice],
    name: str,
) -> tuple[float, ...]:
    """The weight of each of `some` choices, called `name`, that stand in the place of others; together they are one. A
    list gives weights to `choices`, so the others may only be some of these.

    Raises:
        ValueError: the choices cannot be weighed so; the message is the rule.
    """
    if isinstance(weighing, str):
        return shares(weighing, some)
    weights = dict(zip(choices, shares(weighing, choices), strict=True))
    for choice in some:
        if choice not in weights:
            raise ValueError(f"gives no weight to {'none' if choice is None else choice} of {name}")
    if not any(weights[choice] for choice in some):
        raise ValueError(f"gives no weight above 0 to any choice of {name}")
    return _normalized([weights[choice] for choice in some])


def _normalized(weights: list[float]) -> tuple[float, ...]:
    largest = max(weights)
    scaled = [weight / largest for weight in weights]  # the sum of weights of 1e308 would be infinite
    total = math.fsum(scaled)
    return tuple(weight / total for weight in scaled)


def in_order_of_choices(values: Any) -> Any:
    """The values of a space's file with every list of weights in ascending order of the numbers that it weighs, since
    a space sorts these. What is not as it should be is left for validation to find."""
    if not isinstance(values, dict) or not isinstance(values.get("weights"), dict):
        return values
    weights = _sorted(values["weights"], values)
    for section in ("stem", "stage"):
        if isinstance(weights.get(section), dict) and isinstance(values.get(section), dict):
            weights[section] = _sorted(weights[section], values[section])
    return values | {"weights": weights}


def _sorted(weights: dict[Any, Any], choices: dict[Any, Any]) -> dict[Any, Any]:
    """The weights of one section, of whose fields these are the choices."""
    ordered = dict(weights)
    for name, listed in weights.items():
        of_field = choices.get(name)
        if isinstance(listed, list | tuple) and isinstance(of_field, list | tuple) and len(listed) == len(of_field):
            try:
                ranks = [rank(choice) for choice in of_field]
            except (TypeError, ValueError, OverflowError):
                continue
            if not any(map(math.isnan, ranks)):
                ordered[name] = [listed[index] for index in sorted(range(len(ranks)), key=ranks.__getitem__)]
    return ordered
