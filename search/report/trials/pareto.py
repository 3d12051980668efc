"""Accuracy against what networks cost: the Pareto front of parameters and of MACs, and what size alone explains."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from search.report.drawing import (
    BLUE,
    ORANGE,
    Drawing,
    accuracy_axis,
    blank,
    cost_axis,
    least,
    most,
    records,
    safe,
    thinned,
)
from search.report.notation import count, design, percent, plural, short, signed_points
from search.report.statistics.significance import CONFIDENCE, slope
from search.study.view import TrialView

MIN_TRIALS = 5  # for the fit of accuracy to size


def accuracy_frame(ranked: Iterable[TrialView]) -> pd.DataFrame:
    """Complete trials by size: number, params, macs, value, design, and whether the trial is on a front.

    A trial is on the front of parameters (`params_front`) if no trial with as few of them is as accurate: its accuracy
    is the best to be had with at most that many. `macs_front` is the same of multiply-accumulates.
    """
    trials = sorted(ranked, key=lambda trial: (trial.params, trial.number))
    rows = [(trial.number, trial.params, trial.macs, trial.value, design(trial.architecture)) for trial in trials]
    frame = pd.DataFrame(rows, columns=["number", "params", "macs", "value", "design"])
    for cost in ("params", "macs"):
        front = _front(trials, cost)
        frame[f"{cost}_front"] = [number in front for number in frame["number"]]
    return frame


def _front(trials: Iterable[TrialView], cost: str) -> set[int]:
    """The numbers of those that are more accurate than all that cost no more."""
    best, front = float("-inf"), set()
    for trial in sorted(trials, key=lambda trial: (getattr(trial, cost), -(trial.value or 0.0), trial.number)):
        if trial.value is not None and trial.value > best:
            best = trial.value
            front.add(trial.number)
    return front


@dataclass(frozen=True, slots=True)
class Cost:
    """What a network costs, as a column of `accuracy_frame` and as readers call it."""

    column: str
    noun: str
    limit_name: str


PARAMETERS = Cost("params", "parameters", "budget")
MACS = Cost("macs", "MACs", "limit")


def accuracy_figure(frame: pd.DataFrame, cost: Cost, limit: int | None) -> Drawing:
    """Draw `accuracy_frame`: accuracy against parameters or MACs, the front, and the limit if there is one."""
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
    caption = (
        f"Validation accuracy against {cost.noun} for {plural(len(frame), 'complete trial')}. The best, trial "
        f"{best['number']}, reaches {percent(best['value'])} with {count(best[cost.column])}; the smallest reaches "
        f"{percent(smallest['value'])} with {count(smallest[cost.column])}. {plural(len(front), 'design')} "
        f"{'is' if len(front) == 1 else 'are'} on the front: none with as few {cost.noun} is as accurate."
    )
    return caption if limit is None else f"{caption} The dashed line is the {cost.limit_name} of {count(limit)}."


def size_sentence(ranked: Sequence[TrialView]) -> str:
    """How much of the accuracy size alone explains.

    The accuracy of complete trials is fitted to the logarithm of their parameters by least squares.
    """
    complete = plural(len(ranked), "complete trial")
    if len(ranked) < MIN_TRIALS or len({trial.params for trial in ranked}) < 2:
        return f"Size alone: {complete} cannot show how accuracy depends on parameters."
    params, values = [trial.params for trial in ranked], [float(trial.value or 0.0) for trial in ranked]
    if len(set(values)) < 2:
        return f"Size alone explains nothing: all {complete} have the same accuracy."
    doubling = slope([math.log2(number) for number in params], values)
    rise, half = doubling.value, doubling.half_width
    return (
        f"Size alone explains {percent(doubling.explained, 0)} of the variance of accuracy over {complete} of "
        f"{count(min(params))} to {count(max(params))} parameters: {signed_points(rise)} points for each doubling of "
        f"parameters ({CONFIDENCE:.0%} interval {signed_points(rise - half)} to {signed_points(rise + half)})."
    )
