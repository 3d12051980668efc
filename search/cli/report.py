"""nas report and dashboard: a study told as one page, as tables, or by optuna-dashboard."""

import webbrowser
from pathlib import Path
from typing import Annotated, Literal

import typer

from search.cli.options import Studies, StudyName, open_study
from search.errors import InputError


def report(
    output: Annotated[
        Path | None,
        typer.Option("--output", help="HTML file, or folder of the tables; without it, in the study's folder."),
    ] = None,
    budgets: Annotated[
        str | None, typer.Option("--budgets", help="Also name the best network under each of 0.3M,1M,2M.")
    ] = None,
    format: Annotated[
        Literal["html", "csv", "parquet", "json"], typer.Option("--format", help="A page, or every table as a file.")
    ] = "html",
    watch: Annotated[bool, typer.Option("--watch", help="Write it again and again until the search is over.")] = False,
    every: Annotated[float, typer.Option("--every", min=1, max=3600, help="Seconds between two pages.")] = 10,
    open: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    study: StudyName = None,
    studies: Studies = Path("studies"),
) -> None:
    """Write one HTML page that tells the study and its trials as CSV, or all its tables."""
    from search.space.limits import parse_count

    limits = [parse_count(text, "budgets") for text in budgets.split(",")] if budgets is not None else []
    if format != "html" and (watch or open or limits):
        raise InputError(f"report: --watch, --open and --budgets are of the page; leave out --format {format}")
    files, plan = open_study(studies, study)

    from search.report.page import follow, write_report
    from search.report.table_files import write_tables, write_trials_csv
    from search.space.audit import audit
    from search.study.reading import read_view
    from search.study.view import StudyView

    if format != "html":
        for table in write_tables(read_view(files), output or files.tables, format):
            print(table.resolve())
        return
    path, question = output or files.report, plan.question
    found = audit(question.space, question.data.task, question.all_limits)

    def write(view: StudyView, more: bool) -> None:
        refresh = round(every) if more else None
        write_report(view, path, found if view.trials else None, sorted(set(limits)), refresh)
        write_trials_csv(view, files.trials_csv)

    views = follow(lambda: read_view(files), every) if watch else iter([(read_view(files), False)])
    view = None
    try:
        for number, (view, more) in enumerate(views):
            write(view, more)
            if number == 0:
                print(f"report: {path.resolve()}")
                print(f"trials: {files.trials_csv.resolve()}", flush=True)
                if open:
                    webbrowser.open(path.resolve().as_uri())
    except KeyboardInterrupt:
        if view is not None:
            write(view, more=False)  # nobody writes the page again, so it has not to load itself again
        raise


def dashboard(
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="Port of this machine; 0 for any.")] = 8080,
    open: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    study: StudyName = None,
    studies: Studies = Path("studies"),
) -> None:
    """Show a study, finished or not, by optuna-dashboard, which cannot change it. Ctrl-C ends it."""
    files, plan = open_study(studies, study)

    from search.run.dashboard import HOST, serving

    with serving(files, plan.circumstances.storage, port) as server:
        address = f"http://{HOST}:{server.server_port}/dashboard"
        print(f"dashboard: {address} (read-only; Ctrl-C ends it)", flush=True)
        if open:
            webbrowser.open(address)
        server.serve_forever()
