"""Choices of a space that no network within the limits has."""

from dataclasses import dataclass
from typing import Literal

from search.space.extremes import Choice, Reach
from search.space.limits import Limits
from search.space.menu import Menu
from search.space.space import Space, Task


@dataclass(frozen=True, slots=True)
class Never:
    """A choice that no network within the limits has.

    `extreme` is what its smallest network costs, where that is above the limit, or what its largest does, where that
    does not fill the budget. It is None where no network at all has the choice, and for activations.
    """

    choice: Choice
    limit: Literal["params", "fill", "macs", "activations"]
    extreme: int | None

    @property
    def text(self) -> str:
        choice = self.choice
        where = f"stage {choice.stage}: " if choice.stage is not None else ""
        what = f"{where}{choice.field} {choice.value}" + (f" with {choice.block}" if choice.block else "")
        if self.limit == "activations":
            return f"{what} needs more activations than the limit"
        if self.extreme is None:
            return f"{what} is in no network"
        if self.limit == "fill":
            return f"{what} has at most {self.extreme:,} parameters"
        unit = "parameters" if self.limit == "params" else "multiply-accumulates"
        return f"{what} needs at least {self.extreme:,} {unit}"


def find_never(space: Space, task: Task, limits: Limits) -> tuple[Never, ...]:
    """The choices, each with the first limit that forbids it. Limits of parameters, fill, MACs and activations are
    looked at one by one. A width with a block is left out where one of the two alone is found already."""
    menu = Menu(space, task)
    found: dict[Choice, Never] = {}
    for choice, cost in Reach(menu).holding().items():
        if cost is None or cost > limits.max_params:
            found[choice] = Never(choice, "params", cost)
    if limits.min_params:
        for choice, cost in Reach(menu, largest=True).holding().items():
            if cost is not None and cost < limits.min_params:
                found.setdefault(choice, Never(choice, "fill", cost))
    if limits.macs is not None:
        for choice, cost in Reach(Menu(space, task, ("macs",))).holding().items():
            if cost is not None and cost > limits.macs:
                found.setdefault(choice, Never(choice, "macs", cost))
    if limits.max_activations is not None:
        within = Menu(space, task, max_activations=limits.max_activations)
        for choice, cost in Reach(within).holding().items():
            if cost is None:
                found.setdefault(choice, Never(choice, "activations", None))
    return tuple(never for choice, never in found.items() if not _follows(choice, found))


def _follows(choice: Choice, found: dict[Choice, Never]) -> bool:
    """Whether a width with a block never fits because one of the two alone does not."""
    if choice.block is None:
        return False
    parts = (Choice(choice.stage, "width", choice.value), Choice(choice.stage, "block", choice.block))
    return any(part in found for part in parts)
