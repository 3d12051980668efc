"""A search by time: how many trials of which length fit into it, and whether one more still does."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.errors import InputError
from search.run.cost_estimate import TRAINED_SHARE, Forecast
from search.run.interruption import GRACE_SECONDS
from search.space.sampler import SpaceExhaustedError
from search.study.plan import PrunerName

# The policy. A search wants so many trials before it wants long ones, but none shorter than a share of the recipe's
# epochs, and without three there is nothing to choose among.
ENOUGH_TRIALS = 30
SHORTEST_SHARE = 1 / 3
FEWEST_TRIALS = 3

# Shares of the time asked for, so that a search is at most a tenth late: when a trial may end, when those still running
# are paused, and how long they then have for their epoch. The rest is for workers, which take a second or two to end.
LATE_END = 0.01
OVERDUE = 0.03
GRACE = 0.02
MAX_DRAWS = 20  # for a design that still fits
TIME_IS_OVER = "the time given is over"


@dataclass(frozen=True, slots=True)
class Choice:
    """What fits into the time that is left.

    Attributes:
        num_trials: about how many; the search goes on while there is time.
        epochs: of each, in the whole study.
        num_timed: the designs whose timing says so.
        seconds: what was asked for.
        seconds_left: of these, by now.
    """

    num_trials: int
    epochs: int
    num_timed: int
    seconds: float
    seconds_left: float


def choose(
    forecast: Forecast, seconds: float, epochs: int, pruner: PrunerName, may_shorten: bool = True
) -> tuple[int, int]:
    """How many trials fit into so many seconds, and their epochs.

    They are as long as asked for where `ENOUGH_TRIALS` fit, and else as much shorter as that takes, but not shorter
    than `SHORTEST_SHARE` of it.

    Args:
        epochs: of a trial by its recipe.
        may_shorten: whether trials may have fewer.
    """
    shortest = max(1, ceil(epochs * SHORTEST_SHARE)) if may_shorten else epochs
    lengths = range(epochs, shortest - 1, -1)
    numbers = {length: forecast.num_trials_in(seconds, length, pruner) for length in lengths}
    length = next((length for length in lengths if numbers[length] >= ENOUGH_TRIALS), shortest)
    return numbers[length], length


class TimeBudget:
    """The time of one run of a search, from the command's start.

    A forecast is rough, so it is corrected by the trials that are trained: all are taken to be slower or faster by the
    same factor. A trial begins only if it is likely to end near the end of the time, and by `LATE_END` after it even
    where it is not pruned.

    Args:
        seconds: how long the run may take.
        began: when it did, by the clock.
        may_shorten: whether trials may be shorter than the recipe says: in a new study, where nobody gave a length.
        clock: seconds that only ever grow.
    """

    def __init__(
        self, seconds: float, began: float, may_shorten: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.seconds = seconds
        self.end = began + seconds
        self._may_shorten = may_shorten
        self._clock = clock
        self._forecast: Forecast | None = None
        self._epochs = 1
        self._share = 1.0
        self._num_epochs: defaultdict[int, float] = defaultdict(float)
        self._predicted: dict[int, float] = {}
        self._measured: dict[int, float] = {}

    @property
    def left(self) -> float:
        """Seconds to the end."""
        return self.end - self._clock()

    @property
    def is_overdue(self) -> bool:
        """Whether trials that are still running must be paused."""
        return self.left < -OVERDUE * self.seconds

    @property
    def grace(self) -> float:
        """Seconds for the epochs of paused trials to end."""
        return min(GRACE_SECONDS, GRACE * self.seconds)

    def choose(self, forecast: Forecast | None, epochs: int, pruner: PrunerName) -> Choice | None:
        """What fits into the time; None if no design could be timed. Then a run goes on while there is time.

        Raises:
            InputError: the time is too short.
        """
        self._forecast, self._epochs = forecast, epochs
        self._share = TRAINED_SHARE[pruner]
        text = f"time = {_written(self.seconds)}: too short for three trials"
        if self.left <= 0:
            raise InputError(f"{text}: it was over before the first could begin")
        if forecast is None:
            return None
        num_trials, self._epochs = choose(forecast, self.left, epochs, pruner, self._may_shorten)
        if num_trials < FEWEST_TRIALS:
            needed = self.seconds - self.left + forecast.of_search(FEWEST_TRIALS, self._epochs, pruner)
            raise InputError(f"{text}, which take about {_about(needed)} here")
        return Choice(num_trials, self._epochs, len(forecast.macs), self.seconds, self.left)

    def note(self, number: int, macs: int, seconds: float, length: float = 1.0) -> None:
        """Learn from an epoch of a trial with so many multiply-accumulates, which has now taken so many seconds.

        Args:
            length: of this epoch, to the mean of a trial's epochs (`Recipe.time_of`).
        """
        self._num_epochs[number] += length
        self._predicted[number] = self._forecast_of(macs, self._num_epochs[number])
        self._measured[number] = seconds

    def fits(self, macs: int) -> bool:
        """Whether a trial that begins now, with so many multiply-accumulates, would end near the end of the time."""
        longest, expected = self._expected(macs, self._epochs), self._expected(macs, self._share * self._epochs)
        return longest <= self.left + LATE_END * self.seconds and expected / 2 <= self.left

    def is_far_off(self, running: Sequence[int]) -> bool:
        """Whether the end is so far off that a trial may be proposed before a worker is free.

        Args:
            running: the multiply-accumulates of the trials that are running.
        """
        if self._forecast is None:
            return False
        longest = [self._expected(macs, self._epochs) for macs in (*running, max(self._forecast.macs))]
        return self.left > 2 * sum(longest)

    def _expected(self, macs: int, epochs: float) -> float:
        """Seconds of so many epochs, by the forecast and what trials have taken so far."""
        prior = self._forecast.mean_seconds if self._forecast is not None else 0.0  # weighs as much as one epoch
        predicted = prior + sum(self._predicted.values())
        factor = (prior + sum(self._measured.values())) / predicted if predicted else 0.0
        return factor * self._forecast_of(macs, epochs)

    def _forecast_of(self, macs: int, epochs: float) -> float:
        """Seconds by the forecast alone; without one, in a unit of their own."""
        return self._forecast.of_design(macs, epochs) if self._forecast is not None else epochs * macs


class TimelySampler(BaseSampler):
    """Draws from another sampler until a design fits into the time that is left.

    The other sampler takes a design that was drawn and did not fit for one that was tried. So where it has none left,
    but some did not fit, it is the time that ends the search; a later run, which knows the trials alone, may draw them.

    Args:
        fits: whether a vector of the space does.
    """

    def __init__(self, base: BaseSampler, fits: Callable[[dict[str, Any]], bool]) -> None:
        self._base = base
        self._fits = fits
        self._was_any_too_long = False

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._base.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """
        Raises:
            SpaceExhaustedError: none of `MAX_DRAWS` designs fits, or there is no design left.
        """
        for _ in range(MAX_DRAWS):
            try:
                vector = self._base.sample_relative(study, trial, search_space)
            except SpaceExhaustedError:
                if self._was_any_too_long:
                    break
                raise
            if self._fits(vector):
                return vector
            self._was_any_too_long = True
        raise SpaceExhaustedError(TIME_IS_OVER)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._base.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        self._base.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._base.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._base.after_trial(study, trial, state, values)


def _written(seconds: float) -> str:
    """A time as `--time` takes it: 90s, 30m, 2h."""
    for size, unit in ((3600, "h"), (60, "m")):
        if seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def _about(seconds: float) -> str:
    return f"{ceil(seconds)} s" if seconds < 120 else f"{ceil(seconds / 60)} min"
