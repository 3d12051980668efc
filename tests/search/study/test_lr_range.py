import math

import pytest

from search.errors import InputError, TrainingError
from search.protocol import Ranged, RangePoint
from search.study.lr_range import require_range, smooth, suggest

RATES = [10 ** (step / 20 - 4) for step in range(101)]  # 1e-4 to 10


def ranged(losses: list[float]) -> Ranged:
    points = tuple(RangePoint(lr, loss, 0.1) for lr, loss in zip(RATES, losses, strict=False))
    return Ranged(points, diverged=len(points) < len(RATES))


def test_the_range_ends_where_the_loss_is_lowest_and_begins_at_a_quarter() -> None:
    # A valley around 0.1, far wider than the running mean is long.
    suggestion = suggest(ranged([2.3 + 0.5 * (math.log10(lr) + 1) ** 2 for lr in RATES]))
    assert 0.1 <= suggestion.highest < 0.3
    assert suggestion.lowest == suggestion.highest / 4
    assert suggestion.highest in RATES


def test_a_running_mean_of_a_constant_is_that_constant() -> None:
    assert smooth([2.5] * 40) == pytest.approx([2.5] * 40)


def test_a_running_mean_weighs_the_past_by_nine_tenths_a_step() -> None:
    assert smooth([1.0, 2.0, 4.0])[2] == pytest.approx((4 + 0.9 * 2 + 0.81 * 1) / (1 + 0.9 + 0.81))


def test_a_test_that_diverged_at_once_says_where_to_begin() -> None:
    with pytest.raises(TrainingError, match=r"^the loss diverged after 3 steps: begin at a smaller learning rate$"):
        suggest(ranged([2.3, 8.0, 50.0]))


def test_a_loss_that_never_fell_suggests_nothing() -> None:
    with pytest.raises(TrainingError, match=r"^the loss never fell: "):
        suggest(ranged([2.3 + 0.01 * step for step in range(101)]))


@pytest.mark.parametrize(("lowest", "highest"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 1.0), (2.0, 1.0), (1.0, math.inf)])
def test_what_is_no_range_is_refused(lowest: float, highest: float) -> None:
    with pytest.raises(InputError, match=r"^min-lr = .*, max-lr = .*: must be above 0, the second above the first$"):
        require_range(lowest, highest, 100)


def test_too_few_steps_are_refused() -> None:
    with pytest.raises(InputError, match=r"^steps = 9: must be 10 or more$"):
        require_range(0.1, 1.0, 9)
