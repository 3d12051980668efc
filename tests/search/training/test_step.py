"""The training step as a function of static tensors: what a captured one does, on the CPU.

Every operation of one call is recorded and done again on the same memory, as by a CUDA graph. A recording is blind to
Python: numbers are frozen, tensors stay where they are, and nothing may ask for a value.
"""

import copy
import gc
import weakref
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from models.architecture import Architecture, Stage, Stem
from models.build import build
from search.recipe import Recipe
from search.teaching import Lesson
from search.trained_network import TrainedNetwork
from search.training.graph import Capture, CaptureError, Replay, rehearse
from search.training.images import Images, Normalisation
from search.training.loop import Training
from search.training.network import begin as begin_network
from search.training.pipeline import Batch
from search.training.small_images import small_size
from search.training.teachers import Teachers

NETWORK = Architecture(Stem(4), (Stage("basic", 1, 4, dropout=0.2), Stage("bottleneck", 1, 8, dropout=0.2)))
GENERATOR = torch.Generator().manual_seed(0)
DATA = Images(
    torch.randint(0, 256, (48, 3, 8, 8), dtype=torch.uint8, generator=GENERATOR),
    torch.randint(0, 10, (48,), generator=GENERATOR),
)
KINDS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "without momentum": {"momentum": 0.0, "nesterov": False},
    "adam": {"optimizer": "adam", "lr": 0.01},
    "adamw": {"optimizer": "adamw", "lr": 0.01},
    "muon": {"optimizer": "muon"},
    "rates per 1,024": {"rates_per": 1024, "lr": 11.5, "weight_decay": 0.0153, "norm_bias_lr_factor": 64.0},
    "small images": {"small_images": {"epochs": 0.5, "size": 0.5}, "crop_padding": 1, "ema_window": 0.2},
    "average": {"ema_window": 0.2},
    "mixed": {"cutmix": 1.0, "mixup": 1.0, "mix_probability": 0.5},
    "smoothed": {"label_smoothing": 0.2, "crop_padding": 1, "flip": True, "cutout": 2},
    "alternating": {"flip": "alternating", "crop_padding": 1},
    "scaled": {"logit_scale": 0.125, "label_smoothing": 0.2},
    "lookahead": {"lookahead": 3},
    "stochastic depth": {"stochastic_depth": 0.5},
    "norms": {
        "norm_bias_lr_factor": 16.0,
        "train_norm_weight": False,
        "zero_init_last_norm": False,
        "norm_momentum": 0.4,
    },
    "plateau": {"schedule": "plateau", "warmup": 0.0, "patience": 0, "keep_best": True},
    "stops early": {"schedule": "constant", "warmup": 0.0, "stop_patience": 1},
}
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "index", "equal", "unique", "bincount")


class Recorder(TorchDispatchMode):
    """Keeps every operation of a block with the tensors that it read and made."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = function.overloadpacket.__name__
        assert name not in WAITS, f"{name}: waits for the device"
        made = function(*args, **(kwargs or {}))
        tensors = [value for value in tree_flatten(made)[0] if isinstance(value, Tensor)]
        self.operations.append((function, args, kwargs or {}, tensors))
        return made

    @torch.no_grad()
    def replay(self) -> None:
        """Do the same operations again; what one makes is written where the recorded one made it."""
        for function, args, kwargs, recorded in self.operations:
            if function.is_view:
                continue  # it made nothing: what it shows is where it was
            made = [value for value in tree_flatten(function(*args, **kwargs))[0] if isinstance(value, Tensor)]
            for old, new in zip(recorded, made, strict=True):
                if old is not new:
                    old.copy_(new)


def record(compute: Callable[[Batch], None], batch: Batch, changed: Callable[[], Iterator[Tensor]]) -> Replay:
    """What `graph.capture` does, with a recording for its graph."""
    static = batch.clone()
    rehearse(compute, static, changed, torch.default_generator)
    before = [(tensor, tensor.clone()) for tensor in changed()]
    random_state = torch.get_rng_state()
    with Recorder() as recorder:
        compute(static)
    with torch.no_grad():  # a capture computes nothing
        for tensor, value in before:
            tensor.copy_(value)
    torch.set_rng_state(random_state)

    def replay(batch: Batch) -> None:
        static.copy_(batch)
        recorder.replay()

    return replay


def call(compute: Callable[[Batch], None], batch: Batch, changed: Callable[[], Iterator[Tensor]]) -> Replay:
    """No capture, but an optimiser that is made for one."""
    return compute


def begin(kind: str, capture: Capture | None, precision: str = "fp32", **options: Any) -> Training:
    recipe = Recipe.model_validate({"name": "test", "epochs": 4, "batch_size": 16} | KINDS[kind])
    torch.manual_seed(0)
    model, normalise = begin_network(NETWORK, recipe), Normalisation.of(recipe, DATA)
    size = small_size(NETWORK, recipe, 8)
    return Training(
        model, recipe, DATA, DATA, normalise, seed=0, precision=precision, small_size=size, capture=capture, **options
    )


def end(training: Training) -> tuple[list[tuple[object, ...]], list[Tensor]]:
    """The measurements of the epochs that are left, and the weights and statistics after them."""
    epochs = [(m.epoch, m.train_loss, m.train_accuracy, m.validation_loss, m.lr) for m in training.epochs()]
    return epochs, [*training.network.parameters(), *training.network.buffers()]


@cache
def uncaptured(kind: str, precision: str = "fp32") -> tuple[list[tuple[object, ...]], list[Tensor]]:
    """What a whole training without a capture comes to."""
    return end(begin(kind, call, precision))


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(*pair) for pair in zip(one, other, strict=True))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_recorded_step_with_a_teacher_is_the_step(tmp_path: Path, precision: str) -> None:
    design = Architecture(Stem(8), (Stage("basic", 1, 8),))
    save_file(build(design).state_dict(), tmp_path / "weights.safetensors")
    network = TrainedNetwork(design, tmp_path / "weights.safetensors", (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), "fp32")

    def taught(capture: Capture) -> Training:
        normalise = Normalisation.of(Recipe(name="test", epochs=4), DATA)
        teachers = Teachers(Lesson((network,), 4.0, 0.9, "digest"), normalise, torch.device("cpu"))
        return begin("mixed", capture, precision, teach=teachers.loss)

    recorded_epochs, recorded = end(taught(record))
    epochs, weights = end(taught(call))
    assert recorded_epochs == epochs and same(recorded, weights)
    assert not same(weights, uncaptured("mixed", precision)[1])


HALVES = [
    (kind, precision)
    for kind in ("sgd", "adam", "muon", "small images", "average", "mixed", "lookahead")
    for precision in ("bf16", "fp16")
]


@pytest.mark.parametrize(("kind", "precision"), [*((kind, "fp32") for kind in KINDS), *HALVES])
def test_a_recorded_step_is_the_step(kind: str, precision: str) -> None:
    recorded_epochs, recorded = end(begin(kind, record, precision))
    epochs, weights = uncaptured(kind, precision)
    assert recorded_epochs == epochs and same(recorded, weights)


def test_a_step_that_waits_for_the_device_is_found() -> None:
    with pytest.raises(AssertionError, match="_local_scalar_dense: waits for the device"), Recorder():
        torch.ones(2).sum().item()


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_training_is_captured_anew_and_goes_on_to_the_bit(kind: str) -> None:
    first = begin(kind, record)
    epochs = first.epochs()
    next(epochs)
    state = copy.deepcopy(first.state())
    list(epochs)  # whatever this process trains in between
    resumed = begin(kind, record)
    resumed.restore(state)
    resumed_epochs, resumed_weights = end(resumed)
    whole_epochs, weights = uncaptured(kind)
    assert resumed_epochs == whole_epochs[1:] and same(resumed_weights, weights)


@pytest.mark.parametrize("kind", ["sgd", "adam", "average"])
def test_a_rehearsal_leaves_no_trace(kind: str) -> None:
    training = begin(kind, None)
    batch = next(training.pipeline.epoch(DATA, 1))
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
    whole = uncaptured("average")
    assert refused[0] == whole[0] and same(refused[1], whole[1])
    assert notes == ["steps are not captured, and slower: operation not permitted when stream is capturing"]


def test_smaller_images_have_a_graph_of_their_own() -> None:
    sizes: list[int] = []

    def capture(compute: Callable[[Batch], None], batch: Batch, changed: Callable[[], Iterator[Tensor]]) -> Replay:
        sizes.append(batch.images.shape[-1])
        return record(compute, batch, changed)

    end(begin("small images", capture))
    assert sizes == [4, 8]


@pytest.mark.parametrize("refused", [4, 8])
def test_where_one_size_cannot_be_captured_no_later_one_is(refused: int) -> None:
    notes: list[str] = []
    sizes: list[int] = []

    def capture(compute: Callable[[Batch], None], batch: Batch, changed: Callable[[], Iterator[Tensor]]) -> Replay:
        sizes.append(batch.images.shape[-1])
        if sizes[-1] == refused:
            rehearse(compute, batch, changed, torch.default_generator)
            raise CaptureError("out of memory")
        return record(compute, batch, changed)

    ended, whole = end(begin("small images", capture, note=notes.append)), uncaptured("small images")
    assert ended[0] == whole[0] and same(ended[1], whole[1])
    assert sizes == ([4] if refused == 4 else [4, 8]) and len(notes) == 1


def test_a_capture_that_fails_in_the_middle_of_a_step_leaves_the_optimiser_nothing_of_the_scaler() -> None:
    training = begin("sgd", None)
    step = training.step

    def refuse(compute: Callable[[Batch], None], batch: Batch, changed: Callable[[], Iterator[Tensor]]) -> Replay:
        vars(step.optimizer).update(grad_scale=torch.tensor(2.0), found_inf=torch.tensor(1.0))
        raise CaptureError("operation not permitted when stream is capturing")

    step._capture = refuse
    refused, whole = end(training), end(begin("sgd", None))
    assert refused[0] == whole[0] and same(refused[1], whole[1])


def test_a_training_is_freed_without_the_garbage_collector() -> None:
    # A graph holds memory of its device; a cycle of references would keep it until a collection, for many designs.
    gc.collect()
    gc.disable()
    try:
        training = begin("average", record)
        end(training)
        references = [weakref.ref(one) for one in (training, training.step, training.model, training.step.optimizer)]
        del training
        assert [reference() for reference in references] == [None] * len(references)
    finally:
        gc.enable()
