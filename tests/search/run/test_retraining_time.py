"""A retraining by time: everything fits, and final runs have half of it or more."""

from collections.abc import Callable
from typing import Any

import pytest

from search.errors import InputError
from search.run.retraining_cost import Wave, finalists_waves, seconds_of, teaching_waves
from search.run.retraining_time import FINAL_SHARE, RESERVE, START_SECONDS, Length, Work, choose_length, epochs_within


def length(
    seconds: float,
    tops: range | list[int],
    pace: float = 1.0,
    num_finals: int = 2,
    teaching: Callable[[int], list[Wave]] = lambda epochs: [],
    **options: Any,
) -> Length:
    """Where the guess is one more finalist."""
    finals = lambda epochs: [Wave(num_finals, epochs), *teaching(epochs)]  # noqa: E731
    works = [Work(top, top + 1 if top > 1 else 0, pace, 2, finals) for top in tops]
    return choose_length(seconds, works, num_dropouts=3, searched=4, **options)


@pytest.mark.parametrize("seconds", [20, 40, 70, 150, 400, 3000])
def test_it_takes_as_long_as_it_may_and_final_runs_have_half(seconds: int) -> None:
    def cost(top: int, epochs: int) -> tuple[float, float]:
        choosing = finalists_waves(top + 1, 3, epochs, 4) if top > 1 else []
        return seconds_of(choosing, 1.0, 2), seconds_of([Wave(2, epochs)], 1.0, 2)

    left = (1 - RESERVE) * seconds - START_SECONDS
    top, epochs = length(seconds, range(1, 10))
    choosing, final = cost(top, epochs)
    assert choosing + final <= left < sum(cost(top, epochs + 1))
    assert top == 1 or final >= FINAL_SHARE * (choosing + final)
    more = [length(seconds, [other]) for other in range(top + 1, 10)]
    assert all(cost(*other)[0] > cost(*other)[1] for other in more), "with more finalists, choosing would take more"


def test_a_longer_time_has_more_finalists_until_there_are_enough() -> None:
    tops = [length(seconds, range(1, 10)).top for seconds in (20, 100, 1000)]
    assert tops == sorted(tops) and tops[0] < tops[-1] == 9
    assert length(100, [9]).top == 9, "so many were asked for"


def test_rivals_never_take_away_the_fewest_epochs_that_are_wanted() -> None:
    def teaching(epochs: int) -> list[Wave]:
        return teaching_waves([1.0, 1.0], [1.0, 1.0], epochs, are_trained=True, num_workers=2)

    def are_long(**options: Any) -> list[bool]:
        lengths = [length(seconds, range(2, 10), num_finals=0, teaching=teaching, **options) for seconds in times]
        return [each.epochs >= 30 for each in lengths]

    times = range(60, 400)
    is_long, without = are_long(least=30), are_long()
    assert is_long == sorted(is_long) and not is_long[0] and is_long[-1]
    assert without != sorted(without), "more time is first spent on more finalists"


def test_lengths_without_rivals_are_found_beyond_those_with_them() -> None:
    """Up to full length finalists try dropouts too; longer final runs may cost less in all."""

    def waves(epochs: int) -> list[Wave]:
        return [*finalists_waves(9, 3, epochs, 4), Wave(2, epochs)]

    assert seconds_of(waves(13), 1.0, 2) < seconds_of(waves(12), 1.0, 2)
    fitting = (seconds_of(waves(13), 1.0, 2) + START_SECONDS) / (1 - RESERVE)
    assert epochs_within(fitting + 0.01, waves, 1.0, 2) == 13


def test_a_time_too_short_for_an_epoch_is_refused_and_the_shortest_is_said() -> None:
    with pytest.raises(InputError, match="takes about 31 s here"):
        length(30, [9], pace=2.0, num_finals=3)
    assert length(31, [9], pace=2.0, num_finals=3).epochs == 1
