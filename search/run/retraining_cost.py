"""How long a retraining will take, by the pace at which the search trained its networks."""

from collections.abc import Iterable, Sequence
from math import ceil
from statistics import fmean
from typing import NamedTuple

from search.study.rounds import NUM_FINALIST_SEEDS, NUM_LEADERS, finalist_epochs, tells_dropouts
from search.study.view import TrialView


class Wave(NamedTuple):
    """Runs of one length that are trained side by side, as far as there are workers.

    Attributes:
        pace: how many times as long an epoch takes as that of the networks whose pace is known.
    """

    num_runs: int
    epochs: int
    pace: float = 1.0


def finalists_waves(num_candidates: int, num_dropouts: int, epochs: int, searched: int) -> list[Wave]:
    """What is trained to choose among so many candidates and so many dropouts.

    Args:
        epochs: the full length.
        searched: the epochs of a trial.
    """
    length = finalist_epochs(epochs, searched)
    num_rivals = num_dropouts - 1 if tells_dropouts(epochs, searched) else 0
    num_leaders = min(num_candidates, NUM_LEADERS)
    runs = [num_leaders * NUM_FINALIST_SEEDS]
    if num_candidates > num_leaders:
        runs = [num_candidates, num_leaders * (NUM_FINALIST_SEEDS - 1)]
    return [Wave(number, length) for number in (*runs, num_rivals * NUM_FINALIST_SEEDS) if number]


def most_at_once(num_candidates: int, num_finals: int, num_teachers: int, num_dropouts: int) -> int:
    """The most runs that can be trained side by side.

    Args:
        num_candidates: among which a finalists' round chooses; 0 where there is none.
        num_finals: final runs, those of all seeds.
        num_teachers: of these; 0 where nobody teaches.
        num_dropouts: in the study's space.
    """
    most = max(num_finals, num_teachers)
    if not num_candidates:
        return most
    num_rivals = max(min(num_candidates, NUM_LEADERS), num_dropouts - 1)
    return max(most, num_candidates, NUM_FINALIST_SEEDS * num_rivals)


def seconds_of(waves: Iterable[Wave], seconds_per_epoch: float, num_workers: int) -> float:
    """Seconds by the clock, if an epoch takes so long while all workers train."""
    return sum(ceil(wave.num_runs / num_workers) * wave.epochs * wave.pace for wave in waves) * seconds_per_epoch


def unequal_waves(paces: Iterable[float], epochs: int, num_workers: int) -> list[Wave]:
    """A run of each pace, the slowest first, side by side as far as there are workers: the slowest of them ends a wave.

    Args:
        paces: how many times as long an epoch of each takes as that of the networks whose pace is known.
    """
    slowest_first = sorted(paces, reverse=True)
    together = [slowest_first[begin : begin + num_workers] for begin in range(0, len(slowest_first), num_workers)]
    return [Wave(len(wave), epochs, wave[0]) for wave in together]


def teaching_waves(
    ratios: Sequence[float], paces: Iterable[float], epochs: int, are_trained: bool, num_workers: int
) -> list[Wave]:
    """Runs of the teachers, if they are trained in the study, and of those whom they teach.

    A teacher of a network's own size adds a quarter to its step: the pass forward, of a step that goes backward too
    and through augmentation and optimizer (measured, benchmarks/LOG.md).

    Args:
        ratios: how many times the multiply-accumulates of the networks whose pace is known each teacher has.
        paces: how many times as long as that of these networks an epoch of each that is taught takes without teachers.
    """
    teachers = [Wave(len(ratios), epochs, fmean(ratios))] if are_trained else []
    return [*teachers, *unequal_waves([pace + sum(ratios) / 4 for pace in paces], epochs, num_workers)]


def seconds_per_epoch(trials: Iterable[TrialView]) -> float | None:
    """The mean of trials that were trained; None if there is none."""
    paces = [fmean(epoch.seconds for epoch in trial.history) for trial in trials if trial.history]
    return fmean(paces) if paces else None
