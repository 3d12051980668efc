"""The page of a learning-rate range test."""

from pathlib import Path

import plotly.graph_objects as go

from search.files import write_atomically
from search.protocol import Ranged
from search.report.drawing import BLUE, GREEN, GREY, ORANGE, blank, safe
from search.study.lr_range import Suggestion, smooth


def lr_range_figure(ranged: Ranged, suggestion: Suggestion, title: str) -> go.Figure:
    """Loss, smoothed and as it is, and smoothed accuracy against the learning rate; the suggested range is shaded."""
    rates = [point.lr for point in ranged.points]
    heading = f"{safe(title, 80)}: learning rates from {suggestion.lowest:.2g} to {suggestion.highest:.2g}"
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
    figure.update_xaxes(type="log", title={"text": "Learning rate"}, exponentformat="power")
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
