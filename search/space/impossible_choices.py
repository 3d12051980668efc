"""The choices of a space that no network within the limits has."""

from dataclasses import dataclass
from typing import Literal

from models.int8 import most_feature_map_bytes
from search.space.extremes import Choice, Extremes
from search.space.limits import Limits
from search.space.parts import Parts
from search.space.space import Space, Task


@dataclass(frozen=True, slots=True)
class ImpossibleChoice:
    """A choice that no network within the limits has.

    Attributes:
        choice: the choice.
        limit: the limit that rules it out.
        extreme: what the smallest network with the choice costs, where that is above the limit, or, for 'fill', what
            the largest costs, where that does not fill the budget (for 'fill of bytes' at most costs, where that does
            not fill the bytes of an int8 file). None if no network at all has the choice, and for 'activations'.
    """

    choice: Choice
    limit: Literal["params", "fill", "macs", "bytes", "fill of bytes", "activations"]
    extreme: int | None

    @property
    def text(self) -> str:
        """The choice and why it is impossible, in one line."""
        choice = self.choice
        where = f"stage {choice.stage}: " if choice.stage is not None else ""
        value = "none" if choice.value is None else choice.value
        what = f"{where}{choice.field} {value}" + (f" with {choice.block}" if choice.block else "")
        if self.limit == "activations":
            return f"{what} needs more activations than the limit"
        if self.extreme is None:
            return f"{what} is in no network"
        if self.limit == "fill":
            return f"{what} has at most {self.extreme:,} parameters"
        if self.limit == "fill of bytes":
            return f"{what} takes at most {self.extreme:,} bytes in int8"
        units = {"params": "parameters", "macs": "multiply-accumulates", "bytes": "bytes in int8"}
        unit = units[self.limit]
        return f"{what} needs at least {self.extreme:,} {unit}"


def find_impossible_choices(space: Space, task: Task, limits: Limits) -> tuple[ImpossibleChoice, ...]:
    """The choices that no network within the limits has, each with the first limit that rules it out.

    The limits on parameters, fill, MACs, bytes in int8, fill of these and activations are examined one at a time, in
    this order. A
    width with a block is left out if the width or the block is impossible by itself.
    """
    parts = Parts(space, task)
    impossible: dict[Choice, ImpossibleChoice] = {}
    for choice, cost in Extremes(parts).by_choice().items():
        if cost is None or cost > limits.max_params:
            impossible[choice] = ImpossibleChoice(choice, "params", cost)
    if limits.min_params:
        for choice, cost in Extremes(parts, largest=True).by_choice().items():
            if cost is not None and cost < limits.min_params:
                impossible.setdefault(choice, ImpossibleChoice(choice, "fill", cost))
    if limits.macs is not None:
        for choice, cost in Extremes(Parts(space, task, ("macs",))).by_choice().items():
            if cost is not None and cost > limits.macs:
                impossible.setdefault(choice, ImpossibleChoice(choice, "macs", cost))
    if limits.max_int8_bytes is not None:
        for choice, cost in Extremes(Parts(space, task, ("bytes",))).by_choice().items():
            if cost is not None and cost > limits.max_int8_bytes:
                impossible.setdefault(choice, ImpossibleChoice(choice, "bytes", cost))
    if limits.min_int8_bytes:
        further = most_feature_map_bytes(space.most_blocks)
        for choice, cost in Extremes(Parts(space, task, ("bytes",)), largest=True).by_choice().items():
            if cost is not None and cost + further < limits.min_int8_bytes:
                impossible.setdefault(choice, ImpossibleChoice(choice, "fill of bytes", cost + further))
    if limits.max_activations is not None:
        within = Parts(space, task, max_activations=limits.max_activations)
        for choice, cost in Extremes(within).by_choice().items():
            if cost is None:
                impossible.setdefault(choice, ImpossibleChoice(choice, "activations", None))
    return tuple(reason for choice, reason in impossible.items() if not _follows(choice, impossible))


def _follows(choice: Choice, impossible: dict[Choice, ImpossibleChoice]) -> bool:
    """Whether a width with a block is impossible because the width or the block is."""
    if choice.block is None:
        return False
    alone = (Choice(choice.stage, "width", choice.value), Choice(choice.stage, "block", choice.block))
    return any(part in impossible for part in alone)
