"""The smallest and the largest network of a space, and of those of its networks that have a given choice.

Costs are sums over parts (see `search.space.parts`), so the best way to begin a network and the best way to complete it
are found stage by stage, and the best network with a certain stage between them is their sum.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from search.space.choices import Choice as Value
from search.space.choices import StemChoices
from search.space.parts import FeatureMap, Parts, Start, Style
from search.space.space import STAGE_FIELDS, same_choices

_NONE = 2**62  # more than any network costs


@dataclass(frozen=True)
class Choice:
    """A value of a field, in one stage (counted from 1) or in the whole network (`stage` None).

    With `block`, it is the value together with that block.
    """

    stage: int | None
    field: str
    value: Value
    block: str | None = None


class Extremes:
    """What the smallest networks cost or, with `largest`, the largest, in the first metric of the parts."""

    def __init__(self, parts: Parts, largest: bool = False) -> None:
        self.parts = parts
        self._sign = -1 if largest else 1  # the largest cost is the smallest negative one
        self._rest: dict[tuple[Style, tuple[int, ...], FeatureMap], int] = {}

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
        for name in Style._fields:
            costs |= {Choice(None, name, value): _NONE for value in getattr(space, name)}
        costs |= {Choice(None, "num_stages", value): _NONE for value in space.num_stages}
        for start in self.parts.starts:
            cost = self._with_start(start)
            choices = [Choice(None, f"stem_{name}", getattr(start.stem, name)) for name in StemChoices.model_fields]
            choices += [Choice(None, name, value) for name, value in start.style._asdict().items()]
            choices += [Choice(None, "num_stages", start.num_stages)]
            costs |= {choice: min(cost, costs[choice]) for choice in choices}
        for index in range(self.parts.max_stages):
            costs |= self._by_choice_of_stage(index)
        return {choice: self._positive(cost) for choice, cost in costs.items()}

    def _positive(self, cost: int) -> int | None:
        """The cost without the sign that makes the largest the smallest; None if there is no network."""
        return None if cost >= _NONE // 2 else self._sign * cost

    def _with_start(self, start: Start) -> int:
        positions = tuple(self.parts.positions[: start.num_stages])
        return self._sign * int(start.costs[0]) + self._to_complete(start.style, positions, start.output)

    def _to_complete(self, style: Style, positions: tuple[int, ...], features: FeatureMap) -> int:
        """The least cost of the stages still to come, the first of which receives `features`, and the head."""
        key = (style, positions, features)
        if key not in self._rest:
            if not positions:
                head = self.parts.head_costs(style, features)
                self._rest[key] = _NONE if head is None else self._sign * int(head[0])
            else:
                self._rest[key] = min(
                    (
                        int((self._sign * group.costs[0]).min()) + self._to_complete(style, positions[1:], group.output)
                        for group in self.parts.following(style, positions[0], features, is_last=len(positions) == 1)
                    ),
                    default=_NONE,
                )
            self._rest[key] = min(self._rest[key], _NONE)
        return self._rest[key]

    def _to_reach(self, index: int) -> dict[tuple[Style, FeatureMap], int]:
        """The least cost of everything before stage `index`, for every style and feature map that it may receive."""
        costs: dict[tuple[Style, FeatureMap], int] = {}
        if index == 0:
            for start in self.parts.starts:
                key = (start.style, start.output)
                costs[key] = min(costs.get(key, _NONE), self._sign * int(start.costs[0]))
            return costs
        for (style, features), cost in self._to_reach(index - 1).items():
            for group in self.parts.following(style, self.parts.positions[index - 1], features, is_last=False):
                key = (style, group.output)
                costs[key] = min(costs.get(key, _NONE), cost + int((self._sign * group.costs[0]).min()))
        return costs

    def _by_choice_of_stage(self, index: int) -> dict[Choice, int]:
        position, choices = self.parts.positions[index], self.parts.space.stage_choices(index)
        best: dict[int, NDArray[np.int64]] = {
            width: np.full(len(self.parts.stages_of_width(position, width)), _NONE, np.int64) for width in choices.width
        }
        lengths = [number for number in self.parts.space.num_stages if number > index]
        # The last stage of a network may have widths that others may not.
        as_last = [[number for number in lengths if (number == index + 1) == is_last] for is_last in (False, True)]
        for ((style, features), cost), is_last in product(self._to_reach(index).items(), (False, True)):
            for group in self.parts.following(style, position, features, is_last) if as_last[is_last] else ():
                rest = min(
                    self._to_complete(style, tuple(self.parts.positions[index + 1 : length]), group.output)
                    for length in as_last[is_last]
                )
                if rest < _NONE // 2:
                    of_width = best[group.output.width]
                    totals = self._sign * group.costs[0] + cost + rest
                    of_width[group.indices] = np.minimum(of_width[group.indices], totals)
        fields = [name for name in STAGE_FIELDS if name != "width"]
        costs = {Choice(index + 1, name, value): _NONE for name in fields for value in getattr(choices, name)}
        for width, of_width in best.items():
            costs[Choice(index + 1, "width", width)] = int(of_width.min(initial=_NONE))
            costs |= {Choice(index + 1, "width", width, block): _NONE for block in choices.block}
            for stage, total in zip(self.parts.stages_of_width(position, width), of_width.tolist(), strict=True):
                present = [Choice(index + 1, "width", width, stage.block)]
                for name in fields:
                    # A stage may stand for several choices of a field, or for all where it ignores the field.
                    values = same_choices(stage, index == 0, name, getattr(choices, name))
                    present += [Choice(index + 1, name, value) for value in values]
                costs |= {choice: min(costs[choice], total) for choice in present}
        return costs
