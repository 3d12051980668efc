"""The smallest and the largest network of a space, and of those of its networks that have a given choice.

Costs are sums over parts (see `search.space.parts`), so the best way to begin a network and the best way to complete it
are found stage by stage, and the best network with a certain stage between them is their sum.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.architecture import Shortcut
from search.space.choices import StageChoices, StemChoices
from search.space.parts import FeatureMap, Parts, Start

_NONE = 2**62  # more than any network costs


@dataclass(frozen=True)
class Choice:
    """A value of a field, in one stage (counted from 1) or in the whole network (`stage` None).

    With `block`, it is the value together with that block.
    """

    stage: int | None
    field: str
    value: int | float | str
    block: str | None = None


class Extremes:
    """What the smallest networks cost or, with `largest`, the largest, in the first metric of the parts."""

    def __init__(self, parts: Parts, largest: bool = False) -> None:
        self.parts = parts
        self._sign = -1 if largest else 1  # the largest cost is the smallest negative one
        self._rest: dict[tuple[Shortcut, tuple[int, ...], FeatureMap], int] = {}

    @cached_property
    def cost(self) -> int | None:
        """What the smallest (or largest) network costs; None if the space holds no network."""
        return self._positive(min((self._with_start(start) for start in self.parts.starts), default=_NONE))

    def by_choice(self) -> dict[Choice, int | None]:
        """What the smallest (or largest) network with each choice costs; None if no network has it."""
        space = self.parts.space
        costs: dict[Choice, int] = {}
        for name in StemChoices.model_fields:
            costs |= {Choice(None, f"stem_{name}", value): _NONE for value in getattr(space.stem, name)}
        costs |= {Choice(None, "shortcut", value): _NONE for value in space.shortcut}
        costs |= {Choice(None, "num_stages", value): _NONE for value in space.num_stages}
        for start in self.parts.starts:
            cost = self._with_start(start)
            choices = [Choice(None, f"stem_{name}", getattr(start.stem, name)) for name in StemChoices.model_fields]
            choices += [Choice(None, "shortcut", start.shortcut), Choice(None, "num_stages", start.num_stages)]
            costs |= {choice: min(cost, costs[choice]) for choice in choices}
        for index in range(self.parts.max_stages):
            costs |= self._by_choice_of_stage(index)
        return {choice: self._positive(cost) for choice, cost in costs.items()}

    def _positive(self, cost: int) -> int | None:
        """The cost without the sign that makes the largest the smallest; None if there is no network."""
        return None if cost >= _NONE // 2 else self._sign * cost

    def _with_start(self, start: Start) -> int:
        positions = tuple(self.parts.positions[: start.num_stages])
        return self._sign * int(start.costs[0]) + self._to_complete(start.shortcut, positions, start.output)

    def _to_complete(self, shortcut: Shortcut, positions: tuple[int, ...], features: FeatureMap) -> int:
        """The least cost of the stages still to come, the first of which receives `features`, and the head."""
        key = (shortcut, positions, features)
        if key not in self._rest:
            if not positions:
                head = self.parts.head_costs(features)
                self._rest[key] = _NONE if head is None else self._sign * int(head[0])
            else:
                self._rest[key] = min(
                    (
                        int((self._sign * group.costs[0]).min())
                        + self._to_complete(shortcut, positions[1:], group.output)
                        for group in self.parts.following(shortcut, positions[0], features)
                    ),
                    default=_NONE,
                )
            self._rest[key] = min(self._rest[key], _NONE)
        return self._rest[key]

    def _to_reach(self, index: int) -> dict[tuple[Shortcut, FeatureMap], int]:
        """The least cost of everything before stage `index`, for every shortcut and feature map that it may receive."""
        costs: dict[tuple[Shortcut, FeatureMap], int] = {}
        if index == 0:
            for start in self.parts.starts:
                key = (start.shortcut, start.output)
                costs[key] = min(costs.get(key, _NONE), self._sign * int(start.costs[0]))
            return costs
        for (shortcut, features), cost in self._to_reach(index - 1).items():
            for group in self.parts.following(shortcut, self.parts.positions[index - 1], features):
                key = (shortcut, group.output)
                costs[key] = min(costs.get(key, _NONE), cost + int((self._sign * group.costs[0]).min()))
        return costs

    def _by_choice_of_stage(self, index: int) -> dict[Choice, int]:
        position, choices = self.parts.positions[index], self.parts.space.stage_choices(index)
        best: dict[int, NDArray[np.int64]] = {
            width: np.full(len(self.parts.stage_weights(position, width)), _NONE, np.int64) for width in choices.width
        }
        lengths = [number for number in self.parts.space.num_stages if number > index]
        for (shortcut, features), cost in self._to_reach(index).items():
            for group in self.parts.following(shortcut, position, features):
                rest = min(
                    self._to_complete(shortcut, tuple(self.parts.positions[index + 1 : length]), group.output)
                    for length in lengths
                )
                if rest < _NONE // 2:
                    of_width = best[group.output.width]
                    totals = self._sign * group.costs[0] + cost + rest
                    of_width[group.indices] = np.minimum(of_width[group.indices], totals)
        fields = [name for name in StageChoices.model_fields if name != "width"]
        costs = {Choice(index + 1, name, value): _NONE for name in fields for value in getattr(choices, name)}
        for width, of_width in best.items():
            costs[Choice(index + 1, "width", width)] = int(of_width.min(initial=_NONE))
            costs |= {Choice(index + 1, "width", width, block): _NONE for block in choices.block}
            for stage, total in zip(self.parts.stage_weights(position, width), of_width.tolist(), strict=True):
                ignored = {"reduction": stage.block == "basic", "even_kernel": stage.kernel % 2 == 1}
                present = [Choice(index + 1, "width", width, stage.block)]
                for name in fields:
                    # A stage that ignores a field stands for all choices of that field.
                    values = getattr(choices, name) if ignored.get(name) else (getattr(stage, name),)
                    present += [Choice(index + 1, name, value) for value in values]
                costs |= {choice: min(costs[choice], total) for choice in present}
        return costs
