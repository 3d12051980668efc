"""The search as figures: each draws one frame of `tables` or `importances`."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from search.report.drawing import (
    BLUE,
    GREY,
    ORANGE,
    RED,
    Drawing,
    accuracy_axis,
    blank,
    cost_axis,
    least,
    most,
    records,
    safe,
)
from search.report.notation import count, percent, plural, short
from search.report.tables import thinned


@dataclass(frozen=True, slots=True)
class Cost:
    """What a network costs, as a column of `tables.accuracy_frame` and as readers call it."""

    column: str
    noun: str
    limit_name: str


PARAMETERS = Cost("params", "parameters", "budget")
MACS = Cost("macs", "MACs", "limit")


def accuracy_figure(frame: pd.DataFrame, cost: Cost, limit: int | None) -> Drawing:
    """Draw `tables.accuracy_frame`: accuracy against parameters or MACs, the front, and the limit if there is one."""
    figure = blank(420)
    front = frame[frame[f"{cost.column}_front"]].sort_values(cost.column)
    shown = thinned(frame, frame[f"{cost.column}_front"])
    figure.add_scatter(
        x=shown[cost.column].tolist(),
        y=shown["value"].round(5).tolist(),
        mode="markers",
        name="complete trial",
        marker={"color": BLUE, "size": 7, "opacity": 0.65},
        text=[_detail(row) for row in records(shown)],
        hoverinfo="text",
    )
    end = [limit] if limit is not None else []
    figure.add_scatter(
        x=[*front[cost.column].tolist(), *end],
        y=[*front["value"].round(5).tolist(), *[round(float(front["value"].max()), 5) for _ in end]],
        mode="lines+markers",
        name="front",
        line={"color": ORANGE, "shape": "hv", "width": 2},
        marker={"size": 7, "symbol": "diamond", "opacity": [1.0] * len(front) + [0.0] * len(end)},
        hoverinfo="skip",
    )
    title = cost.noun[0].upper() + cost.noun[1:]
    cost_axis(figure, title, frame[cost.column].tolist(), limit, cost.limit_name)
    accuracy_axis(figure, "Validation accuracy")
    caption = _accuracy_caption(frame, front, cost, limit)
    if len(shown) < len(frame):
        caption += f" Drawn are the front and an even selection, {len(shown):,} of {len(frame):,} trials."
    data = front[["number", cost.column, "value", "design"]]
    return Drawing(f"accuracy-{cost.column}", figure, caption, data)


def _detail(row: dict[str, Any]) -> str:
    return (
        f"trial {row['number']}: {percent(row['value'])}<br>{count(row['params'])} parameters, "
        f"{short(row['macs'])} MACs<br>{safe(row['design'], 90)}"
    )


def _accuracy_caption(frame: pd.DataFrame, front: pd.DataFrame, cost: Cost, limit: int | None) -> str:
    smallest, best = least(frame, cost.column), most(front, "value")
    told = (
        f"Validation accuracy against {cost.noun} for {plural(len(frame), 'complete trial')}. The best, trial "
        f"{best['number']}, reaches {percent(best['value'])} with {count(best[cost.column])}; the smallest reaches "
        f"{percent(smallest['value'])} with {count(smallest[cost.column])}. {plural(len(front), 'design')} "
        f"{'is' if len(front) == 1 else 'are'} on the front: none with as few {cost.noun} is as accurate."
    )
    return told if limit is None else f"{told} The dashed line is the {cost.limit_name} of {count(limit)}."


def history_figure(frame: pd.DataFrame) -> Drawing:
    """Draw `tables.history_frame`: value by trial and the best so far; below, which trials were pruned or failed.

    Pruned trials have a strip of their own: their accuracy is that of an earlier epoch, and no rival to the others.
    """
    figure = blank(360)
    improved = frame["best"].notna() & (frame["best"] != frame["best"].shift())
    shown = thinned(frame, improved)
    complete = shown[(shown["state"] == "complete") & shown["value"].notna()]
    if not complete.empty:
        figure.add_scatter(
            x=complete["number"].tolist(),
            y=complete["value"].round(5).tolist(),
            mode="markers",
            name="complete",
            marker={"color": BLUE, "size": 7, "opacity": 0.8},
            hovertemplate="trial %{x}: %{y:.2%}<extra></extra>",
        )
    so_far = shown.dropna(subset=["best"])
    if not so_far.empty:
        figure.add_scatter(
            x=so_far["number"].tolist(),
            y=so_far["best"].round(5).tolist(),
            mode="lines",
            name="best so far",
            line={"color": ORANGE, "shape": "hv", "width": 2},
            hoverinfo="skip",
        )
    last = int(frame["number"].max())
    margin = max(0.5, 0.02 * last)  # the first trial, 0, would be cut in half by the axis
    ticks = {"dtick": 1} if last <= 10 else {}
    figure.update_xaxes(title={"text": "Trial"}, tickformat="d", range=[-margin, last + margin], **ticks)
    accuracy_axis(figure, "Validation accuracy")
    _ended_early(figure, shown)
    caption = _history_caption(frame)
    if len(shown) < len(frame):
        caption += f" Drawn are an even selection and every new best, {len(shown):,} of {len(frame):,} trials."
    return Drawing("history", figure, caption, frame.loc[improved, ["number", "value"]])


def _ended_early(figure: go.Figure, frame: pd.DataFrame) -> None:
    """A strip under the accuracies with a line for pruned and a line for failed trials, if there are any."""
    looks = {
        "pruned": {"color": GREY, "size": 8, "symbol": "x-thin-open", "line": {"width": 1.5, "color": GREY}},
        "failed": {"color": RED, "size": 8, "symbol": "triangle-up"},
    }
    present = [state for state in ("failed", "pruned") if (frame["state"] == state).any()]
    if not present:
        return
    figure.update_layout(
        yaxis={"domain": [0.09 * len(present) + 0.03, 1]},
        yaxis2={
            "domain": [0, 0.09 * len(present)],
            "range": [-0.6, len(present) - 0.4],
            "tickvals": list(range(len(present))),
            "ticktext": present,
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        },
        xaxis={"anchor": "y2"},
    )
    for place, state in enumerate(present):
        rows = frame[frame["state"] == state]
        figure.add_scatter(
            x=rows["number"].tolist(),
            y=[place] * len(rows),
            yaxis="y2",
            mode="markers",
            name=state,
            showlegend=False,
            marker=looks[state],
            text=[f"trial {row['number']}, {state}: {percent(row['value'])}" for row in records(rows)],
            hoverinfo="text",
        )


def _history_caption(frame: pd.DataFrame) -> str:
    states = frame["state"].value_counts().to_dict()
    told = ", ".join(f"{states[state]:,} {state}" for state in ("complete", "pruned", "failed") if state in states)
    complete = frame[(frame["state"] == "complete") & frame["value"].notna()]
    start = f"Validation accuracy of each trial in the order of the search ({told})."
    if not complete.empty:
        best = most(complete, "value")
        start += f" The best, {percent(best['value'])}, came with trial {best['number']}."
    early = [state for state in ("pruned", "failed") if state in states]
    if early:
        start += f" The {' and '.join(early)} trials are marked below the axis, for they have no final accuracy."
    return start


def importances_figure(frame: pd.DataFrame) -> Drawing:
    """Draw `importances.importances_frame` as bars, the largest on top."""
    figure = blank(60 + 26 * len(frame), showlegend=False)
    rows = frame.iloc[::-1]
    figure.add_bar(
        x=rows["importance"].round(4).tolist(),
        y=rows["feature"].tolist(),
        orientation="h",
        marker={"color": BLUE},
        text=[percent(value, 0) for value in rows["importance"]],
        textposition="outside",
        cliponaxis=False,
        hoverinfo="skip",
    )
    figure.update_xaxes(visible=False, range=[0, 1.15 * float(frame["importance"].max())])
    figure.update_yaxes(showgrid=False, ticks="", showline=False, ticklabelstandoff=6)
    first = frame.iloc[0]
    caption = (
        f"Share of each property of a network in telling the best trials from the others. First is {first['feature']} "
        f"with {percent(first['importance'], 0)}. Properties that go together, such as parameters and widths, split it."
    )
    return Drawing("importances", figure, caption, frame)
