"""Rows for people (a table) and for scripts (JSON, CSV)."""

import csv
import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from search.quantities import significant
from search.writing import is_stream, own_output


class Format(StrEnum):
    """How a command that lists prints its rows."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


OutputFormat = Annotated[Format, typer.Option("--format", help="How to print.")]


def words_about(output: Path) -> TextIO:
    """Where words about a file are printed: on stderr if the file is stdout itself."""
    return sys.stderr if own_output(output) == 1 else sys.stdout


def print_written(what: str, output: Path, details: str = "") -> None:
    """Say where something has been written."""
    place = output if is_stream(output) else output.resolve()
    print(f"{what}: {place}{details}", file=words_about(output), flush=True)


def print_networks(rows: Sequence[dict[str, Any]], format: Format) -> None:
    """Print rows that each have an architecture: on one line in a table, its JSON elsewhere."""
    if format is Format.TABLE:
        from models.architecture import Architecture
        from search.report.notation import design

        rows = [row | {"architecture": design(Architecture.from_dict(row["architecture"]))} for row in rows]
    print_rows(rows, format)


def print_rows(rows: Sequence[dict[str, Any]], format: Format, title: str = "") -> None:
    """Print rows with the same keys. In JSON every value keeps its type; elsewhere nested values are JSON text."""
    if format is Format.JSON:
        print(json.dumps(list(rows), indent=1))
    elif format is Format.CSV:
        if rows:
            writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows({key: _plain(value) for key, value in row.items()} for row in rows)
    else:
        _print_table(rows, title)


def print_values(values: dict[str, Any], format: Format, title: str = "") -> None:
    """Print one object: as it is in JSON, one row per value elsewhere."""
    if format is Format.JSON:
        print(json.dumps(values, indent=1))
    else:
        print_rows([{"name": name, "value": value} for name, value in values.items()], format, title)


def _print_table(rows: Sequence[dict[str, Any]], title: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title) if title else None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for key in rows[0] if rows else ():
        numeric = all(isinstance(row[key], int | float | None) for row in rows)
        table.add_column(key, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_readable(value)) for value in row.values()))
    # Other programs read the lines of a file or pipe, so these are not wrapped at a terminal's width.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _readable(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return significant(value, 4)
    return str(_plain(value))


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list | tuple) else value
