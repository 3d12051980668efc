"""The loop of a search: propose, record, dispatch, measure, prune, finish."""

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from models.architecture import Architecture
from models.count import count_macs, count_parameters
from search.errors import TrainingError
from search.protocol import Failed, Finished, Job, Measurement, Paused, Ready, Resumed, Timing, TooSlow
from search.recipe import Recipe, with_epochs
from search.run.accounting import StudyClock
from search.run.cost_estimate import Forecast, forecast, random_designs
from search.run.failures import Failures, too_slow
from search.run.interruption import GRACE_SECONDS, WAIT_SECONDS, Interruption, pause
from search.run.listener import Listener, Outcome, notes_of
from search.run.proposals import hand_made, make_pruner, make_sampler
from search.run.running_trial import RunningTrial
from search.run.time_budget import TIME_IS_OVER, TimeBudget, TimelySampler
from search.run.unfinished import unfinished
from search.space.sampler import SpaceExhaustedError
from search.space.space import Vector
from search.space.thinning import TRAINED
from search.study.plan import Plan, run_seed
from search.study.storage import EXHAUSTED, Record, architecture_of, is_whole
from search.study.way import device_class
from search.workers.crew import Crew, Restarted
from search.workers.fleet import Fleet

FEW_DESIGNS = 50  # in the draws for a forecast: a space of so few may be spent before the trials asked for are trained


class Coordinator:
    """Runs the trials of one study on a fleet, under the study's lock.

    Args:
        interruption: whether somebody has asked for the end; it is asked between any two messages.
        timeout: seconds from now after which no trial begins.
        clock: seconds that only ever grow.
        time_budget: of a search by time, which trains as many trials as it has time for.
    """

    def __init__(
        self,
        plan: Plan,
        record: Record,
        fleet: Fleet,
        listener: Listener,
        interruption: Interruption | None = None,
        timeout: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        time_budget: TimeBudget | None = None,
    ) -> None:
        self.plan = plan
        self.record = record
        self.listener = listener
        self._crew = Crew(fleet, clock)
        self.study_clock = StudyClock(record, lambda: self._crew.num_workers, clock)
        self._interrupted = interruption or Interruption()
        self._clock = clock
        self._deadline = clock() + timeout if timeout is not None else float("inf")
        self._time = time_budget
        if time_budget is not None:
            self._deadline = min(self._deadline, time_budget.end)
        self._hand_made = hand_made(plan.question)
        self._num_trained = record.num_trained
        seen = [architecture_of(trial) for trial in record.trials if is_whole(trial)]
        self.sampler = make_sampler(plan.question, seen, tuple(self._hand_made))
        self._use_sampler()
        self._running: list[RunningTrial] = []
        self._num_trials = sys.maxsize if time_budget is not None else plan.circumstances.num_trials or 0
        self._failures = Failures(self._num_trials)
        self._forecast: Forecast | None = None
        self._num_proposed = 0
        self._waiting: list[RunningTrial] = []
        self._looks_ahead = False
        self._is_prepared = False
        self._early_stop: str | None = None

    def run(self, num_trials: int | None) -> Outcome:
        """Train until the study has `num_trials` trained trials, if so many are asked for, or the time is over.

        Trials that an earlier run left unfinished are trained first, under their own numbers. Those that are not needed
        are left for a run that asks for more.

        Raises:
            InputError: the time is too short.
            TrainingError: no worker can start, or too many trials failed.
            StorageError: the study cannot be written.
        """
        if num_trials is not None:
            self._num_trials = num_trials
        self.prepare()
        while True:
            if self._interrupted():
                self._early_stop = "interrupted"
            elif self._is_late:
                self._early_stop = TIME_IS_OVER
            # Once the time is over, running trials are still trained to their end, unless nobody is there to do so.
            is_overdue = self._time is not None and self._time.is_overdue
            if self._interrupted() or (self._is_late and (is_overdue or not self._crew.num_workers)):
                grace = self._time.grace if self._time is not None and is_overdue else GRACE_SECONDS
                pause(self._crew, self._receive, lambda: bool(self._running), self._clock, grace)
                for trial in self._running:
                    trial.keep(self._crew.seconds(trial))
                break
            if self._wants_more:
                if self._crew.has_idle and (self._waiting or self._propose()):
                    self._dispatch(self._waiting.pop(0))
                elif self._wants_more and self._looks_ahead and not self._waiting and self._has_time_to_look_ahead:
                    self._propose()
            # While no trial is running there may still be work, for a worker that takes the place of a lost one.
            if not self._running and not self._wants_more:
                break
            # Between two proposals the workers are heard: a thousand idle ones may be waiting.
            self._receive(0.0 if self._wants_more and self._crew.has_idle else WAIT_SECONDS)
        num_trained = self._num_trained
        early_stop = self._early_stop if num_trained < self._num_trials else None
        draws, repairs, fallbacks = self.sampler.draws, self.sampler.repairs, self.sampler.fallbacks
        num_unfinished = len(self._waiting) + len(self._running)
        if self._time is not None and self._deadline == self._time.end and not num_unfinished:
            early_stop = None if early_stop == TIME_IS_OVER else early_stop  # a search by time is meant to end so
        return Outcome(
            num_trained,
            self._num_proposed,
            draws,
            repairs,
            fallbacks,
            early_stop,
            self._failures.num_too_slow,
            num_unfinished,
        )

    def _foresee(self) -> None:
        """Time a few designs, and say what the search will take."""
        question, image_size = self.plan.question, self.plan.task.image_size
        designs = random_designs(self.sampler.vector_draws, question.seed, image_size)
        num_ahead = self._num_trials - self._num_trained
        if len(designs) < FEW_DESIGNS and (num_left := self.sampler.num_left) is not None:
            num_ahead = min(num_ahead, len(self._waiting) + num_left)
        if not num_ahead or not designs:
            return
        self._forecast = forecast(
            self._crew,
            designs,
            image_size,
            lambda designs: Timing(designs, self._recipe),
            self.listener.untimed,
            self._must_end,
        )
        if self._time is not None and not self._interrupted():
            num_ahead = self._choose(self._time, num_ahead)
        if self._forecast is not None:
            self.listener.timed(self._forecast, num_ahead)

    def _choose(self, time_budget: TimeBudget, most: int) -> int:
        """Settle by the forecast how long the trials are, and say so. Returns about how many there will be."""
        recipe, pruner = self.plan.question.recipe, self.plan.question.pruner
        choice = time_budget.choose(self._forecast, recipe.epochs, pruner)
        if choice is None:
            return most
        if choice.epochs != recipe.epochs:
            recipe = self._fitting(with_epochs(recipe, choice.epochs))
            self.plan = self.plan.model_copy(update={"question": self.plan.question.changed(recipe=recipe)})
            self._use_sampler()
        choice = replace(choice, num_trials=min(choice.num_trials, most))
        self._failures = Failures(self._num_trained + choice.num_trials)  # as failures, these are the study's
        self.listener.chosen(choice)
        return choice.num_trials

    def _fitting(self, recipe: Recipe) -> Recipe:
        """The recipe, which must still fit to the data.

        Raises:
            RecipeError: it does not: in so few epochs a part of it would do nothing.
        """
        data, num_train = self.plan.question.data, self.plan.circumstances.num_train
        return recipe.fit_to(data.name, num_train, data.image_size, data.channels) if num_train else recipe

    def _use_sampler(self) -> None:
        question, time_budget = self.plan.question, self._time
        sampler: BaseSampler = self.sampler
        if time_budget is not None:
            sampler = TimelySampler(sampler, lambda vector: time_budget.fits(self._macs_of(vector)))
        self.record.use(sampler, make_pruner(question.pruner, question.recipe.epochs))

    def _macs_of(self, vector: Vector) -> int:
        return count_macs(self.plan.question.space.decode(vector, self.plan.task), self.plan.task.image_size)

    @property
    def _has_time_to_look_ahead(self) -> bool:
        running = [self.record.trial(trial.number).user_attrs["macs"] for trial in self._running]
        return self._time is None or self._time.is_far_off(running)

    @property
    def _is_late(self) -> bool:
        return self._clock() > self._deadline

    def _must_end(self) -> bool:
        return self._interrupted() or self._is_late

    @property
    def _wants_more(self) -> bool:
        return self._early_stop is None and self._num_trained + len(self._running) < self._num_trials

    def _propose(self) -> bool:
        """Draw a design, record it and let it wait for a worker. Returns whether there was one to be drawn."""
        try:
            proposed = self.record.propose(self.plan.question.space.distributions)
        except SpaceExhaustedError as error:
            self._early_stop = str(error)
            self.record.set_attribute(EXHAUSTED, str(error))
            return False
        architecture = self.plan.question.space.decode(proposed.params, self.plan.task)
        attributes = {
            "architecture": architecture.to_json(),
            "params": count_parameters(architecture),
            "macs": count_macs(architecture, self.plan.task.image_size),
            "baseline": self._hand_made.get(architecture),
        }
        self._waiting.append(RunningTrial(self.record.accept(proposed, attributes), is_repeated=False))
        self._num_proposed += 1
        return True

    def _dispatch(self, running: RunningTrial) -> None:
        trial = self.record.trial(running.number)
        architecture = architecture_of(trial)
        job = self._job(running.number, architecture)
        self._running.append(running)
        seconds_per_mac = self._forecast.seconds_per_mac if self._forecast is not None else 0.0
        self._crew.start(running, job, seconds_per_mac * trial.user_attrs.get("macs", 0))
        self.listener.began(running.number, architecture)

    @property
    def _recipe(self) -> Recipe:
        """The study's recipe, in the precision that the study began with."""
        recipe, precision = self.plan.question.recipe, self.plan.circumstances.precision
        return recipe.model_copy(update={"precision": precision}) if precision else recipe

    def _job(self, number: int, architecture: Architecture) -> Job:
        """The training of a trial by the study's recipe and limits."""
        question = self.plan.question
        return Job(
            f"trial {number}",
            architecture,
            self._recipe,
            run_seed(question.seed, number),
            "search",
            question.all_limits.max_params,
            max_latency=question.all_limits.latency,
            checkpoints=self.record.files.trial(number),
        )

    def _receive(self, timeout: float) -> None:
        self.study_clock.note()
        event = self._crew.receive(timeout)
        if event is None:
            return
        trial, message, seconds = event.owner, event.message, event.seconds
        if not isinstance(trial, RunningTrial):
            return  # what is left of a timing that was interrupted
        if isinstance(message, Measurement):
            self._measure(trial, message)
            trial.note(seconds)
            # What a checkpoint repeats comes at once, and says nothing of how long epochs take.
            if self._time is not None and message.epoch > trial.repeated_epochs:
                macs = self.record.trial(trial.number).user_attrs["macs"]
                self._time.note(trial.number, macs, seconds, self.plan.question.recipe.time_of(message.epoch))
        elif isinstance(message, Resumed | Restarted):
            if isinstance(message, Restarted):
                trial.restarted(seconds)
            else:
                trial.repeated_epochs = message.epoch
            for note in notes_of(message):
                self.listener.noted(trial.number, note)
        elif isinstance(message, Finished):
            # The next job first, if one waits: the worker need not wait until the end of this one is written. It is
            # busy already where it has taken over from a lost one.
            if self._waiting and self._wants_more and self._crew.has_idle and not self._must_end():
                self._dispatch(self._waiting.pop(0))
            self._end(trial, trial.finished(message, seconds))
        elif isinstance(message, TooSlow):
            reason = too_slow(message.latency, self.plan.question.all_limits.latency)
            self._end(trial, trial.failed(reason, seconds, too_slow=True), reason)
        elif isinstance(message, Failed):
            self._end(trial, trial.failed(message.reason, seconds), message.reason)
        elif isinstance(message, Paused):
            trial.keep(seconds)
            self._running.remove(trial)
            self._waiting.append(trial)

    def _measure(self, trial: RunningTrial, measurement: Measurement) -> None:
        if trial.is_pruned:
            self._crew.stop(trial)  # it was in this epoch already when it was asked to stop, or has begun again since
            return
        self.listener.measured(trial.number, measurement)
        if trial.measured(measurement) and measurement.epoch < self.plan.question.recipe.epochs:
            trial.is_pruned = True
            self._crew.stop(trial)

    def _end(self, trial: RunningTrial, state: TrialState, reason: str | None = None) -> None:
        self._running.remove(trial)
        self._num_trained += state in TRAINED
        shutil.rmtree(self.record.files.trial(trial.number), ignore_errors=True)
        self.listener.ended(trial.number, state, trial.value, reason)
        self._failures.note(self.record.trials, trial.number)

    def prepare(self) -> None:
        """Wait until all workers are ready, or the time is over, and time a few designs. The plan then holds the
        workers' device, their precision and the versions they run, and in a search by time the length of trials.
        Nothing is waited for where all trials are trained.

        Raises:
            InputError: the time is too short.
            TrainingError: no worker can start, or none that trains in the precision of the study.
        """
        if self._is_prepared:
            return
        self._is_prepared = True
        values = [trial.value for trial in self.record.trials if trial.state == TrialState.COMPLETE]
        self.listener.resumed(self._num_trained, max((value for value in values if value is not None), default=None))
        if self.record.attribute(EXHAUSTED, None) is not None:  # limits may admit more by now, or fewer be asked for
            self.record.set_attribute(EXHAUSTED, None)
        self._waiting = [RunningTrial(record, is_repeated=True) for record in unfinished(self.record, self.listener)]
        if self._num_trained >= self._num_trials:
            return
        while not self._crew.is_complete and not self._must_end():
            self._crew.receive(WAIT_SECONDS)
        if self._crew.has_idle:
            self._note(self._crew.ready)
        self._foresee()

    def _note(self, ready: Ready) -> None:
        """Keep what the first worker runs on. The precision of a study stays what its first run chose, on every device.

        A GPU gets its next design at once: one is drawn while it trains, without the result of the last. A CPU, which
        would have to draw it itself, gains nothing by that.
        """
        self._looks_ahead = ready.is_gpu
        before = self.plan.circumstances
        now = before.on(ready.device, ready.peak, ready.precision)
        self.plan = self.plan.model_copy(update={"circumstances": now}).with_circumstances(
            num_train=ready.num_train,
            precision=before.precision or ready.precision if self.plan.question.recipe.precision == "auto" else None,
            versions=before.versions | ready.versions,
        )
        precision = self.plan.precision
        assert precision is not None
        if precision == "fp16" and device_class(ready.device) == "CPU":
            raise TrainingError("precision = fp16, that of the study: needs a CUDA device")
        self.listener.ready(ready.device, precision, now.device if ready.device == now.also_on else None)
