"""The training loop on small data: it learns, repeats itself to the bit, and says when it cannot go on."""

import copy
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from models.architecture import Architecture, Stage, Stem
from models.build import build
from search import protocol
from search.data.datasets import open_dataset
from search.errors import RecipeError, TrainingError
from search.flags import unpack
from search.protocol import Measurement
from search.recipe import Recipe, with_epochs
from search.recipes import FAST, RECIPES
from search.training import loop
from search.training.images import Images, Normalisation, Splits
from search.training.loop import Training, evaluate, evaluate_fully, evaluation_batch
from search.training.network import begin

NETWORK = Architecture(Stem(8), (Stage("basic", 1, 8), Stage("basic", 1, 16)), in_channels=1)
RECIPE = Recipe(name="test", epochs=3, batch_size=32, lr=0.1, crop_padding=1, cutout=2)


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Splits.load(open_dataset("digits"), 0, "cpu")


@pytest.fixture(scope="module")
def few(splits: Splits) -> Splits:
    """Ten batches of 32: enough where nothing is to be learnt."""
    return replace(splits, train=splits.train.take(np.arange(320)))


def run(
    splits: Splits, recipe: Recipe, seed: int = 0, precision: str = "fp32"
) -> tuple[torch.nn.Module, list[Measurement]]:
    torch.manual_seed(seed)
    model = begin(NETWORK, recipe)
    normalise = Normalisation.of(recipe, splits.train)
    training = Training(model, recipe, splits.train, splits.validation, normalise, seed=seed, precision=precision)
    return model, list(training.epochs())


def without_seconds(measurements: list[Measurement]) -> list[tuple[object, ...]]:
    return [
        (m.epoch, m.train_loss, m.train_accuracy, m.validation_loss, m.validation_accuracy, m.lr, m.first_loss)
        for m in measurements
    ]


def same(one: torch.nn.Module, two: torch.nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_small_network_learns_digits_in_eight_epochs(splits: Splits, precision: str) -> None:
    recipe = FAST.fit_to("digits", len(splits.both), 8, 1)
    _, measurements = run(splits, recipe, precision=precision)
    assert [m.epoch for m in measurements] == list(range(1, 9))
    assert measurements[-1].validation_accuracy is not None
    assert measurements[-1].validation_accuracy > 0.93
    assert measurements[-1].train_loss < measurements[0].train_loss


def test_the_first_loss_is_near_the_logarithm_of_the_number_of_classes(few: Splits) -> None:
    _, (first, second) = run(few, with_epochs(RECIPE, 2))
    assert first.first_loss is not None and abs(first.first_loss - math.log(10)) < 0.6
    assert second.first_loss is None


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_first_loss_is_that_of_the_first_batch_before_any_step(few: Splits, smoothing: float) -> None:
    # One batch of all images, so that the order does not matter.
    size = len(few.train)
    whole = Recipe(name="whole", epochs=2, batch_size=size, lr=0.5, warmup=0, label_smoothing=smoothing)
    _, measurements = run(few, whole)
    torch.manual_seed(0)
    untrained = build(NETWORK, zero_init_last_norm=whole.zero_init_last_norm)
    images = Normalisation.of(whole, few.train)(few.train.images)
    loss = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)(untrained(images), few.train.labels)
    assert measurements[0].first_loss == pytest.approx(loss.item(), rel=1e-4)
    assert measurements[0].train_loss == measurements[0].first_loss != measurements[1].train_loss


def test_the_first_loss_is_the_same_at_any_learning_rate(few: Splits) -> None:
    _, slower = run(few, RECIPE.model_copy(update={"lr": 1e-6, "warmup": 0.0, "epochs": 1}))
    _, faster = run(few, RECIPE.model_copy(update={"lr": 0.5, "warmup": 0.0, "epochs": 1}))
    assert slower[0].first_loss == faster[0].first_loss
    assert slower[0].train_loss != faster[0].train_loss


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_seed_gives_the_same_bits_and_another_does_not(few: Splits, precision: str) -> None:
    recipe = with_epochs(RECIPE, 2)
    one_model, one = run(few, recipe, precision=precision)
    two_model, two = run(few, recipe, precision=precision)
    _, other = run(few, recipe, seed=1, precision=precision)
    assert without_seconds(one) == without_seconds(two)
    assert same(one_model, two_model)
    assert without_seconds(one) != without_seconds(other)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_each_optimiser_gives_the_same_bits_again_and_learns(splits: Splits, optimizer: str) -> None:
    lr = 0.1 if optimizer == "sgd" else 0.01
    recipe = Recipe.model_validate({"name": "test", "epochs": 2, "batch_size": 32, "optimizer": optimizer, "lr": lr})
    one_model, one = run(splits, recipe)
    two_model, two = run(splits, recipe)
    assert without_seconds(one) == without_seconds(two) and same(one_model, two_model)
    assert one[-1].validation_accuracy is not None and one[-1].validation_accuracy > 0.3


# Every named recipe, on images that show their class by their colour.

COLOURED = Architecture(Stem(4), (Stage("basic", 1, 4, dropout=0.1), Stage("bottleneck", 1, 8)))


def coloured(num: int) -> Images:
    generator = torch.Generator().manual_seed(num)
    labels = torch.arange(num) % 10
    noise = torch.randint(0, 56, (num, 3, 16, 16), generator=generator)
    colours = torch.stack((labels * 20, 180 - labels * 20, (labels % 3) * 90), 1)
    return Images((colours[:, :, None, None] + noise).to(torch.uint8), labels)


@pytest.mark.parametrize("name", RECIPES)
def test_every_named_recipe_trains_and_does_so_again_to_the_bit(name: str) -> None:
    data, validation = coloured(96), coloured(50)
    short = with_epochs(RECIPES[name], 1).model_copy(update={"batch_size": 32})
    recipe = short.fit_to("colours", len(data), 16, 3)

    def train_once(global_seed: int) -> tuple[torch.nn.Module, Measurement]:
        torch.manual_seed(0)
        model = begin(COLOURED, recipe)
        torch.manual_seed(global_seed)  # dropout must not depend on what was drawn before
        before = [parameter.detach().clone() for parameter in model.parameters()]
        normalise = Normalisation.of(recipe, data)
        (measurement,) = Training(model, recipe, data, validation, normalise, seed=0, precision="fp32").epochs()
        assert not any(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))
        return model, measurement

    model, measurement = train_once(1)
    again, repeated = train_once(2)
    assert measurement.validation_loss is not None and measurement.first_loss is not None
    assert all(map(math.isfinite, (measurement.train_loss, measurement.validation_loss)))
    assert abs(measurement.first_loss - math.log(10)) < 1
    assert without_seconds([measurement]) == without_seconds([repeated]) and same(model, again)


# Training that looks at the validation split.


def run_scripted(
    monkeypatch: pytest.MonkeyPatch, accuracies: list[float], **values: Any
) -> tuple[torch.nn.Module, list[Measurement], list[torch.nn.Module]]:
    """Train as if the epochs had these validation accuracies; also a copy of the network after each."""
    script: Iterator[float] = iter(accuracies)
    monkeypatch.setattr(loop, "evaluate", lambda *_: protocol.TestResult(1.0, next(script), ()))
    constant = {"schedule": "constant", "warmup": 0, "batch_size": 32}
    recipe = Recipe.model_validate({"name": "test", "epochs": len(accuracies)} | constant | values)
    data = coloured(64)
    torch.manual_seed(0)
    model = build(COLOURED)
    measurements, copies = [], []
    training = Training(model, recipe, data, data, Normalisation.of(recipe, data), seed=0, precision="fp32")
    for measurement in training.epochs():
        measurements.append(measurement)
        copies.append(copy.deepcopy(model))
    return model, measurements, copies


STALLING = [0.1, 0.3, 0.2, 0.3, 0.1, 0.9, 0.9]


@pytest.mark.parametrize(("patience", "last"), [(1, 3), (2, 4), (3, 5), (4, 7)])
def test_training_stops_after_as_many_epochs_without_a_better_one(
    monkeypatch: pytest.MonkeyPatch, patience: int, last: int
) -> None:
    _, measurements, _ = run_scripted(monkeypatch, STALLING, stop_patience=patience)
    assert [m.epoch for m in measurements] == list(range(1, last + 1))


def test_training_that_learns_nothing_stops_after_its_patience() -> None:
    # A rate too small to change any weight, and no BatchNorm to change with the data.
    data, recipe = coloured(64), Recipe(name="idle", epochs=50, batch_size=32, lr=1e-30, stop_patience=4)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 10))
    training = Training(model, recipe, data, data, Normalisation.of(recipe, data), seed=0, precision="fp32")
    epochs = list(training.epochs())
    assert len(epochs) == 1 + 4
    assert len({m.validation_accuracy for m in epochs}) == 1


@pytest.mark.parametrize(
    ("accuracies", "best"),
    [([0.1, 0.3, 0.2, 0.1], 2), ([0.1, 0.3, 0.3, 0.3], 2), ([0.0, 0.0, 0.0], 1), ([0.1, 0.2, 0.3], 3)],
)
def test_the_network_keeps_the_weights_of_the_first_best_epoch(
    monkeypatch: pytest.MonkeyPatch, accuracies: list[float], best: int
) -> None:
    model, _, copies = run_scripted(monkeypatch, accuracies, keep_best=True)
    assert [same(model, copy) for copy in copies] == [epoch == best for epoch in range(1, len(copies) + 1)]


def test_without_keep_best_the_network_has_the_weights_of_its_last_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    for values in ({}, {"stop_patience": 2}):
        model, _, copies = run_scripted(monkeypatch, [0.1, 0.3, 0.2, 0.1], **values)
        assert [same(model, copy) for copy in copies] == [False] * 3 + [True]


def test_the_best_weights_are_kept_where_the_training_stops_early(monkeypatch: pytest.MonkeyPatch) -> None:
    model, measurements, copies = run_scripted(monkeypatch, STALLING, stop_patience=3, keep_best=True)
    assert len(measurements) == 5 and same(model, copies[1])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_kept_network_has_exactly_the_accuracy_of_its_epoch(few: Splits, precision: str) -> None:
    recipe = RECIPE.model_copy(update={"keep_best": True, "schedule": "constant", "lr": 0.4, "epochs": 4})
    model, measurements = run(few, recipe, precision=precision)
    result = evaluate(model, few.validation, Normalisation.of(recipe, few.train), precision)
    best = max(measurements, key=lambda m: m.validation_accuracy or 0.0)
    assert (result.accuracy, result.loss) == (best.validation_accuracy, best.validation_loss)


def test_the_average_is_that_of_the_weights_and_statistics_after_every_step(few: Splits) -> None:
    recipe = RECIPE.model_copy(update={"ema_window": 0.1, "epochs": 2})
    torch.manual_seed(0)
    model = build(NETWORK)
    normalise = Normalisation.of(recipe, few.train)
    training = Training(model, recipe, few.train, few.validation, normalise, seed=0, precision="fp32")
    share = 1 / (0.1 * 2 * (len(few.train) // 32))
    expected: dict[str, torch.Tensor] = {}

    def average(*_: object) -> None:
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                expected[name] = torch.lerp(expected.get(name, value), value, share)

    training.step.optimizer.register_step_post_hook(average)
    measurements = list(training.epochs())
    averaged = training.network.state_dict()
    assert training.network is not model and expected
    for name, value in expected.items():
        torch.testing.assert_close(averaged[name], value, rtol=1e-5, atol=1e-6, msg=name)
    result = evaluate(training.network, few.validation, normalise, "fp32")
    assert (result.accuracy, result.loss) == (measurements[-1].validation_accuracy, measurements[-1].validation_loss)
    assert result.loss != evaluate(model, few.validation, normalise, "fp32").loss


# The scale of the logits.


@pytest.mark.parametrize("values", [{}, {"ema_window": 0.2}, {"keep_best": True}, {"stop_patience": 1}])
def test_the_kept_network_gives_logits_with_their_scale(few: Splits, values: dict[str, Any]) -> None:
    recipe = RECIPE.model_copy(update={"logit_scale": 0.3, "epochs": 3, **values})
    torch.manual_seed(0)
    model, normalise = build(NETWORK, zero_init_last_norm=True), Normalisation.of(recipe, few.train)
    training = Training(model, recipe, few.train, few.validation, normalise, seed=0, precision="fp32")
    measurements = list(training.epochs())
    kept = training.best.epoch if recipe.keep_best else measurements[-1].epoch
    result = evaluate(training.network, few.validation, normalise, "fp32")
    assert result.loss == pytest.approx(measurements[kept - 1].validation_loss, rel=1e-5)
    assert result.accuracy == pytest.approx(measurements[kept - 1].validation_accuracy, abs=1e-6)
    before = [parameter.clone() for parameter in training.network.parameters()]
    assert list(training.epochs()) == []
    assert all(torch.equal(*pair) for pair in zip(before, training.network.parameters(), strict=True)), "scaled once"


def test_a_scaled_loss_is_that_of_a_network_whose_last_layer_scales(few: Splits) -> None:
    class Scaled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.network = build(NETWORK)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.network(images) / 4
            return logits

    plain = with_epochs(RECIPE, 2).model_copy(update={"label_smoothing": 0.1})
    normalise = Normalisation.of(plain, few.train)
    wrapped = Training(Scaled(), plain, few.train, few.validation, normalise, seed=0, precision="fp32")
    torch.manual_seed(0)
    model, recipe = build(NETWORK), plain.model_copy(update={"logit_scale": 0.25})
    scaled = Training(model, recipe, few.train, few.validation, normalise, seed=0, precision="fp32")
    assert without_seconds(list(scaled.epochs())) == without_seconds(list(wrapped.epochs()))
    images = normalise(few.validation.images)
    torch.testing.assert_close(model.eval()(images), wrapped.model.eval()(images))


def test_a_training_that_should_stop_ends_before_its_next_step(few: Splits) -> None:
    answers = iter([False] * (len(few.train) // 32 + 7))
    model, steps = build(NETWORK), []
    training = Training(
        model,
        RECIPE,
        few.train,
        few.validation,
        Normalisation.of(RECIPE, few.train),
        seed=0,
        precision="fp32",
        should_stop=lambda: next(answers, True),
    )
    training.step.optimizer.register_step_post_hook(lambda *_: steps.append(1))
    assert [measurement.epoch for measurement in training.epochs()] == [1]
    assert len(steps) == len(few.train) // 32 + 7


def test_a_training_without_an_average_has_its_model_as_its_network(few: Splits) -> None:
    model = build(NETWORK)
    normalise = Normalisation.of(RECIPE, few.train)
    assert Training(model, RECIPE, few.train, None, normalise, seed=0, precision="fp32").network is model


def test_a_plateau_lowers_the_learning_rate_when_validation_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    accuracies = [0.2, 0.3, 0.3, 0.3, 0.3, 0.3, 0.5, 0.5, 0.5]
    _, measurements, _ = run_scripted(monkeypatch, accuracies, schedule="plateau", factor=0.5, patience=1)
    # torch tolerates `patience` bad epochs and acts on the next, so from epochs 5 and 7 on.
    assert [m.lr for m in measurements] == pytest.approx([0.1] * 4 + [0.05] * 2 + [0.025] * 3)
    _, measurements, _ = run_scripted(monkeypatch, [0.1, 0.2, 0.3, 0.4], schedule="plateau", patience=0)
    assert {m.lr for m in measurements} == {0.1}, "each epoch was better"


def test_the_last_step_of_an_epoch_gives_its_learning_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    _, measurements, _ = run_scripted(monkeypatch, [0.5] * 3, schedule="linear")
    # Two steps an epoch: the second, fourth and sixth of six.
    assert [m.lr for m in measurements] == pytest.approx([0.1 * (1 - step / 6) for step in (1, 3, 5)])


# What ends a run.


def test_an_exploding_loss_ends_the_run_with_its_reason(few: Splits) -> None:
    explosive = RECIPE.model_copy(update={"lr": 1e20, "warmup": 0.0, "zero_init_last_norm": False})
    with pytest.raises(TrainingError, match=r"loss is (nan|inf)"):
        run(few, explosive)


def test_a_batch_larger_than_the_data_is_refused(splits: Splits) -> None:
    with pytest.raises(RecipeError, match=r"batch_size = 60000: larger than the 1,151 training images"):
        run(splits, RECIPE.model_copy(update={"batch_size": 60_000}))


# Evaluation.


def test_evaluation_counts_every_image_once() -> None:
    class Constant(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.tensor([0.0, 1.0, 0.0]).repeat(len(images), 1)

    labels = torch.tensor([0, 1, 1, 2] * 600)
    data = Images(torch.zeros(2_400, 1, 4, 4, dtype=torch.uint8), labels)
    result = evaluate_fully(Constant(), data, Normalisation.of(RECIPE, data), "fp32")
    assert result.accuracy == 0.5
    assert result.confusion == ((0, 600, 0), (0, 1_200, 0), (0, 600, 0))
    expected = torch.nn.functional.cross_entropy(torch.tensor([[0.0, 1.0, 0.0]] * 4), labels[:4])
    assert result.loss == pytest.approx(expected.item(), rel=1e-5)


def test_evaluation_tells_of_each_image_whether_it_was_right(few: Splits) -> None:
    model, _ = run(few, with_epochs(RECIPE, 1))
    normalise = Normalisation.of(RECIPE, few.train)
    result = evaluate_fully(model, few.validation, normalise, "fp32")
    assert result.correct is not None
    with torch.inference_mode():
        predicted = model(normalise(few.validation.images)).argmax(dim=1)
    flags = unpack(result.correct, len(few.validation))
    assert flags.tolist() == (predicted == few.validation.labels).tolist()
    assert flags.mean() == pytest.approx(result.accuracy) and 0 < flags.sum() < len(flags)


def test_large_images_are_evaluated_in_batches_that_fit() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert [evaluation_batch((3, size, size), cpu) for size in (8, 32, 224, 1_024)] == [1_000, 341, 6, 1]
    assert [evaluation_batch((3, size, size), cuda) for size in (32, 224, 4_096)] == [1_000, 55, 1]
    seen = []

    class Constant(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(len(images))
            return torch.tensor([0.0, 1.0]).repeat(len(images), 1)

    data = Images(torch.zeros(800, 3, 32, 32, dtype=torch.uint8), torch.ones(800, dtype=torch.int64))
    assert evaluate(Constant(), data, Normalisation.of(RECIPE, data), "fp32").accuracy == 1
    assert seen == [341, 341, 118]


def test_evaluation_leaves_no_trace_in_the_model(few: Splits) -> None:
    model = build(NETWORK)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    evaluate(model, few.validation, Normalisation.of(RECIPE, few.train), "fp32")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert np.isfinite(sum(tensor.sum().item() for tensor in before.values()))
