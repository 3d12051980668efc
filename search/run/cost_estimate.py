"""How long designs take to train, measured before the first trial, and what a search will take by that."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from statistics import mean

import numpy as np

from models.architecture import Architecture, ArchitectureError
from models.count import count_macs
from search.protocol import Failed, Timed, Timing
from search.space.draws import Draws
from search.study.plan import PrunerName
from search.workers.crew import Crew

NUM_TIMED = 3
MAX_TIMINGS = 3
MAX_DRAWS = 100
# Of the epochs of all trials: asha ends two thirds of them half way, and what median does was measured.
TRAINED_SHARE: dict[PrunerName, float] = {"asha": 2 / 3, "median": 0.6, "none": 1.0}


@dataclass(frozen=True, slots=True)
class Forecast:
    """How long random designs take, by a few that were timed.

    Attributes:
        macs: of the designs timed, in rising order.
        seconds_per_epoch: theirs.
        setup: seconds before the first epoch of a design.
        mean_seconds: of an epoch of all that were drawn, each by its multiply-accumulates.
        num_workers: how many of them are trained at once.
    """

    macs: tuple[int, ...]
    seconds_per_epoch: tuple[float, ...]
    setup: float
    mean_seconds: float
    num_workers: int

    @property
    def seconds_per_mac(self) -> float:
        """Seconds of an epoch for each multiply-accumulate of a network: the most that was measured."""
        return max(seconds / cost for seconds, cost in zip(self.seconds_per_epoch, self.macs, strict=True))

    def of_search(self, num_trials: int, epochs: int, pruner: PrunerName) -> float:
        """Seconds of so many trials, with what the pruner saves."""
        share = TRAINED_SHARE[pruner] if epochs > 1 else 1.0
        return num_trials * (self.setup + share * epochs * self.mean_seconds) / min(self.num_workers, num_trials)

    def num_trials_in(self, seconds: float, epochs: int, pruner: PrunerName) -> int:
        """How many trials take so many seconds at most, with what the pruner saves."""
        one = self.of_search(1, epochs, pruner)
        return int(self.num_workers * seconds / one) if one <= seconds else 0

    def of_design(self, macs: int, epochs: float) -> float:
        """Seconds of so many epochs of a design with so many multiply-accumulates."""
        return self.setup + epochs * _seconds_at(macs, self.macs, self.seconds_per_epoch)

    def of_training(self, epochs: int) -> float:
        """Seconds of one training of so many epochs."""
        return self.setup + epochs * self.mean_seconds


def random_designs(draws: Draws, seed: int, image_size: int) -> list[Architecture]:
    """Different designs within the limits that can take images of this size, from the cheapest to the dearest; they are
    not the trials' draws. Empty where no design is within the limits."""
    rng = np.random.default_rng([seed, 1])
    macs: dict[Architecture, int] = {}
    for _ in range(MAX_DRAWS):
        try:
            architecture = draws.draw(rng)
        except LookupError:
            break
        with suppress(ArchitectureError):
            macs[architecture] = count_macs(architecture, image_size)
    return sorted(macs, key=macs.__getitem__)


def forecast(
    crew: Crew,
    designs: list[Architecture],
    image_size: int,
    time: Callable[[tuple[Architecture, ...]], Timing],
    failed: Callable[[str], None],
    interrupted: Callable[[], bool],
) -> Forecast | None:
    """The forecast by `NUM_TIMED` of the designs, one in the middle of each third of them. All workers time at once, as
    they will train.

    Where these cannot be timed, others are tried, `MAX_TIMINGS` times in all. None if none can be: a search can do
    without, and its trials show what is wrong.

    Args:
        designs: from the cheapest to the dearest.
        time: the task of timing designs.
        failed: is told, in a line, why designs cannot be timed.

    Raises:
        TrainingError: a worker cannot start.
    """
    costs = {design: count_macs(design, image_size) for design in designs}
    left = designs.copy()
    for _ in range(MAX_TIMINGS):
        if not left:
            return None  # nearly every design is impossible at this size of image
        middles = {(2 * third + 1) * len(left) // (2 * NUM_TIMED) for third in range(NUM_TIMED)}
        timed = tuple(left[index] for index in sorted(middles))
        answers = _ask(crew, time(timed), interrupted)
        if answers is None:
            return None
        if good := [answer for answer in answers if isinstance(answer, Timed)]:
            macs = tuple(costs[design] for design in timed)
            seconds = tuple(mean(column) for column in zip(*(one.seconds_per_epoch for one in good), strict=True))
            mean_seconds = mean(_seconds_at(cost, macs, seconds) for cost in costs.values())
            return Forecast(macs, seconds, mean(one.setup for one in good), mean_seconds, len(answers))
        failed(next(answer.reason for answer in answers if isinstance(answer, Failed)))
        left = [design for design in left if design not in timed]
    return None


def _seconds_at(cost: int, macs: tuple[int, ...], seconds: tuple[float, ...]) -> float:
    """Between two designs that were timed, and between none and the cheapest, on a line; above the dearest, as that."""
    if cost > macs[-1]:
        return seconds[-1] * cost / macs[-1]
    return float(np.interp(cost, (0, *macs), (0.0, *seconds)))


def _ask(crew: Crew, timing: Timing, interrupted: Callable[[], bool]) -> list[Timed | Failed] | None:
    """The answers of all workers that are there, or None if somebody has asked for the end."""
    while not crew.has_idle and not interrupted():
        crew.receive()  # the worker of an earlier timing was lost, and a new one is starting
    num_asked = 0
    while crew.has_idle and not interrupted():
        crew.start(f"timing {num_asked}", timing)
        num_asked += 1
    answers: list[Timed | Failed] = []
    while not interrupted():
        if len(answers) == num_asked:
            return answers
        event = crew.receive()
        if event is not None and isinstance(event.message, Timed | Failed):
            answers.append(event.message)
    return None
