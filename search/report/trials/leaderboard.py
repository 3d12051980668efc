"""The trials of a search as a table, and the best of them in the order of their accuracy."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from search.quantities import sentence_list
from search.report.notation import MULTIPLIED, count, design, exists, percent, plural, short
from search.report.tables import Column, Table, table
from search.space.guesses import is_guess
from search.study.networks import Network
from search.study.view import StudyView, TrialView, merit

LEADERBOARD_SIZE = 200
_DESIGN = f"Design (depth {MULTIPLIED} width)"


def trials_frame(trials: Sequence[TrialView]) -> pd.DataFrame:
    """One row a trial, by number: the record, the decoded choices (missing where switched off), the network as JSON."""
    in_order = sorted(trials, key=lambda trial: trial.number)
    choices = list(dict.fromkeys(name for trial in trials for name in trial.choices))
    record = ["number", "state", "value", "params", "macs", "epochs", "seconds", "baseline"]
    decoded = [name for name in choices if name not in (*record, "architecture")]
    frame = pd.DataFrame([_trial_row(trial) for trial in in_order], columns=[*record, *decoded, "architecture"])
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


def ranked(trials: Iterable[TrialView]) -> list[TrialView]:
    """Complete trials that have a value, in the order of `merit`."""
    complete = [trial for trial in trials if trial.state == "complete" and exists(trial.value)]
    return sorted(complete, key=lambda trial: merit(trial.value or 0.0, trial.params, trial.number))


class Tested(NamedTuple):
    """A trial's mean test accuracy, and a remark on how it was trained."""

    mean: float
    how: str


UNTESTED = Tested(float("nan"), "")


def tested_trials(meant: Mapping[int, Network]) -> dict[int, Tested]:
    """Test accuracies by the trial's number, from the network that stands for each."""
    tested = {}
    for number, network in meant.items():
        dropout = network.runs[0].identity.dropout
        tested[number] = Tested(network.mean, "" if dropout is None else f" (tested with dropout {dropout:g})")
    return tested


def leaderboard_frame(
    ranked: Sequence[TrialView], tested: Mapping[int, Tested], view: StudyView, size: int = LEADERBOARD_SIZE
) -> pd.DataFrame:
    """The best complete trials: rank, number, value, params, share (see `StudyView.used`), macs, design,
    test_accuracy.

    A guess or hand-made network among the trials has its name beside its design, and so has another dropout than its
    own, with which it was tested.
    """
    rows = [
        {
            "rank": rank,
            "number": trial.number,
            "value": trial.value,
            "params": trial.params,
            "share": view.used(trial.architecture)[0],
            "macs": trial.macs,
            "design": _named(trial) + tested.get(trial.number, UNTESTED).how,
            "test_accuracy": tested.get(trial.number, UNTESTED).mean,
        }
        for rank, trial in enumerate(ranked[:size], start=1)
    ]
    columns = ["rank", "number", "value", "params", "share", "macs", "design", "test_accuracy"]
    return pd.DataFrame(rows, columns=columns)


def _named(trial: TrialView) -> str:
    if not trial.baseline:
        return design(trial.architecture)
    how = "a guess" if is_guess(trial.baseline) else "made by hand"
    return f"{design(trial.architecture)} ({trial.baseline}, {how})"


def budgets_frame(ranked: Sequence[TrialView], tested: Mapping[int, Tested], budgets: Iterable[int]) -> pd.DataFrame:
    """The best complete trial under each budget: budget, number, value, params, macs, design, test_accuracy.

    A budget that no trial is within has no row. Designs and test accuracies are as in `leaderboard_frame`.
    """
    rows = []
    for budget in budgets:
        best = next((trial for trial in ranked if trial.params <= budget), None)
        if best is not None:
            test = tested.get(best.number, UNTESTED)
            rows.append((budget, best.number, best.value, best.params, best.macs, _named(best) + test.how, test.mean))
    return pd.DataFrame(rows, columns=["budget", "number", "value", "params", "macs", "design", "test_accuracy"])


def leaderboard_table(frame: pd.DataFrame, total: int, view: StudyView) -> Table:
    some = f"The best {len(frame)} of {plural(total, 'complete trial')}"
    which = some if len(frame) < total else "All complete trials"
    columns = [
        Column("rank", "Rank", str), Column("number", "Trial", str), Column("value", "Validation", percent),
        Column("test_accuracy", "Test, retrained", percent), Column("params", "Parameters", count),
        Column("share", "Of budget" if view.max_int8_bytes is None else "Of limit", lambda share: percent(share, 1)),
        Column("macs", "MACs", short),
        Column("design", _DESIGN),
    ]  # fmt: skip
    caption = f"{which} by validation accuracy at the end of the search's schedule."
    return table(caption, frame, columns, is_sortable=True)


def budgets_table(frame: pd.DataFrame, budgets: Sequence[int]) -> Table:
    columns = [
        Column("budget", "At most", count), Column("number", "Trial", str), Column("value", "Validation", percent),
        Column("test_accuracy", "Test, retrained", percent), Column("params", "Parameters", count),
        Column("macs", "MACs", short), Column("design", _DESIGN),
    ]  # fmt: skip
    caption = "The best complete trial under each budget, by validation accuracy in the search."
    missed = [count(budget) for budget in budgets if budget not in set(frame["budget"])]
    if missed:
        caption += f" No complete trial is within {sentence_list(missed)} parameters."
    return table(caption, frame, columns)
