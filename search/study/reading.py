"""A study on disk -> StudyView, for whoever only reads."""

import json
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from search.errors import StorageError
from search.files import StudyFiles
from search.protocol import Measurement
from search.study.plan import Plan
from search.study.results import read_runs
from search.study.storage import architecture_of, read_study
from search.study.view import LedgerEntry, State, StudyView, TrialView

STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


def read_view(files: StudyFiles) -> StudyView:
    """All that a study has to tell, at this moment.

    Raises:
        StudyError: there is no such study.
        StorageError: a part of it cannot be read.
    """
    plan = Plan.load(files)
    trials, attributes = read_study(files, plan.circumstances.storage)
    question, circumstances = plan.question, plan.circumstances
    return StudyView(
        name=files.name,
        data=question.data.name,
        classes=question.data.classes,
        image_size=question.data.image_size,
        budget=question.budget,
        num_trials=circumstances.num_trials,
        epochs=question.recipe.epochs,
        asked=_asked(plan),
        versions=(("device", circumstances.device), *circumstances.versions.items()),
        draws=attributes.get("draws", 0),
        seconds=attributes.get("seconds", 0.0),
        trials=tuple(trial_view(trial, plan) for trial in trials if "architecture" in trial.user_attrs),
        runs=tuple(read_runs(files)),
        ledger=_ledger(files, plan),
    )


def trial_view(trial: FrozenTrial, plan: Plan) -> TrialView:
    """One trial of Optuna's as a reader sees it."""
    reported = trial.intermediate_values
    history = json.loads(trial.user_attrs.get("history", "[]"))
    return TrialView(
        number=trial.number,
        state=STATES[trial.state],
        value=reported[max(reported)] if reported and trial.state != TrialState.FAIL else None,
        params=trial.user_attrs["params"],
        macs=trial.user_attrs["macs"],
        architecture=architecture_of(trial),
        choices=plan.question.space.choices(trial.params),
        history=tuple(Measurement(**epoch) for epoch in history),
        seconds=trial.user_attrs.get("seconds", 0.0),
        reason=trial.user_attrs.get("reason"),
        num_epochs=len(reported),
        baseline=trial.user_attrs.get("baseline"),
        too_slow=trial.user_attrs.get("too_slow", False),
    )


def _asked(plan: Plan) -> tuple[tuple[str, str], ...]:
    question, circumstances = plan.question, plan.circumstances
    recipe = question.recipe
    fill = [f"fill={question.fill}"] if question.fill else []
    size, classes = question.data.image_size, len(question.data.classes)
    colours = "greyscale" if question.data.channels == 1 else "colour"
    return (
        ("data", f"{question.data.name}: {colours}, {size}x{size} pixels, {classes} classes"),
        ("data fingerprint", question.data.fingerprint),
        ("budget", f"{question.budget:,} parameters"),
        ("further limits", ", ".join([*question.limits, *fill]) or "none"),
        ("trials", f"{circumstances.num_trials}, sampler {question.sampler}, pruner {question.pruner}"),
        ("recipe", f"{recipe.name}, {recipe.epochs} epochs, precision {circumstances.precision or recipe.precision}"),
        ("seed", str(question.seed)),
        ("begun", circumstances.created),
    )


def _ledger(files: StudyFiles, plan: Plan) -> tuple[LedgerEntry, ...]:
    path = files.ledger(plan.question.data.ledger_name)
    if not path.is_file():
        return ()
    try:
        entries: list[dict[str, Any]] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return tuple(LedgerEntry(e["time"], e["study"], e["label"], e["seed"], e["accuracy"]) for e in entries)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StorageError(f"{path}: cannot be read ({error})") from None
