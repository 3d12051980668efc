"""How long a retraining takes: the waves in which its runs are trained are those that are really asked for."""

from dataclasses import replace

import pytest

from search.run.retraining_cost import (
    Wave,
    finalists_waves,
    seconds_of,
    seconds_per_epoch,
    teaching_waves,
    unequal_waves,
)
from studies import make_trial


@pytest.mark.parametrize(
    ("num_candidates", "num_dropouts", "epochs", "expected"),
    [
        (9, 3, 60, [Wave(9, 24), Wave(3, 24)]),
        (9, 3, 24, [Wave(9, 24), Wave(3, 24), Wave(4, 24)]),
        (3, 1, 60, [Wave(6, 24)]),
        (2, 2, 10, [Wave(4, 10), Wave(2, 10)]),
    ],
)
def test_finalists_are_trained_in_waves(
    num_candidates: int, num_dropouts: int, epochs: int, expected: list[Wave]
) -> None:
    assert finalists_waves(num_candidates, num_dropouts, epochs, searched=8) == expected


def test_a_wave_takes_as_long_as_its_fullest_worker() -> None:
    assert seconds_of([Wave(9, 24), Wave(1, 60)], 0.5, num_workers=2) == 5 * 24 * 0.5 + 60 * 0.5
    assert seconds_of([], 0.5, num_workers=2) == 0


def test_a_wave_of_unequal_networks_takes_as_long_as_the_slowest() -> None:
    waves = unequal_waves([1.0, 40.0, 1.0, 1.0, 1.0], epochs=10, num_workers=2)
    assert waves == [Wave(2, 10, 40.0), Wave(2, 10, 1.0), Wave(1, 10, 1.0)]
    assert seconds_of(waves, 0.5, num_workers=2) == 10 * (40 + 1 + 1) * 0.5
    equal = unequal_waves([1.0] * 9, 24, num_workers=2)
    assert seconds_of(equal, 0.5, num_workers=2) == seconds_of([Wave(9, 24)], 0.5, num_workers=2)


def test_teachers_cost_their_training_and_a_forward_pass_in_every_step() -> None:
    waves = teaching_waves([3.0, 6.0], [1.0, 2.0, 1.0], epochs=10, are_trained=True, num_workers=2)
    assert waves == [Wave(2, 10, 4.5), Wave(2, 10, 4.25), Wave(1, 10, 3.25)]
    assert seconds_of(waves, 0.5, num_workers=2) == 10 * (4.5 + 4.25 + 3.25) * 0.5
    assert teaching_waves([3.0], [1.0], epochs=10, are_trained=False, num_workers=2) == [Wave(1, 10, 1.75)]


def test_the_pace_is_that_of_trials_that_were_trained() -> None:
    trial = make_trial(0, 0.9)
    slow = replace(trial, history=tuple(replace(epoch, seconds=3.0) for epoch in trial.history))
    quick = replace(trial, history=tuple(replace(epoch, seconds=1.0) for epoch in trial.history[:1]))
    assert seconds_per_epoch([slow, quick, replace(trial, history=())]) == 2.0
    assert seconds_per_epoch([]) is None
