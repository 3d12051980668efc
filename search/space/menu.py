"""What may stand at every place of a network, what it costs there, and how many vectors say so.

Costs are sums over the stem, the stages and the head. The share of each depends on what came before only through the
channels and the pixels that it receives: everything that counts or draws designs of a space without listing them rests
on this file. Peak activations are a maximum over the same parts, so that their limit forbids parts and needs no sum.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.architecture import Architecture, ArchitectureError, Shortcut, Stage, Stem
from models.count import (
    head_parameters,
    head_peak,
    size_after,
    stage_macs,
    stage_parameters,
    stage_peak,
    stem_macs,
    stem_parameters,
    stem_peak,
    stem_size,
    takes,
)
from search.space.choices import StageChoices, StemChoices
from search.space.space import Space, Task

Metric = Literal["params", "macs"]
Measure = Literal["designs", "vectors"]
Costs = NDArray[np.int64]
Weights = NDArray[Any]  # int64, or Python integers where 64 bits are too few

_MOST_MACS = 2**58  # of one part, so that sums of parts stay within 64 bits; limits end at 10^12


class Point(NamedTuple):
    """What a part receives: channels, and pixels, which are 0 where nothing depends on them."""

    width: int
    size: int


@dataclass(frozen=True)
class Start:
    """A shortcut, a number of stages and a stem. `costs` are the stem's, one a metric."""

    shortcut: Shortcut
    num_stages: int
    stem: Stem
    point: Point
    costs: Costs


@dataclass(frozen=True)
class Ways:
    """All stages of one width that may stand at one place, without dropout.

    `costs` has a row for each metric and a column for each stage; `weights` says how many vectors each stage has, and
    `indices` where it stands among all of its place and width, possible or not.
    """

    stages: tuple[Stage, ...]
    indices: NDArray[np.int64]
    costs: Costs
    weights: Weights
    next: Point


class Menu:
    """The parts of a space's networks for one kind of data.

    Args:
        metrics: what `costs` are in, in this order.
        max_activations: parts of a higher peak are left out; None leaves out none.
        any_size: whether to hold parts that no image of the task's size can pass, too. Then sizes are unknown, and
            neither MACs nor activations can be asked for.
    """

    def __init__(
        self,
        space: Space,
        task: Task,
        metrics: tuple[Metric, ...] = ("params",),
        max_activations: int | None = None,
        any_size: bool = False,
    ) -> None:
        self.space = space
        self.task = task
        self.metrics = metrics
        self.num_places = space.num_stages[-1]
        self._max_activations = max_activations
        self._any_size = any_size
        self._choices = [space.stage_choices(index) for index in range(self.num_places)]
        self._ways: dict[tuple[Shortcut, int, Point, int], Ways] = {}
        self._options: dict[tuple[int, int], dict[Stage, int]] = {}
        assert not any_size or (metrics == ("params",) and max_activations is None)

    @cached_property
    def _uses_size(self) -> bool:
        """Whether anything depends on the pixels that a part receives."""
        has_even = any(kernel % 2 == 0 for choices in self._choices for kernel in choices.kernel)
        return not self._any_size and (has_even or "macs" in self.metrics or self._max_activations is not None)

    @cached_property
    def places(self) -> list[int]:
        """For every stage, the first one that has the same choices in the same role: the first stage has its own."""
        return [
            next((other for other in range(1, index) if self._choices[other] == self._choices[index]), index)
            for index in range(self.num_places)
        ]

    @cached_property
    def starts(self) -> tuple[Start, ...]:
        stems = []
        for values in product(*(getattr(self.space.stem, name) for name in StemChoices.model_fields)):
            try:
                stem = Stem(*values)
                size = 0 if self._any_size else stem_size(stem, self.task.image_size)
            except ArchitectureError:
                continue
            if self._forbids(0 if self._any_size else stem_peak(stem, self.task.in_channels, self.task.image_size)):
                continue
            costs = {"params": stem_parameters(stem, self.task.in_channels)}
            costs["macs"] = stem_macs(stem, self.task.in_channels, size)
            point = Point(stem.width, size if self._uses_size else 0)
            stems.append((stem, point, np.array([costs[metric] for metric in self.metrics], np.int64)))
        heads = product(self.space.shortcut, self.space.num_stages, stems)
        return tuple(Start(shortcut, num_stages, *stem) for shortcut, num_stages, stem in heads)

    def absent_weight(self, num_stages: int) -> int:
        """How many vectors differ only in the slots of stages that a network of `num_stages` does not have."""
        absent = self._choices[num_stages:]
        return prod(len(getattr(choices, name)) for choices in absent for name in StageChoices.model_fields)

    def counts(self, start: Start, width: int, measure: Measure) -> bool:
        """Whether designs with a first stage of `width` are counted here: a network that never changes shape has no
        shortcut, so that as a design it is counted under the first of them alone."""
        if measure == "vectors" or start.num_stages > 1 or start.point.width != width:
            return True
        return start.shortcut == self.space.shortcut[0]

    def widths(self, shortcut: Shortcut, place: int, before: int) -> list[int]:
        """The widths that a stage may have behind `before` channels."""
        may_narrow = shortcut != "A" and not self.space.rules.non_decreasing_width
        return [width for width in self._choices[place].width if may_narrow or width >= before]

    def following(self, shortcut: Shortcut, place: int, point: Point) -> Iterator[Ways]:
        """The ways of every width that may stand at the place; widths of which none is possible are left out."""
        for width in self.widths(shortcut, place, point.width):
            ways = self.ways(shortcut, place, point, width)
            if ways.stages:
                yield ways

    def ways(self, shortcut: Shortcut, place: int, point: Point, width: int) -> Ways:
        key = (shortcut, place, point, width)
        if key not in self._ways:
            self._ways[key] = self._find_ways(*key)
        return self._ways[key]

    @cached_property
    def weighs_one(self) -> bool:
        """Whether every stage comes from one vector of its slots alone."""
        return all(
            weight == 1
            for place in set(self.places)
            for width in self._choices[place].width
            for weight in self.options(place, width).values()
        )

    def head_costs(self, point: Point) -> Costs | None:
        """Costs of the head, one a metric; None if its activations are forbidden."""
        if self._forbids(head_peak(point.width, self.task.num_classes, point.size)):
            return None
        costs = {"params": head_parameters(point.width, self.task.num_classes)}
        costs["macs"] = point.width * self.task.num_classes
        return np.array([costs[metric] for metric in self.metrics], np.int64)

    def architecture(self, start: Start, stages: Sequence[Stage], dropout: float) -> Architecture:
        dropped = tuple(
            Stage(one.block, one.depth, one.width, one.kernel, dropout, one.reduction, one.even_kernel)
            for one in stages
        )
        task = self.task
        return Architecture(start.stem, dropped, start.shortcut, task.in_channels, task.num_classes).canonical()

    def _forbids(self, peak: int) -> bool:
        return self._max_activations is not None and peak > self._max_activations

    def _find_ways(self, shortcut: Shortcut, place: int, point: Point, width: int) -> Ways:
        is_first = place == 0
        if shortcut == "A" or not self.ways("A", place, point, width).stages:
            options = self.options(place, width)
            found = [(index, stage) for index, stage in enumerate(options) if self._may_take(stage, point, is_first)]
            stages = tuple(stage for _, stage in found)
            costs = [self._stage_costs(stage, point, "A", is_first) for stage in stages]
            return Ways(
                stages,
                np.array([index for index, _ in found], np.int64),
                np.array(costs, np.int64).reshape(len(found), len(self.metrics)).T,
                np.array([options[stage] for stage in stages], np.int64),
                Point(width, size_after(point.size, is_first)),
            )
        # What a shortcut adds depends on what it connects alone, so that one stage tells it for all.
        bare = self.ways("A", place, point, width)
        added = self._stage_costs(bare.stages[0], point, shortcut, is_first) - self._stage_costs(
            bare.stages[0], point, "A", is_first
        )
        return replace(bare, costs=bare.costs + added[:, None])

    def _may_take(self, stage: Stage, point: Point, is_first: bool) -> bool:
        if not self._uses_size:
            return True
        if not takes(stage, point.size, is_first):
            return False
        most = self._max_activations
        return most is None or stage_peak(stage, point.width, point.size, is_first) <= most

    def _stage_costs(self, stage: Stage, point: Point, shortcut: Shortcut, is_first: bool) -> Costs:
        found = []
        for metric in self.metrics:
            if metric == "params":
                found.append(stage_parameters(stage, point.width, shortcut, is_first))
            else:
                found.append(min(stage_macs(stage, point.width, point.size, shortcut, is_first), _MOST_MACS))
        return np.array(found, np.int64)

    def options(self, place: int, width: int) -> dict[Stage, int]:
        """All stages of that width at the place, without dropout, and how many vectors each has."""
        if (place, width) not in self._options:
            choices = self._choices[place]
            found: Counter[Stage] = Counter()
            for values in product(*(getattr(choices, name) for name in StageChoices.model_fields if name != "width")):
                block, depth, kernel, reduction, even_kernel = values
                try:
                    found[Stage(block, depth, width, kernel, 0.0, reduction, even_kernel).canonical()] += 1
                except ArchitectureError:
                    continue
            self._options[place, width] = found
        return self._options[place, width]
