"""Frames as tables of text: which columns a reader sees, under which heads, and how their numbers are written."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from search.quantities import significant
from search.report.drawing import Drawing
from search.report.notation import count, exists, network_name, percent, points


@dataclass(frozen=True, slots=True)
class Table:
    """A caption, the heads, whether each column holds numbers, and the rows as text.

    `keys` are the numbers that the rows' texts stand for, if readers may sort and search the table; a missing number is
    an empty text.
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
    """A frame as text. Columns without a single value are left out."""
    empty = {name for name in frame.columns if bool(frame[name].isna().all())}
    kept = [column for column in columns if column.name not in empty]
    written = [[_write(column, value) for value in frame[column.name]] for column in kept]
    heads = tuple(column.head for column in kept)
    numeric = tuple(column.write is not None for column in kept)
    keys = [[_key(column, value) for value in frame[column.name]] for column in kept] if is_sortable else []
    return Table(caption, heads, numeric, tuple(zip(*written, strict=True)), tuple(zip(*keys, strict=True)))


def named(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with its labels as people say them, in a column `network`."""
    return frame.assign(network=[network_name(label) for label in frame["label"]])


def trainings(frame: pd.DataFrame) -> list[str]:
    """For each row of networks the key of its training, ', full-40ep-3f9a1c77', where several rows have its label; else
    nothing."""
    several = frame["label"].duplicated(keep=False)
    return [f", {key}" if is_of_several else "" for key, is_of_several in zip(frame["key"], several, strict=True)]


def _write(column: Column, value: Any) -> str:
    return str(value) if column.write is None else column.write(value)


def _key(column: Column, value: Any) -> str:
    if column.write is None:
        return str(value)
    return f"{value:.10g}" if exists(value) else ""


def pairs_table(caption: str, heads: tuple[str, str], pairs: tuple[tuple[str, str], ...]) -> Table:
    return Table(caption, heads, (False, False), pairs)


MAX_ROWS = 40

Write = Callable[[Any], str]

_WORDS: dict[str, tuple[str, Write]] = {
    "number": ("Trial", str),
    "epoch": ("Epoch", str),
    "seed": ("Seed", str),
    "value": ("Validation", percent),
    "accuracy": ("Accuracy", percent),
    "importance": ("Importance", percent),
    "share": ("Share", lambda share: percent(share, 3)),
    "mean": ("Mean", percent),
    "deviation": ("Deviation, points", points),
    "params": ("Parameters", count),
    "macs": ("MACs", count),
    "low": ("From", count),
    "high": ("To", count),
    "stem_width": ("Stem channels", count),
    "widest": ("Widest stage", count),
}


def data_table(drawing: Drawing) -> Table | None:
    """A figure's numbers as a table, for those who cannot see it or want to copy them.

    None if the drawing has none. Beyond `MAX_ROWS` rows the first of them.
    """
    frame = drawing.data
    if frame is None or frame.empty:
        return None
    readable = frame.assign(label=[network_name(label) for label in frame["label"]]) if "label" in frame else frame
    caption = "The numbers behind the figure."
    if len(readable) > MAX_ROWS:
        caption = (
            f"The first {MAX_ROWS} of {len(readable):,} rows behind the figure; nas report --format csv writes all."
        )
    shown = readable.head(MAX_ROWS)
    return table(caption, shown, [_column(str(name), shown[name]) for name in shown.columns])


def _column(name: str, values: pd.Series) -> Column:
    if name in _WORDS:
        return Column(name, *_WORDS[name])
    head = {"label": "Network"}.get(name, name.replace("_", " ").capitalize())
    if pd.api.types.is_bool_dtype(values):
        return Column(name, head)
    if pd.api.types.is_integer_dtype(values):
        return Column(name, head, count)
    return Column(name, head, _number if pd.api.types.is_float_dtype(values) else None)


def _number(value: float) -> str:
    return significant(value, 4) if exists(value) else count(None)
