"""The one check of a network's size."""

import pytest

from models.architecture import Architecture, Stage, Stem
from models.count import count_parameters
from search.certificate import certify
from search.errors import TrainingError

NETWORK = Architecture(Stem(8), (Stage("bottleneck", 2, 16),))
PARAMS = count_parameters(NETWORK)


def test_a_count_that_is_the_arithmetic_one_and_within_the_limit_is_returned() -> None:
    assert certify("it", PARAMS, NETWORK, PARAMS) == certify("it", PARAMS, NETWORK, None) == PARAMS


def test_one_parameter_over_the_limit_is_refused() -> None:
    rule = rf"^w\.safetensors holds {PARAMS:,} parameters, over the limit of {PARAMS - 1:,}$"
    with pytest.raises(TrainingError, match=rule):
        certify("w.safetensors", PARAMS, NETWORK, PARAMS - 1)


@pytest.mark.parametrize("difference", [-1, 1])
def test_another_count_than_the_arithmetic_one_is_refused_even_within_the_limit(difference: int) -> None:
    rule = rf"^it holds {PARAMS + difference:,} parameters, but the architecture has {PARAMS:,}$"
    with pytest.raises(TrainingError, match=rule):
        certify("it", PARAMS + difference, NETWORK, None)
