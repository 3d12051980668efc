"""The training step as a function of static tensors: what a captured one does, played on the CPU by calling it."""

import copy
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from models.architecture import Architecture, Stage, Stem
from models.build import build
from search.recipe import Recipe
from search.training.graph import Capture, CaptureError, Replay, rehearse
from search.training.images import Images, Normalisation
from search.training.loop import Training
from search.training.pipeline import Batch

NETWORK = Architecture(Stem(4), (Stage("basic", 1, 4, dropout=0.2), Stage("bottleneck", 1, 8, dropout=0.2)))
GENERATOR = torch.Generator().manual_seed(0)
DATA = Images(
    torch.randint(0, 256, (80, 3, 8, 8), dtype=torch.uint8, generator=GENERATOR),
    torch.randint(0, 10, (80,), generator=GENERATOR),
)
KINDS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "without momentum": {"momentum": 0.0, "nesterov": False},
    "adam": {"optimizer": "adam", "lr": 0.01},
    "adamw": {"optimizer": "adamw", "lr": 0.01},
    "average": {"ema_window": 0.2},
    "mixed": {"cutmix": 1.0, "mixup": 1.0, "mix_probability": 0.5},
    "smoothed": {"label_smoothing": 0.2, "crop_padding": 1, "flip": True, "cutout": 2},
    "plateau": {"schedule": "plateau", "warmup": 0.0, "patience": 0, "keep_best": True},
    "stops early": {"schedule": "constant", "warmup": 0.0, "stop_patience": 1},
}


def play(compute: Callable[[Batch], None], batch: Batch, changed: Callable[[], Iterator[Tensor]]) -> Replay:
    """What `graph.capture` does, but that the replay calls the function."""
    static = batch.clone()
    rehearse(compute, static, changed, torch.default_generator)
    method = weakref.WeakMethod(compute)  # a graph does not hold what was captured either

    def replay(batch: Batch) -> None:
        static.copy_(batch)
        recorded = method()
        assert recorded is not None
        recorded(static)

    return replay


def begin(kind: str, capture: Capture | None, precision: str = "fp32", **options: Any) -> Training:
    recipe = Recipe.model_validate({"name": "test", "epochs": 4, "batch_size": 16} | KINDS[kind])
    torch.manual_seed(0)
    model, normalise = build(NETWORK), Normalisation.of(recipe, DATA)
    return Training(model, recipe, DATA, DATA, normalise, seed=0, precision=precision, capture=capture, **options)


def end(training: Training) -> tuple[list[tuple[object, ...]], list[Tensor]]:
    """The measurements of the epochs that are left, and the weights and statistics after them."""
    epochs = [(m.epoch, m.train_loss, m.train_accuracy, m.validation_loss, m.lr) for m in training.epochs()]
    return epochs, [*training.network.parameters(), *training.network.buffers()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(*pair) for pair in zip(one, other, strict=True))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_replayed_training_is_the_same_to_the_bit(kind: str, precision: str) -> None:
    replayed_epochs, replayed = end(begin(kind, play, precision))
    epochs, weights = end(begin(kind, None, precision))
    assert replayed_epochs == epochs and same(replayed, weights)


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_training_is_captured_anew_and_goes_on_to_the_bit(kind: str) -> None:
    first = begin(kind, play)
    epochs = first.epochs()
    next(epochs)
    state = copy.deepcopy(first.state())
    list(epochs)  # whatever this process trains in between
    resumed = begin(kind, play)
    resumed.restore(state)
    resumed_epochs, resumed_weights = end(resumed)
    whole_epochs, weights = end(begin(kind, None))
    assert resumed_epochs == whole_epochs[1:] and same(resumed_weights, weights)


@pytest.mark.parametrize("kind", ["sgd", "adam", "average"])
def test_a_rehearsal_leaves_no_trace(kind: str) -> None:
    training = begin(kind, None)
    batch = next(training.pipeline.epoch(DATA))
    step = training.step
    there = [*step.changed()]
    before = [tensor.clone() for tensor in there]
    random_state = torch.get_rng_state()
    calls = []

    def compute(batch: Batch) -> None:
        step.compute(batch)
        calls.append(not same(before, there))

    rehearse(compute, batch, step.changed, torch.default_generator)
    assert calls and all(calls), "the step does change things"
    assert same(before, there)
    made = [tensor for tensor in step.changed() if id(tensor) not in {id(tensor) for tensor in there}]
    assert bool(made) == (kind == "adam") and not any(tensor.any() for tensor in made)
    assert torch.equal(random_state, torch.get_rng_state())


def test_a_step_that_cannot_be_captured_runs_uncaptured_and_says_so_once() -> None:
    def refuse(compute: Callable[[Batch], None], batch: Batch, changed: Callable[[], Iterator[Tensor]]) -> Replay:
        rehearse(compute, batch, changed, torch.default_generator)
        raise CaptureError("operation not permitted when stream is capturing")

    notes: list[str] = []
    refused = end(begin("average", refuse, note=notes.append))
    whole = end(begin("average", None))
    assert refused[0] == whole[0] and same(refused[1], whole[1])
    assert notes == ["steps are not captured, and slower: operation not permitted when stream is capturing"]


def test_a_capture_that_fails_in_the_middle_of_a_step_leaves_the_optimiser_nothing_of_the_scaler() -> None:
    training = begin("sgd", None)
    step = training.step

    def refuse(compute: Callable[[Batch], None], batch: Batch, changed: Callable[[], Iterator[Tensor]]) -> Replay:
        vars(step.optimizer).update(grad_scale=torch.tensor(2.0), found_inf=torch.tensor(1.0))
        raise CaptureError("operation not permitted when stream is capturing")

    step._capture = refuse
    refused, whole = end(training), end(begin("sgd", None))
    assert refused[0] == whole[0] and same(refused[1], whole[1])


class Waits(TorchDispatchMode):
    """Notes operations for whose result the host waits, or whose result has a shape that depends on values."""

    KINDS = frozenset({"_local_scalar_dense", "nonzero", "masked_select", "index", "equal", "unique", "bincount"})

    def __init__(self) -> None:
        super().__init__()
        self.noted: set[str] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.noted |= {function.overloadpacket.__name__} & self.KINDS
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", KINDS.keys() - {"adam", "adamw"})  # their own kernels on CUDA do not wait either
def test_nothing_in_a_step_waits_for_the_device(kind: str) -> None:
    training = begin(kind, None, "bf16")
    batch = next(training.pipeline.epoch(DATA))
    with Waits() as waits:
        training.step.compute(batch)
    assert waits.noted == set()
    with Waits() as waits:
        training.step.sums.sum().item()
    assert waits.noted == {"_local_scalar_dense"}


def test_a_training_is_freed_without_the_garbage_collector() -> None:
    # A graph holds memory of its device; a cycle of references would keep it until a collection, for many designs.
    gc.collect()
    gc.disable()
    try:
        training = begin("average", play)
        end(training)
        references = [weakref.ref(one) for one in (training, training.step, training.model, training.step.optimizer)]
        del training
        assert [reference() for reference in references] == [None] * len(references)
    finally:
        gc.enable()
