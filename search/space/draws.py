"""Exact draws among the designs of a space within all counted limits, and a list of them where they are few.

A draw goes stage by stage. Each stage is drawn with the weight of all ways to complete the network from there (see
`search.space.completion_tables`). The tables round costs down, so a few draws break a limit, as do some whose bytes in
an int8 file are more than those of their parts; these are rejected, and the rest have exactly their weights: in whole
numbers, or by the weights of a space up to the rounding of floats.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

from models.architecture import Architecture, Stage
from models.int8 import count_int8_bytes, most_feature_map_bytes
from search.space.completion_tables import CompletionTables, NextStages
from search.space.limits import Limits
from search.space.parts import Costs, FeatureMap, Measure, Metric, Parts, Start, Weights
from search.space.space import Space, Task

MAX_REJECTED = 20_000
MAX_LISTED = 20_000
MAX_SPARING = 500  # draws in a row that use too little of a limit on multiply-accumulates, after which any will do


@dataclass(frozen=True)
class _Root:
    """All n first stages that may follow a start.

    Each leaves from `low` to `high` cells (metrics, n) for the rest, and has a weight (n,) with everything that may
    follow it.
    """

    start: Start
    candidates: NextStages
    low: Costs
    high: Costs
    weights: Weights


class _Roots:
    """Roots among which a draw begins.

    Args:
        roots: at least one.
        share: the probability that a draw begins here, relative to other groups of roots.
        least_macs: the fewest multiply-accumulates of a design that will do.
    """

    def __init__(self, roots: Sequence[_Root], share: float = 1.0, least_macs: float = 0.0) -> None:
        self.share = share
        self.least_macs = least_macs
        self._roots = roots
        self._ends = np.cumsum([len(root.weights) for root in roots])
        self._cumulative: Weights = np.cumsum(np.concatenate([root.weights for root in roots]))

    @property
    def total(self) -> int | float:
        """The weight of all."""
        total = self._cumulative[-1]
        return float(total) if self._cumulative.dtype == np.float64 else int(total)

    def pick(self, rng: np.random.Generator) -> tuple[_Root, int]:
        """A root and the index of a first stage."""
        index = pick(self._cumulative, rng)
        number = int(np.searchsorted(self._ends, index, side="right"))
        root = self._roots[number]
        return root, index - int(self._ends[number]) + len(root.weights)


@dataclass(frozen=True)
class _Beginning:
    """A network's first stages: what they pass on, what they cost, and how many cells they leave for the rest."""

    stages: tuple[Stage, ...]
    output: FeatureMap
    spent: Costs
    low: Costs
    high: Costs


class Draws:
    """Draws among the designs within the limits.

    With measure 'designs' every architecture weighs one. With 'vectors' it weighs as many vectors of the space as
    decode to it: the measure of a uniform draw of vectors, conditioned on the limits. With 'weighed' each of these
    vectors weighs the product of the space's weights of its choices. Where the space weighs the number of stages, that
    is drawn first, from the numbers of stages of which a design is within the limits.

    Where its weights ask for it (`least_macs`), `draw` passes over designs that use too little of a limit on MACs: it
    is left with the same weights of the others. Once `MAX_SPARING` of them come in a row, they are drawn too.

    A lower limit (fill) costs next to nothing: draws stay within the interval from the start, where drawing a shape
    first and then solving for widths would have to weigh each shape by how many widths fill the budget.

    Args:
        space: the search space.
        task: image size, channels and classes of the data.
        limits: what a design may cost; latency is not checked.
        measure: what a design weighs.

    Attributes:
        upper_bound: the weight of all designs within the limits and of those that rounding lets in.
    """

    def __init__(self, space: Space, task: Task, limits: Limits, measure: Measure = "vectors") -> None:
        self._measure = measure
        self._space = space
        self._limits = limits
        self._least, self._most, self._parts, self._tables, self._roots = prepare(space, task, limits, measure)
        weights = space.weights if measure == "weighed" else None
        self._least_drawn = weights.least_macs * limits.macs if weights is not None and limits.macs is not None else 0.0
        self._groups = self._grouped()
        total = sum(group.total for group in self._groups)
        self.upper_bound = total if measure == "weighed" else space.num_free * total

    @classmethod
    def weighed(cls, space: Space, task: Task, limits: Limits) -> "Draws":
        """Draws as the space weighs its choices; all vectors alike where it does not."""
        return cls(space, task, limits, "vectors" if space.weights is None else "weighed")

    def draw(self, rng: np.random.Generator) -> Architecture:
        """A design within the limits, by its weight in this measure.

        Raises:
            LookupError: there is none, or so few among those that rounding lets in that `MAX_REJECTED` draws met none.
        """
        while self._groups:
            group = self._pick_group(rng)
            num_sparing = 0
            for _ in range(MAX_REJECTED):
                drawn = self._try_from(group, rng)
                if drawn is None:
                    continue
                architecture, spent = drawn
                if not group.least_macs or spent[self._parts.metrics.index("macs")] >= group.least_macs:
                    return architecture
                num_sparing += 1
                if num_sparing == MAX_SPARING:
                    group.least_macs = 0.0  # of later draws too: each would take as long
            self._groups.remove(group)
        raise LookupError("no design is within the limits")

    def try_draw(self, rng: np.random.Generator) -> Architecture | None:
        """One of the designs that weigh `upper_bound`, or None if it breaks a limit and was let in by rounding."""
        drawn = self._try_from(self._pick_group(rng), rng) if self._groups else None
        return None if drawn is None else drawn[0]

    def _grouped(self) -> list[_Roots]:
        """All roots or, where the number of stages is drawn first, those of each number that may be drawn."""
        weights = self._parts.space.weights
        if self._measure != "weighed" or weights is None or weights.num_stages is None:
            return [_Roots(self._roots, least_macs=self._least_drawn)] if self._roots else []
        groups = []
        shares = self._parts.space.choice_shares["num_stages"]
        for number, share in zip(self._parts.space.num_stages, shares, strict=True):
            roots = [root for root in self._roots if root.start.num_stages == number]
            if roots and share:
                groups.append(_Roots(roots, share, self._least_drawn))
        return groups

    def _pick_group(self, rng: np.random.Generator) -> _Roots:
        if len(self._groups) == 1:
            return self._groups[0]
        return self._groups[pick(np.cumsum([group.share for group in self._groups]), rng)]

    def _try_from(self, group: _Roots, rng: np.random.Generator) -> tuple[Architecture, Costs] | None:
        """A design and what it costs."""
        root, picked = group.pick(rng)
        beginning = self._first(root, picked)
        for positions in self._positions_after(root.start):
            candidates, low, high = self._next(root, positions, beginning)
            picked = pick(np.cumsum(self._tables.weigh(candidates, low, high)), rng)
            beginning = _extended(beginning, candidates, picked)
        if not self._fits(beginning.spent):
            return None
        dropout, activation = self._space.dropout[self._draw_choice("dropout", rng)], self._space.activation[0]
        if len(self._space.activation) > 1:
            activation = self._space.activation[self._draw_choice("activation", rng)]
        architecture = self._parts.architecture(root.start, beginning.stages, dropout, activation)
        return (architecture, beginning.spent) if self._fits_in_bytes(architecture) else None

    def _draw_choice(self, field: str, rng: np.random.Generator) -> int:
        """The index of a choice that costs nothing."""
        shares = self._space.choice_shares[field]
        return pick(np.cumsum(shares), rng) if self._measure == "weighed" else int(rng.integers(len(shares)))

    @property
    def can_be_listed(self) -> bool:
        """Whether `designs` are few: at most `MAX_LISTED`, by their upper bound. Weights do not tell how many."""
        return self._measure != "weighed" and self.upper_bound <= MAX_LISTED

    def designs(self) -> Iterator[Architecture]:
        """All designs within the limits, those of no weight left out; each once if designs are the measure. Only where
        they are few."""
        for root in self._roots:
            beginnings = [self._first(root, picked) for picked in np.flatnonzero(root.weights).tolist()]
            for positions in self._positions_after(root.start):
                shorter, beginnings = beginnings, []
                for beginning in shorter:
                    candidates, low, high = self._next(root, positions, beginning)
                    possible = np.flatnonzero(self._tables.weigh(candidates, low, high)).tolist()
                    beginnings += [_extended(beginning, candidates, picked) for picked in possible]
            for beginning in beginnings:
                free = product(self._space.dropout, self._space.activation)
                for dropout, activation in free if self._fits(beginning.spent) else ():
                    architecture = self._parts.architecture(root.start, beginning.stages, dropout, activation)
                    if self._fits_in_bytes(architecture):
                        yield architecture

    def _fits(self, spent: Costs) -> bool:
        """Whether a whole network of these costs is within the limits, as far as they are costs of its parts. The last
        stage's costs include the head's."""
        return bool(np.all(spent <= self._most) and np.all(spent >= self._least))

    def _fits_in_bytes(self, architecture: Architecture) -> bool:
        """Whether a network that may fit does: its bytes are a little more than those of its parts."""
        least, most = self._limits.min_int8_bytes, self._limits.max_int8_bytes
        return most is None or least <= count_int8_bytes(architecture) <= most

    def _positions_after(self, start: Start) -> list[tuple[int, ...]]:
        """For every stage but the first, the positions from that stage on."""
        positions = tuple(self._parts.positions[: start.num_stages])
        return [positions[index:] for index in range(1, len(positions))]

    def _first(self, root: _Root, picked: int) -> _Beginning:
        stage, output = root.candidates.stages[picked], root.candidates.outputs[picked]
        spent = root.start.costs + root.candidates.costs[:, picked]
        return _Beginning((stage,), output, spent, root.low[:, picked], root.high[:, picked])

    def _next(self, root: _Root, positions: tuple[int, ...], beginning: _Beginning) -> tuple[NextStages, Costs, Costs]:
        """The stages that may come next, and the fewest and the most cells that each leaves for the rest."""
        candidates = self._tables.following((root.start.style, positions, beginning.output))
        return candidates, beginning.low[:, None] - candidates.cells, beginning.high[:, None] - candidates.cells


@lru_cache(maxsize=2)
def prepare(
    space: Space, task: Task, limits: Limits, measure: Measure
) -> tuple[Costs, Costs, Parts, CompletionTables, tuple[_Root, ...]]:
    """The least and the most of what is limited, the parts of networks, their tables, and all roots: what all draws
    within these limits share, and most of their work. A search asks for the same ones several times before its first
    trial."""
    most = _most_of(limits)
    parts = Parts(space, task, tuple(most), limits.max_activations)
    least = {
        "params": limits.min_params,
        "bytes": max(0, limits.min_int8_bytes - most_feature_map_bytes(space.most_blocks)),
    }
    lower = np.array([least.get(metric, 0) for metric in most], np.int64)
    upper = np.array([*most.values()], np.int64)
    tables = CompletionTables(parts, measure, lower, upper)
    return lower, upper, parts, tables, tuple(_find_roots(parts, tables, measure, lower, upper))


def _find_roots(
    parts: Parts, tables: CompletionTables, measure: Measure, lower: Costs, upper: Costs
) -> Iterator[_Root]:
    step = tables.step[:, None]
    for start in parts.starts:
        candidates = tables.first(start)
        # The first stage's cost is known exactly, so only those of later stages are rounded.
        left = (upper - start.costs)[:, None] - candidates.costs
        least = (lower - start.costs)[:, None] - candidates.costs - (start.num_stages - 1) * (step - 1)
        high, low = left // step, -(-least // step)
        weights = tables.weigh(candidates, low, high)
        if measure == "vectors":
            weights = weights * parts.absent_weight(start.num_stages)
        elif measure == "weighed":
            weights = weights * start.share
        if weights.any():
            yield _Root(start, candidates, low, high, weights)


def _most_of(limits: Limits) -> dict[Metric, int]:
    """The most of each metric that is limited, first of the one that is to be used up. What bytes of an int8 file imply
    of parameters needs no axis."""
    most: list[tuple[Metric, int | None]] = [("macs", limits.macs), ("bytes", limits.max_int8_bytes)]
    most = most[::-1] if limits.is_of_int8_bytes else [("params", limits.max_params), *most]
    return {metric: number for metric, number in most if number is not None}


def _extended(beginning: _Beginning, candidates: NextStages, picked: int) -> _Beginning:
    cells = candidates.cells[:, picked]
    return _Beginning(
        (*beginning.stages, candidates.stages[picked]),
        candidates.outputs[picked],
        beginning.spent + candidates.costs[:, picked],
        beginning.low - cells,
        beginning.high - cells,
    )


def pick(cumulative: Weights, rng: np.random.Generator) -> int:
    """An index with probability proportional to its weight: exactly for whole numbers, else as floats can tell."""
    if cumulative.dtype == np.float64:
        most = float(cumulative[-1])
        # Rounding up to the whole weight would be beyond the last index.
        return int(np.searchsorted(cumulative, min(rng.random() * most, np.nextafter(most, 0)), side="right"))
    total = int(cumulative[-1])
    if total < 2**63:
        drawn = int(rng.integers(total))
    else:
        num_bytes = (total.bit_length() + 7) // 8
        surplus = 8 * num_bytes - total.bit_length()
        while (drawn := int.from_bytes(rng.bytes(num_bytes)) >> surplus) >= total:
            pass  # fewer than one draw in two is rejected
    return int(np.searchsorted(cumulative, drawn, side="right"))
