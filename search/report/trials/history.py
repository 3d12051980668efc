"""The course of a search: each trial's accuracy in its order, and the best so far."""

from collections.abc import Iterable

import pandas as pd
import plotly.graph_objects as go

from search.report.drawing import BLUE, GREY, ORANGE, RED, Drawing, accuracy_axis, blank, records, thinned
from search.report.notation import exists, percent
from search.study.view import TrialView, merit


def history_frame(trials: Iterable[TrialView]) -> pd.DataFrame:
    """Trials that have ended, by number: number, state, value, params, best (value so far)."""
    best, rows = float("nan"), []
    for trial in sorted(trials, key=lambda trial: trial.number):
        if trial.state == "running":
            continue
        value = trial.value if trial.value is not None and exists(trial.value) else float("nan")
        if trial.state == "complete" and exists(value):
            best = value if not exists(best) else max(best, value)
        rows.append((trial.number, trial.state, value, trial.params, best))
    return pd.DataFrame(rows, columns=["number", "state", "value", "params", "best"])


def history_figure(frame: pd.DataFrame) -> Drawing:
    """Draw `history_frame`: value by trial and the best so far; below, which trials were pruned or failed.

    Pruned trials have a strip of their own: their accuracy is that of an earlier epoch and cannot be compared.
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
    numbers = ", ".join(f"{states[state]:,} {state}" for state in ("complete", "pruned", "failed") if state in states)
    complete = frame[(frame["state"] == "complete") & frame["value"].notna()]
    start = f"Validation accuracy of each trial in the order of the search ({numbers})."
    if not complete.empty:
        best = min(records(complete), key=lambda row: merit(row["value"], row["params"], row["number"]))
        start += f" The best, {percent(best['value'])}, came with trial {best['number']}."
    early = [state for state in ("pruned", "failed") if state in states]
    if early:
        start += f" The {' and '.join(early)} trials are marked below the axis, because they have no final accuracy."
    return start
