"""Exactly how many designs of a space fit a budget, and exact uniform draws among them.

A parameter count is a sum over stages, and a stage's share depends on what came before only through the width it
receives. So for the last stages and every width they may receive, the costs of all ways to complete the network are
kept as a sorted list with cumulative counts: how many completions fit what is left of the budget is one binary search.
The first stages are enumerated. Counting follows, and so does drawing stage by stage with these counts as weights (the
backward counting of exact knapsack sampling: Dyer 2003, https://doi.org/10.1145/780542.780643).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import product
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.architecture import Architecture, ArchitectureError, Shortcut, Stage, Stem
from models.count import head_parameters, stage_parameters, stem_parameters
from search.space.space import Space, StageChoices, StemChoices, Task

Measure = Literal["designs", "vectors"]
Costs = NDArray[np.int64]
Weights = NDArray[Any]  # int64, or Python integers where 64 bits are too few

LISTED_STAGES = 2


@dataclass(frozen=True)
class _Completions:
    """All ways to complete a network from some point on: their distinct costs, ascending, and cumulative weights."""

    costs: Costs
    cumulative: Weights

    def within(self, remaining: Costs) -> Weights:
        """The weight of the completions that cost at most `remaining`, elementwise."""
        found: Weights = self.cumulative[np.searchsorted(self.costs, remaining, side="right")]
        return found


@dataclass(frozen=True)
class _Root:
    """All first stages of one width behind one stem: what each has spent and the weight of its completions."""

    shortcut: Shortcut
    num_stages: int
    stem: Stem
    width: int
    spent: Costs
    weights: Weights


class Tally:
    """The designs of a space within a budget of parameters.

    With measure 'designs' every architecture weighs one. With 'vectors' it weighs as many vectors of the space as
    decode to it: the measure of a uniform draw of vectors.
    """

    def __init__(self, space: Space, task: Task, budget: int, measure: Measure = "designs") -> None:
        self.space = space
        self.task = task
        self.budget = budget
        self.measure = measure
        self._choices = [space.stage_choices(index) for index in range(space.num_stages[-1])]
        # The methods below are functions of small arguments, asked again and again.
        self._options = cache(self._options)  # type: ignore[method-assign]
        self._costs = cache(self._costs)  # type: ignore[method-assign]
        self._completions = cache(self._completions)  # type: ignore[method-assign]

    def total(self) -> int:
        """The weight of the whole space, whatever the budget."""

        @cache
        def ways(shortcut: Shortcut, num_stages: int, index: int, width: int) -> int:
            if index == num_stages:
                return 1
            return sum(
                sum(self._options(index, after)[1]) * ways(shortcut, num_stages, index + 1, after)
                for after in self._widths(shortcut, index, width)
                if self._counts_shortcut(shortcut, num_stages, width, after)
            )

        return len(self.space.dropout) * sum(
            self._absent_weight(num_stages) * ways(shortcut, num_stages, 0, stem.width)
            for shortcut, num_stages, stem in self._heads()
        )

    def count(self) -> int:
        """The weight of the designs within the budget."""
        return len(self.space.dropout) * sum(int(root.weights.sum()) for root in self._roots)

    def draw(self, rng: np.random.Generator) -> Architecture:
        """One design within the budget, uniformly in this measure.

        Raises:
            LookupError: there is none.
        """
        roots = self._roots
        totals = [int(root.weights.sum()) for root in roots]
        if not sum(totals):
            raise LookupError("no design fits the budget")
        root = roots[_pick(np.array(totals, dtype=object), rng)]
        option = _pick(root.weights, rng)
        stages = [self._options(0, root.width)[0][option]]
        remaining = self.budget - int(root.spent[option])
        for index in range(1, root.num_stages):
            before = stages[-1].width
            widths = self._widths(root.shortcut, index, before)
            weights = [
                self._weights_after(root.shortcut, root.num_stages, index, before, after, np.array([remaining]))[0]
                for after in widths
            ]
            picked = _pick(np.concatenate(weights), rng)
            for after, piece in zip(widths, weights, strict=True):
                if picked < len(piece):
                    stages.append(self._options(index, after)[0][picked])
                    remaining -= int(self._costs(root.shortcut, index, before, after)[picked])
                    break
                picked -= len(piece)
        dropout = self.space.dropout[int(rng.integers(len(self.space.dropout)))]
        return self._architecture(root.shortcut, root.stem, stages, dropout)

    def designs(self) -> Iterator[Architecture]:
        """All designs within the budget, each once. For small numbers of them."""

        def extend(root: _Root, stages: list[Stage], remaining: int) -> Iterator[list[Stage]]:
            index, before = len(stages), stages[-1].width
            if index == root.num_stages:
                yield stages
                return
            for after in self._widths(root.shortcut, index, before):
                weights = self._weights_after(
                    root.shortcut, root.num_stages, index, before, after, np.array([remaining])
                )[0]
                costs = self._costs(root.shortcut, index, before, after)
                for option in np.flatnonzero(weights):
                    stage = self._options(index, after)[0][option]
                    yield from extend(root, [*stages, stage], remaining - int(costs[option]))

        for root in self._roots:
            for option in np.flatnonzero(root.weights):
                first = self._options(0, root.width)[0][option]
                for stages in extend(root, [first], self.budget - int(root.spent[option])):
                    for dropout in self.space.dropout:
                        yield self._architecture(root.shortcut, root.stem, stages, dropout)

    def extreme(self, largest: bool) -> Architecture:
        """The smallest or largest design of the space in parameters, whatever the budget.

        Raises:
            LookupError: the space holds no design at all.
        """
        pick, sign = (np.argmax, 1) if largest else (np.argmin, -1)

        @cache
        def best(shortcut: Shortcut, num_stages: int, index: int, width: int) -> tuple[int, tuple[Stage, ...]] | None:
            if index == num_stages:
                return head_parameters(width, self.task.num_classes), ()
            found = []
            for after in self._widths(shortcut, index, width):
                rest = best(shortcut, num_stages, index + 1, after)
                costs = self._costs(shortcut, index, width, after)
                if rest is not None and len(costs):
                    option = int(pick(costs))
                    stage = self._options(index, after)[0][option]
                    found.append((int(costs[option]) + rest[0], (stage, *rest[1])))
            return max(found, key=lambda item: sign * item[0], default=None)

        candidates = []
        for shortcut, num_stages, stem in self._heads():
            found = best(shortcut, num_stages, 0, stem.width)
            if found is not None:
                total = found[0] + stem_parameters(stem, self.task.in_channels)
                candidates.append((total, shortcut, stem, found[1]))
        if not candidates:
            raise LookupError("the space holds no design")
        _, shortcut, stem, stages = max(candidates, key=lambda item: sign * item[0])
        return self._architecture(shortcut, stem, stages, self.space.dropout[0])

    def _architecture(
        self, shortcut: Shortcut, stem: Stem, stages: list[Stage] | tuple[Stage, ...], dropout: float
    ) -> Architecture:
        with_dropout = tuple(replace(stage, dropout=dropout) for stage in stages)
        return Architecture(stem, with_dropout, shortcut, self.task.in_channels, self.task.num_classes).canonical()

    def _heads(self) -> Iterator[tuple[Shortcut, int, Stem]]:
        """All shortcuts, numbers of stages and stems."""
        stems = []
        for values in product(*(getattr(self.space.stem, name) for name in StemChoices.model_fields)):
            try:
                stems.append(Stem(*values))
            except ArchitectureError:
                continue
        yield from product(self.space.shortcut, self.space.num_stages, stems)

    def _widths(self, shortcut: Shortcut, index: int, before: int) -> list[int]:
        """The widths that stage `index` may have behind `before` channels."""
        may_narrow = shortcut != "A" and not self.space.rules.non_decreasing_width
        return [width for width in self._choices[index].width if may_narrow or width >= before]

    def _options(self, index: int, width: int) -> tuple[list[Stage], list[int]]:
        """All stages of that width at `index`, without dropout, and the weight of each."""
        choices = self._choices[index]
        found: Counter[Stage] = Counter()
        for values in product(*(getattr(choices, name) for name in StageChoices.model_fields if name != "width")):
            block, depth, kernel, reduction, even_kernel = values
            try:
                found[Stage(block, depth, width, kernel, 0.0, reduction, even_kernel).canonical()] += 1
            except ArchitectureError:
                continue
        return list(found), list(found.values()) if self.measure == "vectors" else [1] * len(found)

    def _costs(self, shortcut: Shortcut, index: int, before: int, width: int) -> Costs:
        stages = self._options(index, width)[0]
        return np.array([stage_parameters(stage, before, shortcut, index == 0) for stage in stages], np.int64)

    def _absent_weight(self, num_stages: int) -> int:
        """How many vectors differ only in the slots of stages that a network of `num_stages` does not have."""
        if self.measure == "designs":
            return 1
        absent = self._choices[num_stages:]
        return prod(len(getattr(choices, name)) for choices in absent for name in StageChoices.model_fields)

    def _counts_shortcut(self, shortcut: Shortcut, num_stages: int, before: int, after: int) -> bool:
        """Whether a first stage is counted under this shortcut: a network that never changes shape has none."""
        if self.measure == "vectors" or num_stages > 1 or before != after:
            return True
        return shortcut == self.space.shortcut[0]

    @cached_property
    def _dtype(self) -> type:
        return np.int64 if self.total() < 2**62 else object

    @cached_property
    def _roots(self) -> list[_Root]:
        roots = []
        for shortcut, num_stages, stem in self._heads():
            stem_cost = stem_parameters(stem, self.task.in_channels)
            remaining = np.array([self.budget - stem_cost])
            for width in self._widths(shortcut, 0, stem.width):
                if self._counts_shortcut(shortcut, num_stages, stem.width, width):
                    weights = self._weights_after(shortcut, num_stages, 0, stem.width, width, remaining)[0]
                    spent = stem_cost + self._costs(shortcut, 0, stem.width, width)
                    weights = weights * self._absent_weight(num_stages)
                    roots.append(_Root(shortcut, num_stages, stem, width, spent, weights))
        return roots

    def _weights_after(
        self, shortcut: Shortcut, num_stages: int, index: int, before: int, width: int, remaining: Costs
    ) -> Weights:
        """For each amount remaining (rows) and option of stage `index` (columns): the weight of what can follow."""
        options: Weights = np.array(self._options(index, width)[1], self._dtype)
        left = remaining[:, None] - self._costs(shortcut, index, before, width)[None, :]
        weights: Weights = options * self._weight(shortcut, num_stages, index + 1, width, left.ravel()).reshape(
            left.shape
        )
        return weights

    def _weight(self, shortcut: Shortcut, num_stages: int, index: int, before: int, remaining: Costs) -> Weights:
        """The weight of all completions from stage `index` on, for each amount remaining."""
        if index >= num_stages - LISTED_STAGES:
            # Stages and shortcut alone decide; a number of stages that ends the same way shares the list.
            return self._completions(shortcut, tuple(self._kinds[index:num_stages]), before).within(remaining)
        total: Weights = np.zeros(len(remaining), self._dtype)
        for width in self._widths(shortcut, index, before):
            total = total + self._weights_after(shortcut, num_stages, index, before, width, remaining).sum(axis=1)
        return total

    @cached_property
    def _kinds(self) -> list[int]:
        """For every stage after the first, the first stage after the first with the same choices."""
        return [
            next((other for other in range(1, index) if self._choices[other] == self._choices[index]), index)
            for index in range(len(self._choices))
        ]

    def _completions(self, shortcut: Shortcut, kinds: tuple[int, ...], before: int) -> _Completions:
        if not kinds:
            head = np.array([head_parameters(before, self.task.num_classes)], np.int64)
            return _Completions(head, np.array([0, 1], self._dtype))
        costs: list[Costs] = [np.zeros(0, np.int64)]
        weights: list[Weights] = [np.zeros(0, self._dtype)]
        for width in self._widths(shortcut, kinds[0], before):
            after = self._completions(shortcut, kinds[1:], width)
            options: Weights = np.array(self._options(kinds[0], width)[1], self._dtype)
            cost = np.add.outer(self._costs(shortcut, kinds[0], before, width), after.costs).ravel()
            weight = np.multiply.outer(options, np.diff(after.cumulative)).ravel()
            fits = cost <= self.budget
            costs.append(cost[fits])
            weights.append(weight[fits])
        order = np.argsort(all_costs := np.concatenate(costs))
        cumulative = np.concatenate([np.zeros(1, self._dtype), np.cumsum(np.concatenate(weights)[order])])
        distinct, first = np.unique(all_costs[order], return_index=True)
        return _Completions(distinct, np.append(cumulative[first], cumulative[-1]))


def _pick(weights: Weights, rng: np.random.Generator) -> int:
    """An index with probability proportional to its weight, exactly: weights are whole numbers."""
    cumulative = np.cumsum(weights)
    total = int(cumulative[-1])
    drawn = int(rng.integers(total)) if total < 2**63 else int(rng.random() * total)
    return int(np.searchsorted(cumulative, drawn, side="right"))
