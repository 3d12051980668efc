"""Openings of the test set, by this study and others: the more there are, the less its accuracies mean."""

from collections.abc import Iterable

import pandas as pd

from search.report.notation import percent
from search.report.tables import Column, Table, named, table
from search.study.view import LedgerEntry

MAX_SHOWN = 50


def openings_frame(ledger: Iterable[LedgerEntry]) -> pd.DataFrame:
    """One row an opening: time, study, label, seed, accuracy, teacher."""
    rows = [(entry.time, entry.study, entry.label, entry.seed, entry.accuracy, entry.teacher) for entry in ledger]
    return pd.DataFrame(rows, columns=["time", "study", "label", "seed", "accuracy", "teacher"])


def openings_table(ledger: Iterable[LedgerEntry]) -> Table:
    entries = sorted(ledger, key=lambda entry: entry.time)
    shown = entries[-MAX_SHOWN:]
    frame = openings_frame(shown)
    frame["time"] = [entry.time[:19].replace("T", " ") for entry in shown]
    frame["accuracy"] = [_result(entry) for entry in shown]
    columns = [
        Column("time", "Time (UTC)"), Column("study", "Study"), Column("network", "Network"),
        *([Column("teacher", "Taught by")] if any(frame["teacher"]) else []),
        Column("seed", "Seed", str),
        Column("accuracy", "Test", str),
    ]  # fmt: skip
    which = f"The last {len(shown)} of {len(entries):,} openings" if len(shown) < len(entries) else "All openings"
    return table(f"{which} of this test set, by this study and others.", named(frame), columns)


def _result(entry: LedgerEntry) -> str:
    """The test accuracy of an opening. Its line is written first, so a run that was killed then has no result."""
    return "no result" if entry.accuracy is None else percent(entry.accuracy)
