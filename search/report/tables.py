"""The search as frames: one function prepares what one table or figure shows."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pandas as pd

from models.architecture import Architecture
from models.count import parts
from search.files import write_atomically
from search.report.notation import design, exists
from search.report.runs import tested_runs
from search.study.networks import quoted
from search.study.view import StudyView, TrialView, merit

T = TypeVar("T")

LEADERBOARD_SIZE = 200
MAX_POINTS = 2_000


def trials_frame(view: StudyView) -> pd.DataFrame:
    """One row a trial, by number: the record, the decoded choices (missing where switched off), the network as JSON."""
    rows = [_trial_row(trial) for trial in sorted(view.trials, key=lambda trial: trial.number)]
    choices = list(dict.fromkeys(name for trial in view.trials for name in trial.choices))
    record = ["number", "state", "value", "params", "macs", "epochs", "seconds", "baseline"]
    decoded = [name for name in choices if name not in (*record, "architecture")]
    frame = pd.DataFrame(rows, columns=[*record, *decoded, "architecture"])
    # Without this a depth beside a missing one would be written 3.0.
    frame[decoded] = frame[decoded].convert_dtypes()
    return frame


def _trial_row(trial: TrialView) -> dict[str, Any]:
    return {
        **trial.choices,
        "number": trial.number,
        "state": trial.state,
        "value": trial.value if exists(trial.value) else float("nan"),
        "params": trial.params,
        "macs": trial.macs,
        "epochs": measured_epochs(trial),
        "seconds": trial.seconds,
        "baseline": trial.baseline,
        "architecture": trial.architecture.to_json(),
    }


def measured_epochs(trial: TrialView) -> int:
    """How many epochs a trial measured; a reader may have the number without the history."""
    return max(trial.num_epochs, len(trial.history))


def write_trials_csv(view: StudyView, path: Path) -> None:
    """Write `trials_frame` as comma-separated values, whole or not at all.

    Raises:
        StorageError: the file cannot be written.
    """
    write_atomically(path, trials_frame(view).to_csv(index=False, lineterminator="\n"))


def ranked(view: StudyView) -> list[TrialView]:
    """Complete trials that have a value, in the order of `merit`."""
    complete = [trial for trial in view.trials if trial.state == "complete" and exists(trial.value)]
    return sorted(complete, key=lambda trial: merit(trial.value or 0.0, trial.params, trial.number))


def leaderboard(view: StudyView, size: int = LEADERBOARD_SIZE) -> pd.DataFrame:
    """The best complete trials: rank, number, value, params, share of the budget, macs, design, test_accuracy.

    A hand-made network among the trials has its name beside its design. A test
    accuracy with another dropout than the trial's own, if there is no other, is told beside the design.
    """
    tested = _tested(view)
    rows = [
        {
            "rank": rank,
            "number": trial.number,
            "value": trial.value,
            "params": trial.params,
            "share": trial.params / view.budget,
            "macs": trial.macs,
            "design": _named(trial) + tested.get(trial.number, UNTESTED).how,
            "test_accuracy": tested.get(trial.number, UNTESTED).mean,
        }
        for rank, trial in enumerate(ranked(view)[:size], start=1)
    ]
    columns = ["rank", "number", "value", "params", "share", "macs", "design", "test_accuracy"]
    return pd.DataFrame(rows, columns=columns)


class Tested(NamedTuple):
    """A trial's mean test accuracy, and what is to be said of how it was trained."""

    mean: float
    how: str


UNTESTED = Tested(float("nan"), "")


def _tested(view: StudyView) -> dict[int, Tested]:
    """By number; with the trial's own dropout, if it was tested with that too."""
    networks = quoted(tested_runs(view))
    found = {}
    for label in sorted(networks, reverse=True):  # a trial's own dropout comes last
        identity = networks[label].runs[0].identity
        if identity.trial is not None:
            how = "" if identity.dropout is None else f" (tested with dropout {identity.dropout:g})"
            found[identity.trial] = Tested(networks[label].mean, how)
    return found


def _named(trial: TrialView) -> str:
    made = f" ({trial.baseline}, made by hand)" if trial.baseline else ""
    return design(trial.architecture) + made


def budgets_frame(view: StudyView, budgets: Sequence[int]) -> pd.DataFrame:
    """The best complete trial under each budget: budget, number, value, params, macs, design, test_accuracy.

    A budget that no trial keeps has no row. Designs and test accuracies are told as by `leaderboard`.
    """
    tested = _tested(view)
    rows = []
    for budget in budgets:
        best = next((trial for trial in ranked(view) if trial.params <= budget), None)
        if best is not None:
            test = tested.get(best.number, UNTESTED)
            design_told = _named(best) + test.how
            rows.append((budget, best.number, best.value, best.params, best.macs, design_told, test.mean))
    return pd.DataFrame(rows, columns=["budget", "number", "value", "params", "macs", "design", "test_accuracy"])


def accuracy_frame(view: StudyView) -> pd.DataFrame:
    """Complete trials by size: number, params, macs, value, design, and whether the trial is on a front.

    A trial is on the front of parameters (`params_front`) if no trial with as few of them is as accurate: its accuracy
    is the best to be had with at most that many. `macs_front` is the same of multiply-accumulates.
    """
    trials = sorted(ranked(view), key=lambda trial: (trial.params, trial.number))
    rows = [(trial.number, trial.params, trial.macs, trial.value, design(trial.architecture)) for trial in trials]
    frame = pd.DataFrame(rows, columns=["number", "params", "macs", "value", "design"])
    for cost in ("params", "macs"):
        front = _front(trials, cost)
        frame[f"{cost}_front"] = [number in front for number in frame["number"]]
    return frame


def _front(trials: Iterable[TrialView], cost: str) -> set[int]:
    """The numbers of those that are more accurate than all that cost no more."""
    best, front = float("-inf"), set()
    for trial in sorted(trials, key=lambda each: (getattr(each, cost), -(each.value or 0.0), each.number)):
        if trial.value is not None and trial.value > best:
            best = trial.value
            front.add(trial.number)
    return front


def thinned(frame: pd.DataFrame, keep: pd.Series, limit: int = MAX_POINTS) -> pd.DataFrame:
    """At most about `limit` rows: those to keep, and of the others an even selection."""
    if len(frame) <= limit:
        return frame
    others = evenly(frame.index[~keep].tolist(), limit - int(keep.sum()))
    return frame.loc[sorted([*frame.index[keep], *others])]


def history_frame(view: StudyView) -> pd.DataFrame:
    """Trials that have ended, by number: number, state, value, best (value so far)."""
    best, rows = float("nan"), []
    for trial in sorted(view.trials, key=lambda trial: trial.number):
        if trial.state == "running":
            continue
        value = trial.value if trial.value is not None and exists(trial.value) else float("nan")
        if trial.state == "complete" and exists(value):
            best = value if not exists(best) else max(best, value)
        rows.append((trial.number, trial.state, value, best))
    return pd.DataFrame(rows, columns=["number", "state", "value", "best"])


def evenly(items: Sequence[T], limit: int) -> Sequence[T]:
    """At most `limit` of the items at even distances, the first and the last among them."""
    if len(items) <= limit or limit < 2:
        return items[: max(limit, 0)]
    step = (len(items) - 1) / (limit - 1)
    return [items[round(index * step)] for index in range(limit)]


def parts_frame(architecture: Architecture, image_size: int) -> pd.DataFrame:
    """Where parameters and MACs go: name, channels, size, params, params_share, macs, macs_share.

    Raises:
        ArchitectureError: the network cannot take images of that size.
    """
    rows = [(part.name, part.channels, part.size, part.params, part.macs) for part in parts(architecture, image_size)]
    frame = pd.DataFrame(rows, columns=["name", "channels", "size", "params", "macs"])
    frame["params_share"] = frame["params"] / frame["params"].sum()
    frame["macs_share"] = frame["macs"] / frame["macs"].sum()
    return frame
