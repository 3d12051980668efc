"""What a learning-rate range test says."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from search.errors import InputError, TrainingError
from search.protocol import Ranged

SMOOTHING = 0.9
SPAN = 4.0
MIN_POINTS = 10


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A range of learning rates, and what it was read from: running means of the loss, one a step."""

    lowest: float
    highest: float
    smoothed: tuple[float, ...]


def smooth(values: Iterable[float]) -> tuple[float, ...]:
    """Running means with the weights 0.9 ** age, free of the bias of a start at zero."""
    running, result = 0.0, []
    for step, value in enumerate(values, start=1):
        running = SMOOTHING * running + (1 - SMOOTHING) * value
        result.append(running / (1 - SMOOTHING**step))
    return tuple(result)


def suggest(ranged: Ranged) -> Suggestion:
    """A range to train in, from the curve of a range test.

    Its top is the rate at which the smoothed loss was lowest, beyond which training gets worse, and its bottom a
    quarter of that: the bounds of a cyclic schedule in Smith 2015 (https://arxiv.org/abs/1506.01186).

    Raises:
        TrainingError: the curve is too short, or the loss never fell.
    """
    if len(ranged.points) < MIN_POINTS:
        raise TrainingError(f"the loss diverged after {len(ranged.points)} steps: begin at a smaller learning rate")
    smoothed = smooth(point.loss for point in ranged.points)
    lowest = smoothed.index(min(smoothed))
    if smoothed[lowest] >= smoothed[0]:
        raise TrainingError("the loss never fell: begin at a smaller learning rate, or end at a larger one")
    highest = ranged.points[lowest].lr
    return Suggestion(highest / SPAN, highest, smoothed)


def require_range(lowest: float, highest: float, num_steps: int) -> None:
    """
    Raises:
        InputError: this is no range of learning rates, or too few steps to read anything from.
    """
    if not 0 < lowest < highest < inf:
        raise InputError(f"min-lr = {lowest:g}, max-lr = {highest:g}: must be above 0, the second above the first")
    if num_steps < MIN_POINTS:
        raise InputError(f"steps = {num_steps}: must be {MIN_POINTS} or more")
