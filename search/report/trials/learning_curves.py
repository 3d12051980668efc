"""Learning curves: how each trial's validation accuracy rose, and where the pruner ended it."""

from collections.abc import Iterable, Sequence

import pandas as pd

from search.report.drawing import BLUE, GREY, ORANGE, Drawing, accuracy_axis, blank, epoch_axis, evenly, joined
from search.report.notation import exists, percent, plural
from search.study.view import TrialView

MAX_CURVES = 300
MAX_CURVE_POINTS = 60


def drawable_trials(trials: Iterable[TrialView]) -> list[TrialView]:
    """Complete and pruned trials that measured at least one epoch, by number."""
    ended = [trial for trial in trials if trial.state in ("complete", "pruned")]
    measured = [trial for trial in ended if any(exists(epoch.validation_accuracy) for epoch in trial.history)]
    return sorted(measured, key=lambda trial: trial.number)


def curves_frame(
    drawable: Sequence[TrialView],
    best: TrialView | None,
    max_curves: int = MAX_CURVES,
    max_points: int = MAX_CURVE_POINTS,
) -> pd.DataFrame:
    """Validation accuracy by epoch of complete and pruned trials: number, role, epoch, accuracy.

    The role is 'best' for the best complete trial, else the trial's state. Beyond `max_curves` trials an even
    selection by number is kept, and always the best; beyond `max_points` epochs an even selection of epochs.
    """
    others = [trial for trial in drawable if best is None or trial.number != best.number]
    kept = evenly(others, max_curves - (best is not None))
    rows = []
    for trial in [*kept, *([best] if best is not None else [])]:
        role = "best" if trial is best else trial.state
        measured = [
            (epoch.epoch, epoch.validation_accuracy) for epoch in trial.history if exists(epoch.validation_accuracy)
        ]
        rows += [(trial.number, role, epoch, accuracy) for epoch, accuracy in evenly(measured, max_points)]
    return pd.DataFrame(rows, columns=["number", "role", "epoch", "accuracy"])


def curves_figure(frame: pd.DataFrame, total: int) -> Drawing:
    """Draw `curves_frame`; `total` is how many trials could have been drawn."""
    figure = blank(380)
    looks = {
        "pruned": ("pruned", {"color": GREY, "width": 1, "dash": "dot"}, 0.6),
        "complete": ("complete", {"color": BLUE, "width": 1}, 0.6),
        "best": ("best", {"color": ORANGE, "width": 3}, 1.0),
    }
    for role, (name, line, opacity) in looks.items():
        rows = frame[frame["role"] == role]
        if rows.empty:
            continue
        epochs, accuracies, numbers = joined(rows, "number")
        figure.add_scatter(
            x=epochs,
            y=accuracies,
            text=numbers,
            mode="lines",
            name=name,
            line=line,
            opacity=opacity,
            hovertemplate="trial %{text}, epoch %{x}: %{y:.2%}<extra></extra>",
        )
        # A curve of one epoch has no line to be seen by.
        lonely = rows.groupby("number").filter(lambda group: len(group) == 1)
        if not lonely.empty:
            figure.add_scatter(
                x=lonely["epoch"].tolist(),
                y=lonely["accuracy"].round(5).tolist(),
                text=lonely["number"].tolist(),
                mode="markers",
                showlegend=False,
                marker={"color": line["color"], "size": 5},
                opacity=opacity,
                hovertemplate="trial %{text}, epoch %{x}: %{y:.2%}<extra></extra>",
            )
    epoch_axis(figure, int(frame["epoch"].max()))
    accuracy_axis(figure, "Validation accuracy")
    return Drawing("curves", figure, _caption(frame, total), frame.loc[frame["role"] == "best", ["epoch", "accuracy"]])


def _caption(frame: pd.DataFrame, total: int) -> str:
    shown = frame["number"].nunique()
    roles = frame.drop_duplicates("number")["role"].value_counts().to_dict()
    complete = roles.get("complete", 0) + roles.get("best", 0)
    trials = f"{plural(complete, 'complete trial')}" + (f" and {roles['pruned']} pruned" if "pruned" in roles else "")
    caption = f"Validation accuracy by epoch of {trials}"
    caption += f", an even selection of {shown} of {total:,} trials." if shown < total else "."
    points = frame.groupby("number")["epoch"]
    if bool(((points.size() >= MAX_CURVE_POINTS) & (points.max() - points.min() >= MAX_CURVE_POINTS)).any()):
        caption += f" Long curves are thinned to {MAX_CURVE_POINTS} epochs."
    best = frame[frame["role"] == "best"]
    if not best.empty:
        last = best.iloc[-1]
        caption += f" The best, trial {last['number']}, is at {percent(last['accuracy'])} after epoch {last['epoch']}."
    return caption
