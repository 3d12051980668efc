"""nas dashboard: a study in optuna-dashboard."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from search.cli.report import Open
from search.cli.studies import Studies, StudyName, open_study


def dashboard(
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="Port of this machine; 0: any.")] = 8080,
    open: Open = False,
    study: StudyName = None,
    studies: Studies = Path("studies"),
) -> None:
    """Show a study, finished or not, in optuna-dashboard, which cannot change it. Ctrl-C ends it."""
    files, plan = open_study(studies, study)

    from search.run.dashboard import HOST, serving

    with serving(files, plan.circumstances.storage, port) as server:
        address = f"http://{HOST}:{server.server_port}/dashboard"
        print(f"dashboard: {address} (read-only; Ctrl-C ends it)", flush=True)
        if open:
            webbrowser.open(address)
        server.serve_forever()
