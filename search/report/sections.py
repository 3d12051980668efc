"""What each section of the page holds: frames, prepared and then drawn or written as tables."""

from collections.abc import Sequence
from typing import Any

from models.architecture import ArchitectureError
from search.report import caveats, proxy_audit, summary, time_ledger, verdicts
from search.report.findings import Findings
from search.report.notation import percent
from search.report.retraining import (
    comparisons,
    confusion,
    finalists,
    full_length_runs,
    onnx_files,
    openings,
    seeds,
    shift,
    teachers,
)
from search.report.retraining.training_curves import training_curves_figure, training_curves_frame
from search.report.space_audit import audit_figure
from search.report.space_draws import draws_figure
from search.report.tables import pairs_table
from search.report.trials import (
    choices,
    history,
    importances,
    leaderboard,
    learning_curves,
    network_diagram,
    parallel_coordinates,
    pareto,
)
from search.space.audit import Audit
from search.space.profile import Profile
from search.study.networks import quoted
from search.study.view import StudyView, TrialView

NUM_DIAGRAMS = 3


def contents(findings: Findings, audit: Audit | None, draws: Profile | None, budgets: Sequence[int]) -> dict[str, Any]:
    """Everything that the page's template asks for; None where a study has nothing to show."""
    return {
        **_summary(findings),
        **_leaderboard(findings, budgets),
        **_search(findings),
        "audit": audit_figure(audit) if audit is not None and audit.histogram else None,
        "draws": draws_figure(draws) if draws is not None else None,
        **_networks(findings),
        **_retraining(findings),
        **_comparisons(findings),
        **_errors(findings),
        **_proxy(findings.view),
        **_records(findings.view),
    }


def _summary(findings: Findings) -> dict[str, Any]:
    return {
        "question": summary.question(findings.view),
        "conclusion": summary.conclusion(findings),
        "facts": summary.facts(findings),
        "caveats": caveats.caveats(findings),
        "num_complete": len(findings.ranked),
    }


def _leaderboard(findings: Findings, budgets: Sequence[int]) -> dict[str, Any]:
    """The best trials, and how accuracy goes with size."""
    view, ranked, tested = findings.view, findings.ranked, findings.tested_trials
    under_budgets = leaderboard.budgets_frame(ranked, tested, budgets)
    shown = {"budgets": leaderboard.budgets_table(under_budgets, budgets) if budgets else None}
    if not ranked:
        return shown | dict.fromkeys(("leaderboard", "by_params", "by_macs", "size"))
    board = leaderboard.leaderboard_frame(ranked, tested, view)
    accuracy = pareto.accuracy_frame(ranked)
    budget = view.budget if view.budget != view.max_int8_bytes else None  # bytes are on no axis
    return shown | {
        "leaderboard": leaderboard.leaderboard_table(board, len(ranked), view),
        "by_params": pareto.accuracy_figure(accuracy, pareto.PARAMETERS, budget),
        "by_macs": pareto.accuracy_figure(accuracy, pareto.MACS, view.max_macs),
        "size": pareto.size_sentence(ranked),
    }


def _search(findings: Findings) -> dict[str, Any]:
    """The course of the search, and what its trials have in common."""
    trials, ranked = findings.view.trials, findings.ranked
    course, drawable = history.history_frame(trials), learning_curves.drawable_trials(trials)
    curves = learning_curves.curves_frame(drawable, ranked[0] if ranked else None)
    properties = importances.importances(ranked)
    effects = choices.choices_frame(ranked)
    lines = parallel_coordinates.parallel_frame(ranked)
    return {
        "history": history.history_figure(course) if len(course) else None,
        "curves": learning_curves.curves_figure(curves, len(drawable)) if len(curves) else None,
        "why_no_importances": properties.why_none,
        "importances": None if properties.why_none else importances.importances_figure(properties.frame, ranked),
        "choices": choices.choices_table(effects) if len(effects) else None,
        "parallel": parallel_coordinates.parallel_figure(lines)
        if len(lines) >= parallel_coordinates.MIN_TRIALS
        else None,
    }


def _networks(findings: Findings) -> dict[str, Any]:
    """The best networks as pictures, the answer first, and where the parameters of the answer are."""
    answer, image_size = findings.answer, findings.view.image_size
    if answer is None:
        return {"diagrams": [], "parts": None, "parts_table": None, "why_no_diagrams": "There is no winner yet."}
    best = [answer.trial, *(trial for trial in findings.ranked if trial.number != answer.trial.number)]
    frames, problems = [], []
    for trial in best[:NUM_DIAGRAMS]:
        try:
            frames.append((trial, network_diagram.diagram_frame(trial.architecture, image_size)))
        except ArchitectureError as error:
            problems.append(f"Trial {trial.number} cannot be laid out for these images: {error}")
    most = max((frame[["width", "inner_width"]][:-1].to_numpy().max() for _, frame in frames), default=1)
    shown = {
        "diagrams": [
            network_diagram.draw_network(frame, f"diagram-{trial.number}", _heading(trial), most)
            for trial, frame in frames
        ],
        "why_no_diagrams": " ".join(problems),
    }
    if not frames or frames[0][0] is not answer.trial:
        return shown | {"parts": None, "parts_table": None}
    parts = network_diagram.parts_frame(answer.trial.architecture, image_size)
    return shown | {"parts": network_diagram.parts_figure(parts), "parts_table": network_diagram.parts_table(parts)}


def _heading(trial: TrialView) -> str:
    return f"Trial {trial.number}, {percent(trial.value)}"


def _retraining(findings: Findings) -> dict[str, Any]:
    every = full_length_runs.runs_frame(findings.view.runs)
    results = full_length_runs.results_frame(findings.networks, findings.view.is_over)
    corrupted = shift.shift_frame(findings.networks)
    exported = onnx_files.onnx_frame(findings.networks)
    of_finalists = training_curves_frame(quoted(findings.round))
    of_finals = training_curves_frame(quoted(findings.final_networks))
    return {
        "finalists": finalists.finalists_table(findings.finalists, findings.unfinished) if findings.finalists else None,
        "finalist_curves": training_curves_figure(of_finalists, "finalist-curves") if len(of_finalists) else None,
        "finals": full_length_runs.results_table(results) if len(results) else None,
        "seeds": seeds.seeds_figure(seeds.seeds_frame(findings.networks)) if len(results) else None,
        "tested": full_length_runs.results_figure(results, findings.view.budget) if len(results) else None,
        "teachers": teachers.effect_sentences(findings.effects, findings.view.budget),
        "shift": shift.shift_table(corrupted) if len(corrupted) else None,
        "onnx": onnx_files.onnx_table(exported) if len(exported) else None,
        "every_run": full_length_runs.runs_table(every) if len(every) else None,
        "run_curves": training_curves_figure(of_finals) if len(of_finals) else None,
    }


def _comparisons(findings: Findings) -> dict[str, Any]:
    compared = findings.comparisons
    return {
        "comparisons": verdicts.comparison_sentences(findings),
        "comparisons_table": comparisons.comparisons_table(compared) if compared else None,
    }


def _errors(findings: Findings) -> dict[str, Any]:
    """Where the answer errs, or the first network that has a matrix; all networks class by class."""
    matrices, names = findings.confusions, findings.view.classes
    if not matrices:
        return {"classes": None, "confusion": None, "confused": None, "num_classes": 0}
    own = findings.answer.label if findings.answer else ""
    label = own if own in matrices else next(iter(matrices))
    matrix = matrices[label]
    pairs = confusion.confused_pairs(matrix, names)
    return {
        "classes": confusion.classes_figure(confusion.classes_frame(matrices, names)),
        "confusion": confusion.confusion_figure(matrix, names, label) if len(matrix) <= confusion.MAX_MATRIX else None,
        "confused": confusion.confused_table(pairs, label) if len(pairs) else None,
        "num_classes": len(matrix),
    }


def _proxy(view: StudyView) -> dict[str, Any]:
    """The audit of the short schedule. What the figure's caption says is not said again."""
    frame = proxy_audit.proxy_frame(view)
    verdict = proxy_audit.proxy_verdict(frame, view.epochs)
    others = proxy_audit.other_audits(view)
    if verdict is None:
        return {"proxy": None, "proxy_sentences": []}
    return {
        "proxy": proxy_audit.proxy_figure(frame, view.epochs, verdict),
        "proxy_sentences": [*verdict.subsets, verdict.method, *([others] if others else [])],
    }


def _records(view: StudyView) -> dict[str, Any]:
    """What was opened, asked and used, to be checked and done again."""
    seconds = time_ledger.time_ledger_frame(view)
    question = pairs_table("The question of this study.", ("Term", "Value"), view.asked)
    versions = pairs_table("What this study ran on.", ("Software", "Version"), view.versions)
    return {
        "time": time_ledger.time_ledger_table(seconds) if seconds["seconds"].sum() else None,
        "time_sentence": time_ledger.time_sentence(seconds, view),
        "ledger": openings.openings_table(view.ledger) if view.ledger else None,
        "asked": question if view.asked else None,
        "versions": versions if view.versions else None,
    }
