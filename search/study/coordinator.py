"""The loop of a search: propose, record, dispatch, report, prune, tell."""

import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from models.architecture import Architecture, ArchitectureError
from models.count import count_macs, count_parameters
from search.errors import TrainingError
from search.protocol import (
    Failed,
    Finished,
    Fleet,
    Job,
    Measurement,
    Paused,
    Ready,
    Resumed,
    Timed,
    Timing,
    TooSlow,
)
from search.space.sampler import SpaceExhaustedError
from search.study.crew import Crew, Restarted
from search.study.interruption import Interruption
from search.study.plan import Plan
from search.study.proposals import make_pruner, make_sampler
from search.study.storage import Record, architecture_of
from search.study.warm_start import hand_made

MAX_FAILURES_IN_A_ROW = 5
MAX_TOO_SLOW_IN_A_ROW = 100
NUM_TIMED = 3
MAX_TIMED_DRAWS = 300
WAIT_SECONDS = 1.0
GRACE_SECONDS = 5.0
TRAINED = (TrialState.COMPLETE, TrialState.PRUNED)


class Listener(Protocol):
    """Is told what happens in a search. The numbers of trials are those of the study."""

    def resumed(self, num_trained: int, best: float | None) -> None: ...
    def ready(self, worker: Ready) -> None: ...
    def timed(self, architectures: tuple[Architecture, ...], timed: Timed) -> None: ...
    def began(self, number: int, architecture: Architecture) -> None: ...
    def measured(self, number: int, measurement: Measurement) -> None: ...
    def noted(self, number: int, text: str) -> None: ...
    def ended(self, number: int, state: TrialState, value: float | None, reason: str | None) -> None: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a search ended: trained trials in all, vectors drawn for the proposals of this run, and why it stopped
    before its number of trials, if it did. Of the proposals, `repairs` were moved into the limits, and `fallbacks` are
    uniform draws in the place of the sampler's. `too_slow` designs missed the limit of latency and were not trained."""

    num_trained: int
    num_proposed: int
    draws: int
    repairs: int
    fallbacks: int
    early_stop: str | None
    too_slow: int = 0


@dataclass(slots=True)
class _Running:
    is_pruned: bool = False
    value: float | None = None


class Coordinator:
    """Runs the trials of one study on a fleet, under the study's lock.

    Args:
        interruption: whether somebody has asked for the end; looked at between any two messages.
        clock: seconds that only ever grow.
    """

    def __init__(
        self,
        plan: Plan,
        record: Record,
        fleet: Fleet,
        listener: Listener,
        interruption: Interruption | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plan = plan
        self.record = record
        self.listener = listener
        self._crew = Crew(fleet, clock)
        self._interrupted = interruption or Interruption()
        self._clock = clock
        self._hand_made = hand_made(plan.task) if plan.question.warm_start else {}
        seen = [architecture_of(trial) for trial in record.trials if is_whole(trial)]
        self.sampler = make_sampler(plan.question, seen, tuple(self._hand_made))
        record.use(self.sampler, make_pruner(plan.question.pruner, plan.question.recipe.epochs))
        self._running: dict[int, _Running] = {}
        self._seconds_per_mac = 0.0
        self._failures_in_a_row = 0
        self._num_proposed = 0
        self._num_too_slow = 0
        self._too_slow_in_a_row = 0
        self._is_prepared = False
        self._early_stop: str | None = None

    def run(self, num_trials: int, timeout: float | None = None) -> Outcome:
        """Train until the study has `num_trials` trained trials, or `timeout` seconds have passed.

        Trials that an earlier run left unfinished are trained first, under their own numbers.

        Raises:
            TrainingError: no worker can start, or too many trials failed.
            StorageError: the study cannot be written.
        """
        deadline = self._clock() + timeout if timeout is not None else float("inf")
        self.prepare()
        if self._num_trained() < num_trials:
            self._time_designs()
        unfinished = self._unfinished()
        while True:
            if self._clock() > deadline:
                self._early_stop = "the time given is over"
            if self._interrupted():
                self._pause()
                break
            while self._crew.has_idle and self._early_stop is None:
                if unfinished:
                    self._dispatch(unfinished.pop(0))
                elif not self._wants_more(num_trials) or not self._propose():
                    break
            # Without a trial running there may still be work, for a worker that takes the place of a lost one.
            has_work = self._early_stop is None and (unfinished or self._wants_more(num_trials))
            if not self._running and not has_work:
                break
            self._receive()
        num_trained = self._num_trained()
        early_stop = self._early_stop if num_trained < num_trials else None
        draws, repairs, fallbacks = self.sampler.draws, self.sampler.repairs, self.sampler.fallbacks
        return Outcome(num_trained, self._num_proposed, draws, repairs, fallbacks, early_stop, self._num_too_slow)

    def _num_trained(self) -> int:
        return sum(trial.state in TRAINED for trial in self.record.trials)

    def _wants_more(self, num_trials: int) -> bool:
        return self._num_trained() + len(self._running) < num_trials

    def _unfinished(self) -> list[int]:
        """Trials found running: only the lock's holder runs trials, so nobody does."""
        found = []
        for trial in self.record.trials:
            if trial.state == TrialState.RUNNING:
                self.record.resume(trial.number)
                if is_whole(trial):
                    found.append(trial.number)
                else:
                    self.record.finish(trial.number, TrialState.FAIL, {"reason": "recorded without its design"})
            else:  # an earlier run may have been killed right after it recorded the end
                shutil.rmtree(self.record.files.trial(trial.number), ignore_errors=True)
        return found

    def _propose(self) -> bool:
        """Draw a design, record it and hand it to a worker; False if every feasible design has been tried."""
        try:
            proposed = self.record.propose(self.plan.question.space.distributions)
        except SpaceExhaustedError as error:
            self._early_stop = str(error)
            return False
        architecture = self.plan.question.space.decode(proposed.params, self.plan.task)
        attributes = {
            "architecture": architecture.to_json(),
            "params": count_parameters(architecture),
            "macs": count_macs(architecture, self.plan.task.image_size),
            "baseline": self._hand_made.get(architecture),
        }
        self._dispatch(self.record.accept(proposed, attributes))
        self._num_proposed += 1
        return True

    def _dispatch(self, number: int) -> None:
        architecture = architecture_of(self.record.trials[number])
        question, precision = self.plan.question, self.plan.circumstances.precision
        recipe = question.recipe.model_copy(update={"precision": precision}) if precision else question.recipe
        job = Job(
            f"trial {number}",
            architecture,
            recipe,
            run_seed(question.seed, number),
            "search",
            question.all_limits.most_params,
            max_latency=question.all_limits.latency,
            checkpoints=self.record.files.trial(number),
        )
        macs = self.record.trials[number].user_attrs.get("macs", 0)
        self._running[number] = _Running()
        self._crew.start(number, job, self._seconds_per_mac * macs)
        self.listener.began(number, architecture)

    def _receive(self, timeout: float = WAIT_SECONDS) -> None:
        event = self._crew.receive(timeout)
        if event is None:
            return
        number, message = event.key, event.message
        assert isinstance(number, int)
        if isinstance(message, Measurement):
            self._report(number, message)
        elif isinstance(message, Resumed):
            self._tell_resumed(number, message)
        elif isinstance(message, Restarted):
            if not self._running[number].is_pruned:  # else it keeps its history: what is repeated is not looked at
                self.record.resume(number)
            self.listener.noted(number, f"{message.reason}; goes on in a new process")
        elif isinstance(message, Finished):
            state = TrialState.PRUNED if self._running[number].is_pruned else TrialState.COMPLETE
            self._end(number, state, {"seconds": message.seconds})
        elif isinstance(message, TooSlow):
            self._num_too_slow += 1
            self._too_slow_in_a_row += 1
            self._end(number, TrialState.FAIL, {"reason": _too_slow(message, self.plan), "too_slow": True})
        elif isinstance(message, Failed):
            self._end(number, TrialState.FAIL, {"reason": message.reason})
        elif isinstance(message, Paused):
            del self._running[number]

    def _tell_resumed(self, number: int, message: Resumed) -> None:
        for text in message.refused:
            self.listener.noted(number, text)
        self.listener.noted(number, f"goes on after epoch {message.epoch}" if message.epoch else "begins again")

    def _report(self, number: int, measurement: Measurement) -> None:
        running = self._running[number]
        if running.is_pruned:
            self._crew.stop(number)  # it was already in this epoch when it was told, or has begun again since
            return
        running.value = measurement.validation_accuracy
        self.listener.measured(number, measurement)
        if self.record.report(number, measurement) and measurement.epoch < self.plan.question.recipe.epochs:
            running.is_pruned = True
            self._crew.stop(number)

    def _end(self, number: int, state: TrialState, attributes: dict[str, object]) -> None:
        running = self._running.pop(number)
        self.record.finish(number, state, attributes)
        shutil.rmtree(self.record.files.trial(number), ignore_errors=True)
        reason = attributes.get("reason")
        self.listener.ended(number, state, running.value, str(reason) if reason else None)
        if "too_slow" in attributes:  # a design that missed a limit is no failure of the training
            if self._too_slow_in_a_row == MAX_TOO_SLOW_IN_A_ROW:
                raise TrainingError(f"{MAX_TOO_SLOW_IN_A_ROW} designs in a row were too slow; the last had {reason}")
            return
        self._too_slow_in_a_row = 0
        self._failures_in_a_row = self._failures_in_a_row + 1 if state == TrialState.FAIL else 0
        failures = [trial for trial in self.record.trials if trial.state == TrialState.FAIL]
        failed = [trial for trial in failures if "too_slow" not in trial.user_attrs]
        if self._failures_in_a_row >= MAX_FAILURES_IN_A_ROW or len(failed) > self.plan.circumstances.num_trials:
            reasons = Counter(trial.user_attrs.get("reason", "unknown") for trial in failed)
            commonest, times = reasons.most_common(1)[0]
            raise TrainingError(f"{len(failed)} trials failed, {times} of them with: {commonest}")

    def _pause(self) -> None:
        """End with checkpoints what ends its epoch soon; the rest has those it has."""
        self._early_stop = "interrupted"
        self._crew.pause()
        deadline = self._clock() + GRACE_SECONDS
        while self._running and (left := deadline - self._clock()) > 0:
            self._receive(min(left, WAIT_SECONDS))

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
        while not self._crew.is_complete and not self._interrupted():
            self._crew.receive(WAIT_SECONDS)
        if self._crew.has_idle:
            self._note(self._crew.ready)

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
        if not architectures or not self._crew.has_idle:
            return  # nearly every design is impossible at this size of image; the sampler finds one if there is one
        self._crew.start("timing", Timing(architectures, self.plan.question.recipe))
        event = None
        while not self._interrupted() and (event is None or isinstance(event.message, Restarted)):
            event = self._crew.receive(WAIT_SECONDS)
        if event is None:
            return
        if not isinstance(event.message, Timed):
            raise TrainingError(f"no training step can be timed: {getattr(event.message, 'reason', event.message)}")
        macs = [count_macs(architecture, self.plan.task.image_size) for architecture in architectures]
        seconds = event.message.seconds_per_epoch
        self._seconds_per_mac = max(each / most for each, most in zip(seconds, macs, strict=True))
        self.listener.timed(architectures, event.message)

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


def _too_slow(message: TooSlow, plan: Plan) -> str:
    limit = plan.question.all_limits.latency
    assert limit is not None
    return f"latency = {1e3 * message.latency:.3g} ms: the limit is {1e3 * limit:.3g} ms"
