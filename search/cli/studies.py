"""Which study a command works on."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.paths import path_option
from search.errors import StudyError
from search.files import StudyFiles

if TYPE_CHECKING:
    from models.architecture import Architecture
    from search.study.plan import Plan
    from search.study.view import StudyView

Studies = Annotated[Path, path_option("--studies", "Folder of studies.", "NAS_STUDIES")]
StudyName = Annotated[str | None, typer.Option("--study", help="Name of the study; by default, the one used last.")]


def open_study(studies: Path, name: str | None) -> "tuple[StudyFiles, Plan]":
    """The named study, or the one used last, whose name is then printed.

    Raises:
        StudyError: there is no such study, or none was used before.
    """
    from search.study.plan import Plan

    if name is None:
        last = studies / ".last-study"
        if not last.is_file():
            raise StudyError(f"study: none has been used in {studies}; name one with --study")
        name = last.read_text(encoding="utf-8", errors="replace").strip()
        print(f"study: {name}", file=sys.stderr)
    files = StudyFiles(studies, name)
    return files, Plan.load(files)


def print_unread(view: "StudyView") -> None:
    """Say on stderr what lies in a study and counts for nothing, a line each."""
    for line in view.unread:
        print(f"put aside: {line}", file=sys.stderr)


def read_architecture_of_trial(studies: Path, study: str | None, number: int) -> "tuple[Architecture, int]":
    """A trial's architecture, and the size of the images it takes.

    Raises:
        StudyError: there is no such study or no such trial.
    """
    from search.study.reading import read_view

    files, _ = open_study(studies, study)
    view = read_view(files)
    for trial in view.trials:
        if trial.number == number:
            return trial.architecture, view.image_size
    raise StudyError(f"trial = {number}: no such trial in study {files.name!r}")
