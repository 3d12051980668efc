"""The worker's process takes requests and tasks in the order in which they come."""

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from models.architecture import Architecture, Stage, Stem
from search.errors import DataError
from search.protocol import OPEN, PAUSE, STOP, Failed, Job, Message, Noted, Ready, Setup
from search.recipe import Recipe
from search.training import worker
from search.training.trainer import Requests

NETWORK = Architecture(Stem(4), (Stage("basic", 1, 4),), in_channels=1)
RECIPE = Recipe(name="test", epochs=1)


READY = Ready("CPU", "fp32", {})


class Over(BaseException):
    """The worker has done what a test is about."""


class Line:
    """A connection on which all that the coordinator says has come before the first task is taken. `said` is all that
    the worker says."""

    def __init__(self, messages: list[Any]) -> None:
        self.messages = messages
        self.said: list[Message] = []

    def recv(self) -> Any:
        if not self.messages:
            threading.Event().wait()  # the thread that listens ends with the tests
        return self.messages.pop(0)

    def send(self, message: Message) -> None:
        self.said.append(message)


def test_what_comes_together_with_a_job_is_asked_of_it_and_what_came_before_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Fake:
        def __init__(self, setup: Setup, note: Callable[[str], None]) -> None:
            pass

        def ready(self) -> Ready:
            assert requests.open.wait(10), "all has been heard"
            return Ready("CPU", "fp32", {})

        def perform(self, *_: object) -> Message:
            raise Over

    requests = Requests()
    line = Line(
        [Setup(Path("data"), 0, "cpu", 1), STOP, Job("trial 0", NETWORK, RECIPE, 1, "search", None), PAUSE, OPEN]
    )
    monkeypatch.setattr(worker, "Requests", lambda: requests)
    monkeypatch.setattr(worker, "Connection", lambda _: line)
    monkeypatch.setattr(worker, "Trainer", Fake)
    monkeypatch.setattr(sys, "argv", ["worker", "3"])
    with pytest.raises(Over):
        worker.main()
    assert (requests.stop.is_set(), requests.pause.is_set(), requests.open.is_set()) == (False, True, True)


def works(monkeypatch: pytest.MonkeyPatch, performer: Callable[..., Any]) -> list[Message]:
    """What a worker with this performer says to one task."""
    line = Line([Setup(Path("data"), 0, "cpu", 1), Job("trial 0", NETWORK, RECIPE, 1, "search", None)])
    monkeypatch.setattr(worker, "Connection", lambda _: line)
    monkeypatch.setattr(worker, "Trainer", performer)
    monkeypatch.setattr(sys, "argv", ["worker", "3"])
    with suppress(Over):
        worker.main()
    return line.said


ERRORS = [
    (KeyError("images"), "KeyError: 'images'"),
    (OSError(5, "Input/output error"), "OSError: [Errno 5] Input/output error"),
    (RuntimeError("CUDA error: busy\nCompile with x"), "RuntimeError: CUDA error: busy Compile with x"),
    (DataError("data cache = '/x': missing or damaged"), "data cache = '/x': missing or damaged"),
]


@pytest.mark.parametrize(("error", "reason"), ERRORS)
def test_a_worker_that_cannot_begin_says_why_whatever_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, reason: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    assert works(monkeypatch, fail) == [Failed(reason)]
    assert ("Traceback" in capsys.readouterr().err) == (not isinstance(error, DataError))


def test_a_worker_whose_device_cannot_be_tried_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    class Short:
        def __init__(self, setup: Setup, note: Callable[[str], None]) -> None: ...

        def ready(self) -> Ready:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    assert works(monkeypatch, Short) == [Failed("OutOfMemoryError: CUDA out of memory.")]


@pytest.mark.parametrize(("error", "reason"), ERRORS)
def test_an_error_that_nobody_has_foreseen_is_an_answer_and_the_log_has_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, reason: str
) -> None:
    class Faulty:
        def __init__(self, setup: Setup, note: Callable[[str], None]) -> None:
            note("by the way")
            self.errors = [error, Over()]

        def ready(self) -> Ready:
            return READY

        def perform(self, *_: object) -> Message:
            raise self.errors.pop(0)

    monkeypatch.setattr(worker.queue, "SimpleQueue", Tasks)
    assert works(monkeypatch, Faulty) == [Noted("by the way"), READY, Failed(reason, "worker")]
    assert ("Traceback" in capsys.readouterr().err) == (not isinstance(error, DataError))


class Tasks:
    """A queue that always has one more."""

    def get(self) -> Job:
        return Job("trial 0", NETWORK, RECIPE, 1, "search", None)

    def put(self, task: Any) -> None:
        pass
