"""A trained network on disk gives what it gave when it was trained."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.architecture import Architecture, Stage, Stem
from models.build import build
from search.data.datasets import Dataset, open_dataset
from search.errors import TrainingError
from search.protocol import Failed, Message, Setup, Working
from search.recipe import Recipe
from search.trained_network import Evaluate, Evaluated, Predict, Predicted, TrainedNetwork
from search.training import predictor, pulse
from search.training.corruptions import CORRUPTIONS
from search.training.images import Images, Normalisation
from search.training.loop import evaluate_fully
from search.training.mixed_precision import MEMORY_FORMAT
from search.training.predictor import Predictor, evaluate_all, load, precision_on, predict
from search.training.trainer import save

NETWORK = Architecture(Stem(4), (Stage("basic", 1, 8), Stage("bottleneck", 1, 8)), in_channels=1)
CPU = torch.device("cpu")


@pytest.fixture
def digits() -> Dataset:
    return open_dataset("digits")


@pytest.fixture
def module() -> torch.nn.Module:
    """A network whose BatchNorm statistics differ from those of a new one, as after training."""
    torch.manual_seed(0)
    network = build(NETWORK)
    network(torch.randn(64, 1, 8, 8))
    return network.to(memory_format=MEMORY_FORMAT).eval()


@pytest.fixture
def trained(module: torch.nn.Module, tmp_path: Path, digits: Dataset) -> Callable[..., TrainedNetwork]:
    save(module, NETWORK, tmp_path)
    images = Images.from_arrays(*digits.train(), "cpu")
    normalise = Normalisation.of(Recipe(name="test", epochs=1), images)

    def make(**changes: Any) -> TrainedNetwork:
        values = {"precision": "fp32", "mean": normalise.mean, "std": normalise.std} | changes
        return TrainedNetwork(NETWORK, tmp_path / "weights.safetensors", **values)

    return make


def evaluation(digits: Dataset, *networks: TrainedNetwork) -> Evaluate:
    return Evaluate(networks, digits.folder / "test-images.npy", digits.folder / "test-labels.npy")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_saved_weights_have_to_the_bit_the_result_of_the_network_that_was_saved(
    module: torch.nn.Module, trained: Callable[..., TrainedNetwork], digits: Dataset, precision: str
) -> None:
    images = Images.from_arrays(*digits.train(), "cpu")
    normalise = Normalisation.of(Recipe(name="test", epochs=1), images)
    expected = evaluate_fully(module, Images.from_arrays(*digits.test(), CPU), normalise, precision)
    network = trained(precision=precision)
    assert evaluate_all(evaluation(digits, network, network), CPU) == (expected, expected)


def test_predictions_count_up_to_the_evaluation(trained: Callable[..., TrainedNetwork], digits: Dataset) -> None:
    images, labels = digits.test()
    predicted = predict(trained(), images, CPU)
    (result,) = evaluate_all(evaluation(digits, trained()), CPU)
    counted = np.zeros((10, 10), dtype=int)
    np.add.at(counted, (labels, predicted), 1)
    assert counted.tolist() == [list(row) for row in result.confusion]
    assert len(set(predicted.tolist())) > 1, "the network is not dead"


def test_batches_do_not_change_predictions(
    trained: Callable[..., TrainedNetwork], digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, _ = digits.test()
    whole = predict(trained(), images, CPU)
    monkeypatch.setattr(predictor, "evaluation_batch", lambda *_: 50)
    np.testing.assert_array_equal(predict(trained(), images, CPU), whole)


def test_other_constants_of_normalisation_give_another_result(
    trained: Callable[..., TrainedNetwork], digits: Dataset
) -> None:
    task = evaluation(digits, trained(), trained(mean=(0.9,), std=(0.1,)))
    first, second = evaluate_all(task, CPU)
    assert first != second


def test_a_network_is_tested_and_predicts_with_the_views_that_are_asked_for(
    trained: Callable[..., TrainedNetwork], digits: Dataset
) -> None:
    images, labels = digits.test()
    network = trained(mirrored=True)
    plain, mirrored = evaluation(digits, network), replace(evaluation(digits, network), augmentation="mirror")
    ((result,), (both,)) = (evaluate_all(task, CPU) for task in (plain, mirrored))
    assert replace(both, augmented=()) == result, "the plain numbers stay what they are"
    (augmented,) = both.augmented
    predicted = predict(network, images, CPU, augmentation="mirror")
    assert (augmented.passes, augmented.accuracy) == (2, pytest.approx((predicted == labels).mean()))
    assert (predicted != predict(network, images, CPU)).any()
    of_mirrors = predict(network, images[:, :, ::-1], CPU, augmentation="mirror")
    assert (predicted == of_mirrors).mean() > 0.99, "an image and its mirror are one"


def test_corrupted_images_are_tested_beside_the_plain_ones_and_again_alike(
    trained: Callable[..., TrainedNetwork], digits: Dataset
) -> None:
    plain = evaluation(digits, trained())
    (result,), (corrupted,), (again,) = (
        evaluate_all(task, CPU) for task in (plain, replace(plain, corrupted=True), replace(plain, corrupted=True))
    )
    assert replace(corrupted, corrupted=()) == result and corrupted == again
    assert {(one.corruption, one.strength) for one in corrupted.corrupted} == {
        (name, strength) for name in CORRUPTIONS for strength in (1, 2, 3)
    }


def test_weights_of_another_network_cannot_be_loaded(trained: Callable[..., TrainedNetwork]) -> None:
    other = Architecture(Stem(4), (Stage("basic", 1, 8), Stage("basic", 1, 8)), in_channels=1)
    with pytest.raises(TrainingError, match="cannot be loaded into its architecture") as caught:
        load(replace(trained(), architecture=other), CPU)
    assert "\n" not in str(caught.value)


def test_a_fault_is_answered_in_one_line(
    trained: Callable[..., TrainedNetwork], digits: Dataset, tmp_path: Path
) -> None:
    worker = Predictor(Setup(None, 0, "cpu", 1))
    assert isinstance(worker.perform(evaluation(digits, trained()), print), Evaluated)
    assert isinstance(worker.perform(Predict(trained(), digits.folder / "test-images.npy"), print), Predicted)
    save_file({"a": torch.zeros(1)}, tmp_path / "weights.safetensors")
    (tmp_path / "no.npy").write_text("no array")
    for task in (evaluation(digits, trained()), Predict(trained(), tmp_path / "no.npy")):
        answer = worker.perform(task, print)
        assert isinstance(answer, Failed) and "\n" not in answer.reason


def test_a_long_task_says_that_it_goes_on_and_lets_others_measure(
    trained: Callable[..., TrainedNetwork], digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor, "evaluation_batch", lambda *_: 100)
    worker = Predictor(Setup(None, 0, "cpu", 1))
    given: list[None] = []
    monkeypatch.setattr(worker._quiet, "give_way", lambda: given.append(None))
    task, said = Predict(trained(), digits.folder / "test-images.npy"), list[Message]()
    assert isinstance(worker.perform(task, said.append), Predicted)
    num_batches = -(-digits.num_test // 100)
    assert len(given) == num_batches > 1 and said == [], "it did not take ten seconds"
    monkeypatch.setattr(pulse, "SECONDS_BETWEEN_WORDS", 0.0)
    assert isinstance(worker.perform(task, said.append), Predicted)
    assert said == [Working()] * num_batches
    assert isinstance(worker.perform(evaluation(digits, trained()), said.append), Evaluated)
    assert len(said) > num_batches


def test_a_processor_computes_fp16_networks_in_fp32(trained: Callable[..., TrainedNetwork]) -> None:
    assert precision_on(CPU, trained(precision="fp16")) == "fp32"
    assert precision_on(torch.device("cuda"), trained(precision="fp16")) == "fp16"


@pytest.mark.parametrize(("capability", "precision"), [((7, 5), "fp32"), ((8, 0), "bf16")])
def test_a_gpu_computes_bf16_networks_in_fp32_where_it_has_no_such_convolutions(
    trained: Callable[..., TrainedNetwork], monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], precision: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert precision_on(torch.device("cuda"), trained(precision="bf16")) == precision
    assert precision_on(CPU, trained(precision="bf16")) == "bf16"
