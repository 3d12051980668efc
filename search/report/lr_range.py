"""The learning rates that a range test suggests, and its page."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

import plotly.graph_objects as go

from search.errors import InputError, TrainingError
from search.protocol import Ranged
from search.quantities import plural
from search.report.drawing import BLUE, GREEN, GREY, ORANGE, blank, safe
from search.writing import write_atomically

SMOOTHING = 0.9
SPAN = 4.0
MIN_POINTS = 10


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A range of learning rates, and what it was read from: running means of the loss, one a step."""

    lowest: float
    highest: float
    smoothed: tuple[float, ...]


def in_recipe(ranged: Ranged, share: float) -> Ranged:
    """The same curve against the recipe's own `lr`, of which a step's rate is this share (`Recipe.fit_to`)."""
    points = tuple(replace(point, lr=point.lr / share) for point in ranged.points)
    return replace(ranged, points=points)


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
    quarter of that, or the rate at which the test began: the bounds of a cyclic schedule in Smith 2015
    (https://arxiv.org/abs/1506.01186).

    Raises:
        TrainingError: the curve is too short, or the loss never fell.
    """
    if len(ranged.points) < MIN_POINTS:
        steps = plural(len(ranged.points), "step")
        raise TrainingError(f"the loss diverged after {steps}: begin at a smaller learning rate")
    smoothed = smooth(point.loss for point in ranged.points)
    lowest = smoothed.index(min(smoothed))
    if smoothed[lowest] >= smoothed[0]:
        raise TrainingError("the loss never fell: begin at a smaller learning rate, or end at a larger one")
    highest = ranged.points[lowest].lr
    return Suggestion(max(highest / SPAN, ranged.points[0].lr), highest, smoothed)


def require_range(lowest: float, highest: float, num_steps: int) -> None:
    """Check the rates and steps of a test.

    Raises:
        InputError: this is no range of learning rates, or too few steps to read anything from.
    """
    if not 0 < lowest < highest < inf:
        raise InputError(f"min-lr = {lowest:g}, max-lr = {highest:g}: must be above 0, the second above the first")
    if num_steps < MIN_POINTS:
        raise InputError(f"steps = {num_steps}: must be {MIN_POINTS} or more")


def lr_range_figure(ranged: Ranged, suggestion: Suggestion, title: str) -> go.Figure:
    """Loss, smoothed and as it is, and smoothed accuracy against the learning rate; the suggested range is shaded."""
    rates = [point.lr for point in ranged.points]
    heading = f"{safe(title, 80)}: lr from {suggestion.lowest:.2g} to {suggestion.highest:.2g}"
    figure = blank(480, title={"text": heading}, margin={"l": 8, "r": 8, "t": 90, "b": 8})
    figure.add_scatter(
        x=rates, y=[point.loss for point in ranged.points], name="loss", mode="lines", line={"color": GREY, "width": 1}
    )
    figure.add_scatter(
        x=rates, y=suggestion.smoothed, name="loss, smoothed", mode="lines", line={"color": BLUE, "width": 2.5}
    )
    figure.add_scatter(
        x=rates,
        y=smooth(point.accuracy for point in ranged.points),
        name="accuracy, smoothed",
        mode="lines",
        line={"color": ORANGE, "width": 2, "dash": "dot"},
        yaxis="y2",
    )
    figure.add_vrect(
        x0=suggestion.lowest,
        x1=suggestion.highest,
        fillcolor=GREEN,
        opacity=0.15,
        line_width=0,
    )
    figure.update_xaxes(type="log", title={"text": "Learning rate, as lr in the recipe"}, exponentformat="power")
    # A loss that explodes would flatten all the rest.
    top = 1.5 * max(suggestion.smoothed[0], min(suggestion.smoothed))
    figure.update_yaxes(title={"text": "Loss of the batch, nats"}, range=[0.9 * min(suggestion.smoothed), top])
    figure.update_layout(
        yaxis2={
            "overlaying": "y",
            "side": "right",
            "automargin": True,
            "tickformat": ".0%",
            "showgrid": False,
            "title": {"text": "Accuracy"},
        }
    )
    return figure


def write_lr_range(ranged: Ranged, suggestion: Suggestion, title: str, output: Path) -> None:
    """Write the figure as one HTML file that needs no network.

    Raises:
        StorageError: the file cannot be written.
    """
    page = lr_range_figure(ranged, suggestion, title).to_html(include_plotlyjs=True, full_html=True)
    write_atomically(output, page)
