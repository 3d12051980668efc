"""Tables of how many ways there are to complete a network, for every feature map and every amount left to spend.

Limits are cut into cells, and every stage's cost is rounded down to whole cells. From the last stage to the first, a
table is the sum of the tables of the stages that may follow, each shifted by the cells of that stage: the backward
counting of exact knapsack sampling (Dyer 2003, https://doi.org/10.1145/780542.780643). A table has an axis for each
limit: on parameters, MACs, and bytes of an int8 file. Rounding down lets in a few designs that break a limit, and keeps
none out.

Weights are whole numbers, or floats for the weights of a space. Sums of floats that are not negative, always added in
the same order, do not fall where a cell is added: what cannot be completed weighs exactly zero there too.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.architecture import Stage
from search.space.counting import count_all
from search.space.parts import Costs, FeatureMap, Measure, Parts, Start, Style, Weights

# Along each axis, by the number of axes. More cells let in fewer designs and take longer to fill.
CELLS = {1: 2_048, 2: 96, 3: 32}
CELLS_OF_PYTHON_INTEGERS = {1: 512, 2: 32, 3: 16}
MOST_CELLS = {1: 65_536, 2: 640, 3: 96}
CELLS_OF_AN_INTERVAL = 16

Key = tuple[Style, tuple[int, ...], FeatureMap]  # the positions of the stages still to come, and what they receive


@dataclass(frozen=True)
class NextStages:
    """All n stages that may come next.

    Attributes:
        stages: the stages.
        outputs: the feature map that each passes on.
        costs: (metrics, n), exact.
        cells: (metrics, n), the costs rounded down to cells.
        weights: (n,), in the measure of the tables.
        tables: (n,), the number of the table of what may follow each.
    """

    stages: list[Stage]
    outputs: list[FeatureMap]
    costs: Costs
    cells: Costs
    weights: Weights
    tables: Costs


class CompletionTables:
    """The tables of a space's parts for an interval of costs.

    Args:
        parts: the parts of the space.
        measure: what is counted.
        least: (metrics,), the lower ends of the interval.
        most: (metrics,), its upper ends.
    """

    def __init__(self, parts: Parts, measure: Measure, least: Costs, most: Costs) -> None:
        self._parts = parts
        self._measure = measure
        self._dtype: Any = np.float64
        if measure != "weighed":
            self._dtype = np.int64 if count_all(parts, measure) < 2**62 else object
        self.step = self._choose_step(least, most)
        self._shape = tuple(int(number) + 2 for number in most // self.step)
        self._tables: list[Weights] = []
        self._numbers: dict[Key, int] = {}
        self._following: dict[Key, NextStages] = {}

    def _choose_step(self, least: Costs, most: Costs) -> Costs:
        """The size of a cell in each metric: (metrics,)."""
        axes = len(most)
        num_cells = (CELLS_OF_PYTHON_INTEGERS if self._dtype is object else CELLS)[axes]
        fine = (most - least) // CELLS_OF_AN_INTERVAL
        step: Costs = np.minimum(-(-most // num_cells), np.maximum(fine, -(-most // MOST_CELLS[axes])))
        step[step < 1] = 1
        return step

    def first(self, start: Start) -> NextStages:
        """The first stages that may follow a start."""
        return self._gather(start.style, 0, tuple(self._parts.positions[1 : start.num_stages]), start.output)

    def following(self, key: Key) -> NextStages:
        """The stages that may come next where the stages of `key` are still to come."""
        if key not in self._following:
            style, positions, features = key
            self._following[key] = self._gather(style, positions[0], positions[1:], features)
        return self._following[key]

    def weigh(self, candidates: NextStages, low: Costs, high: Costs) -> Weights:
        """The weight (n,) of each of n candidates with everything that may follow it within an interval of cells.

        Args:
            candidates: the stages that may come next.
            low: (metrics, n), the fewest cells that what follows each may take; only the first row counts.
            high: (metrics, n), the most.
        """
        completions: Weights = np.zeros(len(candidates.stages), self._dtype)
        # A table begins with a zero, for less than no cells.
        upper, below = np.maximum(high + 1, 0), np.maximum(low, 0)
        for number in np.unique(candidates.tables):
            table, where = self._tables[number], candidates.tables == number
            ends = upper[:, where]
            completions[where] = table[tuple(ends)] - table[(np.minimum(below[0, where], ends[0]), *ends[1:])]
        weights: Weights = completions * candidates.weights
        return weights

    def _gather(self, style: Style, position: int, rest: tuple[int, ...], features: FeatureMap) -> NextStages:
        """The stages at a position that the positions `rest` follow. The last stage carries the head's costs."""
        axes = len(self.step)
        stages: list[Stage] = []
        outputs: list[FeatureMap] = []
        costs, weights, tables = [np.zeros((axes, 0), np.int64)], [np.zeros(0, self._dtype)], []
        for group in self._parts.following(style, position, features, is_last=not rest):
            head = self._parts.head_costs(style, group.output) if not rest else np.zeros(axes, np.int64)
            if head is None or not (rest or self._parts.is_counted(style, group.output, self._measure)):
                continue
            stages += group.stages
            outputs += [group.output] * len(group.stages)
            costs.append(group.costs + head[:, None])
            weights.append(group.weights_in(self._measure))
            tables += [self._table((style, rest, group.output))] * len(group.stages)
        cost = np.concatenate(costs, axis=1)
        weight: Weights = np.concatenate(weights).astype(self._dtype)
        return NextStages(stages, outputs, cost, cost // self.step[:, None], weight, np.array(tables, np.int64))

    def _table(self, key: Key) -> int:
        """The number of the table for a key, which holds for each number of cells the weight of all ways within it."""
        if not key[1]:
            key = (Style("A", False, None), (), FeatureMap(0, 0))  # nothing more to come, whatever came before
        if key not in self._numbers:
            table = self._filled(key)
            self._tables.append(table)
            self._numbers[key] = len(self._tables) - 1
        return self._numbers[key]

    def _filled(self, key: Key) -> Weights:
        table: Weights = np.zeros(self._shape, self._dtype)
        if not key[1]:
            table[tuple(slice(1, None) for _ in self._shape)] = 1
            return table
        candidates = self.following(key)
        if len(key[1]) == 1:
            within = np.all(candidates.cells < (np.array(self._shape) - 1)[:, None], axis=0)
            np.add.at(table, tuple(candidates.cells[:, within] + 1), candidates.weights[within])
            for axis in range(len(self._shape)):
                table = np.cumsum(table, axis=axis, dtype=self._dtype)
            return table
        # Many stages cost the same number of cells and lead to the same feature map.
        within = np.all(candidates.cells < np.array(self._shape)[:, None], axis=0)
        columns = np.vstack([candidates.tables, candidates.cells])[:, within]
        numbers = np.ravel_multi_index(tuple(columns), (len(self._tables), *self._shape))
        _, firsts, places = np.unique(numbers, return_index=True, return_inverse=True)
        merged: Weights = np.zeros(len(firsts), self._dtype)
        np.add.at(merged, places, candidates.weights[within])
        for place in np.argsort(firsts).tolist():  # as they come, since the sums of floats depend on their order
            number, *cells = columns[:, firsts[place]].tolist()
            into = tuple(slice(cell, None) for cell in cells)
            out_of = tuple(slice(None, size - cell) for cell, size in zip(cells, self._shape, strict=True))
            table[into] += merged[place] * self._tables[number][out_of]
        return table
