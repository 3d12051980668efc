"""Worker processes on this machine, each reached over a socket."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path

from search.errors import StorageError, TrainingError
from search.files import why
from search.protocol import OPEN, PAUSE, STOP, Assignment, Failed, Lost, Message, Noted, Ready, Setup, Working
from search.workers.duty import SHORTEST_DEADLINE, Duty, Watch
from search.workers.fleet import Worker
from search.workers.left_out import LeftOut

WORKER = "search.training.worker"
WAIT_SECONDS = 1.0
MOST_WORKERS = 16
MEMORY_OF_ONE = 2 * 2**30  # bytes; about 1 GB with CIFAR-10, and the network's own
# What the environment of a worker holds unless the user has set it. Results are the same bits; speeds are compared by
# benchmarks/trials.py --part workers.
FASTER = {
    # How often a thread looks whether the others are done before it sleeps. libgomp's own 300,000 outlast a turn of the
    # scheduler: where another process has a core, threads spin for one that cannot run.
    "GOMP_SPINCOUNT": "10000",
    # glibc gives large blocks back to the system, and asks for the same memory again in the next step of a training.
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
}


class LocalWorker:
    """The handle of one process `python -P -m search.training.worker`.

    -P keeps the current folder off its import path: a user may well have a folder called models.
    """

    def __init__(self, setup: Setup, log: Path) -> None:
        self.setup = setup
        self.connection, theirs = Pipe()
        environment = FASTER | os.environ | {"OMP_NUM_THREADS": str(setup.num_threads)}
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", WORKER, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the coordinator, which then ends its workers
            )
        theirs.close()
        self.connection.send(setup)

    @property
    def place(self) -> str:
        return self.setup.device

    def start(self, task: Assignment) -> None:
        self.send(task)

    def stop(self) -> None:
        self.send(STOP)

    def pause(self) -> None:
        self.send(PAUSE)

    def open(self) -> None:
        self.send(OPEN)

    def close(self) -> None:
        self.connection.close()  # the worker ends itself when its coordinator is gone
        self.process.kill()
        self.process.wait()

    def how_it_ended(self) -> str:
        status = self.process.wait()
        return f"worker ended by signal {-status}" if status < 0 else f"worker ended with status {status}"

    def send(self, message: Assignment | str) -> None:
        with suppress(OSError):  # it is gone; `receive` will report that
            self.connection.send(message)


class LocalFleet:
    """Worker processes on this machine, one for each of `setups`.

    Args:
        setups: what each worker needs; they may be on different devices.
        log: the file for what they print.
        say: is called with a line on what happens to them.
        clock: seconds that only ever grow.

    Raises:
        StorageError: the log cannot be written.
    """

    def __init__(
        self,
        setups: Sequence[Setup],
        log: Path,
        say: Callable[[str], None] = lambda text: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._say = say
        self._left_out = LeftOut(clock)
        self._empty: list[Setup] = []
        self._workers: list[LocalWorker] = []
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.open("ab").close()
        except OSError as error:
            raise StorageError(f"cannot write {log}: {why(error)}") from error
        self._workers = [LocalWorker(setup, log) for setup in setups]

    @property
    def workers(self) -> list[Worker]:
        return list(self._workers)

    @property
    def expects_more(self) -> bool:
        return False

    def receive(self, timeout: float) -> tuple[Worker, Message] | None:
        self._fill_places()
        by_connection = {worker.connection: worker for worker in self._workers}
        if not by_connection:
            time.sleep(timeout)
        for connection in wait(list(by_connection), timeout):
            assert isinstance(connection, Connection)
            worker = by_connection[connection]
            try:
                message = connection.recv()
            except (EOFError, OSError):
                message = Lost(worker.how_it_ended())
            if isinstance(message, Noted):
                self._say(message.text)
                return None
            if isinstance(message, Ready):
                self._left_out.forgive(worker.place)
            return worker, message
        return None

    def replace(self, worker: Worker) -> None:
        assert isinstance(worker, LocalWorker)
        worker.close()
        self._workers[self._workers.index(worker)] = LocalWorker(worker.setup, self._log)

    def dismiss(self, worker: Worker, reason: str) -> None:
        assert isinstance(worker, LocalWorker)
        worker.close()
        self._workers.remove(worker)
        self._empty.append(worker.setup)
        seconds = self._left_out.add(worker.place)
        self._say(f"a worker on {worker.place} could not start; another is tried in {seconds:.0f} s: {reason}")

    def close(self) -> None:
        for worker in self._workers:
            worker.close()

    def _fill_places(self) -> None:
        """Try those places again that have been left out for long enough."""
        due = [setup for setup in self._empty if setup.device not in self._left_out]
        for setup in due:
            self._empty.remove(setup)
            self._workers.append(LocalWorker(setup, self._log))


def ask(
    setup: Setup,
    task: Assignment,
    log: Path,
    say: Callable[[str], None] = lambda text: None,
    clock: Callable[[], float] = time.monotonic,
) -> Message:
    """The answer of a worker that is started for one task.

    Raises:
        TrainingError: it failed, was lost, or said nothing for as long as a crew would wait.
    """
    fleet = LocalFleet([setup], log, say)
    duty = Duty(None, task, 0.0, Watch(clock() + SHORTEST_DEADLINE))
    patience = SHORTEST_DEADLINE
    try:
        while True:
            received = fleet.receive(WAIT_SECONDS)
            if received is None:
                if duty.watch.is_over(clock()):
                    raise TrainingError(f"the worker hangs: no word for {patience:.0f} s")
                continue
            worker, message = received
            if isinstance(message, Failed | Lost):
                raise TrainingError(message.reason)
            if isinstance(message, Ready):
                worker.start(task)
            elif not isinstance(message, Working):
                return message
            patience = duty.patience
            duty.watch = Watch(clock() + patience)
    finally:
        fleet.close()


def choose_workers(devices: Sequence[str], num_runs: int) -> int:
    """How many workers to use for so many runs: on the CPU one for each core, with one thread each, as far as memory
    allows; on GPUs one for each, which captured steps keep busy."""
    if devices != ("cpu",):
        return max(1, min(len(devices), num_runs))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(len(os.sched_getaffinity(0)), num_runs, memory // MEMORY_OF_ONE, MOST_WORKERS))
