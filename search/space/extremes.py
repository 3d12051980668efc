"""The smallest and the largest network of a space, and of those of its networks that hold a given choice.

Costs are sums of parts (see `search.space.menu`), so that the best way to begin a network and the best way to complete
it are found stage by stage, and the best network with a certain stage between them is their sum.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.architecture import Shortcut
from search.space.choices import StageChoices, StemChoices
from search.space.menu import Menu, Point, Start

_NONE = 2**62  # more than any network costs


@dataclass(frozen=True)
class Choice:
    """A value of a field in one stage, counted from 1, or of the whole network (`stage` None). With `block` the value
    is meant together with that block."""

    stage: int | None
    field: str
    value: int | float | str
    block: str | None = None


class Reach:
    """Extremes of a menu's first metric: what the smallest networks cost or, with `largest`, the largest."""

    def __init__(self, menu: Menu, largest: bool = False) -> None:
        self.menu = menu
        self._sign = -1 if largest else 1  # the largest cost is the smallest negative one
        self._rest: dict[tuple[Shortcut, tuple[int, ...], Point], int] = {}

    @cached_property
    def extreme(self) -> int | None:
        """What the smallest (or largest) network costs; None if there is no network."""
        return self._told(min((self._with_start(start) for start in self.menu.starts), default=_NONE))

    def holding(self) -> dict[Choice, int | None]:
        """What the smallest (or largest) network costs that holds each choice; None if no network does."""
        space = self.menu.space
        found: dict[Choice, int] = {}
        for name in StemChoices.model_fields:
            found |= {Choice(None, f"stem_{name}", value): _NONE for value in getattr(space.stem, name)}
        found |= {Choice(None, "shortcut", value): _NONE for value in space.shortcut}
        found |= {Choice(None, "num_stages", value): _NONE for value in space.num_stages}
        for start in self.menu.starts:
            cost = self._with_start(start)
            held = [Choice(None, f"stem_{name}", getattr(start.stem, name)) for name in StemChoices.model_fields]
            held += [Choice(None, "shortcut", start.shortcut), Choice(None, "num_stages", start.num_stages)]
            found |= {choice: min(cost, found[choice]) for choice in held}
        for index in range(self.menu.num_places):
            found |= self._holding_in_stage(index)
        return {choice: self._told(cost) for choice, cost in found.items()}

    def _told(self, cost: int) -> int | None:
        return None if cost >= _NONE // 2 else self._sign * cost

    def _with_start(self, start: Start) -> int:
        places = tuple(self.menu.places[: start.num_stages])
        return self._sign * int(start.costs[0]) + self._to_complete(start.shortcut, places, start.point)

    def _to_complete(self, shortcut: Shortcut, places: tuple[int, ...], point: Point) -> int:
        """The least cost of what is still to come."""
        key = (shortcut, places, point)
        if key not in self._rest:
            if not places:
                head = self.menu.head_costs(point)
                self._rest[key] = _NONE if head is None else self._sign * int(head[0])
            else:
                self._rest[key] = min(
                    (
                        int((self._sign * ways.costs[0]).min()) + self._to_complete(shortcut, places[1:], ways.next)
                        for ways in self.menu.following(shortcut, places[0], point)
                    ),
                    default=_NONE,
                )
            self._rest[key] = min(self._rest[key], _NONE)
        return self._rest[key]

    def _begun(self, index: int) -> dict[tuple[Shortcut, Point], int]:
        """The least cost to arrive at stage `index`, for every shortcut and point, by a network that has the stage."""
        found: dict[tuple[Shortcut, Point], int] = {}
        if index == 0:
            for start in self.menu.starts:
                key = (start.shortcut, start.point)
                found[key] = min(found.get(key, _NONE), self._sign * int(start.costs[0]))
            return found
        for (shortcut, point), cost in self._begun(index - 1).items():
            for ways in self.menu.following(shortcut, self.menu.places[index - 1], point):
                key = (shortcut, ways.next)
                found[key] = min(found.get(key, _NONE), cost + int((self._sign * ways.costs[0]).min()))
        return found

    def _holding_in_stage(self, index: int) -> dict[Choice, int]:
        place, choices = self.menu.places[index], self.menu.space.stage_choices(index)
        best: dict[int, NDArray[np.int64]] = {
            width: np.full(len(self.menu.options(place, width)), _NONE, np.int64) for width in choices.width
        }
        lengths = [number for number in self.menu.space.num_stages if number > index]
        for (shortcut, point), cost in self._begun(index).items():
            for ways in self.menu.following(shortcut, place, point):
                rest = min(
                    self._to_complete(shortcut, tuple(self.menu.places[index + 1 : length]), ways.next)
                    for length in lengths
                )
                if rest < _NONE // 2:
                    target = best[ways.next.width]
                    totals = self._sign * ways.costs[0] + cost + rest
                    target[ways.indices] = np.minimum(target[ways.indices], totals)
        fields = [name for name in StageChoices.model_fields if name != "width"]
        found = {Choice(index + 1, name, value): _NONE for name in fields for value in getattr(choices, name)}
        for width, costs in best.items():
            stages = list(self.menu.options(place, width))
            found[Choice(index + 1, "width", width)] = int(costs.min(initial=_NONE))
            for stage, total in zip(stages, costs.tolist(), strict=True):
                ignored = {"reduction": stage.block == "basic", "even_kernel": stage.kernel % 2 == 1}
                for name in fields:
                    # Where a field changes nothing, the stage stands for all its choices.
                    for value in getattr(choices, name) if ignored.get(name) else (getattr(stage, name),):
                        choice = Choice(index + 1, name, value)
                        found[choice] = min(found[choice], total)
            for block in choices.block:
                of_block = [total for stage, total in zip(stages, costs.tolist(), strict=True) if stage.block == block]
                found[Choice(index + 1, "width", width, block)] = min(of_block, default=_NONE)
        return found
