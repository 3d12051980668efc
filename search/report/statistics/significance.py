"""Intervals of a mean, a difference and a slope, Holm's adjustment, and the seeds needed to detect a difference."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit
from scipy.stats import linregress, ttest_ind

CONFIDENCE = 0.95
LEVEL = round(1 - CONFIDENCE, 6)
POWER = 0.8
MAX_SEEDS = 1_000


def half_width(deviation: float, number: int) -> float:
    """Half of Student's interval for a mean of `number` values; NaN for a single value, which has none."""
    if number < 2:
        return float("nan")
    return _quantile(number - 1) * deviation / math.sqrt(number)


def _quantile(freedom: int) -> float:
    """Student's t at the upper end of a two-sided interval."""
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


@dataclass(frozen=True, slots=True)
class Slope:
    """A slope by least squares, half of Student's interval for it, and the share of the variance it explains."""

    value: float
    half_width: float
    explained: float


def slope(x: Sequence[float], y: Sequence[float]) -> Slope:
    """How y rises with x. There are three points at least, and both x and y vary."""
    line = linregress(x, y)
    return Slope(float(line.slope), _quantile(len(x) - 2) * float(line.stderr), float(line.rvalue**2))


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of two means, first minus second, with its interval and the two-sided p-value."""

    value: float
    low: float
    high: float
    p: float


def welch(first: Sequence[float], second: Sequence[float]) -> Difference | None:
    """Welch's t-test, which lets the deviations differ (Welch 1947, Biometrika 34).

    None where the values show no noise: with a single value on a side, or no deviation on either.
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if min(len(a), len(b)) < 2 or (_is_constant(a) and _is_constant(b)):
        return None
    with warnings.catch_warnings():
        # Scipy warns of equal values on one side; the deviation of the other carries the test.
        warnings.simplefilter("ignore", RuntimeWarning)
        test = ttest_ind(a, b, equal_var=False)
        interval = test.confidence_interval(CONFIDENCE)
    return Difference(float(a.mean() - b.mean()), float(interval.low), float(interval.high), float(test.pvalue))


def _is_constant(values: npt.NDArray[np.float64]) -> bool:
    return bool(np.ptp(values) == 0)


def holm(ps: Sequence[float]) -> list[float]:
    """p-values adjusted for multiple comparisons, in the given order (Holm 1979, Scandinavian Journal of Statistics 6).

    Rejecting those below a level keeps the chance of any false rejection at most at that level.
    """
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = largest
    return adjusted


def seeds_needed(difference: float, deviations: tuple[float, float], num_tests: int = 1) -> int | None:
    """Seeds of each network at which a true difference of this size would be found with a power of `POWER`.

    The smallest n with |difference| >= (t[1 - level / 2] + t[power]) * sqrt((s1^2 + s2^2) / n), with Student's t of
    Welch's degrees of freedom (Snedecor and Cochran, Statistical Methods, for equal deviations). The level is divided
    by the number of tests, as in Holm's first step. None if more than `MAX_SEEDS` are needed.
    """
    first, second = deviations[0] ** 2, deviations[1] ** 2
    if first + second == 0:
        return None
    number = np.arange(2, MAX_SEEDS + 1)
    freedom = (number - 1) * (first + second) ** 2 / (first**2 + second**2)
    quantiles = stdtrit(freedom, 1 - LEVEL / num_tests / 2) + stdtrit(freedom, POWER)
    enough = abs(difference) >= quantiles * np.sqrt((first + second) / number)
    return int(number[enough.argmax()]) if enough.any() else None
