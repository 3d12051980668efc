"""nas verify: whether an export is what it says it is."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from search.cli.output import Format, OutputFormat, print_rows, print_values
from search.errors import VerificationError
from search.quantities import plural


def verify(
    path: Annotated[
        str, typer.Argument(help="Folder or bundle that nas export wrote, its weights or ONNX file, or a run's folder.")
    ],
    run: Annotated[
        bool, typer.Option("--run", help="Run its model.py even where it is not what this version of nas writes.")
    ] = False,
    format: OutputFormat = Format.TABLE,
) -> None:
    """Check an exported network against its certificate, its architecture and its budget.

    Parameters are counted by arithmetic, by fvcore, in the stored tensors and in the ONNX files; every file has its
    hash compared; model.py and the ONNX files are run on a fixed batch of images. The exit status is 1 where anything
    disagrees, and the first disagreement is the last line.

    What is verified is read as data. A model.py is run only where it is, letter for letter, what this version writes
    for the same values; --run is for another, once you have read it.
    """
    from search.files import expanded
    from search.run import verification

    result = verification.verify(expanded(path), run)
    rows = [asdict(check) for check in result.checks]
    if format is Format.JSON:
        values = {"path": path, "verified": result.is_verified, "disagreement": result.disagreement, "checks": rows}
        print_values(values, format)
    elif format is Format.CSV:
        print_rows(rows, format)
    else:
        print_rows([row | {key: _short(row[key]) for key in ("found", "expected")} for row in rows], format)
    if result.disagreement is not None:
        raise VerificationError(f"{path}: {result.disagreement}")
    if format is Format.TABLE:
        num_left_out = sum(check.outcome == "left out" for check in result.checks)
        print(f"verified: {Path(path)}" + (f", {plural(num_left_out, 'check')} left out" if num_left_out else ""))


def _short(value: object) -> object:
    """The beginning of a hash; any other value as it is."""
    return f"{value[:12]} ..." if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) else value
