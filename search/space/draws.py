"""Exact uniform draws among the designs of a space within all counted limits, and a list of them where they are few.

A draw goes stage by stage, each with the weight of all ways to complete the network from there (`search.space.tables`).
The tables round costs down, so that a few draws break a limit. These are refused, and what remains is uniform, exactly.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.architecture import Architecture, Stage
from search.space.limits import Limits
from search.space.menu import Costs, Measure, Menu, Metric, Point, Start, Weights
from search.space.space import Space, Task
from search.space.tables import Options, Tables

MAX_REFUSED = 20_000


@dataclass(frozen=True)
class _Root:
    """All first stages behind a start, how many cells each leaves (from `low` to `high`) and the weight of each with
    all that can follow it."""

    start: Start
    options: Options
    low: Costs
    high: Costs
    weights: Weights


@dataclass(frozen=True)
class _Begun:
    """A network's stages so far, where they lead, what they cost and how many cells they leave."""

    stages: tuple[Stage, ...]
    point: Point
    spent: Costs
    low: Costs
    high: Costs


class Draws:
    """Draws among the designs within the limits.

    With measure 'designs' every architecture weighs one. With 'vectors' it weighs as many vectors of the space as
    decode to it: the measure of a uniform draw of vectors, conditioned on the limits. A lower limit (fill) costs next
    to nothing: draws are within the interval from the start, where sampling a shape and then solving for widths would
    have to weigh shapes by how many widths fill them.

    Attributes:
        upper: the weight of all designs within the limits and of those that rounding lets in.
    """

    def __init__(self, space: Space, task: Task, limits: Limits, measure: Measure = "vectors") -> None:
        self.limits = limits
        metrics: tuple[Metric, ...] = ("params",) if limits.macs is None else ("params", "macs")
        self._menu = Menu(space, task, metrics, limits.max_activations)
        self._measure = measure
        self._dropouts = space.dropout
        self._least = np.array([limits.min_params, 0][: len(metrics)], np.int64)
        self._most = np.array([limits.max_params, limits.macs or 0][: len(metrics)], np.int64)
        self._tables = Tables(self._menu, measure, self._least, self._most)
        self._roots = list(self._find_roots())
        self._ends = np.cumsum([len(root.weights) for root in self._roots])
        weights = [root.weights for root in self._roots] or [np.zeros(1, np.int64)]
        self._cumulative: Weights = np.cumsum(np.concatenate(weights))
        self.upper = len(space.dropout) * int(self._cumulative[-1])

    def draw(self, rng: np.random.Generator) -> Architecture:
        """One design within the limits, uniformly in this measure.

        Raises:
            LookupError: there is none; or so few among those that rounding lets in that `MAX_REFUSED` draws met none.
        """
        for _ in range(MAX_REFUSED if self.upper else 0):
            architecture = self.try_draw(rng)
            if architecture is not None:
                return architecture
        raise LookupError("no design is within the limits")

    def try_draw(self, rng: np.random.Generator) -> Architecture | None:
        """One draw from the `upper` designs; None if it breaks a limit, having come in by rounding."""
        index = _pick(self._cumulative, rng)
        number = int(np.searchsorted(self._ends, index, side="right"))
        root = self._roots[number]
        begun = self._first(root, index - int(self._ends[number]) + len(root.weights))
        for places in self._places_after(root.start):
            options, low, high = self._next(root, places, begun)
            picked = _pick(np.cumsum(self._tables.weigh(options, low, high)), rng)
            begun = _extended(begun, options, picked)
        if not self._fits(begun.spent):
            return None
        dropout = self._dropouts[int(rng.integers(len(self._dropouts)))]
        return self._menu.architecture(root.start, begun.stages, dropout)

    def designs(self) -> Iterator[Architecture]:
        """All designs within the limits, each once if designs are the measure. For small numbers of them."""
        for root in self._roots:
            found = [self._first(root, picked) for picked in np.flatnonzero(root.weights).tolist()]
            for places in self._places_after(root.start):
                shorter, found = found, []
                for begun in shorter:
                    options, low, high = self._next(root, places, begun)
                    possible = np.flatnonzero(self._tables.weigh(options, low, high)).tolist()
                    found += [_extended(begun, options, picked) for picked in possible]
            for begun in found:
                for dropout in self._dropouts if self._fits(begun.spent) else ():
                    yield self._menu.architecture(root.start, begun.stages, dropout)

    def _fits(self, spent: Costs) -> bool:
        """Whether a whole network of these costs is within the limits; the tables counted its last stage with its
        head."""
        return bool(np.all(spent <= self._most) and np.all(spent >= self._least))

    def _places_after(self, start: Start) -> list[tuple[int, ...]]:
        """For every stage but the first, the places from it on."""
        places = tuple(self._menu.places[: start.num_stages])
        return [places[index:] for index in range(1, len(places))]

    def _find_roots(self) -> Iterator[_Root]:
        step = self._tables.step[:, None]
        for start in self._menu.starts:
            options = self._tables.first(start)
            # The first stage's cost is known exactly, so that only the later ones are rounded.
            left = (self._most - start.costs)[:, None] - options.costs
            least = (self._least - start.costs)[:, None] - options.costs - (start.num_stages - 1) * (step - 1)
            high, low = left // step, -(-least // step)
            counted = [self._menu.counts(start, point.width, self._measure) for point in options.points]
            weights = self._tables.weigh(options, low, high) * np.array(counted, np.int64)
            if self._measure == "vectors":
                weights = weights * self._menu.absent_weight(start.num_stages)
            if weights.any():
                yield _Root(start, options, low, high, weights)

    def _first(self, root: _Root, picked: int) -> _Begun:
        options, spent = root.options, root.start.costs + root.options.costs[:, picked]
        low, high = root.low[:, picked], root.high[:, picked]
        return _Begun((options.stages[picked],), options.points[picked], spent, low, high)

    def _next(self, root: _Root, places: tuple[int, ...], begun: _Begun) -> tuple[Options, Costs, Costs]:
        """The options that may come next, and how many cells each leaves."""
        options = self._tables.following((root.start.shortcut, places, begun.point))
        return options, begun.low[:, None] - options.cells, begun.high[:, None] - options.cells


def _extended(begun: _Begun, options: Options, picked: int) -> _Begun:
    cells = options.cells[:, picked]
    return _Begun(
        (*begun.stages, options.stages[picked]),
        options.points[picked],
        begun.spent + options.costs[:, picked],
        begun.low - cells,
        begun.high - cells,
    )


def _pick(cumulative: Weights, rng: np.random.Generator) -> int:
    """An index with probability proportional to its weight, exactly: weights are whole numbers."""
    total = int(cumulative[-1])
    if total < 2**63:
        drawn = int(rng.integers(total))
    else:
        num_bytes = (total.bit_length() + 7) // 8
        surplus = 8 * num_bytes - total.bit_length()
        while (drawn := int.from_bytes(rng.bytes(num_bytes)) >> surplus) >= total:
            pass  # fewer than one draw in two is refused
    return int(np.searchsorted(cumulative, drawn, side="right"))
