"""All trials in parallel coordinates: one line a network through its size, its shape and its accuracy.

Plotly's own parallel coordinates are drawn by WebGL and need `eval`, which the page's policy forbids, and would not be
printed. So the lines are ordinary ones, on axes that are scaled here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from search.report.drawing import BLUE, GREY, ORANGE, Drawing, blank, evenly
from search.report.notation import percent, plural, short
from search.study.view import TrialView

MAX_LINES = 300
MIN_TRIALS = 2


@dataclass(frozen=True, slots=True)
class Axis:
    """A column of `parallel_frame`, its name over the axis, and whether it is drawn on a logarithmic scale."""

    column: str
    name: str
    logarithmic: bool = False


AXES = (
    Axis("params", "params", True),
    Axis("macs", "MACs", True),
    Axis("depth", "depth"),
    Axis("stages", "stages"),
    Axis("stem_width", "stem", True),
    Axis("widest", "width", True),
    Axis("value", "value"),
)
GROUPS = {
    "other": ("the other half", {"color": GREY, "width": 1}, 0.45),
    "better": ("the better half", {"color": BLUE, "width": 1}, 0.6),
    "best": ("the best tenth", {"color": ORANGE, "width": 2}, 1.0),
}


def parallel_frame(ranked: Sequence[TrialView]) -> pd.DataFrame:
    """Complete trials, best first: number, params, macs, depth (weighted layers), stages, stem_width, widest (channels
    of the widest stage), value, and the group by rank: best (a tenth, rounded up), better (the rest of the better
    half), other."""
    rows = []
    for rank, trial in enumerate(ranked):
        network = trial.architecture
        group = "best" if rank < math.ceil(len(ranked) / 10) else "better" if rank < len(ranked) / 2 else "other"
        rows.append(
            (trial.number, trial.params, trial.macs, network.depth, len(network.stages),
             network.stem.width, max(stage.width for stage in network.stages), trial.value, group)
        )  # fmt: skip
    return pd.DataFrame(rows, columns=["number", *(axis.column for axis in AXES), "group"])


def parallel_figure(frame: pd.DataFrame) -> Drawing:
    """Draw `parallel_frame`. Beyond `MAX_LINES` trials the best tenth and an even selection of the others are drawn."""
    best = frame.index[frame["group"] == "best"].tolist()[: MAX_LINES // 2]
    others = frame.index[frame["group"] != "best"].tolist()
    shown = frame.loc[[*best, *evenly(others, MAX_LINES - len(best))]]
    places = {axis.column: _places(frame[axis.column], axis.logarithmic) for axis in AXES}
    figure = blank(400)
    for group, (name, line, opacity) in GROUPS.items():
        rows = shown[shown["group"] == group]
        if rows.empty:
            continue
        x: list[float | None] = []
        y: list[float | None] = []
        names: list[int | None] = []
        for index, number in zip(rows.index, rows["number"].tolist(), strict=True):
            x += [*range(len(AXES)), None]
            y += [*(round(float(places[axis.column][index]), 4) for axis in AXES), None]
            names += [number] * (len(AXES) + 1)
        figure.add_scatter(
            x=x, y=y, text=names, mode="lines", name=name, line=line, opacity=opacity,
            hovertemplate="trial %{text}<extra></extra>",
        )  # fmt: skip
    for place, axis in enumerate(AXES):
        figure.add_shape(type="line", x0=place, x1=place, y0=0, y1=1, line={"color": GREY, "width": 1})
        low, high = frame[axis.column].min(), frame[axis.column].max()
        write = percent if axis.column == "value" else short
        ends = ((0, "top", write(low)), (1, "bottom", write(high))) if low < high else ((0, "top", write(low)),)
        for y_place, anchor, text in ends:
            figure.add_annotation(
                x=place, y=y_place, yanchor=anchor, yshift=-3 if anchor == "top" else 3, text=text, showarrow=False,
                font={"size": 11},
            )  # fmt: skip
    figure.update_xaxes(
        tickvals=list(range(len(AXES))), ticktext=[axis.name for axis in AXES], side="bottom", showline=False, ticks="",
        range=[-0.35, len(AXES) - 0.65], tickangle=0, fixedrange=True, tickfont={"size": 12},
    )  # fmt: skip
    figure.update_yaxes(visible=False, range=[-0.08, 1.08], fixedrange=True)
    figure.update_layout(legend={"traceorder": "reversed"})
    return Drawing("parallel", figure, _caption(frame, len(shown)), frame.drop(columns="group"))


def _places(values: pd.Series, logarithmic: bool) -> pd.Series:
    """Values on an axis from 0 to 1; all in the middle if they are all the same."""
    scaled = values.astype(float).map(math.log) if logarithmic and values.min() > 0 else values.astype(float)
    low, high = scaled.min(), scaled.max()
    return (scaled - low) / (high - low) if high > low else scaled * 0 + 0.5


def _range(values: pd.Series) -> str:
    low, high = short(values.min()), short(values.max())
    return low if low == high else f"{low} to {high}"


def _caption(frame: pd.DataFrame, shown: int) -> str:
    best = frame[frame["group"] == "best"]
    selection = f", {shown} of {len(frame):,} of them in an even selection" if shown < len(frame) else ""
    properties = (("parameters", "params"), ("depth", "depth"), ("widest stage", "widest"))
    ranges = ", ".join(f"{name} {_range(best[column])}" for name, column in properties)
    return (
        f"Each line is one of {plural(len(frame), 'complete trial')}{selection}: its parameters, MACs, depth in "
        "layers, number of stages, channels of the stem and of the widest stage, and validation accuracy. Every axis "
        f"has its own scale, that of parameters, MACs and channels logarithmic. The best tenth has {ranges}."
    )
