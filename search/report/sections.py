"""What each section of the page holds: frames, prepared and then drawn or written as tables."""

from collections.abc import Sequence
from typing import Any

from models.architecture import ArchitectureError
from search.report import (
    answer,
    caveats,
    cells,
    classes,
    comparisons,
    curves,
    diagram,
    figures,
    finalists,
    importances,
    notation,
    parallel,
    proxy_audit,
    run_figures,
    runs,
    seeds,
    size,
    tables,
    time_ledger,
    verdicts,
)
from search.report.space_audit import audit_figure
from search.space.audit import Audit
from search.study.view import StudyView, TrialView

NUM_DIAGRAMS = 3


def contents(view: StudyView, audit: Audit | None, budgets: Sequence[int]) -> dict[str, Any]:
    """Everything that the page's template asks for; None where a study has nothing to show."""
    found = answer.find_answer(view)
    return {
        **_summary(view, found),
        **_search(view, budgets),
        "audit": audit_figure(audit) if audit is not None else None,
        **_networks(view, found),
        **_retraining(view),
        **_errors(view, found),
        **_proxy(view),
        **_records(view),
    }


def _summary(view: StudyView, found: answer.Answer | None) -> dict[str, Any]:
    return {
        "question": answer.question(view),
        "conclusion": answer.conclusion(view, found),
        "facts": answer.facts(view, found),
        "caveats": caveats.caveats(view, found),
    }


def _search(view: StudyView, budgets: Sequence[int]) -> dict[str, Any]:
    complete, accuracy = tables.ranked(view), tables.accuracy_frame(view)
    history, learning = tables.history_frame(view), curves.curves_frame(view)
    why_none = importances.why_none(view)
    return {
        "leaderboard": cells.leaderboard_table(tables.leaderboard(view), len(complete)) if complete else None,
        "by_params": figures.accuracy_figure(accuracy, figures.PARAMETERS, view.budget) if complete else None,
        "by_macs": figures.accuracy_figure(accuracy, figures.MACS, view.max_macs) if complete else None,
        "budgets": cells.budgets_table(tables.budgets_frame(view, budgets)) if budgets else None,
        "size": size.size_sentence(view) if complete else None,
        "history": figures.history_figure(history) if len(history) else None,
        "curves": curves.curves_figure(learning, len(curves.drawable_trials(view))) if len(learning) else None,
        "why_no_importances": why_none,
        "importances": None if why_none else figures.importances_figure(importances.importances_frame(view)),
        "parallel": parallel.parallel_figure(parallel.parallel_frame(view))
        if len(complete) >= parallel.MIN_TRIALS
        else None,
    }


def _networks(view: StudyView, found: answer.Answer | None) -> dict[str, Any]:
    """The best networks as pictures, the answer first, and where the parameters of the answer are."""
    if found is None:
        return {"diagrams": [], "parts": None, "parts_table": None, "why_no_diagrams": "There is no winner yet."}
    best = [found.trial, *(trial for trial in tables.ranked(view) if trial.number != found.trial.number)]
    frames, problems = [], []
    for trial in best[:NUM_DIAGRAMS]:
        try:
            frames.append((trial, diagram.diagram_frame(trial.architecture, view.image_size)))
        except ArchitectureError as error:
            problems.append(f"Trial {trial.number} cannot be laid out for these images: {error}")
    most = max((frame["width"][:-1].max() for _, frame in frames), default=1)
    shown = {
        "diagrams": [diagram.draw(frame, f"diagram-{each.number}", _heading(each), most) for each, frame in frames],
        "why_no_diagrams": " ".join(problems),
    }
    if not frames or frames[0][0] is not found.trial:
        return shown | {"parts": None, "parts_table": None}
    parts = tables.parts_frame(found.trial.architecture, view.image_size)
    return shown | {"parts": run_figures.parts_figure(parts), "parts_table": cells.parts_table(parts)}


def _heading(trial: TrialView) -> str:
    return f"Trial {trial.number}, {notation.percent(trial.value)}"


def _retraining(view: StudyView) -> dict[str, Any]:
    every, summary, round = runs.runs_frame(view), runs.final_summary(view), finalists.finalists_frame(view)
    compared = comparisons.comparisons_frame(view)
    learning, finalists_learning = runs.run_curves_frame(view), runs.run_curves_frame(view, "finalist")
    return {
        "finalists": cells.finalists_table(round, finalists.unfinished_round(view)) if len(round) else None,
        "finalist_curves": run_figures.run_curves_figure(finalists_learning, "finalist-curves")
        if len(finalists_learning)
        else None,
        "finals": cells.summary_table(summary) if len(summary) else None,
        "seeds": seeds.seeds_figure(seeds.seeds_frame(view)) if len(summary) else None,
        "tested": run_figures.tested_figure(summary, view.budget) if len(summary) else None,
        "every_run": cells.runs_table(every) if len(every) else None,
        "run_curves": run_figures.run_curves_figure(learning) if len(learning) else None,
        "comparisons": verdicts.comparison_sentences(view),
        "comparisons_table": cells.comparisons_table(compared) if len(compared) else None,
    }


def _errors(view: StudyView, found: answer.Answer | None) -> dict[str, Any]:
    """Where the answer errs, or the first network that has a matrix; all networks class by class."""
    frame = classes.classes_frame(view)
    labels = list(dict.fromkeys(frame["label"]))
    own = found.label if found else ""
    label = own if own in labels else next(iter(labels), None)
    matrix = classes.confusion(view, label) if label is not None else None
    shown: dict[str, Any] = {"classes": run_figures.classes_figure(frame) if frame["accuracy"].notna().any() else None}
    if label is None or matrix is None:
        return shown | {"confusion": None, "confused": None, "num_classes": 0}
    names = [classes.class_name(view, index) for index in range(len(matrix))]
    pairs = classes.confused_pairs(view, label)
    drawable = len(matrix) <= run_figures.MAX_MATRIX
    return shown | {
        "confusion": run_figures.confusion_figure(matrix, names, label) if drawable else None,
        "confused": cells.confused_table(pairs, label) if len(pairs) else None,
        "num_classes": len(matrix),
    }


def _proxy(view: StudyView) -> dict[str, Any]:
    frame = proxy_audit.proxy_frame(view)
    drawn = proxy_audit.proxy_figure(frame, view.epochs) if len(frame) else None
    told = drawn.caption if drawn else ""
    return {"proxy": drawn, "proxy_sentences": [each for each in proxy_audit.proxy_sentences(view) if each not in told]}


def _records(view: StudyView) -> dict[str, Any]:
    """What was opened, asked and used, to be checked and done again."""
    seconds = time_ledger.time_ledger_frame(view)
    versions = cells.pairs_table("What this study ran on.", ("Software", "Version"), view.versions)
    return {
        "time": time_ledger.time_ledger_table(seconds) if seconds["seconds"].sum() else None,
        "time_sentence": time_ledger.time_sentence(view),
        "ledger": cells.ledger_table(view) if view.ledger else None,
        "asked": cells.pairs_table("The question of this study.", ("Term", "Value"), view.asked)
        if view.asked
        else None,
        "versions": versions if view.versions else None,
    }
