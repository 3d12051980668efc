"""The numbers behind a figure as a table, for those who cannot see it or want to copy them."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from search.report.cells import Column, Table, table
from search.report.drawing import Drawing
from search.report.notation import count, exists, network, percent, points

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
    """What stands behind a figure, if it says so; beyond `MAX_ROWS` rows the first of them."""
    frame = drawing.data
    if frame is None or frame.empty:
        return None
    named = frame.assign(label=[network(label) for label in frame["label"]]) if "label" in frame else frame
    caption = "The numbers behind the figure."
    if len(named) > MAX_ROWS:
        caption = f"The first {MAX_ROWS} of {len(named):,} rows behind the figure; nas report --format csv writes all."
    shown = named.head(MAX_ROWS)
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
    return f"{value:.4g}" if exists(value) else count(None)
