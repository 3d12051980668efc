"""What a worker makes of its tasks, within this process; tests/search/study/test_workers.py has real ones."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from models.architecture import Architecture, Stage, Stem
from models.count import count_parameters
from search.data.datasets import open_dataset
from search.protocol import OPEN, PAUSE, STOP, Assignment, Failed, Finished, Job, Message, Purpose, Ready, Setup, Timing
from search.recipe import Recipe
from search.training import worker
from search.training.images import Images, Normalisation
from search.training.worker import Asked, Trainer

NETWORK = Architecture(Stem(4), (Stage("basic", 1, 4),), in_channels=1)
RECIPE = Recipe(name="test", epochs=1, batch_size=512, precision="fp32")


def job(recipe: Recipe = RECIPE, purpose: Purpose = "search") -> Job:
    return Job("trial 0", NETWORK, recipe, 1, purpose, None)


@pytest.fixture(scope="module")
def trainer(cache: Path) -> Trainer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE", str(cache))
        patch.setattr(worker, "fastest_precision", lambda *_: "fp32")
        return Trainer(Setup(open_dataset("digits").folder, 0, "cpu", 1))


def perform(trainer: Trainer, task: Assignment) -> tuple[Message, list[Message]]:
    """The answer, and what was said before."""
    said: list[Message] = []
    asked = Asked()
    asked.open.set()
    return trainer.perform(task, said.append, asked), said


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


class Line:
    """A connection on which all that the coordinator says has come before the first task is taken."""

    def __init__(self, messages: list[Any]) -> None:
        self.messages = messages

    def recv(self) -> Any:
        if not self.messages:
            threading.Event().wait()  # the thread that listens ends with the tests
        return self.messages.pop(0)

    def send(self, message: Message) -> None:
        pass


def test_what_comes_together_with_a_job_is_asked_of_it_and_what_came_before_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Over(Exception):
        pass

    class Fake:
        def __init__(self, setup: Setup) -> None:
            pass

        def ready(self) -> Ready:
            assert asked.open.wait(10), "all has been heard"
            return Ready("CPU", "fp32", {})

        def perform(self, *_: object) -> Message:
            raise Over

    asked = Asked()
    line = Line([Setup(Path("data"), 0, "cpu", 1), STOP, job(), PAUSE, OPEN])
    monkeypatch.setattr(worker, "Asked", lambda: asked)
    monkeypatch.setattr(worker, "Connection", lambda _: line)
    monkeypatch.setattr(worker, "Trainer", Fake)
    monkeypatch.setattr(sys, "argv", ["worker", "3"])
    with pytest.raises(Over):
        worker.main()
    assert (asked.stop.is_set(), asked.pause.is_set(), asked.open.is_set()) == (False, True, True)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError()])
def test_a_job_without_memory_has_failed_with_its_batch_and_parameters(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(worker, "Training", raising(error))
    answer, said = perform(trainer, job())
    assert answer == Failed(f"out of memory at batch_size = 512 with {count_parameters(NETWORK)} parameters", "memory")
    assert said == []


def test_a_timing_without_memory_has_failed_with_its_batch(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "seconds_per_epoch", raising(torch.OutOfMemoryError("CUDA out of memory.")))
    answer, _ = perform(trainer, Timing((NETWORK,), RECIPE))
    assert answer == Failed("out of memory at batch_size = 512", "memory")


def test_another_error_of_the_device_is_the_workers(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "Training", raising(RuntimeError("CUDA error: misaligned address\nmore")))
    assert perform(trainer, job())[0] == Failed("RuntimeError: CUDA error: misaligned address", "worker")


def test_a_batch_larger_than_the_data_is_the_trials_failure(trainer: Trainer) -> None:
    num_train = len(trainer.splits.train)
    answer, _ = perform(trainer, job(RECIPE.model_copy(update={"batch_size": num_train + 1})))
    larger = f"batch_size = {num_train + 1}: larger than the {num_train:,} training images"
    assert answer == Failed(larger, "trial")


def test_a_job_tells_the_batch_it_was_trained_with(trainer: Trainer) -> None:
    answer, _ = perform(trainer, job())
    assert isinstance(answer, Finished) and answer.batch_size == 512


def test_images_are_surveyed_once_for_all_jobs_that_train_on_them(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    surveyed: list[Images] = []

    class Counted(Normalisation):
        @classmethod
        def of(cls, recipe: Recipe, images: Images) -> Normalisation:
            surveyed.append(images)
            return Normalisation.of(recipe, images)

    monkeypatch.setattr(worker, "Normalisation", Counted)
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
