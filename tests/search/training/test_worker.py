"""The worker's process takes requests and tasks in the order in which they come."""

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from models.architecture import Architecture, Stage, Stem
from search.protocol import OPEN, PAUSE, STOP, Job, Message, Ready, Setup
from search.recipe import Recipe
from search.training import worker
from search.training.trainer import Requests

NETWORK = Architecture(Stem(4), (Stage("basic", 1, 4),), in_channels=1)
RECIPE = Recipe(name="test", epochs=1)


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
