"""The training loop on small data: it learns, repeats itself to the bit, and says when it cannot go on."""

import math

import numpy as np
import pytest
import torch

from models.architecture import Architecture, Stage, Stem
from models.build import build
from search.datasets import open_dataset
from search.errors import RecipeError, TrainingError
from search.protocol import Measurement
from search.recipe import FAST, Recipe
from search.training.data import Images, Normalisation, Splits
from search.training.loop import evaluate, make_optimizer, schedule, train

NETWORK = Architecture(Stem(8), (Stage("basic", 1, 8), Stage("basic", 1, 16)), in_channels=1)
RECIPE = Recipe(name="test", epochs=3, batch_size=32, lr=0.1, crop_padding=1, cutout=2)


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Splits.load(open_dataset("digits"), 0, "cpu")


def run(
    splits: Splits, recipe: Recipe, seed: int = 0, precision: str = "fp32"
) -> tuple[torch.nn.Module, list[Measurement]]:
    torch.manual_seed(seed)
    model = build(NETWORK, zero_init_last_norm=recipe.zero_init_last_norm)
    normalise = Normalisation.of(recipe, splits.train)
    epochs = train(model, recipe, splits.train, splits.validation, normalise, seed=seed, precision=precision)
    return model, list(epochs)


def without_seconds(measurements: list[Measurement]) -> list[tuple[object, ...]]:
    return [
        (m.epoch, m.train_loss, m.train_accuracy, m.validation_loss, m.validation_accuracy, m.lr) for m in measurements
    ]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_small_network_learns_digits_in_eight_epochs(splits: Splits, precision: str) -> None:
    recipe = FAST.fit_to("digits", len(splits.both), 8)
    _, measurements = run(splits, recipe, precision=precision)
    assert [m.epoch for m in measurements] == list(range(1, 9))
    assert measurements[-1].validation_accuracy is not None
    assert measurements[-1].validation_accuracy > 0.93
    assert measurements[-1].train_loss < measurements[0].train_loss


def test_the_first_loss_is_near_the_logarithm_of_the_number_of_classes(splits: Splits) -> None:
    _, measurements = run(splits, RECIPE.model_copy(update={"lr": 1e-6, "epochs": 1}))
    assert abs(measurements[0].train_loss - math.log(10)) < 0.6


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_seed_gives_the_same_bits_and_another_does_not(splits: Splits, precision: str) -> None:
    one_model, one = run(splits, RECIPE, precision=precision)
    two_model, two = run(splits, RECIPE, precision=precision)
    _, other = run(splits, RECIPE, seed=1, precision=precision)
    assert without_seconds(one) == without_seconds(two)
    for a, b in zip(one_model.state_dict().values(), two_model.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert without_seconds(one) != without_seconds(other)


def test_an_exploding_loss_ends_the_run_with_its_reason(splits: Splits) -> None:
    explosive = RECIPE.model_copy(update={"lr": 1e20, "warmup": 0.0, "zero_init_last_norm": False})
    with pytest.raises(TrainingError, match=r"loss is (nan|inf)"):
        run(splits, explosive)


def test_a_batch_larger_than_the_data_is_refused(splits: Splits) -> None:
    with pytest.raises(RecipeError, match=r"batch_size = 60000: larger than the 1,151 training images"):
        run(splits, RECIPE.model_copy(update={"batch_size": 60_000}))


def test_weight_decay_spares_norms_and_biases_unless_told_otherwise() -> None:
    model = build(NETWORK)
    spared = make_optimizer(model, RECIPE, torch.device("cpu")).param_groups
    assert [group["weight_decay"] for group in spared] == [RECIPE.weight_decay, 0.0]
    assert all(p.ndim > 1 for p in spared[0]["params"])
    assert all(p.ndim == 1 for p in spared[1]["params"])
    decayed = make_optimizer(model, RECIPE.model_copy(update={"decay_norm_and_bias": True}), torch.device("cpu"))
    assert sum(len(group["params"]) for group in decayed.param_groups) == len(list(model.parameters()))
    assert {group["weight_decay"] for group in decayed.param_groups} == {RECIPE.weight_decay}


def test_schedules_rise_to_the_peak_and_fall_to_zero() -> None:
    for name in ("one-cycle", "cosine"):
        recipe = RECIPE.model_copy(update={"schedule": name, "warmup": 0.25})
        values = [schedule(recipe, step / 100) for step in range(101)]
        assert values[0] == 0
        assert values[25] == 1 == max(values)
        assert values[-1] == pytest.approx(0, abs=1e-12)
        assert values[:26] == sorted(values[:26])
        assert values[25:] == sorted(values[25:], reverse=True)


def test_evaluation_counts_every_image_once() -> None:
    class Constant(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.tensor([0.0, 1.0, 0.0]).repeat(len(images), 1)

    labels = torch.tensor([0, 1, 1, 2] * 600)
    data = Images(torch.zeros(2_400, 1, 4, 4, dtype=torch.uint8), labels)
    result = evaluate(Constant(), data, Normalisation.of(RECIPE, data), "fp32")
    assert result.accuracy == 0.5
    assert result.confusion == ((0, 600, 0), (0, 1_200, 0), (0, 600, 0))
    expected = torch.nn.functional.cross_entropy(torch.tensor([[0.0, 1.0, 0.0]] * 4), labels[:4])
    assert result.loss == pytest.approx(expected.item(), rel=1e-5)


def test_evaluation_leaves_no_trace_in_the_model(splits: Splits) -> None:
    model = build(NETWORK)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    evaluate(model, splits.validation, Normalisation.of(RECIPE, splits.train), "fp32")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert np.isfinite(sum(tensor.sum().item() for tensor in before.values()))
