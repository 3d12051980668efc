"""Worker processes on this machine, each reached over a socket."""

import os
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path

from search.errors import InputError, TrainingError
from search.protocol import OPEN, PAUSE, STOP, Assignment, Failed, Lost, Message, Ready, Setup
from search.workers.fleet import Worker

WORKER = "search.training.worker"
WAIT_SECONDS = 1.0
MOST_WORKERS = 16
MEMORY_OF_ONE = 2 * 2**30  # bytes; about 1 GB with CIFAR-10, and the network's own
# How often a thread looks whether the others are done before it sleeps. libgomp's own 300,000 outlast a turn of the
# scheduler: where another process has a core, threads spin for one that cannot run. Results are the same bits; speeds
# are compared by benchmarks/trials.py --part workers.
SPINS = "10000"


class LocalWorker:
    """The handle of one process `python -P -m search.training.worker`.

    -P keeps the current folder off its import path: a user may well have a folder called models.
    """

    def __init__(self, setup: Setup, log: Path) -> None:
        self.connection, theirs = Pipe()
        environment = {"GOMP_SPINCOUNT": SPINS} | os.environ | {"OMP_NUM_THREADS": str(setup.num_threads)}
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
    """`num_workers` worker processes on this machine. What they print goes to `log`."""

    def __init__(self, setup: Setup, num_workers: int, log: Path) -> None:
        self._setup = setup
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._workers = [LocalWorker(setup, log) for _ in range(num_workers)]

    @property
    def workers(self) -> list[Worker]:
        return list(self._workers)

    def receive(self, timeout: float) -> tuple[Worker, Message] | None:
        by_connection = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(by_connection), timeout):
            assert isinstance(connection, Connection)
            worker = by_connection[connection]
            try:
                return worker, connection.recv()
            except (EOFError, OSError):
                return worker, Lost(worker.how_it_ended())
        return None

    def replace(self, worker: Worker) -> None:
        assert isinstance(worker, LocalWorker)
        worker.close()
        self._workers[self._workers.index(worker)] = LocalWorker(self._setup, self._log)

    def dismiss(self, worker: Worker, reason: str) -> None:
        assert isinstance(worker, LocalWorker)
        worker.close()
        self._workers.remove(worker)

    def close(self) -> None:
        for worker in self._workers:
            worker.close()


def ask(setup: Setup, task: Assignment, log: Path) -> Message:
    """The answer of a worker that is started for one task.

    Raises:
        TrainingError: it failed, or was lost.
    """
    fleet = LocalFleet(setup, 1, log)
    try:
        while True:
            received = fleet.receive(WAIT_SECONDS)
            if received is None:
                continue
            worker, message = received
            if isinstance(message, Failed | Lost):
                raise TrainingError(message.reason)
            if not isinstance(message, Ready):
                return message
            worker.start(task)
    finally:
        fleet.close()


def choose_workers(device: str, num_runs: int) -> int:
    """How many workers to use for so many runs: on the CPU one for each core, with one thread each, as far as memory
    allows; on CUDA one, since more have not been measured there."""
    if device == "cuda":
        return 1
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(len(os.sched_getaffinity(0)), num_runs, memory // MEMORY_OF_ONE, MOST_WORKERS))


def choose_device(wanted: str) -> str:
    """'cuda' where it is asked for, or where 'auto' finds a GPU; else 'cpu'. The driver's own tool finds it, not torch.

    Raises:
        InputError: cuda is asked for and there is none.
    """
    if wanted == "cpu":
        return "cpu"
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
        has_gpu = listed.returncode == 0 and "GPU 0" in listed.stdout
    except (OSError, subprocess.TimeoutExpired):
        has_gpu = False
    if wanted == "cuda" and not has_gpu:
        raise InputError("device = cuda: no CUDA GPU is found on this machine; use --device cpu or auto")
    return "cuda" if has_gpu else "cpu"
