"""What the commands do: open the data and the study, start the workers, run, close."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from pydantic import ValidationError

from models.count import count_macs, count_parameters
from search.data.catalogue import from_anywhere
from search.data.datasets import Dataset, open_dataset
from search.errors import DataError, StudyError
from search.files import StudyFiles, write_atomically
from search.protocol import Job, Measurement
from search.recipe import Recipe
from search.recipes import FAST
from search.run.candidates import Candidate
from search.run.coordinator import Coordinator
from search.run.interruption import Interruption
from search.run.listener import Listener, Observer, Outcome
from search.run.proposals import hand_made, make_sampler, require_feasible
from search.run.retraining import Retraining
from search.space.sampler import SpaceExhaustedError
from search.space.space import load_space
from search.study.address import without_password
from search.study.database import require_database
from search.study.plan import Circumstances, Data, Plan, Question, now, package_versions, require_same
from search.study.results import NUM_FINALIST_SEEDS
from search.study.storage import Record, locked
from search.study.view import RunView
from search.workers.machine import Machine


def fit_recipe(recipe: Recipe, dataset: Dataset) -> Recipe:
    """The recipe with its open values set for the data.

    Raises:
        RecipeError: the recipe does not fit the data.
    """
    return recipe.fit_to(dataset.name, dataset.num_train, dataset.image_size, dataset.channels)


def search(
    files: StudyFiles,
    question: Question,
    source: str,
    num_trials: int,
    machine: Machine,
    listener: Listener,
    storage: str | None = None,
    timeout: float | None = None,
    interruption: Interruption | None = None,
) -> Outcome:
    """Begin a study or go on with it, to `num_trials` trained trials in all.

    Raises:
        InputError: the request is invalid; nothing has been written.
        TrainingError: too many trials failed.
        StorageError: the study cannot be written.
    """
    require_feasible(question)
    if storage is not None:
        storage = require_database(files, storage)
    dataset = open_dataset(source)
    hire = machine.hire(dataset, question.seed, num_trials)
    with locked(files):
        plan = _plan(files, question, from_anywhere(source), storage, num_trials)
        with Record(files, storage or plan.circumstances.storage) as record:
            _require_recorded(files, record, plan)
            plan.save(files)
            remember(files)
            fleet = hire(files)
            try:
                coordinator = Coordinator(plan, record, fleet, listener, interruption, timeout)
                try:
                    coordinator.prepare()
                    coordinator.plan.save(files)  # with the device and the precision that all its runs keep
                    return coordinator.run(num_trials)
                finally:
                    record.set_attribute("draws", record.attribute("draws", 0) + coordinator.sampler.draws)
                    coordinator.study_clock.keep()
            finally:
                fleet.close()


def _plan(files: StudyFiles, question: Question, source: str, storage: str | None, num_trials: int) -> Plan:
    """The plan of the study on disk, if it asks the same question, or a new one."""
    if files.plan.is_file():
        plan = Plan.load(files)
        require_same(files, plan.question, question)
        kept = plan.circumstances.storage
        if storage is not None and without_password(storage) != kept:
            raise StudyError(f"storage: study {files.name!r} is kept in {kept or files.database}; leave out --storage")
        return plan.with_circumstances(source=source, num_trials=num_trials)
    circumstances = Circumstances(
        source=source, storage=storage, created=now(), num_trials=num_trials, versions=package_versions()
    )
    return Plan(question=question, circumstances=circumstances)


def _require_recorded(files: StudyFiles, record: Record, plan: Plan) -> None:
    """A database elsewhere may hold the study of another folder: there the question stands beside its trials.

    Raises:
        StudyError: the study there asks another one.
    """
    if plan.circumstances.storage is not None:
        recorded = record.attribute("question", None)
        if recorded is None:
            record.set_attribute("question", plan.question.model_dump(mode="json"))
        else:
            try:
                question = Question.model_validate(recorded)
            except ValidationError:
                rule = "its database holds a study of this name, begun by another version of nas"
                raise StudyError(f"study = {files.name!r}: {rule}; choose another --study") from None
            require_same(files, question, plan.question)


def dry_run(question: Question, num_trials: int) -> tuple[list[dict[str, Any]], int]:
    """Sample and count `num_trials` designs and train none. Returns their rows and the number of vectors drawn.

    Raises:
        SpaceError: no design of the space is within the budget.
    """
    sampler = make_sampler(question, [], tuple(hand_made(question.data.task)) if question.warm_start else ())
    study = optuna.create_study(sampler=sampler)
    rows: list[dict[str, Any]] = []
    for _ in range(num_trials):
        try:
            trial = study.ask(fixed_distributions=question.space.distributions)
        except SpaceExhaustedError:
            break
        architecture = question.space.decode(trial.params, question.data.task)
        rows.append(
            {
                "number": trial.number,
                "state": "sampled",
                "value": None,
                "params": count_parameters(architecture),
                "macs": count_macs(architecture, question.data.image_size),
                "architecture": architecture.to_dict(),
            }
        )
    return rows, sampler.draws


def retrain(
    files: StudyFiles,
    plan: Plan,
    candidates: list[Candidate],
    baselines: list[Candidate],
    num_seeds: int,
    choose: bool,
    machine: Machine,
    on_epoch: Callable[[Job, Measurement], None],
    on_note: Callable[[Job, str], None],
    interruption: Interruption | None = None,
    holdout: bool = False,
) -> tuple[list[tuple[Candidate, float]], list[RunView]]:
    """Train candidates at full length; with `choose` a finalists' round picks one of them and its dropout first.
    Baselines join the final runs, on the same data and seeds. With `holdout` final runs leave out the validation split.

    Returns the ranking of that round (empty without one) and the final runs.

    Raises:
        InputError: the request is invalid.
        TrainingError: a run failed.
        StorageError: a result cannot be written.
        Interrupted: a signal asked for the end.
    """
    num_finals = (len(baselines) + (1 if choose else len(candidates))) * num_seeds
    num_rivals = max(len(candidates), len(plan.question.space.dropout) - 1) if choose else 0
    num_runs = max(num_finals, NUM_FINALIST_SEEDS * num_rivals)
    with _retraining(files, plan, machine, num_runs, on_epoch, on_note, interruption) as retraining:
        ranking = retraining.choose(candidates) if choose else []
        winners = [ranking[0][0]] if choose else candidates
        return ranking, retraining.finish([*winners, *baselines], num_seeds, holdout)


def audit_proxy(
    files: StudyFiles,
    plan: Plan,
    candidates: list[Candidate],
    num_seeds: int,
    machine: Machine,
    on_epoch: Callable[[Job, Measurement], None],
    on_note: Callable[[Job, str], None],
    interruption: Interruption | None = None,
) -> list[RunView]:
    """Train trials at full length on the training split, to compare their values with those of the search.

    Raises:
        InputError: the request is invalid.
        StorageError: a result cannot be written.
        Interrupted: a signal asked for the end.
    """
    num_runs = len(candidates) * num_seeds
    with _retraining(files, plan, machine, num_runs, on_epoch, on_note, interruption) as retraining:
        return retraining.audit(candidates, num_seeds)


@contextmanager
def _retraining(
    files: StudyFiles,
    plan: Plan,
    machine: Machine,
    num_runs: int,
    on_epoch: Callable[[Job, Measurement], None],
    on_note: Callable[[Job, str], None],
    interruption: Interruption | None,
) -> Iterator[Retraining]:
    """Full-length training in a study, under its lock, on workers that end with the block."""
    dataset = open_study_data(plan)
    hire = machine.hire(dataset, plan.question.seed, num_runs)
    with locked(files):
        if not files.plan.is_file():
            plan.save(files)
        remember(files)
        fleet = hire(files)
        try:
            yield Retraining(plan, files, fleet, Observer(on_epoch, on_note), interruption)
        finally:
            fleet.close()


def baselines_study(files: StudyFiles, source: str, budget: int) -> Plan:
    """The plan of a study to train baselines in: the one there is, else one without trials, not yet written.

    Raises:
        DataError: the data is not found.
    """
    if files.plan.is_file():
        return Plan.load(files)
    dataset = open_dataset(source)
    question = Question(
        budget=budget,
        data=Data.of(dataset),
        space=load_space(None),
        recipe=fit_recipe(FAST, dataset),
        sampler="tpe",
        pruner="asha",
        seed=0,
    )
    return _plan(files, question, from_anywhere(source), None, 0)


def open_study_data(plan: Plan) -> Dataset:
    """The data of a study, which must still be what it was.

    Raises:
        DataError: it is not found, or has changed.
    """
    dataset = open_dataset(plan.circumstances.source)
    if Data.of(dataset) != plan.question.data:
        raise DataError(f"data = {plan.circumstances.source}: is not the data this study was begun with")
    return dataset


def remember(files: StudyFiles) -> None:
    """Make this the study that commands take when none is named."""
    write_atomically(files.last_used, files.name + "\n")
