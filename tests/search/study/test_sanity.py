from math import log

import pytest

from search.study.sanity import first_loss_warning


@pytest.mark.parametrize("num_classes", [2, 10, 100])
@pytest.mark.parametrize("factor", [0.51, 1.0, 1.7, 1.99])
def test_a_loss_about_the_logarithm_of_the_classes_is_no_cause_for_a_warning(num_classes: int, factor: float) -> None:
    assert first_loss_warning(factor * log(num_classes), num_classes) is None


@pytest.mark.parametrize("loss", [0.2, 1.1, 4.7, 30.0])
def test_another_loss_is_told_beside_the_expected_one(loss: float) -> None:
    warning = first_loss_warning(loss, 10)
    assert warning is not None
    assert f"a loss of {loss:.2f}, where about ln(10) = 2.30" in warning


def test_an_unknown_loss_is_not_judged() -> None:
    assert first_loss_warning(None, 10) is None
