"""Rank correlations are scipy's, over all pairs or some; there is an interval where it can hold the truth."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from search.report.statistics.rank_correlation import Agreement, agreement, kendall, spearman


def everything(n):
    return ~np.eye(n, dtype=bool)


def normal(chance, n, correlation):
    """Two normal values a thing. Their tau is 2 / pi * asin(correlation)."""
    x, noise = chance.normal(size=(2, n))
    return x, correlation * x + math.sqrt(1 - correlation**2) * noise


def similar(sizes):
    return np.maximum.outer(sizes, sizes) <= 1.1 * np.minimum.outer(sizes, sizes)


@pytest.mark.parametrize("n", [3, 5, 16, 60])
@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_both_coefficients_are_scipys_with_and_without_ties(n, levels):
    chance = np.random.default_rng(n + levels)
    for _ in range(20):
        x, y = chance.integers(levels, size=(2, n)).astype(float)
        if len(set(x)) == 1 or len(set(y)) == 1:
            continue
        assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)
        assert kendall(x, y, everything(n)) == pytest.approx(kendalltau(x, y).statistic)


def test_copies_in_a_sample_tie_with_each_other():
    chance = np.random.default_rng(0)
    x, y = chance.integers(6, size=(2, 12)).astype(float)
    draws = chance.integers(12, size=(30, 12))
    times = np.array([np.bincount(draw, minlength=12) for draw in draws], dtype=float)
    expected = [kendalltau(x[draw], y[draw]).statistic for draw in draws]
    assert kendall(x, y, everything(12), times) == pytest.approx(expected)
    assert spearman(x[draws], y[draws]) == pytest.approx([spearmanr(x[draw], y[draw]).statistic for draw in draws])


def test_only_marked_pairs_are_compared():
    chance = np.random.default_rng(1)
    x, y, sizes = chance.normal(size=10), chance.normal(size=10), chance.uniform(1, 1.6, size=10)
    pairs = [(i, j) for i, j in combinations(range(10), 2) if max(sizes[i], sizes[j]) <= 1.1 * min(sizes[i], sizes[j])]
    signs = [np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for i, j in pairs]
    ranking = agreement(x, y, similar(sizes))
    assert (ranking.num_pairs, ranking.num_alike) == (len(pairs), signs.count(1.0))
    assert ranking.num_things == len({thing for pair in pairs for thing in pair})
    assert ranking.kendall.value == pytest.approx(np.mean(signs))
    assert ranking.spearman is None


def test_what_size_explains_is_gone_between_things_of_one_size():
    sizes = np.repeat([10.0, 20.0, 40.0, 80.0, 160.0], 4)
    within = np.tile([0.1, 0.2, 0.3, 0.4], 5)
    first, second = sizes + within, sizes - within
    assert agreement(first, second).kendall.value > 0.6
    alone = agreement(first, second, similar(sizes))
    assert (alone.kendall.value, alone.num_things, alone.num_pairs, alone.num_alike) == (-1.0, 20, 30, 0)


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_intervals_hold_the_truth_of_simulated_samples(correlation):
    chance = np.random.default_rng(5)
    tau, rho = 2 / math.pi * math.asin(correlation), 6 / math.pi * math.asin(correlation / 2)
    rankings = [agreement(*normal(chance, 16, correlation)) for _ in range(25)]
    assert sum(ranking.kendall.low <= tau <= ranking.kendall.high for ranking in rankings) >= 22
    assert sum(ranking.spearman.low <= rho <= ranking.spearman.high for ranking in rankings) >= 22
    assert all(ranking.kendall.low <= ranking.kendall.value <= ranking.kendall.high for ranking in rankings)


def test_more_things_make_a_narrower_interval():
    chance = np.random.default_rng(2)
    few, many = (agreement(*normal(chance, n, 0.8)).kendall for n in (10, 100))
    assert many.high - many.low < 0.5 * (few.high - few.low)


@pytest.mark.parametrize(("n", "has_interval"), [(3, False), (7, False), (8, True)])
def test_few_things_have_a_coefficient_without_an_interval(n, has_interval):
    x = [float(i) for i in range(n)]
    y = [1.0, 0.0, *x[2:]]
    ranking = agreement(x, y)
    assert ranking.kendall.value == pytest.approx(1 - 4 / (n * (n - 1)))
    assert (
        ranking.has_enough == has_interval == (ranking.kendall.low is not None) == (ranking.spearman.high is not None)
    )


def test_few_pairs_have_a_coefficient_without_an_interval():
    x, y = normal(np.random.default_rng(3), 12, 0.5)
    ranking = agreement(x, y, similar(np.repeat([1.0, 2.0, 4.0, 8.0], 3)))
    assert (ranking.num_things, ranking.num_pairs) == (12, 12)
    assert ranking.kendall is not None and ranking.kendall.low is None


def test_a_perfect_order_has_no_interval_for_resampling_cannot_vary_it():
    x = [float(i) for i in range(20)]
    ranking = agreement(x, [math.exp(value) for value in x])
    assert (ranking.kendall.value, ranking.spearman.value) == pytest.approx((1.0, 1.0))
    assert ranking.kendall.low is ranking.kendall.high is ranking.spearman.low is None


@pytest.mark.parametrize("n", [0, 1, 2])
def test_two_things_have_no_correlation(n):
    x = [float(i) for i in range(n)]
    assert agreement(x, x) == Agreement(n, n * (n - 1) // 2, n * (n - 1) // 2)


@pytest.mark.parametrize("pairs", [None, np.ones((9, 9), dtype=bool)])
def test_nothing_but_ties_has_no_correlation(pairs):
    x = [float(i) for i in range(9)]
    assert agreement(x, [0.5] * 9, pairs) == Agreement(9, 0, 0)


def test_the_same_values_give_the_same_interval():
    x, y = normal(np.random.default_rng(4), 12, 0.6)
    assert agreement(x, y) == agreement(x, y)
