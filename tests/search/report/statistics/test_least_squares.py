"""A fit of several columns beside scipy's of one, and what cannot be fitted."""

import numpy as np
import pytest

from search.report.statistics.least_squares import coefficients
from search.report.statistics.significance import LEVEL, slope


def test_one_column_is_the_slope_and_its_interval() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(20, 0.1, 30), rng.normal(0.9, 0.01, 30)
    fitted = coefficients(x[:, None], y)
    expected = slope(x.tolist(), y.tolist())
    assert fitted is not None
    assert (fitted[0].value, fitted[0].half_width(LEVEL)) == pytest.approx((expected.value, expected.half_width))


def test_columns_that_go_together_are_told_apart() -> None:
    rng = np.random.default_rng(1)
    size = rng.normal(0, 1, 200)
    has = (size + rng.normal(0, 1, 200) > 0).astype(float)
    fitted = coefficients(np.column_stack([size, has]), 2 * size + rng.normal(0, 0.1, 200))
    assert fitted is not None
    assert fitted[0].value == pytest.approx(2, abs=0.05)
    assert abs(fitted[1].value) < fitted[1].half_width(0.01)


def test_intervals_hold_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(400):
        x = rng.normal(size=(12, 2))
        fitted = coefficients(x, x @ [1.0, -0.5] + rng.normal(0, 1, 12))
        assert fitted is not None
        held += abs(fitted[1].value + 0.5) < fitted[1].half_width(0.05)
    assert 0.92 < held / 400 < 0.98


@pytest.mark.parametrize("x", [[[1, 2], [2, 4], [3, 6], [5, 10]], [[1, 7], [2, 7], [3, 7], [4, 7]], [[1, 2], [2, 1]]])
def test_columns_that_depend_on_each_other_and_too_few_rows_give_nothing(x: list[list[float]]) -> None:
    rows = np.array(x, dtype=float)
    assert coefficients(rows, np.arange(len(rows), dtype=float)) is None
