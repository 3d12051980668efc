"""The bootstrap over seeds and test images: its errors beside formulas, and its interval beside Welch's."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from search.report.statistics.bootstrap import NUM_RESAMPLES, Flags, interval, on_other_classes, on_other_images
from search.report.statistics.significance import welch


def answers(rng: np.random.Generator, ability: float, hardness: np.typing.NDArray[Any]) -> Flags:
    """Flags (1, images) of a network that is right where its ability exceeds an image's hardness and some chance."""
    right: Flags = hardness + 0.5 * rng.normal(size=(1, len(hardness))) < ability
    return right


def test_another_test_set_moves_an_accuracy_by_the_binomial_error() -> None:
    flags = np.random.default_rng(0).random((1, 2_000)) < 0.9
    drawn = on_other_images(flags)
    assert drawn.shape == (NUM_RESAMPLES, 1)
    p = float(flags.mean())
    assert drawn.mean() == pytest.approx(p, abs=6e-4)
    assert drawn.std() == pytest.approx(math.sqrt(p * (1 - p) / 2_000), rel=0.09)


def test_every_run_is_tested_on_the_same_other_images() -> None:
    flags = np.random.default_rng(0).random((1, 2_000)) < 0.8
    drawn = on_other_images(np.concatenate([flags, flags, ~flags]))
    assert np.array_equal(drawn[:, 0], drawn[:, 1]), "who fails on the same images never differs"
    assert np.allclose(drawn[:, 0] + drawn[:, 2], 1), "who fails on the others always fails on the rest"


def test_two_networks_on_other_images_differ_as_the_pairs_of_their_answers_do() -> None:
    rng = np.random.default_rng(1)
    hardness = rng.normal(size=2_000)
    flags = np.concatenate([answers(rng, ability, hardness) for ability in (1.0, 1.2)])
    drawn = on_other_images(flags)
    error = (flags[0].astype(int) - flags[1].astype(int)).std() / math.sqrt(2_000)
    assert (drawn[:, 0] - drawn[:, 1]).std() == pytest.approx(error, rel=0.09)


def test_right_answers_drawn_by_class_have_the_binomial_error_of_each_class() -> None:
    right, images = np.array([[90, 300], [80, 310]]), np.array([100, 400])
    drawn = on_other_classes(right, images, 0)
    assert drawn.shape == (NUM_RESAMPLES, 2)
    assert drawn.mean(axis=0) == pytest.approx(right.sum(axis=1) / 500, abs=2e-3)
    variance = (100 * 0.85 * 0.15 + 400 * (305 / 400) * (95 / 400)) / 500**2
    assert drawn.std(axis=0) == pytest.approx([math.sqrt(variance)] * 2, rel=0.09)
    assert np.allclose(np.ptp(drawn[:, 0] - drawn[:, 1]), 0), "all runs of a network share the test images"
    assert abs(np.corrcoef(drawn[:, 0], on_other_classes(right, images, 1)[:, 0])[0, 1]) < 0.1, "networks do not"


def test_a_class_without_images_changes_nothing() -> None:
    drawn = on_other_classes(np.array([[90, 0], [80, 0]]), np.array([100, 0]), 0)
    assert np.isfinite(drawn).all()


@pytest.mark.parametrize(("first", "second"), [(5, 5), (3, 6), (2, 2)])
def test_with_a_test_set_that_does_not_matter_the_interval_is_welchs(first: int, second: int) -> None:
    rng = np.random.default_rng(first)
    a, b = rng.normal(0.9, 0.01, first), rng.normal(0.89, 0.02, second)
    low, high = interval(a, np.tile(a, (20_000, 1)), b, np.tile(b, (20_000, 1)))
    exact = welch(a, b)
    assert exact is not None
    # The same but for the chance of resampling, which the degrees of freedom of few seeds multiply.
    assert (low, high) == pytest.approx((exact.low, exact.high), abs=0.06 * (exact.high - exact.low))


def test_the_quantile_is_students_where_seeds_decide() -> None:
    a, b = np.array([0.9, 0.8]), np.array([0.7, 0.7])
    low, high = interval(a, np.tile(a, (20_000, 1)), b, np.tile(b, (20_000, 1)))
    assert (high - low) / 2 == pytest.approx(t.ppf(0.975, 1) * 0.05, rel=0.05)
