"""One self-contained HTML page: no request to anywhere, readable from a file, on a phone and on paper."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from models.architecture import ArchitectureError
from search.files import write_atomically
from search.report import answer, caveats, cells, figures, importances, notation, run_figures, runs, tables
from search.report.audit import audit_figure
from search.space.audit import Audit
from search.study.view import StudyView

TEMPLATES = Path(__file__).parent / "templates"


def write_report(view: StudyView, output: Path, audit: Audit | None = None, budgets: Sequence[int] = ()) -> None:
    """Write the report of a study to one HTML file, whole or not at all.

    Args:
        audit: of the study's space, to be drawn.
        budgets: also name the best network under each of these numbers of parameters.

    Raises:
        StorageError: the file cannot be written.
    """
    write_atomically(output, render(view, audit, budgets))


def render(view: StudyView, audit: Audit | None = None, budgets: Sequence[int] = ()) -> str:
    """The report of a study as one HTML document. The same view gives the same text."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plotly_json"] = _plotly_json
    found = answer.find_answer(view)
    scripts = [get_plotlyjs(), (TEMPLATES / "draw.js").read_text(encoding="utf-8")]
    return environment.get_template("page.html").render(
        view=view,
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        scripts=[Markup(script) for script in scripts],
        script_hashes=" ".join(f"'sha256-{_digest(script)}'" for script in scripts),
        **_summary(view, found),
        audit=audit_figure(audit) if audit is not None else None,
        budgets=cells.budgets_table(tables.budgets_frame(view, budgets)) if budgets else None,
        **_search(view),
        **_winner(view, found),
        **_retraining(view, found),
        ledger=cells.ledger_table(view) if view.ledger else None,
        asked=cells.pairs_table("The question of this study.", ("Term", "Value"), view.asked) if view.asked else None,
        versions=cells.pairs_table("What this study ran on.", ("Software", "Version"), view.versions)
        if view.versions
        else None,
    )


def _digest(script: str) -> str:
    """The hash by which the page's own policy allows a script. Any other, however it got in, is refused."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _plotly_json(figure: go.Figure) -> Markup:
    """A figure as JSON that cannot end the script element it stands in, whatever its labels say."""
    return htmlsafe_json_dumps(figure, dumps=lambda each, **_: str(each.to_json()))


def _summary(view: StudyView, found: answer.Answer | None) -> dict[str, Any]:
    return {
        "question": answer.question(view),
        "conclusion": answer.conclusion(view, found),
        "facts": answer.facts(view, found),
        "caveats": caveats.caveats(view, found),
    }


def _search(view: StudyView) -> dict[str, Any]:
    complete, accuracy = tables.ranked(view), tables.accuracy_frame(view)
    history, curves = tables.history_frame(view), tables.curves_frame(view)
    why_none = importances.why_none(view)
    drawable = len(tables.drawable_trials(view))
    return {
        "leaderboard": cells.leaderboard_table(tables.leaderboard(view), len(complete)) if complete else None,
        "accuracy": figures.accuracy_figure(accuracy, view.budget) if complete else None,
        "history": figures.history_figure(history) if len(history) else None,
        "curves": figures.curves_figure(curves, drawable) if len(curves) else None,
        "why_no_importances": why_none,
        "importances": None if why_none else figures.importances_figure(importances.importances_frame(view)),
    }


def _winner(view: StudyView, found: answer.Answer | None) -> dict[str, Any]:
    empty = {"winner": None, "parts": None, "parts_table": None, "why_no_parts": "There is no winner yet."}
    if found is None:
        return empty
    try:
        frame = tables.parts_frame(found.trial.architecture, view.image_size)
    except ArchitectureError as error:
        return empty | {"why_no_parts": f"Trial {found.trial.number} cannot be laid out for these images: {error}"}
    return {
        "winner": f"Trial {found.trial.number}: {notation.design(found.trial.architecture)}",
        "parts": run_figures.parts_figure(frame),
        "parts_table": cells.parts_table(frame),
        "why_no_parts": None,
    }


def _retraining(view: StudyView, found: answer.Answer | None) -> dict[str, Any]:
    every, summary, finalists = runs.runs_frame(view), runs.final_summary(view), runs.finalists_frame(view)
    curves, classes = runs.run_curves_frame(view), runs.classes_frame(view)
    finalist_curves = runs.run_curves_frame(view, "finalist")
    return {
        "finalists": cells.finalists_table(finalists) if len(finalists) else None,
        "finalist_curves": run_figures.run_curves_figure(finalist_curves, "finalist-curves")
        if len(finalist_curves)
        else None,
        "finals": cells.summary_table(summary) if len(summary) else None,
        "tested": run_figures.tested_figure(summary, view.budget) if len(summary) else None,
        "every_run": cells.runs_table(every) if len(every) else None,
        "run_curves": run_figures.run_curves_figure(curves) if len(curves) else None,
        "classes": run_figures.classes_figure(classes) if classes["accuracy"].notna().any() else None,
        **_confusion(view, found, list(dict.fromkeys(classes["label"]))),
    }


def _confusion(view: StudyView, found: answer.Answer | None, labels: list[str]) -> dict[str, Any]:
    """The errors of the answer, or of the first network that has a matrix."""
    own = f"{found.trial.number:04d}" if found else ""
    label = own if own in labels else next(iter(labels), None)
    matrix = runs.confusion(view, label) if label is not None else None
    if label is None or matrix is None:
        return {"confusion": None, "confused": None, "num_classes": 0}
    names = [runs.class_name(view, index) for index in range(len(matrix))]
    pairs = runs.confused_pairs(view, label)
    drawable = len(matrix) <= run_figures.MAX_MATRIX
    return {
        "confusion": run_figures.confusion_figure(matrix, names, label) if drawable else None,
        "confused": cells.confused_table(pairs, label) if len(pairs) else None,
        "num_classes": len(matrix),
    }
