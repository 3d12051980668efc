"""A study on disk as a StudyView, for those who only read."""

import json
from collections.abc import Iterable

from optuna.trial import FrozenTrial, TrialState

from search.files import StudyFiles
from search.protocol import Measurement
from search.quantities import plural
from search.space.guesses import guesses
from search.space.limits import HOW_LATENCY_IS_MEASURED, macs_by_rule
from search.study.commands import study_commands
from search.study.ledger import Ledger
from search.study.plan import Plan
from search.study.results import read_results
from search.study.storage import EXHAUSTED, architecture_of, read_study
from search.study.view import State, StudyView, TrialView

STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


def read_view(files: StudyFiles, storage: str | None = None) -> StudyView:
    """Everything about a study, at this moment.

    Args:
        storage: the URL of its database with a password, which the plan's lacks.

    Raises:
        StudyError: there is no such study.
        StorageError: a part of it cannot be read.
    """
    plan = Plan.load(files)
    trials, attributes = read_study(files, storage or plan.circumstances.storage)
    question, circumstances, devices = plan.question, plan.circumstances, plan.circumstances.devices
    results = read_results(files, question.data.ledger_name)
    runs = tuple(run for run in results.runs if run.purpose != "proxy")
    ledger = Ledger(files, question.data.ledger_name)
    return StudyView(
        name=files.name,
        data=question.data.name,
        classes=question.data.classes,
        image_size=question.data.image_size,
        budget=question.all_limits.max_params,
        num_trials=circumstances.num_trials,
        epochs=question.recipe.epochs,
        asked=_asked(plan),
        versions=(("device", " and ".join(devices)), *circumstances.versions.items()),
        draws=attributes.get("draws", 0),
        seconds=attributes.get("seconds", 0.0),
        trials=trial_views(trials, plan),
        runs=runs,
        ledger=ledger.entries(),
        proxy=tuple(run for run in results.runs if run.purpose == "proxy"),
        sampler=question.sampler,
        worker_seconds=attributes.get("worker_seconds"),
        exhausted=attributes.get(EXHAUSTED),
        max_macs=question.all_limits.macs,
        max_int8_bytes=question.all_limits.max_int8_bytes,
        by_time=circumstances.time is not None,
        num_train=circumstances.num_train,
        pixels=question.recipe.shares_of_pixels,
        peak=plan.peak if len(devices) == 1 else None,
        devices=devices,
        plan=plan.to_yaml(),
        commands=tuple(study_commands(plan, runs, files.name)),
        unread=(*results.unread, *ledger.damaged()),
        guesses=tuple(guesses(question.space, question.data.task, question.all_limits).items()),
    )


def trial_views(trials: Iterable[FrozenTrial], plan: Plan) -> tuple[TrialView, ...]:
    """Optuna's trials as a reader sees them, without those that another program wrote without a design."""
    return tuple(trial_view(trial, plan) for trial in trials if "architecture" in trial.user_attrs)


def trial_view(trial: FrozenTrial, plan: Plan) -> TrialView:
    """One of Optuna's trials as a reader sees it."""
    reported = trial.intermediate_values
    history = json.loads(trial.user_attrs.get("history", "[]"))
    return TrialView(
        number=trial.number,
        state=STATES[trial.state],
        value=_value(trial),
        params=trial.user_attrs["params"],
        macs=trial.user_attrs["macs"],
        architecture=architecture_of(trial),
        choices=plan.question.space.taken(trial.params),
        history=tuple(Measurement(**epoch) for epoch in history),
        seconds=trial.user_attrs.get("seconds", trial.user_attrs.get("spent_seconds", 0.0)),
        reason=trial.user_attrs.get("reason"),
        num_epochs=len(reported),
        baseline=trial.user_attrs.get("baseline"),
        too_slow=trial.user_attrs.get("too_slow", False),
        lost_seconds=trial.user_attrs.get("lost_seconds", 0.0),
        batch_size=trial.user_attrs.get("batch_size"),
    )


def _value(trial: FrozenTrial) -> float | None:
    """Of a trial that was trained to the end its value, by which trials are chosen too: an epoch that was measured
    again for a lost worker may have come out otherwise than it was reported. Else that of its last epoch so far."""
    reported = trial.intermediate_values
    if trial.state == TrialState.COMPLETE:
        return trial.value
    return reported[max(reported)] if reported and trial.state != TrialState.FAIL else None


def _asked(plan: Plan) -> tuple[tuple[str, str], ...]:
    question, circumstances = plan.question, plan.circumstances
    recipe = question.recipe
    trials = str(circumstances.num_trials)
    if circumstances.time is not None:
        trials = "as many as there was time for" + (f", {trials}" if circumstances.num_trials is not None else "")
    limits, texts = question.all_limits, [*question.limits]
    if limits.macs is not None and limits.macs == macs_by_rule(limits.max_params, question.data.image_size):
        texts[0] += " (by the rule, macs=auto)"  # it is the first, if there is one
    texts += [f"fill={question.fill}"] if question.fill else []
    size, classes = question.data.image_size, len(question.data.classes)
    colours = "greyscale" if question.data.channels == 1 else "colour"
    return (
        ("data", f"{question.data.name}: {colours}, {size}x{size} pixels, {plural(classes, 'class', 'classes')}"),
        ("data fingerprint", question.data.fingerprint),
        ("budget", f"{question.budget:,} parameters"),
        ("further limits", ", ".join(texts) or "none"),
        *([("latency", HOW_LATENCY_IS_MEASURED)] if limits.latency is not None else []),
        ("trials", f"{trials}, sampler {question.sampler}, pruner {question.pruner}"),
        ("recipe", f"{recipe.name}, {plural(recipe.epochs, 'epoch')}, precision {plan.precision or 'auto'}"),
        ("seed", str(question.seed)),
        ("begun", circumstances.created),
    )
