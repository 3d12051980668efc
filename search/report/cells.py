"""Frames as tables of text: which columns a reader sees, under which heads, and how their numbers are written."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from search.report import notation
from search.report.notation import count, decimal, duration, network, percent, points, short
from search.report.runs import CONFIDENCE
from search.study.view import LedgerEntry, StudyView

LEDGER_SIZE = 50


@dataclass(frozen=True, slots=True)
class Table:
    """A caption, the heads, whether each column holds numbers, and the rows as text."""

    caption: str
    heads: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A frame's column as readers see it; a column of words has no writer of numbers."""

    name: str
    head: str
    write: Callable[[Any], str] | None = None


def table(caption: str, frame: pd.DataFrame, columns: Iterable[Column]) -> Table:
    """Columns without a single value are left out: a column of dashes tells nothing."""
    empty = {name for name in frame.columns if bool(frame[name].isna().all())}
    kept = [column for column in columns if column.name not in empty]
    written = [[_write(column, value) for value in frame[column.name]] for column in kept]
    heads = tuple(column.head for column in kept)
    numeric = tuple(column.write is not None for column in kept)
    return Table(caption, heads, numeric, tuple(zip(*written, strict=True)))


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(network=[network(label) for label in frame["label"]])


def _write(column: Column, value: Any) -> str:
    return str(value) if column.write is None else column.write(value)


def pairs_table(caption: str, heads: tuple[str, str], pairs: tuple[tuple[str, str], ...]) -> Table:
    return Table(caption, heads, (False, False), pairs)


def leaderboard_table(frame: pd.DataFrame, total: int) -> Table:
    some = f"The best {len(frame)} of {notation.plural(total, 'complete trial')}"
    which = some if len(frame) < total else "All complete trials"
    columns = [
        Column("rank", "Rank", str), Column("number", "Trial", str), Column("value", "Validation", percent),
        Column("test_accuracy", "Test, retrained", percent), Column("params", "Parameters", count),
        Column("share", "Of budget", lambda share: percent(share, 1)), Column("macs", "MACs", short),
        Column("design", "Design (depth \N{MULTIPLICATION SIGN} width)"),
    ]  # fmt: skip
    return table(f"{which} by validation accuracy at the end of the search's schedule.", frame, columns)


def budgets_table(frame: pd.DataFrame) -> Table:
    columns = [
        Column("budget", "At most", count), Column("number", "Trial", str), Column("value", "Validation", percent),
        Column("test_accuracy", "Test, retrained", percent), Column("params", "Parameters", count),
        Column("macs", "MACs", short), Column("design", "Design (depth \N{MULTIPLICATION SIGN} width)"),
    ]  # fmt: skip
    return table("The best complete trial under each budget, by validation accuracy in the search.", frame, columns)


def parts_table(frame: pd.DataFrame) -> Table:
    def share(value: float) -> str:
        return percent(value, 1)

    sums = {"params": frame["params"].sum(), "macs": frame["macs"].sum()}
    total = {"name": "total", **sums, "params_share": 1.0, "macs_share": 1.0}
    columns = [
        Column("name", "Part"), Column("channels", "Channels", count), Column("size", "Output size", count),
        Column("params", "Parameters", count), Column("params_share", "Share", share),
        Column("macs", "MACs", count), Column("macs_share", "Share", share),
    ]  # fmt: skip
    rows = pd.concat([frame, pd.DataFrame([total])], ignore_index=True)
    return table("The network part by part; output size is height and width in pixels.", rows, columns)


def finalists_table(frame: pd.DataFrame) -> Table:
    columns = [
        Column("network", "Network"), Column("seeds", "Seeds", str), Column("mean", "Validation, mean", percent),
        Column("deviation", "Deviation, points", points),
        Column("params", "Parameters", count), Column("macs", "MACs", short),
    ]  # fmt: skip
    return table(
        "Finalists trained at full length on the training split; the first is the winner.", _named(frame), columns
    )


def summary_table(frame: pd.DataFrame) -> Table:
    low = [mean - half for mean, half in zip(frame["mean"], frame["half_width"], strict=True)]
    high = [mean + half for mean, half in zip(frame["mean"], frame["half_width"], strict=True)]
    ends = zip(low, high, strict=True)
    interval = [f"{percent(a)} to {percent(b)}" if notation.exists(a) else "none" for a, b in ends]
    columns = [
        Column("network", "Network"), Column("seeds", "Seeds", str),
        Column("mean", "Test, mean", percent), Column("deviation", "Deviation, points", points),
        Column("interval", f"{CONFIDENCE:.0%} interval", str),
        Column("params", "Parameters", count), Column("macs", "MACs", short), Column("seconds", "Time a run", duration),
        Column("recipe", "Recipe"), Column("epochs", "Epochs", count),
    ]  # fmt: skip
    caption = "Test accuracy after full training: mean, standard deviation and Student's interval over seeds."
    named = _named(frame)
    named["network"] += [" (over the budget: a reference)" if over else "" for over in frame["over"]]
    return table(caption, named.assign(interval=interval), columns)


def runs_table(frame: pd.DataFrame) -> Table:
    columns = [
        Column("network", "Network"), Column("purpose", "Purpose"), Column("seed", "Seed", str),
        Column("test_accuracy", "Test", percent), Column("test_loss", "Test loss", decimal),
        Column("validation_accuracy", "Validation", percent), Column("train_accuracy", "Training", percent),
        Column("recipe", "Recipe"), Column("epochs", "Epochs", count), Column("seconds", "Time", duration),
        Column("device", "Device"), Column("precision", "Precision"),
    ]  # fmt: skip
    return table("Every full-length run; accuracies are those of the last epoch.", _named(frame), columns)


def confused_table(frame: pd.DataFrame, label: str) -> Table:
    columns = [
        Column("truth", "Truth"), Column("taken_for", "Taken for"), Column("images", "Times", count),
        Column("share", "Of the true class", lambda share: percent(share, 1)),
    ]  # fmt: skip
    return table(f"The most frequent errors of {network(label)}, over all its seeds.", frame, columns)


def ledger_table(view: StudyView) -> Table:
    entries: list[LedgerEntry] = sorted(view.ledger, key=lambda entry: entry.time)
    shown = entries[-LEDGER_SIZE:]
    frame = pd.DataFrame(
        [(entry.time, entry.study, entry.label, entry.seed, entry.accuracy) for entry in shown],
        columns=["time", "study", "label", "seed", "accuracy"],
    )
    columns = [
        Column("time", "Time (UTC)"), Column("study", "Study"), Column("network", "Network"),
        Column("seed", "Seed", str),
        Column("accuracy", "Test", percent),
    ]  # fmt: skip
    which = f"The last {len(shown)} of {len(entries):,} openings" if len(shown) < len(entries) else "All openings"
    return table(f"{which} of this test set, by this study and others.", _named(frame), columns)
