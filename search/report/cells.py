"""Frames as tables of text: which columns a reader sees, under which heads, and how their numbers are written."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from search.report import notation
from search.report.notation import count, decimal, duration, interval, network, percent, points, short
from search.report.runs import CONFIDENCE
from search.study.view import LedgerEntry, StudyView

LEDGER_SIZE = 50


@dataclass(frozen=True, slots=True)
class Table:
    """A caption, the heads, whether each column holds numbers, and the rows as text.

    `keys` are the numbers that the rows' texts stand for, if readers may sort and search the table; a number that does
    not exist is an empty text.
    """

    caption: str
    heads: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    keys: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """A frame's column as readers see it; a column of words has no writer of numbers."""

    name: str
    head: str
    write: Callable[[Any], str] | None = None


def table(caption: str, frame: pd.DataFrame, columns: Iterable[Column], is_sortable: bool = False) -> Table:
    """Columns without a single value are left out: a column of dashes tells nothing."""
    empty = {name for name in frame.columns if bool(frame[name].isna().all())}
    kept = [column for column in columns if column.name not in empty]
    written = [[_write(column, value) for value in frame[column.name]] for column in kept]
    heads = tuple(column.head for column in kept)
    numeric = tuple(column.write is not None for column in kept)
    keys = [[_key(column, value) for value in frame[column.name]] for column in kept] if is_sortable else []
    return Table(caption, heads, numeric, tuple(zip(*written, strict=True)), tuple(zip(*keys, strict=True)))


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(network=[network(label) for label in frame["label"]])


def _write(column: Column, value: Any) -> str:
    return str(value) if column.write is None else column.write(value)


def _key(column: Column, value: Any) -> str:
    if column.write is None:
        return str(value)
    return f"{value:.10g}" if notation.exists(value) else ""


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
    caption = f"{which} by validation accuracy at the end of the search's schedule."
    return table(caption, frame, columns, is_sortable=True)


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


def finalists_table(frame: pd.DataFrame, unfinished: str | None = None) -> Table:
    """`unfinished` says how far a round is that has no winner yet."""
    winner = f"the round is unfinished, {unfinished}" if unfinished else "the first is the winner"
    columns = [
        Column("network", "Network"), Column("seeds", "Seeds", str), Column("mean", "Validation, mean", percent),
        Column("deviation", "Deviation, points", points),
        Column("params", "Parameters", count), Column("macs", "MACs", short),
    ]  # fmt: skip
    return table(
        "Finalists trained at full length on the training split, and the best of them with the other dropouts of the "
        f"space; {winner}.",
        _named(frame),
        columns,
    )


def summary_table(frame: pd.DataFrame) -> Table:
    ends = zip(frame["mean"], frame["half_width"], strict=True)
    intervals = [interval(mean, half) if notation.exists(half) else "none" for mean, half in ends]
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
    named["network"] += [" (validation images held out)" if held else "" for held in frame["holdout"]]
    alike = frame.duplicated(["label", "recipe", "epochs", "holdout"], keep=False)  # recipes of one name
    digests = zip(frame["recipe_digest"], alike, strict=True)
    named["recipe"] += [f" ({digest})" if digest and is_alike else "" for digest, is_alike in digests]
    return table(caption, named.assign(interval=intervals), columns)


def runs_table(frame: pd.DataFrame) -> Table:
    columns = [
        Column("network", "Network"), Column("purpose", "Purpose"), Column("seed", "Seed", str),
        Column("test_accuracy", "Test", percent), Column("test_loss", "Test loss", decimal),
        Column("validation_accuracy", "Validation", percent), Column("train_accuracy", "Training", percent),
        Column("recipe", "Recipe"), Column("epochs", "Epochs", count), Column("seconds", "Time", duration),
        Column("device", "Device"), Column("precision", "Precision"),
    ]  # fmt: skip
    named = _named(frame)
    named["network"] += [" (validation images held out)" if held else "" for held in frame["holdout"]]
    return table("Every full-length run; accuracies are those of the last epoch.", named, columns)


def comparisons_table(frame: pd.DataFrame) -> Table:
    ends = zip(frame["low"], frame["high"], strict=True)
    written = frame.assign(
        trial=[network(label) for label in frame["trial"]],
        interval=[f"{points(low)} to {points(high)}" if notation.exists(low) else "none" for low, high in ends],
        seeds=_both(frame, "seeds", str),
        macs=_both(frame, "macs", short),
    )
    columns = [
        Column("trial", "Network"), Column("baseline", "Baseline"), Column("difference", "Difference, points", points),
        Column("interval", f"{CONFIDENCE:.0%} interval", str), Column("adjusted_p", "p, adjusted", decimal),
        Column("verdict", "Verdict"), Column("seeds", "Seeds of each", str), Column("macs", "MACs of each", str),
        Column("recipe", "Recipe"), Column("epochs", "Epochs", count),
    ]  # fmt: skip
    caption = "Each retrained network less each baseline that was trained alike: mean test accuracy, Welch's interval, "
    return table(caption + "and Holm's p-value over all rows.", written, columns)


def _both(frame: pd.DataFrame, column: str, write: Callable[[Any], str]) -> list[str]:
    """A column of the network and of its baseline."""
    pairs = zip(frame[f"trial_{column}"], frame[f"baseline_{column}"], strict=True)
    return [f"{write(own)}, {write(other)}" for own, other in pairs]


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
        [(each.time[:19].replace("T", " "), each.study, each.label, each.seed, _opened(each)) for each in shown],
        columns=["time", "study", "label", "seed", "accuracy"],
    )
    columns = [
        Column("time", "Time (UTC)"), Column("study", "Study"), Column("network", "Network"),
        Column("seed", "Seed", str),
        Column("accuracy", "Test", str),
    ]  # fmt: skip
    which = f"The last {len(shown)} of {len(entries):,} openings" if len(shown) < len(entries) else "All openings"
    return table(f"{which} of this test set, by this study and others.", _named(frame), columns)


def _opened(entry: LedgerEntry) -> str:
    """What came of an opening. Its line is written before; a run that was killed then has nothing to tell."""
    return "no result" if entry.accuracy is None else percent(entry.accuracy)
