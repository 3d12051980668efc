"""Training steps as CUDA graphs, beside the same steps run operation by operation on the same device."""

import copy
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from models.architecture import Architecture, Stage, Stem
from models.build import build
from search.recipe import Recipe
from search.recipes import RECIPES
from search.teaching import Lesson
from search.trained_network import TrainedNetwork
from search.training.graph import Capture, capture
from search.training.images import Images, Normalisation
from search.training.loop import Training
from search.training.network import begin as begin_network
from search.training.small_images import small_size
from search.training.teachers import Teachers

pytestmark = pytest.mark.gpu

NETWORK = Architecture(
    Stem(16), (Stage("basic", 1, 16, dropout=0.2), Stage("bottleneck", 2, 64, 5), Stage("basic", 1, 48, dropout=0.2))
)
NUM_STEPS = 50
EPOCHS = 5
CHANGES: dict[str, dict[str, Any]] = {
    "sgd": {},
    "without momentum": {"momentum": 0.0, "nesterov": False},
    "adam": {"optimizer": "adam", "lr": 0.01},
    "adamw": {"optimizer": "adamw", "lr": 0.01},
    "muon": {"optimizer": "muon"},
    "rates per 1,024": {"rates_per": 1024, "lr": 11.5, "weight_decay": 0.0153, "norm_bias_lr_factor": 64.0},
    "muon, rates per 1,024": {"optimizer": "muon", "rates_per": 1024, "lr": 11.5, "weight_decay": 0.0153},
    "small images": {"small_images": {"epochs": 0.5, "size": 0.5}, "crop_padding": 4, "ema_window": 0.2},
    "average": {"ema_window": 0.2},
    "mixed": {"cutmix": 1.0, "mixup": 1.0, "mix_probability": 0.5},
    "augmented": {"label_smoothing": 0.2, "crop_padding": 4, "flip": True, "cutout": 8, "auto_augment": True},
    "airbench": {
        "flip": "alternating",
        "crop_padding": 2,
        "padding_mode": "reflect",
        "norm_bias_lr_factor": 16.0,
        "train_norm_weight": False,
        "zero_init_last_norm": False,
        "norm_momentum": 0.4,
        "logit_scale": 1 / 9,
        "lookahead": 5,
        "dirac_init": True,
        "stochastic_depth": 0.2,
    },
    "plateau": {"schedule": "plateau", "warmup": 0.0, "patience": 0, "keep_best": True},
}
# Made here, so that a recipe that is none is found without a GPU too.
KINDS = {
    kind: Recipe.model_validate({"name": "test", "epochs": EPOCHS, "batch_size": 64} | changes)
    for kind, changes in CHANGES.items()
}
for name in ("fast", "full"):
    own = RECIPES[name].model_copy(update={"epochs": EPOCHS, "batch_size": 64})
    KINDS[name] = own.fit_to("cifar10", 64 * NUM_STEPS // EPOCHS, 32, 3)


@pytest.fixture(autouse=True)
def _deterministic(cuda: torch.device) -> Iterator[None]:
    """One way to compute each operation."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    yield
    torch.backends.cudnn.deterministic = before


@pytest.fixture(scope="module")
def data(cuda: torch.device) -> Images:
    """Images that show their class by their brightness."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 10, (64 * NUM_STEPS // EPOCHS,), generator=generator)
    noise = torch.randint(0, 56, (len(labels), 3, 32, 32), generator=generator)
    return Images((noise + 20 * labels.view(-1, 1, 1, 1)).to(torch.uint8).to(cuda), labels.to(cuda))


def begin(
    data: Images, kind: str, capture: Capture | None, precision: str = "fp32", seed: int = 0, **options: Any
) -> Training:
    recipe = KINDS[kind]
    torch.manual_seed(seed)
    model, normalise = begin_network(NETWORK, recipe).to(data.device), Normalisation.of(recipe, data)
    size = small_size(NETWORK, recipe, 32)
    return Training(
        model,
        recipe,
        data,
        data,
        normalise,
        seed=seed,
        precision=precision,
        small_size=size,
        capture=capture,
        **options,
    )


def losses_of(training: Training) -> list[float]:
    """The mean loss of every epoch that is left, and the validation losses after them."""
    measurements = list(training.epochs())
    return [m.train_loss for m in measurements] + [m.validation_loss or 0.0 for m in measurements]


@pytest.mark.parametrize("kind", KINDS)
def test_a_captured_training_is_the_uncaptured_one(data: Images, kind: str) -> None:
    notes: list[str] = []
    captured = losses_of(begin(data, kind, capture, note=notes.append))
    assert notes == [] and captured == pytest.approx(losses_of(begin(data, kind, None)), rel=1e-5)


def test_a_captured_training_with_a_teacher_is_the_uncaptured_one(data: Images, tmp_path: Path) -> None:
    torch.manual_seed(1)
    save_file(build(NETWORK).state_dict(), tmp_path / "weights.safetensors")
    network = TrainedNetwork(NETWORK, tmp_path / "weights.safetensors", (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), "fp32")
    normalise = Normalisation.of(Recipe(name="test", epochs=EPOCHS), data)
    teach = Teachers(Lesson((network,), 4.0, 0.5, "digest"), normalise, data.device).loss
    notes: list[str] = []
    captured = losses_of(begin(data, "mixed", capture, note=notes.append, teach=teach))
    assert notes == [] and captured == pytest.approx(losses_of(begin(data, "mixed", None, teach=teach)), rel=1e-5)
    assert captured != pytest.approx(losses_of(begin(data, "mixed", None)), rel=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("kind", ["sgd", "adam", "muon", "small images", "average", "mixed"])
def test_in_half_precision_capturing_changes_less_than_a_seed(data: Images, kind: str, precision: str) -> None:
    captured, uncaptured, other = (
        torch.tensor(losses_of(begin(data, kind, how, precision, seed)))
        for how, seed in ((capture, 0), (None, 0), (None, 1))
    )
    assert (captured - uncaptured).abs().mean() < (other - uncaptured).abs().mean()


@pytest.mark.parametrize("kind", ["sgd", "adam", "muon", "small images", "average", "mixed", "airbench"])
def test_a_resumed_training_is_captured_anew_and_goes_on(data: Images, kind: str) -> None:
    whole = losses_of(begin(data, kind, None))  # first, since dropout draws from the generator that is restored below
    first = begin(data, kind, capture)
    next(first.epochs())
    state = copy.deepcopy(first.state())
    list(first.epochs())
    resumed = begin(data, kind, capture)
    resumed.restore(state)
    expected = whole[1:EPOCHS] + whole[EPOCHS + 1 :]
    assert losses_of(resumed) == pytest.approx(expected, rel=1e-5)


def test_dropout_draws_another_mask_at_every_replay(data: Images) -> None:
    training = begin(data, "sgd", capture)
    masks = []
    dropout = torch.nn.Dropout(0.5).to(data.device)
    seen = torch.zeros(64, device=data.device)

    def compute(batch: Any) -> None:
        seen.copy_(dropout(torch.ones(64, device=data.device)))

    batch = next(training.pipeline.epoch(data, 1))
    replay = capture(compute, batch, lambda: iter([seen]))
    for _ in range(4):
        replay(batch)
        masks.append(tuple(seen.tolist()))
    assert len(set(masks)) == 4


def test_a_step_that_waits_for_the_device_runs_uncaptured_and_training_goes_on(
    data: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = losses_of(begin(data, "sgd", None))
    notes: list[str] = []
    training = begin(data, "sgd", capture, note=notes.append)
    compute = training.step.compute

    def waiting(batch: Any) -> None:
        compute(batch)
        training.step.sums.sum().item()

    monkeypatch.setattr(training.step, "compute", waiting)
    assert losses_of(training) == pytest.approx(whole, rel=1e-5)
    assert len(notes) == 1 and notes[0].startswith("steps are not captured, and slower: ")
    # The process is not harmed: the next design is captured.
    assert losses_of(begin(data, "sgd", capture, note=notes.append)) == pytest.approx(whole, rel=1e-5)
    assert len(notes) == 1
    # Nor is the allocator, which gives nothing back while it takes a capture to be under way.
    torch.empty(2**29, dtype=torch.uint8, device=data.device)
    reserved = torch.cuda.memory_reserved(data.device)
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved(data.device) <= reserved - 2**29


def test_after_fifty_designs_memory_is_where_it_was_after_five(data: Images) -> None:
    reserved = []
    for number in range(50):
        network = Architecture(Stem(8 + number % 7 * 8), (Stage("basic", 1 + number % 3, 16 + number % 5 * 16),))
        recipe = Recipe(name="test", epochs=1, batch_size=64, ema_window=0.1)
        model, normalise = build(network).to(data.device), Normalisation.of(recipe, data)
        training = Training(model, recipe, data, None, normalise, seed=0, precision="bf16", capture=capture)
        list(training.epochs())
        del training, model
        reserved.append(torch.cuda.memory_allocated(data.device))
    assert max(reserved[5:]) <= max(reserved[:5]) * 1.05 + 2**20
    gc.collect()
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved(data.device) < 2**30


def test_a_capture_leaves_the_tensors_and_the_generator_as_they_were(data: Images) -> None:
    training = begin(data, "adam", None)
    batch = next(training.pipeline.epoch(data, 1))
    before = {id(tensor): tensor.clone() for tensor in training.step.changed()}
    state = torch.cuda.get_rng_state(data.device)
    capture(training.step.compute, batch, training.step.changed)
    after = {id(tensor): tensor for tensor in training.step.changed()}
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert len(after) > len(before) and not any(after[key].any() for key in after.keys() - before.keys())
    assert torch.equal(state, torch.cuda.get_rng_state(data.device))


def test_every_gpu_has_a_worker_of_its_own_that_captures(data: Images) -> None:
    num_devices = torch.cuda.device_count()
    if num_devices < 2:
        pytest.skip("there is one GPU")
    for index in range(num_devices):
        device = torch.device("cuda", index)
        torch.cuda.set_device(device)
        there = Images(data.images.to(device), data.labels.to(device))
        notes: list[str] = []
        losses = losses_of(begin(there, "average", capture, note=notes.append))
        assert notes == [] and all(loss > 0 for loss in losses)
    torch.cuda.set_device(0)
