"""Comparisons over other seeds and test images: what runs must have recorded, and how often the interval is right."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from search.flags import pack
from search.report.retraining.resampling import classes_of, flags_of, resample
from search.study.view import RunView

Make = Callable[..., RunView]
Flags = np.typing.NDArray[np.bool_]


def on_images(
    make: Make, label: str, flags: Flags, labels: np.typing.NDArray[Any] | None = None
) -> tuple[RunView, ...]:
    """A run a row of `flags` (runs, images), of images of two classes."""
    labels = np.arange(flags.shape[1]) % 2
    runs = []
    for seed, right in enumerate(flags):
        count = [[int(((labels == c) & (right == hit)).sum()) for hit in (True, False)] for c in (0, 1)]
        matrix = ((count[0][0], count[0][1]), (count[1][1], count[1][0]))
        runs.append(make(label, seed, float(right.mean()), confusion=matrix, correct=pack(right)))
    return tuple(runs)


def without_flags(runs: Sequence[RunView]) -> tuple[RunView, ...]:
    return tuple(replace(run, correct=None) for run in runs)


def draw(
    rng: np.random.Generator, ability: float, seeds: int, hardness: np.typing.NDArray[Any], spread: float
) -> Flags:
    """A network is right where its ability, which differs by seed, exceeds an image's hardness and a bit of chance."""
    able = ability + spread * rng.normal(size=(seeds, 1))
    right: Flags = hardness + 0.5 * rng.normal(size=(seeds, len(hardness))) < able
    return right


def expected(ability: float, spread: float) -> float:
    """The accuracy over all seeds and images of `draw`, whose hardness is standard normal."""
    return float(norm.cdf(ability / math.sqrt(1 + 0.25 + spread**2)))


def test_runs_that_agree_owe_their_interval_to_the_test_images(run: Make) -> None:
    rng = np.random.default_rng(4)
    right, wrong = rng.random(1_000) < 0.9, rng.random(1_000) < 0.5
    interval = resample(
        on_images(run, "0001", np.stack([right, right])), on_images(run, "b", np.stack([wrong, wrong])), 4_000
    )
    assert interval is not None
    difference = right.astype(int) - wrong.astype(int)
    half = norm.ppf(0.975) * difference.std() / math.sqrt(1_000)
    assert (interval.low, interval.high) == pytest.approx(
        (difference.mean() - half, difference.mean() + half), rel=0.03
    )


def test_errors_on_the_same_images_make_the_interval_narrower(run: Make) -> None:
    rng = np.random.default_rng(5)
    hardness = rng.normal(size=2_000)
    a, b = (on_images(run, label, draw(rng, 1.5, 5, hardness, 0.02)) for label in ("0001", "b"))
    paired, by_class = resample(a, b), resample(without_flags(a), without_flags(b))
    assert paired is not None and by_class is not None
    assert (paired.resampled, by_class.resampled) == ("images", "classes")
    assert paired.high - paired.low < 0.8 * (by_class.high - by_class.low)
    assert (paired.low + paired.high) == pytest.approx(by_class.low + by_class.high), "about the same difference"


@pytest.mark.parametrize(("seeds", "spread"), [(2, 0.6), (3, 0.1), (5, 0.1)])
@pytest.mark.parametrize("is_paired", [True, False])
def test_nineteen_intervals_of_twenty_or_more_hold_the_truth(
    run: Make, seeds: int, spread: float, is_paired: bool
) -> None:
    rng = np.random.default_rng(seeds)
    truth = expected(1.6, spread) - expected(1.5, spread)
    num_covered, number = 0, 120
    for _ in range(number):
        hardness = rng.normal(size=300)
        a, b = (draw(rng, ability, seeds, hardness, spread) for ability in (1.6, 1.5))
        runs = [on_images(run, "0001", a), on_images(run, "b", b)]
        interval = resample(*(runs if is_paired else map(without_flags, runs)), number=200)
        assert interval is not None
        num_covered += interval.low <= truth <= interval.high
    assert num_covered >= 0.92 * number


def test_the_same_runs_give_the_same_interval(run: Make) -> None:
    flags = np.random.default_rng(0).random((4, 200)) < 0.8
    a, b = on_images(run, "0001", flags[:2]), on_images(run, "b", flags[2:])
    assert resample(a, b) == resample(a, b)


def test_without_the_flags_of_every_run_the_counts_of_classes_serve(run: Make) -> None:
    flags = np.random.default_rng(0).random((4, 200)) < 0.8
    a, b = on_images(run, "0001", flags[:2]), on_images(run, "b", flags[2:])
    interval = resample(a, (b[0], *without_flags(b[1:])))
    assert interval is not None and interval.resampled == "classes"


def test_damaged_or_foreign_flags_are_not_used(run: Make) -> None:
    (one,) = on_images(run, "0001", np.random.default_rng(0).random((1, 200)) < 0.8)
    assert flags_of([one]) is not None
    for text in ("!", "", pack(np.zeros(200, dtype=bool)), pack(np.ones(100, dtype=bool))):
        assert flags_of([replace(one, correct=text)]) is None
    assert flags_of([replace(one, confusion=None)]) is None


def test_a_single_run_or_an_unknown_test_set_has_no_interval(run: Make) -> None:
    flags = np.random.default_rng(0).random((4, 200)) < 0.8
    a, b = on_images(run, "0001", flags[:2]), on_images(run, "b", flags[2:])
    assert resample(a[:1], b) is None
    assert resample(a, tuple(run("b", seed, 0.8) for seed in range(2))) is None
    other = on_images(run, "b", np.random.default_rng(1).random((2, 100)) < 0.8)
    assert classes_of([a[0], other[0]]) is None, "two test sets"
