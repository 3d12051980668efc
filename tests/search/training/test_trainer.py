"""The answers to a worker's tasks, in this process; tests/search/workers/test_local.py has real workers."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch

from models.architecture import Architecture, Stage, Stem
from models.count import count_parameters
from search.data.datasets import open_dataset
from search.protocol import (
    Assignment,
    ContactSheet,
    Failed,
    Finished,
    Job,
    Measurement,
    Message,
    Opening,
    Purpose,
    RangeTest,
    Setup,
    Timed,
    Timing,
    TooSlow,
    Working,
)
from search.recipe import Recipe
from search.recipe_parts import SmallImages
from search.trained_network import TrainedNetwork
from search.training import loop, pulse, speed
from search.training import trainer as module
from search.training.images import Images, Normalisation
from search.training.loop import evaluate_fully
from search.training.predictor import load
from search.training.quiet import Quiet
from search.training.speed import Pace
from search.training.trainer import Requests, Trainer, is_out_of_memory, out_of_memory_failure

NETWORK = Architecture(Stem(4), (Stage("basic", 1, 4),), in_channels=1)
RECIPE = Recipe(name="test", epochs=1, batch_size=512, precision="fp32")


def job(recipe: Recipe = RECIPE, purpose: Purpose = "search") -> Job:
    return Job("trial 0", NETWORK, recipe, 1, purpose, None)


@pytest.fixture(scope="module")
def trainer(cache: Path) -> Trainer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE", str(cache))
        patch.setattr(module, "fastest_precision", lambda *_: "fp32")
        return Trainer(Setup(open_dataset("digits").folder, 0, "cpu", 1))


def perform(trainer: Trainer, task: Assignment) -> tuple[Message, list[Message]]:
    """The answer, and the messages before it."""
    messages: list[Message] = []
    requests = Requests()
    requests.open.set()
    return trainer.perform(task, messages.append, requests), messages


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError()])
def test_a_job_without_memory_has_failed_with_its_batch_and_parameters(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(module, "Training", raising(error))
    answer, messages = perform(trainer, job())
    assert answer == Failed(f"out of memory at batch_size = 512 with {count_parameters(NETWORK)} parameters", "memory")
    assert messages == []


def test_a_timing_without_memory_has_failed_with_its_batch(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "pace", raising(torch.OutOfMemoryError("CUDA out of memory.")))
    answer, _ = perform(trainer, Timing((NETWORK,), RECIPE))
    assert answer == Failed("out of memory at batch_size = 512", "memory")


def test_the_setup_of_designs_is_the_usual_one_not_that_of_the_first(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    paces = iter([Pace(9.0, 1.0), Pace(0.2, 2.0), Pace(0.3, 3.0)])  # libraries are loaded once
    monkeypatch.setattr(module, "pace", lambda *_: next(paces))
    answer, _ = perform(trainer, Timing((NETWORK,) * 3, RECIPE))
    assert answer == Timed((1.0, 2.0, 3.0), 0.3)


def test_another_error_of_the_device_is_the_workers(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Training", raising(RuntimeError("CUDA error: misaligned address\nmore")))
    assert perform(trainer, job())[0] == Failed("RuntimeError: CUDA error: misaligned address", "worker")


def test_a_batch_larger_than_the_data_is_the_trials_failure(trainer: Trainer) -> None:
    num_train = len(trainer.splits.train)
    answer, _ = perform(trainer, job(RECIPE.model_copy(update={"batch_size": num_train + 1})))
    larger = f"batch_size = {num_train + 1}: larger than the {num_train:,} training images"
    assert answer == Failed(larger, "trial")


def test_it_is_said_once_that_a_network_takes_no_smaller_images(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(trainer, "_note", notes.append)
    even = replace(NETWORK, stages=(Stage("basic", 1, 4), Stage("basic", 1, 4, kernel=2)))  # 7 pixels have no half
    recipe = RECIPE.model_copy(update={"epochs": 2, "small_images": SmallImages(size=0.9)})
    for network in (NETWORK, even, even):
        answer, _ = perform(trainer, replace(job(recipe), architecture=network))
        assert isinstance(answer, Finished)
    assert notes == ["no smaller images: a network does not take them, and is trained on whole ones alone"]


def test_the_answer_to_a_job_has_its_batch_size(trainer: Trainer) -> None:
    answer, _ = perform(trainer, job())
    assert isinstance(answer, Finished) and answer.batch_size == 512


@pytest.mark.parametrize("scale", [1.0, 1 / 9])
def test_kept_weights_give_the_tested_loss_whatever_the_scale_of_the_logits(
    trainer: Trainer, tmp_path: Path, scale: float
) -> None:
    recipe = RECIPE.model_copy(update={"logit_scale": scale, "mean": (0.5,), "std": (0.25,)})
    answer, _ = perform(trainer, replace(job(recipe, "final"), keep=tmp_path))
    assert isinstance(answer, Finished) and answer.test is not None
    kept = TrainedNetwork(NETWORK, tmp_path / "weights.safetensors", (0.5,), (0.25,), "fp32")
    test = Images.from_arrays(*trainer.dataset.test(), "cpu")
    normalise = Normalisation.from_constants((0.5,), (0.25,), torch.device("cpu"))
    plain = replace(answer.test, augmented=())
    assert evaluate_fully(load(kept, torch.device("cpu")), test, normalise, "fp32") == plain


def test_a_finalist_that_is_ranked_by_corrupted_images_measures_them_on_the_validation_split_again_alike(
    trainer: Trainer,
) -> None:
    answers = [perform(trainer, replace(job(purpose="finalist"), robust=robust))[0] for robust in (True, True, False)]
    first, again, clean = (answer for answer in answers if isinstance(answer, Finished))
    assert first.robustness is not None and first.robustness == again.robustness and clean.robustness is None
    assert (first.robustness.split, first.robustness.seen, first.test) == ("validation", False, None)
    assert len(first.robustness.corrupted) == 21
    _, messages = perform(trainer, job(purpose="finalist"))
    (measured,) = (message for message in messages if isinstance(message, Measurement))
    assert first.robustness.clean == measured.validation_accuracy


@pytest.mark.parametrize(
    ("data", "flip", "expected"),
    [
        ("cifar10", True, [("mirror", 2), ("shifts", 6)]),
        ("cifar10", "alternating", [("mirror", 2), ("shifts", 6)]),
        ("cifar10", False, [("shifts", 3)]),
        ("svhn", True, [("shifts", 3)]),
    ],
)
def test_a_final_job_measures_test_time_augmentation_on_its_one_opening_and_mirrors_no_characters(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, data: str, flip: bool | str, expected: list[tuple[str, int]]
) -> None:
    monkeypatch.setattr(trainer, "dataset", replace(trainer.dataset, name=data))
    answer, messages = perform(trainer, job(RECIPE.model_copy(update={"flip": flip}), "final"))
    assert isinstance(answer, Finished) and answer.test is not None
    assert [(one.augmentation, one.passes) for one in answer.test.augmented] == expected
    assert messages.count(Opening()) == 1


@pytest.mark.parametrize(
    ("purpose", "robust", "passes"), [("final", False, 1 + 3), ("finalist", True, 1 + 21), ("search", False, 0)]
)
def test_long_evaluations_after_the_training_say_that_they_go_on_and_let_others_measure(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, purpose: Purpose, robust: bool, passes: int
) -> None:
    monkeypatch.setattr(pulse, "SECONDS_BETWEEN_WORDS", 0.0)
    monkeypatch.setattr(loop, "evaluation_batch", lambda *_: 10_000)
    given: list[None] = []
    monkeypatch.setattr(trainer._quiet, "give_way", lambda: given.append(None))
    answer, messages = perform(trainer, replace(job(purpose=purpose), robust=robust))
    assert isinstance(answer, Finished)
    training = sum(isinstance(message, Measurement) for message in messages) * len(trainer.splits.train) // 512
    assert messages.count(Working()) == passes
    assert len(given) >= training + passes


def test_images_of_one_pixel_one_at_a_time_are_the_trials_failure(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = tuple(Stage("basic", 1, 4) for _ in range(4))  # 8 pixels, 4, 2, 1
    answer, _ = perform(
        trainer,
        replace(
            job(RECIPE.model_copy(update={"batch_size": 1})), architecture=Architecture(Stem(4), stages, in_channels=1)
        ),
    )
    assert isinstance(answer, Failed) and answer.blame == "trial"
    assert answer.reason.startswith("ValueError: Expected more than 1 value per channel when training")


def test_images_are_surveyed_once_for_all_jobs_that_train_on_them(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    surveyed: list[Images] = []

    class Counted(Normalisation):
        @classmethod
        def of(cls, recipe: Recipe, images: Images) -> Normalisation:
            surveyed.append(images)
            return Normalisation.of(recipe, images)

    monkeypatch.setattr(module, "Normalisation", Counted)
    trainer._normalisations.clear()
    answers = [perform(trainer, job(purpose=purpose))[0] for purpose in ("search", "search", "final", "finalist")]
    assert [id(images) for images in surveyed] == [id(trainer.splits.train), id(trainer.splits.both)]
    for answer, images in zip(answers, [*surveyed[:1] * 2, surveyed[1], surveyed[0]], strict=True):
        assert isinstance(answer, Finished)
        normalise = Normalisation.of(RECIPE, images)
        assert (answer.mean, answer.std) == (normalise.mean, normalise.std)


def test_constants_of_a_recipe_are_not_those_of_another(trainer: Trainer) -> None:
    answers = [
        perform(trainer, job(RECIPE.model_copy(update={"mean": (mean,), "std": (0.5,)})))[0] for mean in (0.25, 0.5)
    ]
    assert [answer.mean for answer in answers if isinstance(answer, Finished)] == [(0.25,), (0.5,)]


# Times that are measured, and those of others.


def test_damaged_files_of_measured_times_are_put_aside_and_everything_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "seconds_per_epoch", lambda *_: 1.0)
    data = copytree(open_dataset("digits").folder, tmp_path / "digits")
    (tmp_path / "precision.json").write_text("")
    (tmp_path / "latency.json").write_text('{"0123": 0.0')
    said: list[str] = []
    trainer = Trainer(Setup(data, 0, "cpu", 1), said.append)
    assert trainer.precision == "fp32"
    assert isinstance(perform(trainer, replace(job(), max_latency=10.0))[0], Finished)
    assert isinstance(perform(trainer, replace(job(), max_latency=1e-9))[0], TooSlow)
    assert [line.partition(":")[0] for line in said] == [
        str(tmp_path / name) for name in ("precision.json", "latency.json")
    ]


@pytest.fixture
def performing(trainer: Trainer) -> Iterator[Callable[[Job], tuple[list[Message], Requests]]]:
    """Has a job done in another thread. Returns what is said, as it is said, and what may be requested."""
    requests = Requests()
    threads: list[threading.Thread] = []

    def begin(job: Job) -> tuple[list[Message], Requests]:
        said: list[Message] = []
        threads.append(threading.Thread(target=trainer.perform, args=(job, said.append, requests)))
        threads[0].start()
        while not said:
            time.sleep(0.001)
        return said, requests

    yield begin
    requests.stop.set()
    requests.open.set()
    threads[0].join()


def test_others_may_measure_between_two_steps_of_a_job(
    trainer: Trainer, performing: Callable[[Job], tuple[list[Message], Requests]]
) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 100_000, "schedule": "constant"})
    said, requests = performing(job(recipe))
    with Quiet(trainer.dataset.folder.parent).alone():
        before = len(said)
        time.sleep(0.05)
        assert len(said) == before and not requests.stop.is_set()
    while len(said) == before:
        time.sleep(0.001)


def test_others_may_measure_while_a_job_waits_for_the_test_set(
    trainer: Trainer, performing: Callable[[Job], tuple[list[Message], Requests]]
) -> None:
    said, _ = performing(job(purpose="final"))
    while said[-1] != Opening():
        time.sleep(0.001)
    with Quiet(trainer.dataset.folder.parent).alone():
        assert said[-1] == Opening()


# Out of memory.

WIDE = Architecture(Stem(4), (Stage("basic", 1, 8),), in_channels=1)
SMALL_BATCH = Recipe(name="test", epochs=1, batch_size=256)
PARAMS = f"{count_parameters(WIDE):,} parameters"


def what_torch_says_on_the_cpu() -> RuntimeError:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)  # no host has so much
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        MemoryError(),
        what_torch_says_on_the_cpu(),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_a_lack_of_memory_is_recognised(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("could not create a primitive"),
        ValueError("out of memory"),
    ],
)
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (Job("trial 0", WIDE, SMALL_BATCH, 0, "search", None), f"out of memory at batch_size = 256 with {PARAMS}"),
        (RangeTest(WIDE, SMALL_BATCH, 0, 0.1, 1.0, 9), f"out of memory at batch_size = 256 with {PARAMS}"),
        (Timing((WIDE,), SMALL_BATCH), "out of memory at batch_size = 256"),
        (ContactSheet(SMALL_BATCH, 0, Path("sheet.png")), "out of memory"),
    ],
)
def test_a_task_says_its_batch_and_its_parameters(task: Assignment, reason: str) -> None:
    assert out_of_memory_failure(task, torch.device("cpu")) == Failed(reason, "memory")
    on_device = reason.replace("out of memory", "out of memory on the device")
    assert out_of_memory_failure(task, torch.device("cuda")) == Failed(on_device, "memory")
