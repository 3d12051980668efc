"""nas report: a study as one page, or as tables for other programs."""

import sys
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from search.cli.output import print_written, words_about
from search.cli.paths import path_option
from search.cli.studies import Studies, StudyName, open_study, print_unread
from search.errors import InputError, StorageError

if TYPE_CHECKING:
    from search.files import StudyFiles
    from search.study.plan import Plan
    from search.study.view import StudyView

Open = Annotated[bool, typer.Option("--open", help="Show it in the browser.")]


def report(
    output: Annotated[
        Path | None,
        path_option("--output", "HTML file, or folder of the tables; by default, in the study's folder."),
    ] = None,
    budgets: Annotated[
        str | None, typer.Option("--budgets", help="Also name the best network within each budget: 0.3M,1M,2M.")
    ] = None,
    format: Annotated[
        Literal["html", "csv", "parquet", "json"], typer.Option("--format", help="A page, or every table as a file.")
    ] = "html",
    watch: Annotated[bool, typer.Option("--watch", help="Write it again and again until the search ends.")] = False,
    every: Annotated[float, typer.Option("--every", min=1, max=3600, help="Seconds between pages, with --watch.")] = 10,
    open: Open = False,
    study: StudyName = None,
    studies: Studies = Path("studies"),
) -> None:
    """Write one HTML page about the study and its trials as CSV, or all its tables."""
    from search.space.limits import parse_count

    limits = [parse_count(text, "budgets") for text in budgets.split(",")] if budgets is not None else []
    if format != "html" and (watch or open or limits):
        raise InputError(f"report: --watch, --open and --budgets are for the page; leave out --format {format}")
    files, plan = open_study(studies, study)
    if format != "html":
        _write_tables(files, output or files.tables, format)
        return
    page = output or files.report
    write = _page_writer(files, plan, page, limits, every)

    def announce(unwritten: str | None) -> None:
        print_written("report", page)
        if unwritten is None:
            print(f"trials: {files.trials_csv.resolve()}", file=words_about(page), flush=True)
        else:
            print(f"note: {unwritten}", file=sys.stderr)
        if open:
            webbrowser.open(page.resolve().as_uri())

    if watch:
        _watch(files, every, write, announce)
    else:
        from search.study.reading import read_view

        view = read_view(files)
        print_unread(view)
        announce(write(view, False))


def _write_tables(files: "StudyFiles", folder: Path, format: Literal["csv", "parquet", "json"]) -> None:
    from search.report.table_files import write_tables
    from search.study.reading import read_view

    view = read_view(files)
    print_unread(view)
    for table in write_tables(view, folder, format):
        print(table.resolve())


def _page_writer(
    files: "StudyFiles", plan: "Plan", page: Path, budgets: list[int], every: float
) -> "Callable[[StudyView, bool], str | None]":
    """Writes the page and the trials of a view; if more will follow, the page reloads itself. Beside a page elsewhere,
    the study's folder may be one that cannot be written: then the trials are left out, and this returns why."""
    from search.report.table_files import write_trials_csv
    from search.writing import encoded, replacing

    draw = draw_page(plan, budgets)

    def write(view: "StudyView", more: bool) -> str | None:
        with replacing(page) as path:  # so that nothing is written if the trials cannot be
            path.write_bytes(encoded(draw(view, round(every) if more else None)))
            try:
                write_trials_csv(view, files.trials_csv)
            except StorageError as error:
                if page == files.report:
                    raise
                return str(error)
        return None

    return write


def draw_page(plan: "Plan", budgets: Sequence[int] = ()) -> "Callable[[StudyView, int | None], str]":
    """Draws a view as one HTML page, which loads itself again after so many seconds."""
    from search.report.page import render
    from search.space.audit import audit
    from search.space.profile import profile

    question = plan.question
    space = audit(question.space, question.data.task, question.all_limits)
    draws = profile(question.space, question.data.task, question.all_limits) if space.feasible else None

    def draw(view: "StudyView", refresh: int | None) -> str:
        audited, drawn = (space, draws) if view.trials else (None, None)
        return render(view, audited, drawn, sorted(set(budgets)), refresh)

    return draw


def _watch(
    files: "StudyFiles",
    every: float,
    write: "Callable[[StudyView, bool], str | None]",
    announce: Callable[[str | None], None],
) -> None:
    """Write every new state of the study until it has ended. A page that is left behind no longer reloads itself."""
    from search.report.page import follow
    from search.study.reading import read_view

    view = None
    try:
        for number, (view, more) in enumerate(follow(lambda: read_view(files), every)):
            unwritten = write(view, more)
            if number == 0:
                announce(unwritten)
    except BaseException:  # a signal, most of all
        if view is not None:
            write(view, False)
        raise
