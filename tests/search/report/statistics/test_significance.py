"""Student, Welch, Holm and the number of seeds, beside scipy, a published example and values computed by hand."""

import math
import warnings

import numpy as np
import pytest
from scipy import stats

from search.report.statistics.significance import LEVEL, MAX_SEEDS, POWER, half_width, holm, seeds_needed, slope, welch

FIRST, SECOND = [0.941, 0.943, 0.939, 0.944, 0.940], [0.935, 0.931, 0.938]


def test_welch_is_the_interval_computed_by_hand() -> None:
    a, b = np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0])
    # Variances 1 and 2, of means 1/3 and 1; degrees of freedom (4/3)^2 / ((1/3)^2 / 2 + 1^2 / 1) = 1.684.
    error, freedom = math.sqrt(4 / 3), (16 / 9) / (1 / 18 + 1)
    half = stats.t.ppf(0.975, freedom) * error
    difference = welch(a, b)
    assert difference is not None
    assert (difference.value, difference.low, difference.high) == pytest.approx((-1, -1 - half, -1 + half))
    assert difference.p == pytest.approx(2 * stats.t.sf(1 / error, freedom))


def test_welch_is_scipys() -> None:
    difference, scipys = welch(FIRST, SECOND), stats.ttest_ind(FIRST, SECOND, equal_var=False)
    interval = scipys.confidence_interval(0.95)
    assert difference is not None
    assert (difference.low, difference.high, difference.p) == pytest.approx(
        (interval.low, interval.high, scipys.pvalue)
    )
    assert difference.low < difference.value < difference.high


def test_exchanging_the_networks_turns_the_difference_round() -> None:
    one, other = welch(FIRST, SECOND), welch(SECOND, FIRST)
    assert one is not None and other is not None
    assert (other.value, other.low, other.high, other.p) == pytest.approx((-one.value, -one.high, -one.low, one.p))


@pytest.mark.parametrize(("first", "second"), [([0.9], FIRST), (FIRST, [0.9]), ([0.9], [0.8]), ([0.9] * 3, [0.8] * 3)])
def test_where_the_seeds_show_no_noise_nothing_is_tested(first: list[float], second: list[float]) -> None:
    assert welch(first, second) is None


def test_equal_runs_on_one_side_are_tested_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        difference = welch([0.9, 0.9, 0.9], SECOND)
    assert difference is not None
    deviation = np.std(SECOND, ddof=1) / math.sqrt(3)
    assert difference.high - difference.value == pytest.approx(stats.t.ppf(0.975, 2) * deviation)


def test_the_interval_leaves_out_0_when_the_p_value_is_below_the_level() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        difference = welch(rng.normal(0.5, 1, 4), rng.normal(0, 2, 5))
        assert difference is not None
        assert (difference.low > 0 or difference.high < 0) == (difference.p < LEVEL)


def test_holm_of_a_known_example() -> None:
    """The example of Wikipedia's 'Holm-Bonferroni method': 0.005 and 0.01 of four are rejected at 5%."""
    adjusted = holm([0.01, 0.04, 0.03, 0.005])
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [p < 0.05 for p in adjusted] == [True, False, False, True]


def test_holm_never_exceeds_1_nor_falls_below_the_p_value_itself() -> None:
    ps = [0.6, 0.9, 0.0004, 0.2, 0.2]
    adjusted = holm(ps)
    assert all(p <= each <= 1 for p, each in zip(ps, adjusted, strict=True))
    assert [each for _, each in sorted(zip(ps, adjusted, strict=True))] == sorted(adjusted)
    assert (holm([0.03]), holm([])) == ([0.03], [])


@pytest.mark.parametrize("effect", [0.5, 0.8, 1.2, 2.0, 3.0])
def test_the_seeds_needed_have_the_power_that_is_promised(effect: float) -> None:
    """Beside the exact power by the noncentral t distribution, for equal deviations."""

    def power(number: int) -> float:
        freedom, shift = 2 * number - 2, effect * math.sqrt(number / 2)
        critical = stats.t.ppf(0.975, freedom)
        return float(stats.nct.sf(critical, freedom, shift) + stats.nct.cdf(-critical, freedom, shift))

    exact = next(number for number in range(2, MAX_SEEDS) if power(number) >= POWER)
    needed = seeds_needed(effect, (1.0, 1.0))
    assert needed is not None
    assert exact <= needed <= exact + 1


def test_more_seeds_are_needed_for_smaller_differences_more_noise_and_more_comparisons() -> None:
    needed = [
        seeds_needed(0.02, (0.01, 0.01)), seeds_needed(0.01, (0.01, 0.01)), seeds_needed(0.01, (0.01, 0.02)),
        seeds_needed(0.01, (0.01, 0.02), num_tests=6),
    ]  # fmt: skip
    assert None not in needed
    assert needed == sorted(set(needed))  # type: ignore[type-var]
    assert seeds_needed(-0.01, (0.01, 0.01)) == seeds_needed(0.01, (0.01, 0.01)) == 17


def test_no_number_is_named_beyond_the_largest_or_without_noise() -> None:
    assert seeds_needed(1e-5, (0.01, 0.01)) is None
    assert seeds_needed(0.0, (0.01, 0.01)) is None
    assert seeds_needed(0.01, (0.0, 0.0)) is None


def test_what_is_not_told_yet_needs_more_seeds_than_there_are() -> None:
    rng = np.random.default_rng(3)
    for _ in range(60):
        number = int(rng.integers(2, 8))
        pairs = [(rng.normal(0.3, 1, number), rng.normal(0, rng.uniform(0.1, 3), number)) for _ in range(3)]
        tests = [test for pair in pairs if (test := welch(*pair)) is not None]
        for (a, b), adjusted in zip(pairs, holm([test.p for test in tests]), strict=True):
            needed = seeds_needed(a.mean() - b.mean(), (a.std(ddof=1), b.std(ddof=1)), 3)
            assert adjusted < LEVEL or needed is None or needed > number


def test_half_of_students_interval_is_computed_by_hand_and_none_for_one_value() -> None:
    assert half_width(0.01, 3) == pytest.approx(4.3027 * 0.01 / math.sqrt(3), rel=1e-4)
    assert math.isnan(half_width(0.01, 1))


def test_a_slope_is_that_of_least_squares_with_students_interval() -> None:
    """Of x = -1, 0, 1, each twice, and y = x +- 1: slope 1, R^2 4/10, residual variance 6/4, sum of squares of x 4."""
    line = slope([-1, -1, 0, 0, 1, 1], [-2, 0, -1, 1, 0, 2])
    assert (line.value, line.explained) == pytest.approx((1.0, 0.4))
    assert line.half_width == pytest.approx(stats.t.ppf(0.975, 4) * math.sqrt(6 / 4 / 4))
