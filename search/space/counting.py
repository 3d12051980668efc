"""The exact number of designs of a space with at most so many parameters, for many such numbers at once.

Every network is cut in the middle. For every feature map at the cut, the costs of all ways to begin a network and of
all ways to complete one are two sorted lists. How many pairs stay within a bound takes one binary search for each item
of the shorter list (meet in the middle: Horowitz and Sahni 1974, https://doi.org/10.1145/321812.321823). No design is
listed and nothing is rounded; the work grows with the square root of the number of designs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from search.space.extremes import Extremes
from search.space.parts import FeatureMap, Measure, Parts, StageOptions, Start, Style, Weights

MAX_LISTED = 10**8  # items of all lists, beyond which they take gigabytes and minutes

_Costs = NDArray[np.unsignedinteger]
_Weighted = tuple[_Costs, Weights | None]  # costs and the weight of each; None where all weigh one


@dataclass(frozen=True)
class _SortedCosts:
    """Costs in ascending order. `cumulative`, of their weights, begins with a zero; None if all weigh one."""

    costs: _Costs
    cumulative: Weights | None

    @property
    def total(self) -> int:
        return len(self.costs) if self.cumulative is None else int(self.cumulative[-1])

    def pairs_within(self, others: "_SortedCosts", most: int) -> int:
        """The weight of all pairs with an item of `others` that cost at most `most` together."""
        if not len(self.costs) or not len(others.costs) or most < int(self.costs[0]) + int(others.costs[0]):
            return 0
        # Up to the first bound every item of `others` fits, beyond the second none does.
        bounds = [most - int(others.costs[-1]), most - int(others.costs[0])]
        whole, last = (self._number_within(bound) for bound in bounds)
        left = self.costs.dtype.type(min(most, int(self.costs[-1]) + int(others.costs[-1]))) - self.costs[whole:last]
        num_fitting = np.searchsorted(others.costs, left, side="right")
        weight = whole if self.cumulative is None else int(self.cumulative[whole])
        weights = num_fitting if others.cumulative is None else others.cumulative[num_fitting]
        if self.cumulative is not None:
            weights = weights * np.diff(self.cumulative[whole : last + 1])
        return weight * others.total + int(weights.sum())

    def _number_within(self, bound: int) -> int:
        if bound < int(self.costs[0]):
            return 0
        bound = min(bound, int(self.costs[-1]))
        return int(np.searchsorted(self.costs, self.costs.dtype.type(bound), side="right"))


class TooManyError(Exception):
    """Too many designs to count exactly lie below the largest bound."""


class DesignCounter:
    """Counts designs by what they cost or, with measure 'vectors', the vectors that decode to them.

    Args:
        parts: the parts of the space; their first metric is what is counted by.
        measure: what is counted.

    Attributes:
        total: the number of all, whatever they cost.
    """

    def __init__(self, parts: Parts, measure: Measure = "designs") -> None:
        self.parts = parts
        self.measure = measure
        self.total = count_all(parts, measure)
        self._largest = Extremes(parts, largest=True).cost or 0

    def count(self, most: int) -> int:
        """The number of designs (or vectors) that cost at most `most`.

        Raises:
            TooManyError: the lists would be longer than `MAX_LISTED`.
        """
        return self.counts([most])[0]

    def counts(self, bounds: Sequence[int]) -> list[int]:
        """The number of designs (or vectors) that cost at most so much, for each bound.

        Raises:
            TooManyError: the lists would be longer than `MAX_LISTED`.
        """
        counts = dict.fromkeys((bound for bound in bounds if bound < self._largest), 0)
        halves = _Halves(self.parts, self.measure, max(counts, default=0), self.total)
        # Where every bound is beyond the largest design there is nothing to list.
        starts = self.parts.starts if counts else ()
        for (style, num_stages), group in groupby(starts, lambda start: (start.style, start.num_stages)):
            weight = self.parts.space.num_free
            weight *= self.parts.absent_weight(num_stages) if self.measure == "vectors" else 1
            positions = tuple(self.parts.positions[:num_stages])
            middle = max(1, num_stages // 2)
            for features, beginnings in halves.beginnings(list(group), middle).items():
                completions = halves.completions(style, positions[middle:], features)
                shorter, longer = sorted((beginnings, completions), key=lambda half: len(half.costs))
                for bound in counts:
                    counts[bound] += weight * shorter.pairs_within(longer, bound)
        return [counts.get(bound, self.total) for bound in bounds]


def count_all(parts: Parts, measure: Measure) -> int:
    """The number of designs or vectors, whatever they cost."""

    def size(group: StageOptions) -> int:
        return int(group.weights.sum()) if measure == "vectors" else len(group.stages)

    @cache
    def num_completions(style: Style, positions: tuple[int, ...], features: FeatureMap) -> int:
        if not positions:
            is_counted = parts.is_counted(style, features, measure)
            return int(is_counted and parts.head_costs(style, features) is not None)
        return sum(
            size(group) * num_completions(style, positions[1:], group.output)
            for group in parts.following(style, positions[0], features, is_last=len(positions) == 1)
        )

    total = 0
    for start in parts.starts:
        absent = parts.absent_weight(start.num_stages) if measure == "vectors" else 1
        total += absent * num_completions(start.style, tuple(parts.positions[: start.num_stages]), start.output)
    return parts.space.num_free * total


class _Halves:
    """Lists of the costs, up to `most`, of all ways to begin and to complete a network."""

    def __init__(self, parts: Parts, measure: Measure, most: int, total: int) -> None:
        self.parts = parts
        self.measure = measure
        self.most = most
        # Sums of two costs within the limit must not overflow; half the width is twice the speed.
        self._dtype: type[np.unsignedinteger] = np.uint32 if most < 2**31 else np.uint64
        self._weight_dtype = np.int64 if total < 2**62 else object
        self._has_unit_weights = measure == "designs" or parts.has_unit_weights
        self._completions: dict[tuple[Style, tuple[int, ...], FeatureMap], _SortedCosts] = {}
        self._num_listed = 0

    def beginnings(self, starts: list[Start], num_stages: int) -> dict[FeatureMap, _SortedCosts]:
        """All ways through the first `num_stages` stages, by where they lead. The starts share a style and a number of
        stages."""
        style, is_last = starts[0].style, starts[0].num_stages == 1
        items: dict[FeatureMap, list[_Weighted]] = {}
        for start in starts:
            stem = self._costs(start.costs[:1])
            for group in self.parts.following(style, 0, start.output, is_last):
                if len(stem):
                    item = self._added((stem, self._unit_weights(1)), group)
                    items.setdefault(group.output, []).append(item)
        for position in self.parts.positions[1:num_stages]:
            shorter = {features: self._joined(lists) for features, lists in items.items()}
            items = {}
            for features, item in shorter.items():
                for group in self.parts.following(style, position, features, is_last=False):
                    items.setdefault(group.output, []).append(self._added(item, group))
        return {features: self._sorted(lists) for features, lists in items.items()}

    def completions(self, style: Style, positions: tuple[int, ...], features: FeatureMap) -> _SortedCosts:
        """All ways to complete a network by stages at these positions, the first of which receives `features`."""
        key = (style, positions, features)
        if key not in self._completions:
            items: list[_Weighted] = []
            if not positions:
                head = self.parts.head_costs(style, features)
                is_counted = head is not None and self.parts.is_counted(style, features, self.measure)
                costs = self._costs(head[:1]) if head is not None and is_counted else np.zeros(0, self._dtype)
                items.append((costs, self._unit_weights(len(costs))))
            else:
                for group in self.parts.following(style, positions[0], features, is_last=len(positions) == 1):
                    rest = self.completions(style, positions[1:], group.output)
                    weights = None if rest.cumulative is None else np.diff(rest.cumulative)
                    items.append(self._added((rest.costs, weights), group))
            self._completions[key] = self._sorted(items)
        return self._completions[key]

    def _costs(self, costs: NDArray[np.int64]) -> _Costs:
        return costs[costs <= self.most].astype(self._dtype)

    def _unit_weights(self, number: int) -> Weights | None:
        return None if self._has_unit_weights else np.ones(number, self._weight_dtype)

    def _added(self, item: _Weighted, group: StageOptions) -> _Weighted:
        """All sums within the limit of a cost of the item and the cost of one stage of the group."""
        fits = group.costs[0] <= self.most
        sums = np.add.outer(group.costs[0][fits].astype(self._dtype), item[0]).ravel()
        self._num_listed += len(sums)
        if self._num_listed > MAX_LISTED:
            raise TooManyError
        within = sums <= self.most
        if item[1] is None:
            return sums[within], None
        weights = np.multiply.outer(group.weights[fits].astype(self._weight_dtype), item[1]).ravel()
        return sums[within], weights[within]

    def _joined(self, items: list[_Weighted]) -> _Weighted:
        costs = np.concatenate([costs for costs, _ in items]) if items else np.zeros(0, self._dtype)
        if self._has_unit_weights:
            return costs, None
        return costs, np.concatenate([weights for _, weights in items]) if items else np.zeros(0, self._weight_dtype)

    def _sorted(self, items: list[_Weighted]) -> _SortedCosts:
        costs, weights = self._joined(items)
        if weights is None:
            return _SortedCosts(np.sort(costs), None)
        order = np.argsort(costs)
        zero = np.zeros(1, self._weight_dtype)
        return _SortedCosts(costs[order], np.concatenate([zero, np.cumsum(weights[order], dtype=self._weight_dtype)]))
