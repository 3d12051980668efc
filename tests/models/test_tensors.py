"""Names and shapes of weights beside those of built networks."""

import random

import pytest
from architectures import random_architecture

from models.baselines import BASELINES
from models.build import build_on_meta
from models.tensors import tensors


def built(architecture):
    state = build_on_meta(architecture).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


@pytest.mark.parametrize("num", [60, pytest.param(600, marks=pytest.mark.slow)])
def test_tensors_of_every_kind_of_design_are_those_of_the_built_module(num):
    chance = random.Random(7)
    for _ in range(num):
        architecture = random_architecture(chance, 16)
        assert tensors(architecture) == built(architecture), architecture


@pytest.mark.parametrize("name", ["flexible-6", "wrn16-4", "se-resnet20", "mobilenetv2-0.5"])
def test_tensors_of_baselines_are_those_of_the_built_module(name):
    architecture = BASELINES[name].architecture
    assert tensors(architecture) == built(architecture)
