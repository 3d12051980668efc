"""The loop of a search: propose, record, dispatch, report, prune, tell."""

import time
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from models.architecture import Architecture, ArchitectureError
from models.count import count_macs, count_parameters
from search.errors import TrainingError
from search.protocol import Failed, Finished, Fleet, Job, Lost, Measurement, Ready, Timed, Timing, Worker
from search.space.sampler import SpaceExhaustedError
from search.study.plan import Plan
from search.study.proposals import make_pruner, make_sampler
from search.study.storage import Record, architecture_of

MAX_FAILURES_IN_A_ROW = 5
NUM_TIMED = 3
MAX_TIMED_DRAWS = 300
WAIT_SECONDS = 1.0
TRAINED = (TrialState.COMPLETE, TrialState.PRUNED)


class Listener(Protocol):
    """Is told what happens in a search. The numbers of trials are those of the study."""

    def resumed(self, num_trained: int, best: float | None) -> None: ...
    def ready(self, worker: Ready) -> None: ...
    def timed(self, architectures: tuple[Architecture, ...], timed: Timed) -> None: ...
    def began(self, number: int, architecture: Architecture) -> None: ...
    def measured(self, number: int, measurement: Measurement) -> None: ...
    def ended(self, number: int, state: TrialState, value: float | None, reason: str | None) -> None: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a search ended: trained trials in all, vectors drawn for the proposals of this run, and why it stopped
    before its number of trials, if it did."""

    num_trained: int
    num_proposed: int
    draws: int
    fallbacks: int
    early_stop: str | None


@dataclass(slots=True)
class _Running:
    number: int
    is_pruned: bool = False
    value: float | None = None


class Coordinator:
    """Runs the trials of one study on a fleet, under the study's lock."""

    def __init__(self, plan: Plan, record: Record, fleet: Fleet, listener: Listener) -> None:
        self.plan = plan
        self.record = record
        self.fleet = fleet
        self.listener = listener
        self.sampler = make_sampler(plan.question, [architecture_of(t) for t in record.trials if is_whole(t)])
        record.use(self.sampler, make_pruner(plan.question.pruner, plan.question.recipe.epochs))
        self._running: dict[Worker, _Running] = {}
        self._idle: list[Worker] = []
        self._failures_in_a_row = 0
        self._num_proposed = 0
        self._is_prepared = False
        self._early_stop: str | None = None

    def run(self, num_trials: int, timeout: float | None = None) -> Outcome:
        """Train until the study has `num_trials` trained trials, or `timeout` seconds have passed.

        Trials that an earlier run left unfinished are trained first, under their own numbers.

        Raises:
            TrainingError: no worker can start, or too many trials failed.
            StorageError: the study cannot be written.
        """
        deadline = time.monotonic() + timeout if timeout is not None else float("inf")
        self.prepare()
        if self._num_trained() < num_trials:
            self._time_designs()
        interrupted = self._orphans()
        while True:
            if time.monotonic() > deadline:
                self._early_stop = "the time given is over"
            while self._idle and self._early_stop is None:
                if interrupted:
                    self._dispatch(interrupted.pop(0))
                elif not self._wants_more(num_trials) or not self._propose():
                    break
            # Without a trial running there may still be work, for a worker that takes the place of a lost one.
            has_work = self._early_stop is None and (interrupted or self._wants_more(num_trials))
            if not self._running and not has_work:
                break
            self._receive()
        num_trained = self._num_trained()
        early_stop = self._early_stop if num_trained < num_trials else None
        return Outcome(num_trained, self._num_proposed, self.sampler.draws, self.sampler.fallbacks, early_stop)

    def _num_trained(self) -> int:
        return sum(trial.state in TRAINED for trial in self.record.trials)

    def _wants_more(self, num_trials: int) -> bool:
        return self._num_trained() + len(self._running) < num_trials

    def _orphans(self) -> list[int]:
        """Trials found running: only the lock's holder runs trials, so nobody does."""
        found = []
        for trial in self.record.trials:
            if trial.state == TrialState.RUNNING:
                self.record.resume(trial.number)
                if is_whole(trial):
                    found.append(trial.number)
                else:
                    self.record.finish(trial.number, TrialState.FAIL, {"reason": "recorded without its design"})
        return found

    def _propose(self) -> bool:
        """Draw a design, record it and hand it to a worker; False if every feasible design has been tried."""
        try:
            proposed = self.record.propose(self.plan.question.space.distributions)
        except SpaceExhaustedError:
            self._early_stop = f"all {self.sampler.num_feasible} designs within the budget have been tried"
            return False
        architecture = self.plan.question.space.decode(proposed.params, self.plan.task)
        attributes = {
            "architecture": architecture.to_json(),
            "params": count_parameters(architecture),
            "macs": count_macs(architecture, self.plan.task.image_size),
        }
        self._dispatch(self.record.accept(proposed, attributes))
        self._num_proposed += 1
        return True

    def _dispatch(self, number: int) -> None:
        worker = self._idle.pop(0)
        architecture = architecture_of(self.record.trials[number])
        question, precision = self.plan.question, self.plan.circumstances.precision
        recipe = question.recipe.model_copy(update={"precision": precision}) if precision else question.recipe
        self._running[worker] = _Running(number)
        worker.start(
            Job(f"trial {number}", architecture, recipe, run_seed(question.seed, number), "search", question.budget)
        )
        self.listener.began(number, architecture)

    def _receive(self) -> None:
        received = self.fleet.receive(WAIT_SECONDS)
        if received is None:
            return
        worker, message = received
        if isinstance(message, Ready):
            self._idle.append(worker)
            return
        running = self._running.get(worker)
        if running is None:
            raise TrainingError(f"a worker could not start: {_reason(message)}")
        if isinstance(message, Measurement):
            self._report(worker, running, message)
        elif isinstance(message, Finished):
            state = TrialState.PRUNED if running.is_pruned else TrialState.COMPLETE
            self._end(worker, running, state, {"seconds": message.seconds})
            self._idle.append(worker)
        elif isinstance(message, Failed):
            self._end(worker, running, TrialState.FAIL, {"reason": message.reason})
            self._idle.append(worker)
        elif isinstance(message, Lost):
            self._end(worker, running, TrialState.FAIL, {"reason": message.reason})
            self.fleet.replace(worker)

    def _report(self, worker: Worker, running: _Running, measurement: Measurement) -> None:
        if running.is_pruned:
            return  # the worker was already in this epoch when it was told to stop
        running.value = measurement.validation_accuracy
        self.listener.measured(running.number, measurement)
        if self.record.report(running.number, measurement) and measurement.epoch < self.plan.question.recipe.epochs:
            running.is_pruned = True
            worker.stop()

    def _end(self, worker: Worker, running: _Running, state: TrialState, attributes: dict[str, object]) -> None:
        del self._running[worker]
        self.record.finish(running.number, state, attributes)
        reason = attributes.get("reason")
        self.listener.ended(running.number, state, running.value, str(reason) if reason else None)
        self._failures_in_a_row = self._failures_in_a_row + 1 if state == TrialState.FAIL else 0
        failed = [trial for trial in self.record.trials if trial.state == TrialState.FAIL]
        if self._failures_in_a_row >= MAX_FAILURES_IN_A_ROW or len(failed) > self.plan.circumstances.num_trials:
            reasons = Counter(trial.user_attrs.get("reason", "unknown") for trial in failed)
            commonest, times = reasons.most_common(1)[0]
            raise TrainingError(f"{len(failed)} trials failed, {times} of them with: {commonest}")

    def prepare(self) -> None:
        """Wait until all workers are ready. The plan then holds their device, precision and versions.

        Raises:
            TrainingError: no worker can start.
        """
        if self._is_prepared:
            return
        self._is_prepared = True
        values = [trial.value for trial in self.record.trials if trial.state == TrialState.COMPLETE]
        self.listener.resumed(self._num_trained(), max((value for value in values if value is not None), default=None))
        while len(self._idle) < len(self.fleet.workers):
            received = self.fleet.receive(WAIT_SECONDS)
            if received is None:
                continue
            worker, message = received
            if not isinstance(message, Ready):
                raise TrainingError(f"a worker could not start: {_reason(message)}")
            if not self._idle:
                self._note(message)
            self._idle.append(worker)

    def _note(self, ready: Ready) -> None:
        """Keep what the first worker runs on; the precision of a study stays as its first run found it."""
        precision = self.plan.circumstances.precision
        self.plan = self.plan.with_circumstances(
            device=ready.device,
            precision=precision or ready.precision if self.plan.question.recipe.precision == "auto" else None,
            versions=self.plan.circumstances.versions | ready.versions,
        )
        self.listener.ready(ready)

    def _time_designs(self) -> None:
        """Time a few feasible designs, so that the length of the search can be said before it begins."""
        rng = np.random.default_rng([self.plan.question.seed, 1])
        drawn = (self.sampler.vectors.draw(rng) for _ in range(MAX_TIMED_DRAWS))
        architectures = tuple(islice((design for design in drawn if self._takes_images(design)), NUM_TIMED))
        if not architectures:
            return  # nearly every design is impossible at this size of image; the sampler finds one if there is one
        worker = self._idle[0]
        worker.start(Timing(architectures, self.plan.question.recipe))
        while (received := self.fleet.receive(WAIT_SECONDS)) is None:
            pass
        if not isinstance(received[1], Timed):
            raise TrainingError(f"no training step can be timed: {_reason(received[1])}")
        self.listener.timed(architectures, received[1])

    def _takes_images(self, architecture: Architecture) -> bool:
        try:
            count_macs(architecture, self.plan.task.image_size)
        except ArchitectureError:
            return False
        return True


def run_seed(seed: int, number: int) -> int:
    """The seed of a run's initial weights, order of images and augmentation, from the study's seed."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def is_whole(trial: FrozenTrial) -> bool:
    """Whether the trial was recorded with its design; one written by hand may lack it."""
    try:
        architecture_of(trial)
    except (KeyError, ArchitectureError):
        return False
    return True


def _reason(message: object) -> str:
    return message.reason if isinstance(message, Failed | Lost) else f"unexpected {type(message).__name__}"
