"""A polite end on a signal or a closed output: the first one asks, the second one leaves at once."""

import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from search.errors import Interrupted, OutputError
from search.workers.crew import Crew

WAIT_SECONDS = 1.0
GRACE_SECONDS = 5.0
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR2: 143, signal.SIGHUP: 129}


class Interruption:
    """Notes the first SIGINT (Ctrl-C), SIGTERM, SIGUSR2 or SIGHUP while it is entered; call it to ask whether one came.

    Long work asks between its steps, keeps what there is to keep, and returns. A second signal raises wherever the
    program is. SIGUSR2 is what Slurm and others can send ahead of the end, and SIGHUP says that the terminal has gone,
    which is ignored under `nohup`.
    """

    def __init__(self) -> None:
        self._reason: Interrupted | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interruption":
        keeps_on = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        heard = [number for number in STATUS if not (number == signal.SIGHUP and keeps_on)]
        self._before = {number: signal.signal(number, self._note) for number in heard}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        return self._reason is not None

    def require_none(self) -> None:
        """
        Raises:
            Interrupted: a signal came, or the output was closed.
        """
        if self._reason is not None:
            raise self._reason

    def output_closed(self, error: OutputError) -> None:
        """Ask for the end because nothing can be printed any more."""
        self._reason = self._reason or _interrupted(str(error), error.exit_status)

    def _note(self, number: int, _: FrameType | None) -> None:
        received = signal.Signals(number)
        reason = _interrupted(f"ended by {received.name}", STATUS[received])
        if self._reason is not None:
            raise reason
        self._reason = reason


def _interrupted(why: str, status: int) -> Interrupted:
    return Interrupted(f"{why}; the same command goes on from here", status)


def pause(
    crew: Crew,
    receive: Callable[[float], None],
    is_busy: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
    grace: float = GRACE_SECONDS,
) -> None:
    """Let jobs whose epoch ends within `grace` seconds end with a checkpoint; the rest has the checkpoints it has.

    Args:
        receive: deals with what a worker says next, and waits so many seconds for it.
        is_busy: whether any job is running.
        clock: seconds that only ever grow.
    """
    crew.pause()
    deadline = clock() + grace
    while is_busy() and (left := deadline - clock()) > 0:
        receive(min(left, WAIT_SECONDS))
