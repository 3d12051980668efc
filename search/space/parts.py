"""The parts of a space's networks: stems, stages and heads, what each costs, and what each weighs.

A network's cost is the sum of its parts' costs, and a part's cost depends on the parts before it only through the
feature map that it receives. Counting and drawing designs without listing them rest on this. Peak activations are a
maximum over the parts, not a sum, so a limit on them simply rules parts out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import product
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.architecture import Activation, Architecture, ArchitectureError, Shortcut, Stage, Stem, stage_stride
from models.count import (
    convolution,
    head_macs,
    head_parameters,
    head_peak,
    shortcut_parameters,
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
from models.int8 import head_bytes, shortcut_bytes, stage_bytes, stem_bytes
from search.space.choices import StageChoices, StemChoices
from search.space.space import STAGE_FIELDS, Space, Task, stage_of

Metric = Literal["params", "macs", "bytes"]  # bytes of an int8 file, but for those of single feature maps
# What a design weighs: one; the number of vectors that decode to it; their weights in the space.
Measure = Literal["designs", "vectors", "weighed"]
Costs = NDArray[np.int64]
Weights = NDArray[Any]  # int64, or Python integers where 64 bits are too few; float64 for 'weighed'

_MAX_MACS = 2**47  # of one block, so that sums of parts stay within 64 bits; limits end at 10^12


class Style(NamedTuple):
    """What a network chooses once and its costs depend on."""

    shortcut: Shortcut
    preactivation: bool
    head_width: int | None


class FeatureMap(NamedTuple):
    """What one part passes to the next: channels, pixels along a side (0 where no cost depends on them), and whether
    any part so far has a shortcut that changes the shape (False where every network has one)."""

    width: int
    size: int
    has_shortcut: bool = False


@dataclass(frozen=True)
class Start:
    """A style, a number of stages and a stem, with the stem's output and its costs, one per metric.

    `share` is the weight of the style times that of the stem.
    """

    style: Style
    num_stages: int
    stem: Stem
    output: FeatureMap
    costs: Costs
    share: float


@dataclass(frozen=True)
class StageOptions:
    """All possible stages of one width at one position, without dropout, that pass on the same feature map.

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


@dataclass(frozen=True)
class _Ways:
    """All n stages of one width at one position, possible or not.

    Attributes:
        stages: n stages.
        numbers: (n,), of vectors that give each.
        shares: (n,), their weight.
        single: the m different ones among them, of depth 1.
        double: the same of depth 2.
        places: (n,), the index of each stage in `single`.
        depths: (n,).
        strides: (n,), of the first block.
        are_inverted: (n,).
    """

    stages: tuple[Stage, ...]
    numbers: NDArray[np.int64]
    shares: NDArray[np.float64]
    single: tuple[Stage, ...]
    double: tuple[Stage, ...]
    places: NDArray[np.int64]
    depths: NDArray[np.int64]
    strides: NDArray[np.int64]
    are_inverted: NDArray[np.bool_]


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
        self._groups_of_width = cache(self._find_groups)
        self._ways = cache(self._find_ways)
        self._costs_of_blocks = cache(self._find_costs_of_blocks)
        self._costs_of_others = cache(self._find_costs_of_others)

    @cached_property
    def _uses_size(self) -> bool:
        """Whether any cost depends on the pixels that a part receives."""
        has_even = any(kernel % 2 == 0 for choices in self._choices for kernel in choices.kernel)
        return not self._any_size and (has_even or "macs" in self.metrics or self._max_activations is not None)

    @cached_property
    def _may_lack_shortcuts(self) -> bool:
        """Whether some networks have no shortcut that changes the shape, and there are several to choose from."""
        changes = any("inverted" in choices.block or choices.stride != (None,) for choices in self._choices)
        return len(self.space.shortcut) > 1 and (1 in self.space.num_stages or changes)

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
        """Every style with every number of stages and every possible stem."""
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
            output = FeatureMap(stem.width, size if self._uses_size else 0)
            stems.append((stem, output, stem_macs(stem, self.task.in_channels, size), prod(of_values)))
        starts = []
        for style, of_style in self._styles():
            for num_stages, (stem, output, macs, of_stem) in product(self.space.num_stages, stems):
                params = stem_parameters(stem, self.task.in_channels, style.preactivation)
                costs = self._of_metrics(params, macs, stem_bytes(stem, self.task.in_channels, style.preactivation))
                starts.append(Start(style, num_stages, stem, output, costs, of_style * of_stem))
        return tuple(starts)

    def _styles(self) -> Iterator[tuple[Style, float]]:
        """Every style, with its weight."""
        shares, names = self.space.choice_shares, Style._fields
        all_values = product(*(getattr(self.space, name) for name in names))
        for values, of_values in zip(all_values, product(*(shares[name] for name in names)), strict=True):
            yield Style(*values), prod(of_values)

    def _of_metrics(self, params: int, macs: int, num_bytes: int) -> Costs:
        costs = {"params": params, "macs": macs, "bytes": num_bytes}
        return np.array([costs[metric] for metric in self.metrics], np.int64)

    def absent_weight(self, num_stages: int) -> int:
        """The number of vectors that differ only in slots of stages beyond `num_stages`."""
        absent = self._choices[num_stages:]
        return prod(len(getattr(choices, name)) for choices in absent for name in StageChoices.model_fields)

    def is_counted(self, style: Style, features: FeatureMap, measure: Measure) -> bool:
        """Whether designs of this style whose last stage passes on `features` count.

        A network without a shortcut that changes the shape is the same under every shortcut, so as a design it counts
        only under the space's first.
        """
        if measure != "designs" or not self._may_lack_shortcuts or features.has_shortcut:
            return True
        return style.shortcut == self.space.shortcut[0]

    def following(self, style: Style, position: int, features: FeatureMap, is_last: bool) -> Iterator[StageOptions]:
        """The possible stages at a position that receives `features`, width by width; no group is empty."""
        for width in self._choices[position].width:
            if self.space.rules.allow(width, features.width, is_last):
                yield from self._groups_of_width(style.shortcut, style.preactivation, position, features, width)

    @cached_property
    def has_unit_weights(self) -> bool:
        """Whether exactly one vector gives each stage."""
        return all(
            weight == 1
            for position in set(self.positions)
            for width in self._choices[position].width
            for weight in self._ways(position, width).numbers
        )

    def head_costs(self, style: Style, features: FeatureMap) -> Costs | None:
        """The head's costs, one per metric; None if its activations are over the limit."""
        width, size, num_classes = features.width, features.size, self.task.num_classes
        if self._forbids(head_peak(width, num_classes, size, style.head_width)):
            return None
        params = head_parameters(width, num_classes, style.head_width, style.preactivation)
        macs = min(head_macs(width, num_classes, size, style.head_width), _MAX_MACS)
        return self._of_metrics(params, macs, head_bytes(width, num_classes, style.head_width, style.preactivation))

    def architecture(
        self, start: Start, stages: Sequence[Stage], dropout: float, activation: Activation
    ) -> Architecture:
        """The network of these parts, in canonical form."""
        return Architecture(
            start.stem,
            tuple(replace(stage, dropout=dropout) for stage in stages),
            **start.style._asdict(),
            activation=activation,
            in_channels=self.task.in_channels,
            num_classes=self.task.num_classes,
        ).canonical()

    def stages_of_width(self, position: int, width: int) -> tuple[Stage, ...]:
        """All stages of a width at a position, without dropout."""
        return self._ways(position, width).stages

    def _find_ways(self, position: int, width: int) -> _Ways:
        choices, shares, is_first = self._choices[position], self.space.choice_shares, position == 0
        fields = [(width,) if name == "width" else getattr(choices, name) for name in STAGE_FIELDS]
        shares_of_fields = [shares[f"stage{position + 1}_{name}"] for name in STAGE_FIELDS if name != "width"]
        of_width = shares[f"stage{position + 1}_width"][choices.width.index(width)]
        ways: dict[Stage, tuple[int, float]] = {}
        for values, of_values in zip(product(*fields), product(*shares_of_fields), strict=True):
            try:
                stage = stage_of(values).canonical()
            except ArchitectureError:
                continue
            if stage.stride is not None and stage.stride == stage_stride(None, is_first):
                stage = replace(stage, stride=None)
            number, share = ways.get(stage, (0, 0.0))
            ways[stage] = number + 1, share + of_width * prod(of_values)
        single: dict[Stage, int] = {}
        places = [single.setdefault(replace(stage, depth=1), len(single)) for stage in ways]
        return _Ways(
            tuple(ways),
            np.array([number for number, _ in ways.values()], np.int64),
            np.array([share for _, share in ways.values()], np.float64),
            tuple(single),
            tuple(replace(stage, depth=2) for stage in single),
            np.array(places, np.int64),
            np.array([stage.depth for stage in ways], np.int64),
            np.array([stage_stride(stage.stride, is_first) for stage in ways], np.int64),
            np.array([stage.block == "inverted" for stage in ways], np.bool_),
        )

    def _find_groups(
        self, shortcut: Shortcut, preactivation: bool, position: int, features: FeatureMap, width: int
    ) -> list[StageOptions]:
        """All possible stages of a width, by the feature map that they pass on."""
        ways = self._ways(position, width)
        costs, possible = self._costs_of_blocks(preactivation, position, features[:2], width)
        if shortcut == "A" and width < features.width:
            possible = possible & ways.are_inverted
        groups = []
        for stride in (1, 2):
            has_stride = possible & (ways.strides == stride)
            size = size_after(features.size, stride)
            changes = stride == 2 or width != features.width
            # What a shortcut costs depends only on the shapes that it connects.
            params = shortcut_parameters(shortcut, features.width, width)
            macs = 0 if shortcut == "A" else convolution(features.width, width, 1) * size**2
            costs_of_shortcut = self._of_metrics(
                params, min(macs, _MAX_MACS), shortcut_bytes(shortcut, features.width, width)
            )
            added = costs_of_shortcut[:, None] * (~ways.are_inverted & changes)
            has_shortcut = ways.are_inverted & False
            if self._may_lack_shortcuts:
                has_shortcut = ~ways.are_inverted & changes | features.has_shortcut
            for value in (False, True):
                indices = np.flatnonzero(has_stride & (has_shortcut == value))
                if len(indices):
                    groups.append(
                        StageOptions(
                            tuple(ways.stages[index] for index in indices.tolist()),
                            indices,
                            (costs + added)[:, indices],
                            ways.numbers[indices],
                            ways.shares[indices],
                            FeatureMap(width, size, value),
                        )
                    )
        return groups

    def _find_costs_of_blocks(
        self, preactivation: bool, position: int, received: tuple[int, int], width: int
    ) -> tuple[Costs, NDArray[np.bool_]]:
        """What all stages of a width cost without a shortcut (metrics, n), and whether each is possible (n,).

        All blocks of a stage but the first cost the same, so a depth of one and of two give all depths.
        """
        ways, (in_width, size) = self._ways(position, width), received
        of_first = np.zeros((len(self.metrics), len(ways.single)), np.int64)
        possible = np.ones((2, len(ways.single)), np.bool_)
        for place, (stage, double) in enumerate(zip(ways.single, ways.double, strict=True)):
            stride = stage_stride(stage.stride, position == 0)
            if self._uses_size and not takes(stage, size, stride):
                possible[:, place] = False
                continue
            of_first[:, place] = self._bare_costs(stage, in_width, size, stride, preactivation)
            if self._max_activations is not None:
                for index, of_depth in enumerate((stage, double)):
                    peak = stage_peak(of_depth, in_width, size, stride, preactivation)
                    possible[index, place] = not self._forbids(peak)
        of_others = self._costs_of_others(preactivation, position, size, width)
        total = of_first[:, ways.places] + of_others[:, ways.places] * (ways.depths - 1)
        return total, possible[np.minimum(ways.depths, 2) - 1, ways.places]

    def _find_costs_of_others(self, preactivation: bool, position: int, size: int, width: int) -> Costs:
        """What each block but the first costs in the single stages of a width that receive this size: (metrics, m)."""
        ways = self._ways(position, width)
        costs = np.zeros((len(self.metrics), len(ways.single)), np.int64)
        for place, (stage, double) in enumerate(zip(ways.single, ways.double, strict=True)):
            stride = stage_stride(stage.stride, position == 0)
            if not self._uses_size or takes(stage, size, stride):
                one, two = (self._bare_costs(each, width, size, stride, preactivation) for each in (stage, double))
                costs[:, place] = np.minimum(two - one, _MAX_MACS)
        return costs

    def _bare_costs(self, stage: Stage, in_width: int, size: int, stride: int, preactivation: bool) -> Costs:
        """What a stage costs without a shortcut, one per metric."""
        params = stage_parameters(stage, in_width, "A", stride, preactivation) if "params" in self.metrics else 0
        macs = stage_macs(stage, in_width, size, "A", stride) if "macs" in self.metrics else 0
        num_bytes = stage_bytes(stage, in_width, "A", stride, preactivation) if "bytes" in self.metrics else 0
        return self._of_metrics(params, min(macs, _MAX_MACS), num_bytes)

    def _forbids(self, peak: int) -> bool:
        return self._max_activations is not None and peak > self._max_activations
