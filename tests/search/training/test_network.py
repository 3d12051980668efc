"""The network that a recipe begins with."""

from typing import Any

import pytest
import torch

from models.architecture import Architecture, Stage, Stem
from models.build import build
from search.recipe import Recipe
from search.training.network import begin

NETWORK = Architecture(Stem(8), (Stage("basic", 1, 8), Stage("bottleneck", 1, 16)))


def test_a_recipe_decides_how_deep_images_go() -> None:
    network = begin(NETWORK, Recipe(name="test", epochs=1, stochastic_depth=0.4))
    assert [network.stages[stage][0].stochastic_depth.probability for stage in (0, 1)] == [0.2, 0.4]
    assert isinstance(begin(NETWORK, Recipe(name="test", epochs=1)).stages[0][0].stochastic_depth, torch.nn.Identity)


@pytest.mark.parametrize("name", ["zero_init_last_norm", "dirac_init"])
def test_a_recipe_decides_how_weights_begin(name: str) -> None:
    none: dict[str, Any] = {"zero_init_last_norm": False}
    states = []
    for values in (none, none | {name: True}):
        torch.manual_seed(0)
        states.append(begin(NETWORK, Recipe.model_validate({"name": "test", "epochs": 1} | values)).state_dict())
        torch.manual_seed(0)
        expected = build(NETWORK, **{name: values.get(name, False)}).state_dict()
        assert all(torch.equal(states[-1][key], expected[key]) for key in expected)
    assert not all(torch.equal(states[0][key], states[1][key]) for key in states[0])
