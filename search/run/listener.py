"""What a search tells: of every step while it runs, and in the end how it ended."""

from dataclasses import dataclass
from typing import Protocol

from optuna.trial import TrialState

from models.architecture import Architecture
from search.protocol import Measurement, Ready, Timed


class Listener(Protocol):
    """Is told what happens in a search. The numbers of trials are those of the study."""

    def resumed(self, num_trained: int, best: float | None) -> None: ...
    def ready(self, worker: Ready) -> None: ...
    def timed(self, architectures: tuple[Architecture, ...], timed: Timed) -> None: ...
    def untimed(self, reason: str) -> None: ...
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
