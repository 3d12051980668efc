"""What the commands do: open the data and the study, start the workers, run, close."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from models.count import count_macs, count_parameters
from search.data.catalogue import from_anywhere
from search.data.datasets import open_dataset
from search.errors import InputError
from search.files import StudyFiles
from search.run.candidates import Candidate, are_one_design
from search.run.coordinator import Coordinator
from search.run.interruption import Interruption
from search.run.listener import Listener, Observer, Outcome
from search.run.plans import as_recorded, keep_question, open_study_data, plan_of
from search.run.proposals import hand_made, make_sampler, require_feasible
from search.run.retraining import Retraining
from search.run.retraining_cost import most_at_once
from search.run.teachers import TeacherRequest
from search.run.time_budget import TimeBudget
from search.space.sampler import SpaceExhaustedError, ask
from search.study.database import require_database
from search.study.plan import Plan, Question
from search.study.rounds import Finalist
from search.study.storage import Record, locked
from search.study.view import RunView
from search.study.way import DeviceClass, Select
from search.workers.fleet import Fleet
from search.workers.local import LocalFleet
from search.workers.machine import Machine
from search.writing import write_atomically


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What `nas search` asks for.

    Attributes:
        source: where the data is: a name or a path.
        num_trials: trained trials in all, those of earlier runs included; None for a search by time.
        storage: the URL of the study's database; None for its own file, or for the one it began in.
        timeout: seconds after which no trial begins.
        time: seconds that a search by time takes.
        began: when the command did, by `time.monotonic`.
        may_shorten: whether a new search by time may shorten its trials.
    """

    question: Question
    source: str
    num_trials: int | None
    storage: str | None = None
    timeout: float | None = None
    time: float | None = None
    began: float = 0.0
    may_shorten: bool = False


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a dry run sampled.

    Attributes:
        rows: a row a design.
        num_draws: vectors of the search space that were drawn for them.
        early_stop: why there are fewer than were asked for; None if there are not.
    """

    rows: list[dict[str, Any]]
    num_draws: int
    early_stop: str | None


@dataclass(frozen=True, slots=True)
class RetrainRequest:
    """What `nas retrain` and `nas baseline train` ask for.

    Attributes:
        candidates: trials.
        baselines: hand-made networks that join the final runs, on the same data and seeds.
        num_seeds: final runs of each network.
        choose: whether a finalists' round first picks one of the candidates, and its dropout.
        holdout: whether final runs leave out the validation split.
        opponent: a baseline that joins too, unless the network that is trained finally is of its design.
        select: what the finalists' round ranks by.
        teachers: who teaches all but the opponent in as many further final runs; None for nobody.
        taught_only: whether these, and the opponent's, are the only final runs.
    """

    candidates: tuple[Candidate, ...] = ()
    baselines: tuple[Candidate, ...] = ()
    num_seeds: int = 1
    choose: bool = False
    holdout: bool = False
    opponent: Candidate | None = None
    select: Select = "clean"
    teachers: TeacherRequest | None = None
    taught_only: bool = False

    def num_runs(self, num_dropouts: int) -> int:
        """The most runs that can be trained at once, where the space has so many dropouts."""
        num_finals = len(self.baselines) + (1 if self.choose else len(self.candidates))
        num_finals = (num_finals + (self.opponent is not None)) * self.num_seeds
        num_teachers = self.teachers.num if self.teachers is not None else 0
        return most_at_once(len(self.candidates) if self.choose else 0, num_finals, num_teachers, num_dropouts)


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """What `nas audit-proxy` asks for: trials to be trained at full length, with so many seeds each."""

    candidates: tuple[Candidate, ...]
    num_seeds: int


def search(
    files: StudyFiles,
    request: SearchRequest,
    machine: Machine,
    listener: Listener,
    interruption: Interruption | None = None,
) -> Outcome:
    """Begin a study or go on with it, to `request.num_trials` trained trials in all or for `request.time`.

    Raises:
        InputError: the request is invalid; nothing has been written, but for an empty study in a database elsewhere.
        TrainingError: too many trials failed.
        StorageError: the study cannot be written.
    """
    question, num_trials, storage = request.question, request.num_trials, request.storage
    if not files.plan.is_file():
        require_feasible(question)
    if storage is not None:
        storage = require_database(files, storage)
    dataset = open_dataset(request.source)
    hire = machine.hire(dataset, question.seed, sys.maxsize if num_trials is None else num_trials)
    new_paths = _new_paths(files)
    with locked(files), _undone(files, new_paths):
        plan = plan_of(files, question, from_anywhere(request.source), storage, num_trials, request.time)
        with Record(files, storage or plan.circumstances.storage) as record:
            plan = as_recorded(files, record, plan)
            may_shorten = request.may_shorten and not record.trials
            is_needed = num_trials is None or record.num_trained < num_trials
            fleet = hire(files) if is_needed else LocalFleet([], files.workers_log)
            try:
                by_time = TimeBudget(request.time, request.began, may_shorten) if request.time is not None else None
                coordinator = Coordinator(
                    plan, record, fleet, listener, interruption, request.timeout, time_budget=by_time
                )
                coordinator.prepare()  # which may yet refuse the time, so that nothing is written before
                _begin(files, record, coordinator.plan)
                try:
                    outcome = coordinator.run(num_trials)
                    if by_time is not None and not (interruption and interruption()):
                        coordinator.plan.with_circumstances(num_trials=outcome.num_trained).save(files)
                    return outcome
                finally:
                    record.set_attribute("draws", record.attribute("draws", 0) + coordinator.sampler.draws)
                    coordinator.study_clock.keep()
            finally:
                fleet.close()


def _begin(files: StudyFiles, record: Record, plan: Plan) -> None:
    """Keep the plan, with the device, the precision and the length that all the study's runs have."""
    keep_question(record, plan)
    plan.save(files)
    remember(files)


def _new_paths(files: StudyFiles) -> list[Path]:
    """What a study that begins makes: its folder, or, where there is one already, those of its files that are not."""
    if not files.folder.exists():
        return [files.folder]
    database = [files.database.with_name(files.database.name + suffix) for suffix in ("", "-wal", "-shm")]
    return [path for path in (files.lock, files.workers_log, *database) if not path.exists()]


@contextmanager
def _undone(files: StudyFiles, new_paths: list[Path]) -> Iterator[None]:
    """What was made for a study that did not begin, since its question was refused, goes again."""
    is_new = not files.plan.is_file() and not files.database.exists()
    try:
        yield
    except InputError:
        if is_new and not files.plan.is_file():
            for path in new_paths:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
        raise


def dry_run(question: Question, num_trials: int) -> DryRun:
    """Sample and count `num_trials` designs, or as many as there are, and train none.

    Raises:
        SpaceError: no design of the space is within the budget.
    """
    sampler = make_sampler(question, [], tuple(hand_made(question)))
    study = optuna.create_study(sampler=sampler)
    rows: list[dict[str, Any]] = []
    for _ in range(num_trials):
        try:
            trial = ask(study, question.space.distributions)
        except SpaceExhaustedError as error:
            return DryRun(rows, sampler.draws, str(error))
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
    return DryRun(rows, sampler.draws, None)


def retrain(
    files: StudyFiles,
    plan: Plan,
    request: RetrainRequest,
    machine: Machine,
    observer: Observer,
    interruption: Interruption | None = None,
) -> tuple[list[tuple[Candidate, Finalist]], list[RunView]]:
    """The ranking of the finalists' round (empty without one) and the final runs, once all are trained.

    Raises:
        InputError: the request is invalid.
        TrainingError: a run failed.
        StorageError: a result cannot be written.
        Interrupted: a signal asked for the end.
    """
    num_runs = request.num_runs(len(plan.question.space.dropout))
    with _retraining(files, plan, machine, num_runs, observer, interruption, request.select) as retraining:
        ranking = retraining.choose([*request.candidates]) if request.choose else []
        winners = [ranking[0][0]] if request.choose else [*request.candidates]
        opponent = request.opponent
        is_apart = opponent is not None and not any(are_one_design(opponent, winner) for winner in winners)
        others = [*request.baselines, *([opponent] if opponent is not None and is_apart else [])]
        alone, taught = [*winners, *others], [*winners, *request.baselines]
        if request.taught_only:
            alone, taught = [], alone
        runs: list[RunView] = []
        if request.teachers is not None:  # first, since a folder's weights are read only when they teach
            ranked = [candidate for candidate, _ in ranking]
            runs = retraining.teach(taught, request.num_seeds, request.teachers, request.holdout, ranked)
        if alone:
            runs = [*retraining.finish(alone, request.num_seeds, request.holdout), *runs]
        return ranking, runs


def audit_proxy(
    files: StudyFiles,
    plan: Plan,
    request: AuditRequest,
    machine: Machine,
    observer: Observer,
    interruption: Interruption | None = None,
) -> list[RunView]:
    """Runs of trials at full length on the training split, to compare their values with those of the search.

    Raises:
        InputError: the request is invalid.
        StorageError: a result cannot be written.
        Interrupted: a signal asked for the end.
    """
    num_runs = len(request.candidates) * request.num_seeds
    with _retraining(files, plan, machine, num_runs, observer, interruption) as retraining:
        return retraining.audit([*request.candidates], request.num_seeds)


@contextmanager
def _retraining(
    files: StudyFiles,
    plan: Plan,
    machine: Machine,
    num_runs: int,
    observer: Observer,
    interruption: Interruption | None,
    select: Select = "clean",
) -> Iterator[Retraining]:
    """Full-length training in a study, under its lock, on workers that end with the block. They start once there is
    something to train."""
    dataset = open_study_data(plan)
    hire = machine.hire(dataset, plan.question.seed, num_runs)
    device: DeviceClass = "GPU" if machine.has_gpu else "CPU"
    with locked(files), ExitStack() as fleets:
        if not files.plan.is_file():
            plan.save(files)
        remember(files)

        def fleet() -> Fleet:
            fleet = hire(files)
            fleets.callback(fleet.close)
            return fleet

        yield Retraining(plan, files, fleet, device, observer, interruption, select)


def remember(files: StudyFiles) -> None:
    """Make this the study that commands take when none is named."""
    write_atomically(files.last_used, files.name + "\n")
