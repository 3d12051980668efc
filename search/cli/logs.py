"""--log: runs told to other programs that show them, beside the study's own record."""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.errors import NasError, OutputError
from search.files import StudyFiles

if TYPE_CHECKING:
    from search.tracking.tracker import Opening, Study
    from search.tracking.trackers import Trackers

    Logs = list[tuple[str, Opening]]

LogNames = Annotated[
    list[str] | None,
    typer.Option(
        "--log",
        help="Also tell every run to tensorboard, mlflow, wandb or wandb:offline; may be repeated.",
    ),
]


def prepare_logs(names: Sequence[str] | None) -> "Logs":
    """How to open the named trackers. Asked first of all, since other things take long.

    Raises:
        InputError: there is no such tracker, its package is not installed, or it cannot be used.
    """
    if not names:
        return []
    from search.tracking.trackers import prepare

    return prepare(names)


@contextmanager
def open_logs(logs: "Logs", files: StudyFiles) -> "Iterator[Trackers]":
    """The trackers of a study. They get its report when the block ends without an error."""
    from search.tracking.trackers import Trackers

    trackers = Trackers(logs, lambda: _study(files), _say)
    try:
        yield trackers
    except BaseException:
        trackers.close(hurried=True)
        raise
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if trackers.keep_reports:
            try:
                trackers.keep_report(_report(files, Path(folder)))
            except (NasError, OSError) as error:  # nas report says the same, and ends by it
                _say(f"log: the report cannot be kept: {error}")
        trackers.close()


def _study(files: StudyFiles) -> "Study":
    from search.study.plan import Plan
    from search.tracking.tracker import Study, Value

    plan = Plan.load(files)
    question, data = plan.question, plan.question.data
    parameters: dict[str, Value] = {
        "budget": question.budget,
        "limits": ", ".join(question.limits),
        "data": data.name,
        "data_fingerprint": data.fingerprint,
        "image_size": data.image_size,
        "classes": len(data.classes),
        "recipe": question.recipe.name,
        "epochs": question.recipe.epochs,
        "sampler": question.sampler,
        "pruner": question.pruner,
        "seed": question.seed,
    }
    return Study(files, plan.circumstances.created, data.image_size, parameters)


def _report(files: StudyFiles, folder: Path) -> Path:
    """The page of `nas report` in a folder, without the audit of the search space, which may take a minute."""
    from search.report.page import render
    from search.study.reading import read_view
    from search.writing import encoded

    page = folder / "report.html"
    page.write_bytes(encoded(render(read_view(files))))
    return page


def _say(line: str) -> None:
    with suppress(OutputError):  # nobody reads it, which must not end a search
        print(f"note: {line}", file=sys.stderr, flush=True)
