"""A retraining by time: among how many finalists it chooses, and for how many epochs it trains."""

from collections.abc import Callable, Sequence
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


def choose_length(
    seconds: float,
    pace: Callable[[int], float],
    num_workers: int,
    *,
    tops: Sequence[int],
    num_finals: int,
    with_guess: bool,
    num_dropouts: int,
    searched: int,
    teaching: Callable[[int], Sequence[Wave]] = lambda epochs: (),
    least: int = 1,
) -> Length:
    """The most finalists of those offered for which final runs have half of the time and `least` epochs, and the epochs
    that then fit.

    Where even among the fewest choosing takes more, it is among these. Teachers and whom they teach count as final.

    Args:
        pace: seconds of an epoch of the best so many trials, while all workers train.
        tops: numbers of trials among which to choose.
        num_finals: runs at full length.
        with_guess: whether a guess is one more finalist.
        searched: the epochs of a trial.
        teaching: the runs of teachers and of those whom they teach, if final runs have so many epochs.

    Raises:
        InputError: the time is too short for one epoch.
    """

    def finals(epochs: int) -> list[Wave]:
        return [Wave(num_finals, epochs), *teaching(epochs)]

    for top in sorted(tops, reverse=True):

        def choosing(epochs: int, top: int = top) -> list[Wave]:
            return finalists_waves(top + with_guess, num_dropouts, epochs, searched) if top > 1 else []

        def waves(epochs: int, top: int = top) -> list[Wave]:
            return [*choosing(epochs, top), *finals(epochs)]

        epochs = epochs_within(seconds, waves, pace(top), num_workers)
        final = seconds_of(finals(epochs), pace(top), num_workers)
        is_long = final >= FINAL_SHARE * seconds_of(waves(epochs), pace(top), num_workers) and epochs >= least
        if epochs and (top == min(tops) or is_long):
            return Length(top, epochs)
    shortest = (START_SECONDS + seconds_of(waves(1), pace(top), num_workers)) / (1 - RESERVE)
    raise InputError(f"too short for one epoch of all that is to be trained, which takes about {ceil(shortest)} s here")
