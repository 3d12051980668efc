"""The parts of a space's networks: stems, stages and heads, what each costs, and what each weighs.

A network's cost is the sum of its parts' costs, and a part's cost depends on the parts before it only through the
feature map that it receives. Counting and drawing designs without listing them rest on this. Peak activations are a
maximum over the parts, not a sum, so a limit on them simply rules parts out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import compress, product
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
# What a design weighs: one; the number of vectors that decode to it; their weights in the space.
Measure = Literal["designs", "vectors", "weighed"]
Costs = NDArray[np.int64]
Weights = NDArray[Any]  # int64, or Python integers where 64 bits are too few; float64 for 'weighed'

_MAX_MACS = 2**58  # of one part, so that sums of parts stay within 64 bits; limits end at 10^12


class FeatureMap(NamedTuple):
    """What one part passes to the next: channels, and pixels along a side (0 where no cost depends on them)."""

    width: int
    size: int


@dataclass(frozen=True)
class Start:
    """A shortcut, a number of stages and a stem, with the stem's output and its costs, one per metric.

    `share` is the weight of the shortcut times that of the stem.
    """

    shortcut: Shortcut
    num_stages: int
    stem: Stem
    output: FeatureMap
    costs: Costs
    share: float


@dataclass(frozen=True)
class StageOptions:
    """All possible stages of one width at one position, without dropout.

    Attributes:
        stages: n stages.
        indices: (n,), the index of each among all stages of that position and width, possible or not.
        costs: (metrics, n).
        weights: (n,), the number of vectors that give each stage.
        shares: (n,), their weight in the space; those of all stages at a position are at most one together.
        output: the feature map that every one of them passes on.
    """

    stages: tuple[Stage, ...]
    indices: NDArray[np.int64]
    costs: Costs
    weights: Weights
    shares: NDArray[np.float64]
    output: FeatureMap

    def weights_in(self, measure: Measure) -> Weights:
        """(n,), the weight of each stage in a measure."""
        if measure == "weighed":
            return self.shares
        return self.weights if measure == "vectors" else np.ones_like(self.weights)


class Parts:
    """The parts of a space's networks for one kind of data.

    Args:
        space: the search space.
        task: image size, channels and classes of the data.
        metrics: the metrics of all `costs`, in this order.
        max_activations: the largest peak a part may have; None for no limit.
        any_size: include parts that cannot take images of the task's size. Sizes are then unknown, so neither MACs nor
            a limit on activations may be asked for.
    """

    def __init__(
        self,
        space: Space,
        task: Task,
        metrics: tuple[Metric, ...] = ("params",),
        max_activations: int | None = None,
        any_size: bool = False,
    ) -> None:
        assert not any_size or (metrics == ("params",) and max_activations is None)
        self.space = space
        self.task = task
        self.metrics = metrics
        self.max_stages = space.num_stages[-1]
        self._max_activations = max_activations
        self._any_size = any_size
        self._choices = [space.stage_choices(index) for index in range(self.max_stages)]
        self._stages_of_width = cache(self._find_stages)
        self._stage_ways: dict[tuple[int, int], dict[Stage, tuple[int, float]]] = {}

    @cached_property
    def _uses_size(self) -> bool:
        """Whether any cost depends on the pixels that a part receives."""
        has_even = any(kernel % 2 == 0 for choices in self._choices for kernel in choices.kernel)
        return not self._any_size and (has_even or "macs" in self.metrics or self._max_activations is not None)

    @cached_property
    def positions(self) -> list[int]:
        """The position of every stage: the index of the first stage with the same choices and the same role.

        The first stage has a position of its own, because it does not halve the image.
        """
        return [
            next((other for other in range(1, index) if self._choices[other] == self._choices[index]), index)
            for index in range(self.max_stages)
        ]

    @cached_property
    def starts(self) -> tuple[Start, ...]:
        """Every shortcut with every number of stages and every possible stem."""
        stems, shares = [], self.space.choice_shares
        fields = [getattr(self.space.stem, name) for name in StemChoices.model_fields]
        shares_of_fields = [shares[f"stem_{name}"] for name in StemChoices.model_fields]
        for values, of_values in zip(product(*fields), product(*shares_of_fields), strict=True):
            try:
                stem = Stem(*values)
                size = 0 if self._any_size else stem_size(stem, self.task.image_size)
            except ArchitectureError:
                continue
            if self._forbids(0 if self._any_size else stem_peak(stem, self.task.in_channels, self.task.image_size)):
                continue
            costs = {"params": stem_parameters(stem, self.task.in_channels)}
            costs["macs"] = stem_macs(stem, self.task.in_channels, size)
            output = FeatureMap(stem.width, size if self._uses_size else 0)
            of_metrics = np.array([costs[metric] for metric in self.metrics], np.int64)
            stems.append((stem, output, of_metrics, prod(of_values)))
        shortcuts = zip(self.space.shortcut, shares["shortcut"], strict=True)
        return tuple(
            Start(shortcut, num_stages, stem, output, of_metrics, of_shortcut * of_stem)
            for (shortcut, of_shortcut), num_stages, (stem, output, of_metrics, of_stem) in product(
                shortcuts, self.space.num_stages, stems
            )
        )

    def absent_weight(self, num_stages: int) -> int:
        """The number of vectors that differ only in slots of stages beyond `num_stages`."""
        absent = self._choices[num_stages:]
        return prod(len(getattr(choices, name)) for choices in absent for name in StageChoices.model_fields)

    def is_counted(self, start: Start, width: int, measure: Measure) -> bool:
        """Whether designs with this start and a first stage of `width` count.

        A network whose shape never changes has no shortcut, so as a design it counts only under the space's first
        shortcut.
        """
        if measure != "designs" or start.num_stages > 1 or start.output.width != width:
            return True
        return start.shortcut == self.space.shortcut[0]

    def following(self, shortcut: Shortcut, position: int, features: FeatureMap) -> Iterator[StageOptions]:
        """The possible stages at a position that receives `features`, width by width; no group is empty."""
        for width in self._widths(shortcut, position, features.width):
            group = self._stages_of_width(shortcut, position, features, width)
            if group.stages:
                yield group

    @cached_property
    def has_unit_weights(self) -> bool:
        """Whether exactly one vector gives each stage."""
        return all(
            weight == 1
            for position in set(self.positions)
            for width in self._choices[position].width
            for weight in self.stage_weights(position, width).values()
        )

    def head_costs(self, features: FeatureMap) -> Costs | None:
        """The head's costs, one per metric; None if its activations are over the limit."""
        if self._forbids(head_peak(features.width, self.task.num_classes, features.size)):
            return None
        costs = {"params": head_parameters(features.width, self.task.num_classes)}
        costs["macs"] = features.width * self.task.num_classes
        return np.array([costs[metric] for metric in self.metrics], np.int64)

    def architecture(self, start: Start, stages: Sequence[Stage], dropout: float) -> Architecture:
        """The network of these parts, in canonical form."""
        with_dropout = tuple(replace(stage, dropout=dropout) for stage in stages)
        task = self.task
        return Architecture(start.stem, with_dropout, start.shortcut, task.in_channels, task.num_classes).canonical()

    def stage_weights(self, position: int, width: int) -> dict[Stage, int]:
        """All stages of a width at a position, without dropout, each with the number of vectors that give it."""
        return {stage: number for stage, (number, _) in self._ways(position, width).items()}

    def _ways(self, position: int, width: int) -> dict[Stage, tuple[int, float]]:
        """All stages of a width at a position, each with the number of vectors that give it, and their weight."""
        if (position, width) not in self._stage_ways:
            choices, shares = self._choices[position], self.space.choice_shares
            fields = [name for name in StageChoices.model_fields if name != "width"]
            all_values = product(*(getattr(choices, name) for name in fields))
            all_shares = product(*(shares[f"stage{position + 1}_{name}"] for name in fields))
            of_width = shares[f"stage{position + 1}_width"][choices.width.index(width)]
            ways: dict[Stage, tuple[int, float]] = {}
            for (block, depth, kernel, reduction, even_kernel), of_values in zip(all_values, all_shares, strict=True):
                try:
                    stage = Stage(block, depth, width, kernel, 0.0, reduction, even_kernel).canonical()
                except ArchitectureError:
                    continue
                number, share = ways.get(stage, (0, 0.0))
                ways[stage] = number + 1, share + of_width * prod(of_values)
            self._stage_ways[position, width] = ways
        return self._stage_ways[position, width]

    def _widths(self, shortcut: Shortcut, position: int, before: int) -> list[int]:
        """The widths that a stage may have after `before` channels."""
        may_narrow = shortcut != "A" and not self.space.rules.non_decreasing_width
        return [width for width in self._choices[position].width if may_narrow or width >= before]

    def _find_stages(self, shortcut: Shortcut, position: int, features: FeatureMap, width: int) -> StageOptions:
        is_first = position == 0
        if shortcut == "A" or not self._stages_of_width("A", position, features, width).stages:
            ways = self._ways(position, width)
            possible = [self._is_possible(stage, features, is_first) for stage in ways]
            stages = tuple(compress(ways, possible))
            costs = [self._stage_costs(stage, features, "A", is_first) for stage in stages]
            return StageOptions(
                stages,
                np.flatnonzero(possible),
                np.array(costs, np.int64).reshape(len(stages), len(self.metrics)).T,
                np.array([ways[stage][0] for stage in stages], np.int64),
                np.array([ways[stage][1] for stage in stages], np.float64),
                FeatureMap(width, size_after(features.size, is_first)),
            )
        # A shortcut's cost depends only on the shapes that it connects, so one stage gives it for all.
        bare = self._stages_of_width("A", position, features, width)
        stage = bare.stages[0]
        added = self._stage_costs(stage, features, shortcut, is_first)
        added = added - self._stage_costs(stage, features, "A", is_first)
        return replace(bare, costs=bare.costs + added[:, None])

    def _is_possible(self, stage: Stage, features: FeatureMap, is_first: bool) -> bool:
        """Whether the stage can take the feature map and keeps the limit of activations."""
        if not self._uses_size:
            return True
        if not takes(stage, features.size, is_first):
            return False
        return not self._forbids(stage_peak(stage, features.width, features.size, is_first))

    def _forbids(self, peak: int) -> bool:
        return self._max_activations is not None and peak > self._max_activations

    def _stage_costs(self, stage: Stage, features: FeatureMap, shortcut: Shortcut, is_first: bool) -> Costs:
        costs = {
            "params": lambda: stage_parameters(stage, features.width, shortcut, is_first),
            "macs": lambda: min(stage_macs(stage, features.width, features.size, shortcut, is_first), _MAX_MACS),
        }
        return np.array([costs[metric]() for metric in self.metrics], np.int64)
