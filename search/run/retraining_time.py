"""A retraining by time: among how many finalists it chooses, and for how many epochs it trains."""

from collections.abc import Callable, Iterable, Sequence
from math import ceil
from typing import NamedTuple

from search.errors import InputError
from search.run.retraining_cost import Wave, finalists_waves, seconds_of

MOST_FINALISTS = 9
FINAL_SHARE = 0.5  # of the time is for final runs, or more
START_SECONDS = 8.0  # of the command and its workers
RESERVE = 0.03  # of the time, for the test set and for what a pace does not tell
LONGEST = 10_000  # epochs that a recipe may have


class Length(NamedTuple):
    """Among how many trials a winner is chosen (1: the best is taken), and the epochs of a final run."""

    top: int
    epochs: int


class Work(NamedTuple):
    """What is trained if a winner is chosen among so many trials.

    Attributes:
        top: so many; 1: the best is taken, or others are named.
        num_finalists: these trials and the guess that joins them; 0 where nothing is to be chosen.
        seconds_per_epoch: of their networks, while all workers train.
        num_workers: so many of them.
        finals: the runs at full length, with those of teachers and of whom they teach, if they have so many epochs.
    """

    top: int
    num_finalists: int
    seconds_per_epoch: float
    num_workers: int
    finals: Callable[[int], Sequence[Wave]]


def epochs_within(
    seconds: float, waves: Callable[[int], Sequence[Wave]], seconds_per_epoch: float, num_workers: int
) -> int:
    """The most epochs for which all waves fit into the time; 0 if not even one does.

    Args:
        waves: what is trained if final runs have so many epochs.
    """
    left = (1 - RESERVE) * seconds - START_SECONDS
    longest = LONGEST if left >= LONGEST * seconds_per_epoch else int(left / seconds_per_epoch)
    lengths = range(longest, 0, -1)
    return next((epochs for epochs in lengths if seconds_of(waves(epochs), seconds_per_epoch, num_workers) <= left), 0)


def choose_length(seconds: float, works: Iterable[Work], *, num_dropouts: int, searched: int, least: int = 1) -> Length:
    """The most finalists of those offered for which final runs have half of the time and `least` epochs, and the epochs
    that then fit.

    Where even among the fewest choosing takes more, it is among these. Teachers and whom they teach count as final.

    Args:
        works: one for each number of trials among which to choose.
        searched: the epochs of a trial.

    Raises:
        InputError: the time is too short for one epoch.
    """
    fewest_last = sorted(works, key=lambda work: -work.top)
    for work in fewest_last:

        def waves(epochs: int, work: Work = work) -> list[Wave]:
            choosing = finalists_waves(work.num_finalists, num_dropouts, epochs, searched) if work.num_finalists else []
            return [*choosing, *work.finals(epochs)]

        pace, num_workers = work.seconds_per_epoch, work.num_workers
        epochs = epochs_within(seconds, waves, pace, num_workers)
        final = seconds_of(work.finals(epochs), pace, num_workers)
        is_long = final >= FINAL_SHARE * seconds_of(waves(epochs), pace, num_workers) and epochs >= least
        if epochs and (work is fewest_last[-1] or is_long):
            return Length(work.top, epochs)
    shortest = (START_SECONDS + seconds_of(waves(1), pace, num_workers)) / (1 - RESERVE)
    raise InputError(f"too short for one epoch of all that is to be trained, which takes about {ceil(shortest)} s here")
