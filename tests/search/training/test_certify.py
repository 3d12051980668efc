"""The gate before the first step."""

import pytest
from torch import nn

from models.architecture import Architecture, Stage, Stem
from models.count import count_parameters
from search.errors import TrainingError
from search.training import certify as gate

NETWORK = Architecture(Stem(8), (Stage("bottleneck", 2, 16),))


def test_a_network_within_the_limit_passes_with_its_count() -> None:
    params = count_parameters(NETWORK)
    assert gate.certify_built(NETWORK, params) == gate.certify_built(NETWORK, None) == params


def test_one_parameter_over_the_limit_is_refused() -> None:
    params = count_parameters(NETWORK)
    with pytest.raises(
        TrainingError, match=rf"^the built network holds {params:,} parameters, over the limit of {params - 1:,}$"
    ):
        gate.certify_built(NETWORK, params - 1)


def test_a_module_that_is_not_what_was_counted_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "build_on_meta", lambda architecture: nn.Linear(3, 4, device="meta"))
    with pytest.raises(
        TrainingError, match=r"^the built network holds 16 parameters, but the architecture has [\d,]+$"
    ):
        gate.certify_built(NETWORK, None)
