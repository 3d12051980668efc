from itertools import pairwise

import pytest
import torch

from models.architecture import Architecture, Stage, Stem
from models.build import build
from search.data.datasets import open_dataset
from search.protocol import Ranged
from search.recipe import Recipe
from search.training.images import Images, Normalisation, Splits
from search.training.lr_range_test import lr_range_test

NETWORK = Architecture(Stem(8), (Stage("basic", 1, 8), Stage("basic", 1, 16)), in_channels=1)
RECIPE = Recipe(name="test", epochs=1, batch_size=64, crop_padding=1, nesterov=False)


@pytest.fixture(scope="module")
def data() -> Images:
    return Splits.load(open_dataset("digits"), 0, "cpu").train


def ramp(data: Images, lowest: float, highest: float, num_steps: int = 60, seed: int = 0) -> Ranged:
    torch.manual_seed(seed)
    model = build(NETWORK, zero_init_last_norm=False)
    return lr_range_test(
        model,
        RECIPE,
        data,
        Normalisation.of(RECIPE, data),
        lowest=lowest,
        highest=highest,
        num_steps=num_steps,
        seed=seed,
        precision="fp32",
    )


def test_the_rate_grows_by_the_same_factor_at_every_step(data: Images) -> None:
    points = ramp(data, 1e-4, 1e-1, 31).points
    assert points[0].lr == pytest.approx(1e-4) and points[-1].lr == pytest.approx(1e-1)
    assert [b.lr / a.lr for a, b in pairwise(points)] == pytest.approx([10**0.1] * 30)


def test_the_loss_falls_where_the_rate_is_right(data: Images) -> None:
    ranged = ramp(data, 1e-3, 1e-1, 200)  # more steps than an epoch has batches
    assert not ranged.diverged and len(ranged.points) == 200
    assert ranged.points[-1].loss < 0.6 * ranged.points[0].loss
    assert ranged.points[-1].accuracy > ranged.points[0].accuracy


@pytest.mark.parametrize("highest", [1e6, 1e30])
def test_divergence_ends_it_with_the_points_so_far(data: Images, highest: float) -> None:
    ranged = ramp(data, 1e-3, highest, 200)
    assert ranged.diverged
    assert 5 < len(ranged.points) < 200
    assert all(torch.isfinite(torch.tensor(point.loss)) for point in ranged.points)


def test_the_seed_fixes_it(data: Images) -> None:
    assert ramp(data, 1e-3, 1e-1, 20) == ramp(data, 1e-3, 1e-1, 20)
    assert ramp(data, 1e-3, 1e-1, 20) != ramp(data, 1e-3, 1e-1, 20, seed=1)
