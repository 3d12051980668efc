"""One self-contained HTML page: no request to anywhere, readable from a file, on a phone and on paper."""

import base64
import hashlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import zip_longest
from pathlib import Path

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from search.report import sections
from search.report.findings import find
from search.report.tables import data_table
from search.space.audit import Audit
from search.space.profile import Profile
from search.study.view import StudyView

TEMPLATES = Path(__file__).parent / "templates"
OPTION = re.compile("(--[a-z][a-z-]*)")
MAX_SHARE = 0.2  # of a processor, taken by a page that is written again and again while a search may train on it


def render(
    view: StudyView,
    audit: Audit | None = None,
    draws: Profile | None = None,
    budgets: Sequence[int] = (),
    refresh: int | None = None,
) -> str:
    """The report of a study as one HTML document. The same view gives the same text.

    Args:
        audit: of the study's space, to be drawn.
        draws: what random draws from it look like, to be drawn below.
        budgets: also name the best network under each of these numbers of parameters.
        refresh: let an open page load the file again after so many seconds.
    """
    return (
        _environment()
        .get_template("page.html")
        .render(view=view, refresh=refresh, **sections.contents(find(view), audit, draws, budgets))
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
    environment.filters |= {"plotly_json": _plotly_json, "data_table": data_table, "prose": _prose}
    environment.globals |= {
        "style": Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        "scripts": [Markup(script) for script in scripts],
        "script_hashes": " ".join(f"'sha256-{_digest(script)}'" for script in scripts),
    }
    return environment


def _digest(script: str) -> str:
    """The hash by which the page's own policy allows a script. Any other script is refused, however it got in."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _plotly_json(figure: go.Figure) -> Markup:
    """A figure as JSON that cannot end the script element it stands in, whatever its labels say."""
    return htmlsafe_json_dumps(figure, dumps=lambda drawn, **_: str(drawn.to_json()))


def _prose(text: str) -> Markup:
    """A sentence in which no option is broken between its hyphens."""
    parts = OPTION.split(text)
    options = [Markup('<span class="option">{}</span>').format(option) for option in parts[1::2]]
    return Markup("").join(part for pair in zip_longest(parts[::2], options, fillvalue="") for part in pair)


def is_over(view: StudyView) -> bool:
    """Whether all trials that were asked for have been trained, or all that there are, and none is running."""
    trained = sum(trial.state in ("complete", "pruned") for trial in view.trials)
    is_enough = view.num_trials is not None and (trained >= view.num_trials or view.exhausted is not None)
    return is_enough and not any(trial.state == "running" for trial in view.trials)


def follow(
    read: Callable[[], StudyView],
    seconds: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[tuple[StudyView, bool]]:
    """A search as it is read and whether more is to come, every so many seconds until it is over.

    Following only reads: the database is opened read-only and the study's lock is left alone. Where reading, and what
    is done with it, takes long, the pauses are longer: see `MAX_SHARE`.
    """
    while True:
        began = clock()
        view = read()
        over = is_over(view)
        yield view, not over
        if over:
            return
        took = clock() - began
        sleep(max(seconds, took * (1 - MAX_SHARE) / MAX_SHARE))
