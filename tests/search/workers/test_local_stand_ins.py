"""Worker processes of which others have taken the place: that fail to start, hang, or say what they are told."""

from itertools import count
from pathlib import Path

import pytest

from models.architecture import Architecture, Stage, Stem
from search.errors import StorageError, TrainingError
from search.protocol import Ready, Setup, Timing
from search.recipe import Recipe
from search.workers import local
from search.workers.duty import SHORTEST_DEADLINE
from search.workers.fleet import Worker
from search.workers.local import LocalFleet, ask

NETWORK = Architecture(Stem(4), (Stage("basic", 1, 8),), in_channels=1)
PATIENCE = 120.0


def takes_the_place_of_workers(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """Workers run this instead, with the connection's file descriptor as their argument."""
    (folder / "stand_in.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr("search.workers.local.WORKER", "stand_in")


READY_AND = """
import sys, time
from multiprocessing.connection import Connection
from search.protocol import Noted, Ready, Working
connection = Connection(int(sys.argv[1]))
setup = connection.recv()
connection.send(Noted(f"hello from {setup.device}"))
connection.send(Ready("stand-in", "fp32", {}))
"""


def test_a_place_where_no_worker_can_start_is_tried_again_later_and_ever_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes_the_place_of_workers(monkeypatch, tmp_path, READY_AND + "connection.recv()")
    now, said = [0.0], list[str]()
    setups = [Setup(tmp_path, 0, f"cuda:{number}", 1) for number in range(2)]
    fleet = LocalFleet(setups, tmp_path / "workers.log", said.append, lambda: now[0])
    try:
        for seconds in (60, 120, 240):
            (bad,) = [worker for worker in fleet.workers if worker.place == "cuda:1"]
            fleet.dismiss(bad, "no memory")
            assert said[-1] == f"a worker on cuda:1 could not start; another is tried in {seconds} s: no memory"
            for passed, places in ((seconds - 1, ["cuda:0"]), (1, ["cuda:0", "cuda:1"])):
                now[0] += passed
                fleet.receive(0.0)
                assert [worker.place for worker in fleet.workers] == places
        ready: dict[str, Worker] = {}
        while len(ready) < 2:
            if (heard := fleet.receive(PATIENCE)) is not None:
                assert isinstance(heard[1], Ready)
                ready[heard[0].place] = heard[0]
        fleet.dismiss(ready["cuda:1"], "lost")
        assert "another is tried in 60 s" in said[-1], "it had started meanwhile"
    finally:
        fleet.close()
    assert "hello from cuda:0" in said


def test_each_worker_is_told_its_own_device_and_so_is_its_successor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes_the_place_of_workers(monkeypatch, tmp_path, READY_AND + "connection.recv()")
    said = list[str]()
    setups = [Setup(tmp_path, 0, f"cuda:{number % 2}", 1) for number in range(3)]
    fleet = LocalFleet(setups, tmp_path / "workers.log", said.append)
    try:
        while len(said) < 3:
            fleet.receive(PATIENCE)
        assert sorted(said) == ["hello from cuda:0", "hello from cuda:0", "hello from cuda:1"]
        fleet.replace(fleet.workers[1])
        while len(said) < 4:
            fleet.receive(PATIENCE)
        assert said[-1] == "hello from cuda:1"
    finally:
        fleet.close()


TASK = Timing((NETWORK,), Recipe(name="quick", epochs=1))


@pytest.mark.parametrize("code", ["import time; time.sleep(60)", READY_AND + "time.sleep(60)"])
def test_a_worker_that_hangs_is_not_waited_for_for_ever(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes_the_place_of_workers(monkeypatch, tmp_path, code)
    monkeypatch.setattr(local, "WAIT_SECONDS", 0.1)
    clock = count(0.0, SHORTEST_DEADLINE / 5)
    with pytest.raises(TrainingError, match=r"^the worker hangs: no word for 300 s$"):
        ask(Setup(tmp_path, 0, "cpu", 1), TASK, tmp_path / "log", clock=lambda: next(clock))


def test_a_worker_that_says_it_is_working_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = "[connection.send(each) for each in (Noted('time passes'), Working()) * 5]; connection.send('done')"
    takes_the_place_of_workers(monkeypatch, tmp_path, f"{READY_AND}connection.recv(); {answer}")
    now = [0.0]

    def say(text: str) -> None:
        now[0] += 0.9 * SHORTEST_DEADLINE

    assert ask(Setup(tmp_path, 0, "cpu", 1), TASK, tmp_path / "log", say, lambda: now[0]) == "done"
    assert now[0] > 5 * SHORTEST_DEADLINE


@pytest.mark.parametrize("name", ["workers.log", "file/workers.log"])
def test_a_log_that_cannot_be_written_is_an_error_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "workers.log").mkdir()
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError, match=rf"^cannot write {tmp_path / name}: [^\n]*$"):
        LocalFleet([Setup(tmp_path, 0, "cpu", 1)], tmp_path / name)
