"""Workers that train nothing: for tests, and for measuring a coordinator with more workers than there are machines.

Time is virtual. `receive` jumps to the next event, so that a search of hours takes as long as its coordinator does. The
seconds that the coordinator itself takes can be counted as well: what workers say meanwhile waits, and so do they.
"""

import heapq
import itertools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from models.architecture import Architecture
from models.tensors import Shape, tensors
from search.protocol import (
    Assignment,
    Failed,
    Finished,
    Job,
    Lost,
    Measurement,
    Message,
    Opening,
    Paused,
    Ready,
    Timed,
    Timing,
    TooSlow,
)
from search.trained_network import CorruptedResult, Precision, Robustness, TestResult
from search.workers.fleet import Worker

Curve = Callable[[Job, int], float | TooSlow | Failed | Lost | None]


@dataclass(frozen=True, slots=True)
class Start:
    """A job was handed to a worker that had waited for it `waited` seconds. Of the `now` seconds of the simulation the
    coordinator had then worked `worked`."""

    now: float
    worked: float
    waited: float
    is_first: bool


@dataclass(eq=False)
class SimulatedWorker:
    """A worker whose measurements are a function of job and epoch. `now` is its own time: when it said what was heard
    last, or took its job."""

    fleet: "SimulatedFleet"
    job: Job | None = None
    epoch: int = 0
    now: float = 0.0
    started: float = 0.0
    stopping: bool = False
    pausing: bool = False
    last_accuracy: float = 0.0
    best_accuracy: float = 0.0
    best_epoch: int = 0
    jobs: list[Job] = field(default_factory=list)
    place: str = "here"

    def start(self, task: Assignment) -> None:
        assert self.job is None, "a worker takes one task at a time"
        waited, self.now = self.fleet.now - self.now, self.fleet.now
        if isinstance(task, Timing):
            self.fleet.post(0.0, self, Timed((self.fleet.epoch_seconds,) * len(task.architectures)))
            return
        assert isinstance(task, Job), "only jobs and timings are simulated"
        self.fleet.starts.append(Start(self.now, self.fleet.worked, waited, not self.jobs))
        self.job, self.epoch, self.started = task, 0, self.now
        self.stopping = self.pausing = False
        self.jobs.append(task)
        self.advance()

    def stop(self) -> None:
        self.stopping = True

    def pause(self) -> None:
        self.pausing = True

    def open(self) -> None:
        self.now = self.fleet.now
        self.finish(TestResult(0.5, self.last_accuracy, ((1, 0), (0, 1))))

    def finish(self, test: TestResult | None = None) -> None:
        assert self.job is not None
        seconds, batch_size = self.now - self.started, self.job.recipe.sizes[0]
        kept = self.best_epoch if self.job.recipe.keep_best else None
        robustness = None
        if self.job.robust:
            corrupted = CorruptedResult("noise", 1, self.last_accuracy - self.fleet.fall(self.job))
            robustness = Robustness("validation", self.last_accuracy, (corrupted,))
        self.fleet.post(0.0, self, Finished(seconds, (0.5,), (0.25,), test, kept, batch_size, robustness))

    def advance(self) -> None:
        """Post what follows the last message."""
        assert self.job is not None
        job = self.job
        if self.epoch == job.recipe.epochs and job.purpose == "final":
            self.fleet.post(0.0, self, Opening())
            return
        if self.epoch == job.recipe.epochs or self.stopping:
            self.finish()
            return
        if self.pausing:
            self.fleet.post(0.0, self, Paused())
            return
        self.epoch += 1
        value = self.fleet.curve(job, self.epoch)
        if value is None:
            return  # it hangs
        seconds = self.fleet.length(job, self.epoch)
        if isinstance(value, TooSlow | Failed | Lost):
            self.fleet.post(seconds, self, value)
            return
        if self.epoch == 1 or value > self.best_accuracy:
            self.best_epoch, self.best_accuracy = self.epoch, value
        self.last_accuracy = value
        validates = job.purpose != "final" or job.holdout
        validation, loss = (value, 1 - value) if validates else (None, None)
        self.fleet.post(seconds, self, Measurement(self.epoch, 1 - value, value, loss, validation, 0.1, seconds))


class SimulatedFleet:
    """`num_workers` workers in virtual time.

    Args:
        curve: the accuracy of a job after an epoch, or how it fails there; None hangs.
        epoch_seconds: the length of every epoch, and of those that are timed.
        work_clock: seconds that the coordinator has worked. They pass in virtual time too, on top of those that are
            jumped over; by default the coordinator takes no time.
        length: the length of an epoch of a job, where they differ.
        peak: the FLOP/s of every worker's GPU; None for CPUs.
        device: what every worker runs on.
        precision: what 'auto' stands for there.
        fall: how much lower the accuracy of a job is on corrupted images.

    Attributes:
        starts: every job that was handed to a worker, in order.
    """

    def __init__(
        self,
        num_workers: int,
        curve: Curve,
        epoch_seconds: float = 1.0,
        work_clock: Callable[[], float] = lambda: 0.0,
        length: Callable[[Job, int], float] | None = None,
        peak: float | None = None,
        device: str = "simulated",
        precision: Precision = "fp32",
        fall: Callable[[Job], float] = lambda job: 0.1,
        num_train: int = 0,
    ) -> None:
        self.ready = Ready(device, precision, {"python": "simulated"}, num_train, peak)
        self.curve = curve
        self.epoch_seconds = epoch_seconds
        self.length = length or (lambda job, epoch: epoch_seconds)
        self.fall = fall
        self.starts: list[Start] = []
        self.replaced = 0
        self.closed = False
        self._work_clock = work_clock
        self._begun = work_clock()
        self._jumped = 0.0
        self._events: list[tuple[float, int, SimulatedWorker, Message]] = []
        self._order = itertools.count()
        self._workers = [self._new_worker() for _ in range(num_workers)]

    @property
    def worked(self) -> float:
        """Seconds that the coordinator has worked so far."""
        return self._work_clock() - self._begun

    @property
    def now(self) -> float:
        """Seconds since the fleet was made."""
        return self._jumped + self.worked

    @property
    def workers(self) -> list[Worker]:
        return [*self._workers]

    @property
    def expects_more(self) -> bool:
        return False

    def post(self, delay: float, worker: SimulatedWorker, message: Message) -> None:
        """Let a worker say something, `delay` seconds after what it said or took last."""
        heapq.heappush(self._events, (worker.now + delay, next(self._order), worker, message))

    def receive(self, timeout: float) -> tuple[Worker, Message] | None:
        """The next message, however long it takes; with a `timeout` of 0 one that has been said already."""
        if not self._events or (timeout == 0.0 and self._events[0][0] > self.now):
            self._jumped += timeout
            return None
        due, _, worker, message = heapq.heappop(self._events)
        self._jumped += max(0.0, due - self.now)
        worker.now = due
        if isinstance(message, Measurement):
            worker.advance()  # as a real worker would: it is an epoch ahead when it is told to stop
        elif isinstance(message, Finished | Paused | TooSlow | Failed):
            worker.job = None
        return worker, message

    def replace(self, worker: Worker) -> None:
        assert isinstance(worker, SimulatedWorker)
        self.replaced += 1
        self._events = [event for event in self._events if event[2] is not worker]
        heapq.heapify(self._events)
        self._workers[self._workers.index(worker)] = self._new_worker()

    def dismiss(self, worker: Worker, reason: str) -> None:
        self._events = [event for event in self._events if event[2] is not worker]
        heapq.heapify(self._events)
        self._workers = [each for each in self._workers if each is not worker]

    def close(self) -> None:
        self.closed = True

    def _new_worker(self) -> SimulatedWorker:
        worker = SimulatedWorker(self, now=self.now)
        self.post(0.0, worker, self.ready)
        return worker


def write_weights(folder: Path, architecture: Architecture, **shapes: Shape) -> None:
    """A safetensors file of zeros for the architecture, with more tensors of these shapes."""
    header, end = dict[str, object](), 0
    for name, shape in (tensors(architecture) | shapes).items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))
