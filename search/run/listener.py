"""What a search and a retraining report while they run, and how a search ended."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from optuna.trial import TrialState

from models.architecture import Architecture
from search.protocol import Job, Measurement, Resumed
from search.run.cost_estimate import Forecast
from search.run.time_budget import Choice
from search.study.view import RunView
from search.trained_network import Precision
from search.workers.crew import Restarted


class Listener(Protocol):
    """Hears what happens in a search. The numbers of trials are those of the study. `began_on` is the device of its
    earlier trials where it is of another kind; a forecast is for the `num_trials` that are left to train. A choice is
    that of a search by time, and comes before the forecast it was made by."""

    def resumed(self, num_trained: int, best: float | None) -> None: ...
    def ready(self, device: str, precision: Precision, began_on: str | None) -> None: ...
    def timed(self, forecast: Forecast, num_trials: int) -> None: ...
    def chosen(self, choice: Choice) -> None: ...
    def untimed(self, reason: str) -> None: ...
    def began(self, number: int, architecture: Architecture) -> None: ...
    def measured(self, number: int, measurement: Measurement) -> None: ...
    def noted(self, number: int, text: str) -> None: ...
    def ended(self, number: int, state: TrialState, value: float | None, reason: str | None) -> None: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a search ended.

    Attributes:
        num_trained: trained trials of the study in all.
        num_proposed: designs that this run proposed.
        draws: vectors of the search space that were drawn for them.
        repairs: proposals that were moved into the limits.
        fallbacks: proposals that are random draws in the place of the sampler's.
        early_stop: why it stopped before its number of trials; None if it did not.
        too_slow: designs that missed the limit of latency and were not trained.
        num_unfinished: trials that were interrupted, now or in an earlier run, and wait to be gone on with.
    """

    num_trained: int
    num_proposed: int
    draws: int
    repairs: int
    fallbacks: int
    early_stop: str | None
    too_slow: int = 0
    num_unfinished: int = 0


@dataclass(frozen=True, slots=True)
class Observer:
    """Hears what happens in a retraining: every epoch of every run, notes of a line, when a run begins or goes on, and
    how it ended: its result, or None if it failed."""

    on_epoch: Callable[[Job, Measurement], None] = lambda job, measurement: None
    on_note: Callable[[Job, str], None] = lambda job, text: None
    on_begin: Callable[[Job], None] = lambda job: None
    on_end: Callable[[Job, RunView | None], None] = lambda job, view: None


def notes_of(message: Resumed | Restarted) -> list[str]:
    """What people read of a job that was resumed or restarted: a line each."""
    if isinstance(message, Restarted):
        return [f"{message.reason}; goes on in a new process"]
    return [*message.refused, f"goes on after epoch {message.epoch}" if message.epoch else "begins again"]
