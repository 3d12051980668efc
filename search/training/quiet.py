"""Quiet on this machine: what is timed there is timed while no other worker computes, of whatever study or process."""

import fcntl
import os
import platform
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from search.errors import TrainingError

SECONDS_BETWEEN_LOOKS = 0.05  # whether somebody wants to measure
MOST_SECONDS = 120.0  # for which one who measures waits for the others, and they for it
_POLL_SECONDS = 0.005


class Quiet:
    """The right to compute on this machine. Workers share it; one that measures has it alone for a moment.

    Two files in a folder are locked, by the system: it frees what a process that ends has locked. Who computes shares
    the `room`, and passes the `gate` on the way into it. Who measures shuts the gate and waits until the room is empty.
    Where the files cannot be made or locked, in a folder that is read-only, nobody waits for anybody.

    Args:
        folder: where the files are; the same for all who should hear of each other.
        settle: waits until what was begun on the device is done.
        clock: seconds that only ever grow.
    """

    def __init__(
        self, folder: Path, settle: Callable[[], None] = lambda: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        host = re.sub(r"[^A-Za-z0-9.-]", "-", platform.node())  # a folder may be shared by machines
        self._gate = _opened(folder / f".quiet-{host}.gate")
        self._room = _opened(folder / f".quiet-{host}.room")
        self._settle = settle
        self._clock = clock
        self._is_inside = False
        self._looked = clock()

    @contextmanager
    def computing(self) -> Iterator[None]:
        """A block that computes."""
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def give_way(self) -> None:
        """Let somebody measure who wants to. To be called often while computing; it hardly costs anything."""
        now = self._clock()
        if not self._is_inside or now - self._looked < SECONDS_BETWEEN_LOOKS:
            return
        self._looked = now
        if _try_lock(self._gate, fcntl.LOCK_SH):
            _unlock(self._gate)
            return
        self._leave()
        self._enter()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """A block, also within one that computes, that does not compute itself."""
        was_inside = self._is_inside
        self._leave()
        try:
            yield
        finally:
            if was_inside:
                self._enter()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A block in which nobody else computes.

        Raises:
            TrainingError: somebody does, for more than `MOST_SECONDS`.
        """
        with self.resting():
            try:
                self._lock_in_time(self._gate, fcntl.LOCK_EX)
                self._lock_in_time(self._room, fcntl.LOCK_EX)
                yield
            finally:
                _unlock(self._room)
                _unlock(self._gate)

    def _enter(self) -> None:
        _lock(self._gate, fcntl.LOCK_SH)
        _lock(self._room, fcntl.LOCK_SH)
        _unlock(self._gate)
        self._is_inside = True

    def _leave(self) -> None:
        if self._is_inside:
            self._settle()
            _unlock(self._room)
            self._is_inside = False

    def _lock_in_time(self, file: int | None, how: int) -> None:
        deadline = self._clock() + MOST_SECONDS
        while not _try_lock(file, how):
            if self._clock() > deadline:
                rule = "no moment without other work on this machine"
                raise TrainingError(f"cannot measure its speed: {rule} in {MOST_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)


def _opened(path: Path) -> int | None:
    """The descriptor of a file, made where it is not there; None where it cannot be. To lock it, reading is enough."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return None


def _lock(file: int | None, how: int) -> None:
    if file is not None:
        with suppress(OSError):  # the folder's file system knows no locks
            fcntl.flock(file, how)


def _try_lock(file: int | None, how: int) -> bool:
    """Whether the lock is had, or there are no locks."""
    if file is None:
        return True
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _unlock(file: int | None) -> None:
    _lock(file, fcntl.LOCK_UN)
