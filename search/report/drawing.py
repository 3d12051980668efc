"""What all figures share. A figure is data and layout only: colours of text and rules follow the page's theme."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pandas as pd
import plotly.graph_objects as go

from search.report.notation import network_name, short

# Mid-contrast colours that read on white and on near-black; shapes and dashes differ too, for those who see no hue.
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#3b7dd8", "#dd6b20", "#2a9d74", "#d1495b", "#8e6bbf", "#8a8f98"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, RED, GREY)
CLEAR = "rgba(0,0,0,0)"
MAX_POINTS = 2_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure, its name in the page, and in words what it shows, for those who cannot see it and those in a hurry.

    `data` are its numbers, or those that matter most, to be read as a table.
    """

    name: str
    figure: go.Figure
    caption: str
    data: pd.DataFrame | None = None


def safe(text: str, length: int = 40) -> str:
    """A user's text for a label: plotly reads some HTML in labels, and a long name would push the plot away."""
    clipped = text if len(text) <= length else f"{text[: length - 1]}\N{HORIZONTAL ELLIPSIS}"
    return html.escape(clipped, quote=False)


def short_name(label: str) -> str:
    """A network's name for a label, from a table's `label`."""
    return safe(network_name(label), 28)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as plain mappings."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def least(frame: pd.DataFrame, column: str) -> dict[str, Any]:
    """The first row with the smallest value of a column."""
    return records(frame.loc[[frame[column].idxmin()]])[0]


def most(frame: pd.DataFrame, column: str) -> dict[str, Any]:
    """The first row with the largest value of a column."""
    return records(frame.loc[[frame[column].idxmax()]])[0]


def blank(height: int, **layout: Any) -> go.Figure:
    """An empty figure in the house's style."""
    title = {"font": {"size": 13}, "standoff": 8}
    axis = {"automargin": True, "zeroline": False, "showline": True, "ticks": "outside", "ticklen": 4, "title": title}
    figure = go.Figure()
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 8, "r": 16, "t": 8, "b": 8},
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        font={"family": "system-ui, sans-serif", "size": 13},
        hovermode="closest",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "bgcolor": CLEAR},
        xaxis=axis | {"showgrid": False},
        yaxis=axis | {"showgrid": True},
    )
    figure.update_layout(**layout)
    return figure


def accuracy_axis(figure: go.Figure, title: str, axis: str = "yaxis") -> None:
    figure.update_layout({axis: {"title": {"text": title}, "tickformat": ".2~%"}})


def epoch_axis(figure: go.Figure, last: int) -> None:
    """Whole epochs; plotly would write 2 twice where it has room for 1.5."""
    ticks = {"dtick": 1} if last <= 10 else {"nticks": 10}
    figure.update_xaxes(title={"text": "Epoch"}, tickformat="d", **ticks)


def cost_axis(
    figure: go.Figure, title: str, values: list[float], limit: int | None, name: str, label_above: bool = False
) -> None:
    """An axis of parameters or MACs that shows all values and the line of the limit.

    It is logarithmic where values differ tenfold. The limit's name stands beside its line, or above the plot.
    """
    known = values if limit is None else [*values, limit]
    low, high = min(known), max(known)
    logarithmic = high > 10 * low
    scale = math.log10 if logarithmic else float
    margin = 0.06 * (scale(high) - scale(low)) or 0.06 * scale(high)
    figure.update_xaxes(
        type="log" if logarithmic else "linear",
        range=[scale(low) - margin, scale(high) + margin],
        title={"text": title},
        tickformat="~s",
        nticks=8,
    )
    if logarithmic:
        figure.update_xaxes(dtick="D2" if high < 100 * low else 1)  # at 1, 2 and 5, or at powers of ten
    if limit is None:
        return
    figure.add_shape(
        type="line", x0=limit, x1=limit, y0=0, y1=1, yref="paper", line={"color": GREY, "dash": "dash", "width": 1.5}
    )
    figure.add_annotation(
        x=scale(limit),
        y=1.0 if label_above else 0.02,
        yref="paper",
        yanchor="bottom",
        text=f"{name} {short(limit)}",
        showarrow=False,
        textangle=0 if label_above else -90,
        xanchor="center" if label_above else "right",
        font={"size": 12},
    )


def joined(rows: pd.DataFrame, by: str) -> tuple[list[Any], list[Any], list[Any]]:
    """Many curves as one trace, a gap after each: a thousand traces would be slow to draw."""
    epochs: list[Any] = []
    accuracies: list[Any] = []
    names: list[Any] = []
    for name, group in rows.groupby(by, sort=True):
        epochs += [*group["epoch"].tolist(), None]
        accuracies += [*group["accuracy"].round(5).tolist(), None]
        names += [name] * len(group) + [None]
    return epochs, accuracies, names


def thinned(frame: pd.DataFrame, keep: pd.Series, limit: int = MAX_POINTS) -> pd.DataFrame:
    """At most about `limit` rows: those to keep, and of the others an even selection."""
    if len(frame) <= limit:
        return frame
    others = evenly(frame.index[~keep].tolist(), limit - int(keep.sum()))
    return frame.loc[sorted([*frame.index[keep], *others])]


def evenly(items: Sequence[T], limit: int) -> Sequence[T]:
    """At most `limit` of the items at even distances, the first and the last among them."""
    if len(items) <= limit or limit < 2:
        return items[: max(limit, 0)]
    step = (len(items) - 1) / (limit - 1)
    return [items[round(index * step)] for index in range(limit)]
