"""For every point of a network and every amount that may still be spent: the weight of all ways to complete it.

Limits are cut into cells, and every stage's cost is rounded down to cells. From the last stage to the first, a table is
the sum of the tables of what may follow, each moved by the cells of the stage between: the backward counting of exact
knapsack sampling (Dyer 2003, https://doi.org/10.1145/780542.780643). With limits of both parameters and MACs a table is
a plane. Rounding down lets in a few designs that break a limit, and keeps out none.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from models.architecture import Shortcut, Stage
from search.space.menu import Costs, Measure, Menu, Point, Start, Weights
from search.space.tally import total

# Along each axis, by the number of axes. More cells let in fewer designs and take longer to fill.
CELLS = {1: 2_048, 2: 96}
CELLS_OF_PYTHON_INTEGERS = {1: 512, 2: 32}
MOST_CELLS = {1: 65_536, 2: 640}
CELLS_OF_AN_INTERVAL = 16

Key = tuple[Shortcut, tuple[int, ...], Point]  # the places of the stages still to come, and what they receive


@dataclass(frozen=True)
class Options:
    """All stages that may come next: what each is, leads to, costs (exactly and in cells, a row an axis) and weighs,
    and the number of the table that tells what can follow it."""

    stages: list[Stage]
    points: list[Point]
    costs: Costs
    cells: Costs
    weights: Weights
    tables: Costs


class Tables:
    """The tables of a menu for an interval of costs, one `least` and one `most` a metric."""

    def __init__(self, menu: Menu, measure: Measure, least: Costs, most: Costs) -> None:
        self._menu = menu
        self._measure = measure
        self.dtype = np.int64 if total(menu, measure) < 2**62 else object
        self.step = self._choose_step(least, most)
        self._shape = tuple(int(number) + 2 for number in most // self.step)
        self._tables: list[Weights] = []
        self._numbers: dict[Key, int] = {}
        self._options: dict[Key, Options] = {}

    def _choose_step(self, least: Costs, most: Costs) -> Costs:
        """How much of each metric a cell is."""
        axes = len(most)
        num_cells = (CELLS if self.dtype is np.int64 else CELLS_OF_PYTHON_INTEGERS)[axes]
        fine = (most - least) // CELLS_OF_AN_INTERVAL
        step: Costs = np.minimum(-(-most // num_cells), np.maximum(fine, -(-most // MOST_CELLS[axes])))
        step[step < 1] = 1
        return step

    def first(self, start: Start) -> Options:
        """The first stages behind a start."""
        return self._gather(start.shortcut, 0, tuple(self._menu.places[1 : start.num_stages]), start.point)

    def following(self, key: Key) -> Options:
        if key not in self._options:
            shortcut, places, point = key
            self._options[key] = self._gather(shortcut, places[0], places[1:], point)
        return self._options[key]

    def weigh(self, options: Options, low: Costs, high: Costs) -> Weights:
        """The weight of each option with all that can follow it, if that is to take from `low` to `high` cells: a
        column an option, a row an axis. All but the first axis have no lower limit."""
        found: Weights = np.zeros(len(options.stages), self.dtype)
        # A table begins with a zero, for what is less than no cells.
        upper, below = np.maximum(high + 1, 0), np.maximum(low, 0)
        for number in np.unique(options.tables):
            table, where = self._tables[number], options.tables == number
            ends = upper[:, where]
            found[where] = table[tuple(ends)] - table[(np.minimum(below[0, where], ends[0]), *ends[1:])]
        weighed: Weights = found * options.weights
        return weighed

    def _gather(self, shortcut: Shortcut, place: int, places: tuple[int, ...], point: Point) -> Options:
        """The options at a place that is followed by others. The last stage carries the head's costs."""
        axes = len(self.step)
        stages: list[Stage] = []
        points: list[Point] = []
        costs, weights, tables = [np.zeros((axes, 0), np.int64)], [np.zeros(0, np.int64)], []
        for ways in self._menu.following(shortcut, place, point):
            head = self._menu.head_costs(ways.next) if not places else np.zeros(axes, np.int64)
            if head is None:
                continue
            stages += ways.stages
            points += [ways.next] * len(ways.stages)
            costs.append(ways.costs + head[:, None])
            weights.append(ways.weights if self._measure == "vectors" else np.ones_like(ways.weights))
            tables += [self._table((shortcut, places, ways.next))] * len(ways.stages)
        cost = np.concatenate(costs, axis=1)
        weight: Weights = np.concatenate(weights).astype(self.dtype)
        return Options(stages, points, cost, cost // self.step[:, None], weight, np.array(tables, np.int64))

    def _table(self, key: Key) -> int:
        """The number of the table of what can follow: for each number of cells the weight of all ways within it."""
        if not key[1]:
            key = ("A", (), Point(0, 0))  # nothing more to come, whatever came before
        if key not in self._numbers:
            table = self._filled(key)
            self._tables.append(table)
            self._numbers[key] = len(self._tables) - 1
        return self._numbers[key]

    def _filled(self, key: Key) -> Weights:
        table: Weights = np.zeros(self._shape, self.dtype)
        if not key[1]:
            table[tuple(slice(1, None) for _ in self._shape)] = 1
            return table
        options = self.following(key)
        if len(key[1]) == 1:
            within = np.all(options.cells < (np.array(self._shape) - 1)[:, None], axis=0)
            np.add.at(table, tuple(options.cells[:, within] + 1), options.weights[within])
            for axis in range(len(self._shape)):
                table = np.cumsum(table, axis=axis, dtype=self.dtype)
            return table
        # Many stages cost the same number of cells and lead to the same point.
        merged: Counter[tuple[int, ...]] = Counter()
        for column, weight in zip(
            zip(options.tables.tolist(), *options.cells.tolist(), strict=True), options.weights.tolist(), strict=True
        ):
            merged[column] += weight
        for (number, *cells), weight in merged.items():
            if all(cell < size for cell, size in zip(cells, self._shape, strict=True)):
                into = tuple(slice(cell, None) for cell in cells)
                out_of = tuple(slice(None, size - cell) for cell, size in zip(cells, self._shape, strict=True))
                table[into] += weight * self._tables[number][out_of]
        return table
