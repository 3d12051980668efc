"""Exactly how many designs of a space have at most so many parameters, for many numbers at once.

A network is cut in the middle. For every width at the cut, the costs of all ways to begin a network and of all ways to
complete one are two sorted lists, and how many pairs stay within a number is one binary search for each item of the
shorter list (meeting in the middle: Horowitz and Sahni 1974, https://doi.org/10.1145/321812.321823). No design is
listed and nothing is rounded: the work grows with the square root of the number of designs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from models.architecture import Shortcut
from search.space.extremes import Reach
from search.space.menu import Measure, Menu, Point, Start, Weights

MAX_LISTED = 10**8  # items of all lists, beyond which they take gigabytes and minutes

_Costs = NDArray[np.unsignedinteger]


@dataclass(frozen=True)
class _Sums:
    """Costs, ascending. `cumulative` begins with a zero; None where every item weighs one."""

    costs: _Costs
    cumulative: Weights | None

    @property
    def total(self) -> int:
        return len(self.costs) if self.cumulative is None else int(self.cumulative[-1])

    def pairs_within(self, others: "_Sums", most: int) -> int:
        """The weight of all pairs with an item of `others` that cost at most `most` together."""
        if not len(self.costs) or not len(others.costs) or most < int(self.costs[0]) + int(others.costs[0]):
            return 0
        # Below the first bound every item of `others` fits, from the second on none does.
        bounds = [most - int(others.costs[-1]), most - int(others.costs[0])]
        whole, last = (self._number_within(bound) for bound in bounds)
        left = self.costs.dtype.type(min(most, int(self.costs[-1]) + int(others.costs[-1]))) - self.costs[whole:last]
        found = np.searchsorted(others.costs, left, side="right")
        weight = whole if self.cumulative is None else int(self.cumulative[whole])
        weights = found if others.cumulative is None else others.cumulative[found]
        if self.cumulative is not None:
            weights = weights * np.diff(self.cumulative[whole : last + 1])
        return weight * others.total + int(weights.sum())

    def _number_within(self, bound: int) -> int:
        if bound < int(self.costs[0]):
            return 0
        bound = min(bound, int(self.costs[-1]))
        return int(np.searchsorted(self.costs, self.costs.dtype.type(bound), side="right"))


class TooManyError(Exception):
    """There are too many designs, up to the largest number that was asked for, to be counted exactly."""


class Tally:
    """Counts designs, or with measure 'vectors' the vectors that decode to one, by the first metric of a menu.

    Attributes:
        total: the weight of all designs, whatever they cost.
    """

    def __init__(self, menu: Menu, measure: Measure = "designs") -> None:
        assert menu.metrics[0] == "params"
        self.menu = menu
        self.measure = measure
        self.total = total(menu, measure)
        self._largest = Reach(menu, largest=True).extreme or 0

    def count(self, most: int) -> int:
        """The weight of the designs that cost at most `most`."""
        return self.counts([most])[0]

    def counts(self, most: Sequence[int]) -> list[int]:
        """The weight of the designs that cost at most each of these numbers.

        Raises:
            TooManyError: the lists would be longer than `MAX_LISTED`.
        """
        found = dict.fromkeys((bound for bound in most if bound < self._largest), 0)
        cut = _Cut(self.menu, self.measure, max(found, default=0), self.total)
        # Where every number is beyond the largest design there is nothing to list.
        starts = self.menu.starts if found else ()
        for (shortcut, num_stages), group in groupby(starts, lambda one: (one.shortcut, one.num_stages)):
            weight = len(self.menu.space.dropout)
            weight *= self.menu.absent_weight(num_stages) if self.measure == "vectors" else 1
            places = tuple(self.menu.places[:num_stages])
            middle = max(1, num_stages // 2)
            for point, begun in cut.beginnings(list(group), middle).items():
                completed = cut.completions(shortcut, places[middle:], point)
                first, second = sorted((begun, completed), key=lambda sums: len(sums.costs))
                for bound in found:
                    found[bound] += weight * first.pairs_within(second, bound)
        return [found.get(bound, self.total) for bound in most]


def total(menu: Menu, measure: Measure) -> int:
    """How many designs or vectors there are, whatever they cost."""

    @cache
    def ways_on(shortcut: Shortcut, places: tuple[int, ...], point: Point) -> int:
        if not places:
            return int(menu.head_costs(point) is not None)
        return sum(
            (int(ways.weights.sum()) if measure == "vectors" else len(ways.stages))
            * ways_on(shortcut, places[1:], ways.next)
            for ways in menu.following(shortcut, places[0], point)
        )

    found = 0
    for start in menu.starts:
        after = tuple(menu.places[1 : start.num_stages])
        for ways in menu.following(start.shortcut, 0, start.point):
            if menu.counts(start, ways.next.width, measure):
                weight = int(ways.weights.sum()) if measure == "vectors" else len(ways.stages)
                if measure == "vectors":
                    weight *= menu.absent_weight(start.num_stages)
                found += weight * ways_on(start.shortcut, after, ways.next)
    return len(menu.space.dropout) * found


class _Cut:
    """The two kinds of lists, of costs up to `most`."""

    def __init__(self, menu: Menu, measure: Measure, most: int, total: int) -> None:
        self.menu = menu
        self.measure = measure
        self.most = most
        # Sums of two costs within the limit must not overflow; half the width is twice the speed.
        self._dtype: type[np.unsignedinteger] = np.uint32 if most < 2**31 else np.uint64
        self._weight_dtype = np.int64 if total < 2**62 else object
        self._weighs_one = measure == "designs" or menu.weighs_one
        self._completions: dict[tuple[Shortcut, tuple[int, ...], Point], _Sums] = {}
        self._listed = 0

    def beginnings(self, starts: list[Start], num_stages: int) -> dict[Point, _Sums]:
        """For every point behind so many stages, all ways to get there; the starts are of one shortcut."""
        found: dict[Point, list[tuple[_Costs, Weights | None]]] = {}
        for start in starts:
            begun = self._costs(start.costs[:1])
            for ways in self.menu.following(start.shortcut, 0, start.point):
                if len(begun) and self.menu.counts(start, ways.next.width, self.measure):
                    item = self._added((begun, self._unit_weights(1)), ways.costs[0], ways.weights)
                    found.setdefault(ways.next, []).append(item)
        for place in self.menu.places[1:num_stages]:
            before = {point: self._joined(items) for point, items in found.items()}
            found = {}
            for point, item in before.items():
                for ways in self.menu.following(starts[0].shortcut, place, point):
                    found.setdefault(ways.next, []).append(self._added(item, ways.costs[0], ways.weights))
        return {point: self._sorted(items) for point, items in found.items()}

    def completions(self, shortcut: Shortcut, places: tuple[int, ...], point: Point) -> _Sums:
        """All ways to complete a network from a point on."""
        key = (shortcut, places, point)
        if key not in self._completions:
            items = []
            if not places:
                head = self.menu.head_costs(point)
                costs = self._costs(head[:1]) if head is not None else np.zeros(0, self._dtype)
                items.append((costs, self._unit_weights(len(costs))))
            else:
                for ways in self.menu.following(shortcut, places[0], point):
                    after = self.completions(shortcut, places[1:], ways.next)
                    weights = None if after.cumulative is None else np.diff(after.cumulative)
                    items.append(self._added((after.costs, weights), ways.costs[0], ways.weights))
            self._completions[key] = self._sorted(items)
        return self._completions[key]

    def _costs(self, costs: NDArray[np.int64]) -> _Costs:
        return costs[costs <= self.most].astype(self._dtype)

    def _unit_weights(self, number: int) -> Weights | None:
        return None if self._weighs_one else np.ones(number, self._weight_dtype)

    def _added(
        self, item: tuple[_Costs, Weights | None], costs: NDArray[np.int64], weights: Weights
    ) -> tuple[_Costs, Weights | None]:
        """All sums of a cost of the item and one of `costs`, as far as they are within the limit."""
        fits = costs <= self.most
        sums = np.add.outer(costs[fits].astype(self._dtype), item[0]).ravel()
        self._listed += len(sums)
        if self._listed > MAX_LISTED:
            raise TooManyError
        within = sums <= self.most
        if item[1] is None:
            return sums[within], None
        return sums[within], np.multiply.outer(weights[fits].astype(self._weight_dtype), item[1]).ravel()[within]

    def _joined(self, items: list[tuple[_Costs, Weights | None]]) -> tuple[_Costs, Weights | None]:
        costs = np.concatenate([costs for costs, _ in items]) if items else np.zeros(0, self._dtype)
        if self._weighs_one:
            return costs, None
        return costs, np.concatenate([weights for _, weights in items]) if items else np.zeros(0, self._weight_dtype)

    def _sorted(self, items: list[tuple[_Costs, Weights | None]]) -> _Sums:
        costs, weights = self._joined(items)
        if weights is None:
            return _Sums(np.sort(costs), None)
        order = np.argsort(costs)
        zero = np.zeros(1, self._weight_dtype)
        return _Sums(costs[order], np.concatenate([zero, np.cumsum(weights[order], dtype=self._weight_dtype)]))
