"""One self-contained HTML page: no request to anywhere, readable from a file, on a phone and on paper."""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from search.files import write_atomically
from search.report import sections
from search.report.data_table import data_table
from search.space.audit import Audit
from search.study.view import StudyView

TEMPLATES = Path(__file__).parent / "templates"


def write_report(
    view: StudyView,
    output: Path,
    audit: Audit | None = None,
    budgets: Sequence[int] = (),
    refresh: int | None = None,
) -> None:
    """Write the report of a study to one HTML file, whole or not at all.

    Args:
        audit: of the study's space, to be drawn.
        budgets: also name the best network under each of these numbers of parameters.
        refresh: let an open page load the file again after so many seconds.

    Raises:
        StorageError: the file cannot be written.
    """
    write_atomically(output, render(view, audit, budgets, refresh))


def render(view: StudyView, audit: Audit | None = None, budgets: Sequence[int] = (), refresh: int | None = None) -> str:
    """The report of a study as one HTML document. The same view gives the same text."""
    return (
        _environment()
        .get_template("page.html")
        .render(view=view, refresh=refresh, **sections.contents(view, audit, budgets))
    )


@cache
def _environment() -> Environment:
    """The templates, and what is the same in every page."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scripts = [get_plotlyjs(), *((TEMPLATES / name).read_text(encoding="utf-8") for name in ("draw.js", "sort.js"))]
    environment.filters |= {"plotly_json": _plotly_json, "data_table": data_table}
    environment.globals |= {
        "style": Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        "scripts": [Markup(script) for script in scripts],
        "script_hashes": " ".join(f"'sha256-{_digest(script)}'" for script in scripts),
    }
    return environment


def _digest(script: str) -> str:
    """The hash by which the page's own policy allows a script. Any other, however it got in, is refused."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _plotly_json(figure: go.Figure) -> Markup:
    """A figure as JSON that cannot end the script element it stands in, whatever its labels say."""
    return htmlsafe_json_dumps(figure, dumps=lambda each, **_: str(each.to_json()))
