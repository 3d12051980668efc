"""Quiet on this machine: while somebody measures, nobody computes, and nobody waits for ever."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from search.errors import TrainingError
from search.training.quiet import MOST_SECONDS, Quiet


class Computing:
    """A thread that computes in steps, as a worker in another process would: locks are of files that were opened."""

    def __init__(self, folder: Path) -> None:
        self.settled: list[int] = []
        self.quiet = Quiet(folder, lambda: self.settled.append(self.num_steps))
        self.num_steps = 0
        self.is_over = False

    def run(self) -> None:
        with self.quiet.computing():
            while not self.is_over:
                self.num_steps += 1
                self.quiet.give_way()
                time.sleep(0.001)

    def stands_still(self) -> bool:
        before = self.num_steps
        time.sleep(0.02)
        return self.num_steps == before

    def goes_on(self) -> bool:
        before, deadline = self.num_steps, time.monotonic() + 30.0
        while self.num_steps == before and time.monotonic() < deadline:
            time.sleep(0.001)
        return self.num_steps > before


@pytest.fixture
def compute(tmp_path: Path) -> Iterator[Callable[[], Computing]]:
    """Begins to compute until the test is over."""
    threads: list[tuple[Computing, threading.Thread]] = []

    def begin() -> Computing:
        computing = Computing(tmp_path)
        threads.append((computing, threading.Thread(target=computing.run)))
        threads[-1][1].start()
        while not computing.num_steps:
            time.sleep(0.001)
        return computing

    yield begin
    for computing, thread in threads:
        computing.is_over = True
        thread.join()


def test_who_measures_is_alone_among_those_who_compute_and_they_go_on_afterwards(
    tmp_path: Path, compute: Callable[[], Computing]
) -> None:
    others = [compute() for _ in range(2)]
    quiet = Quiet(tmp_path)
    with quiet.alone():
        assert all(other.stands_still() for other in others)
        assert all(other.settled for other in others), "what they had begun on the device is done"
    assert all(other.goes_on() for other in others)
    with quiet.computing():
        assert all(other.goes_on() for other in others), "who computes leaves others alone"
        with quiet.alone():
            assert all(other.stands_still() for other in others)
        assert all(other.goes_on() for other in others)


def test_two_who_measure_do_so_one_after_the_other(tmp_path: Path, compute: Callable[[], Computing]) -> None:
    compute()
    inside, most = [0], [0]

    def measure() -> None:
        quiet = Quiet(tmp_path)
        with quiet.computing(), quiet.alone():
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.01)
            inside[0] -= 1

    threads = [threading.Thread(target=measure) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, inside) == ([1], [0])


def can_measure(folder: Path) -> bool:
    """Whether somebody else could, at once."""
    seconds = itertools.count(0.0, MOST_SECONDS)
    try:
        with Quiet(folder, clock=lambda: next(seconds)).alone():
            return True
    except TrainingError as error:
        assert str(error) == "cannot measure its speed: no moment without other work on this machine in 120 s"
        return False


def test_who_waits_too_long_gives_up_and_holds_nobody_up(tmp_path: Path) -> None:
    busy = Quiet(tmp_path)
    with busy.computing():
        assert not can_measure(tmp_path)
        with busy.resting():
            assert can_measure(tmp_path)
        assert not can_measure(tmp_path)
        other = Quiet(tmp_path)
        with other.computing():  # the gate is open
            pass
    assert can_measure(tmp_path)


def test_an_error_while_measuring_or_computing_leaves_nothing_locked(tmp_path: Path) -> None:
    quiet = Quiet(tmp_path)
    for block in (quiet.alone, quiet.computing):
        with pytest.raises(ZeroDivisionError), block():
            raise ZeroDivisionError
        assert can_measure(tmp_path)


def test_where_no_file_can_be_made_nobody_waits(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    measured = []
    for folder in (tmp_path / "file", tmp_path / "nowhere"):
        one, two = Quiet(folder), Quiet(folder)
        with one.computing(), two.alone():
            one.give_way()
            measured.append(folder)
    assert len(measured) == 2
