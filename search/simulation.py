"""Workers that train nothing: for tests, and for measuring a coordinator with more workers than there are machines.

Time is virtual. `receive` jumps to the next event, so that a search of hours takes as long as its coordinator does.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

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
    TestResult,
    Timed,
    Timing,
    TooSlow,
    Worker,
)

Curve = Callable[[Job, int], float | TooSlow | Failed | Lost | None]


@dataclass(eq=False)
class SimulatedWorker:
    """A worker whose measurements are a function of job and epoch."""

    fleet: "SimulatedFleet"
    job: Job | None = None
    epoch: int = 0
    started: float = 0.0
    stopping: bool = False
    pausing: bool = False
    last_accuracy: float = 0.0
    jobs: list[Job] = field(default_factory=list)

    def start(self, task: Assignment) -> None:
        assert self.job is None, "a worker takes one task at a time"
        if isinstance(task, Timing):
            self.fleet.post(0.0, self, Timed((self.fleet.epoch_seconds,) * len(task.architectures)))
            return
        assert isinstance(task, Job), "only jobs and timings are simulated"
        self.job, self.epoch, self.started = task, 0, self.fleet.now
        self.stopping = self.pausing = False
        self.jobs.append(task)
        self.advance()

    def stop(self) -> None:
        self.stopping = True

    def pause(self) -> None:
        self.pausing = True

    def open(self) -> None:
        self.finish(TestResult(0.5, self.last_accuracy, ((1, 0), (0, 1))))

    def finish(self, test: TestResult | None = None) -> None:
        assert self.job is not None
        seconds, batch_size = self.fleet.now - self.started, self.job.recipe.sizes[0]
        self.fleet.post(0.0, self, Finished(seconds, (0.5,), (0.25,), test, None, batch_size))

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
        if isinstance(value, TooSlow | Failed | Lost):
            self.fleet.post(self.fleet.epoch_seconds, self, value)
            return
        self.last_accuracy = value
        validates = job.purpose != "final" or job.holdout
        validation, loss = (value, 1 - value) if validates else (None, None)
        measurement = Measurement(self.epoch, 1 - value, value, loss, validation, 0.1, self.fleet.epoch_seconds)
        self.fleet.post(self.fleet.epoch_seconds, self, measurement)


class SimulatedFleet:
    """`num_workers` workers in virtual time.

    Args:
        curve: the accuracy of a job after an epoch, or how it fails there; None hangs.
        epoch_seconds: the length of every epoch.
    """

    def __init__(self, num_workers: int, curve: Curve, epoch_seconds: float = 1.0) -> None:
        self.curve = curve
        self.epoch_seconds = epoch_seconds
        self.now = 0.0
        self.replaced = 0
        self.closed = False
        self._events: list[tuple[float, int, SimulatedWorker, Message]] = []
        self._order = itertools.count()
        self._workers = [self._new_worker() for _ in range(num_workers)]

    @property
    def workers(self) -> list[Worker]:
        return [*self._workers]

    def post(self, delay: float, worker: SimulatedWorker, message: Message) -> None:
        heapq.heappush(self._events, (self.now + delay, next(self._order), worker, message))

    def receive(self, timeout: float) -> tuple[Worker, Message] | None:
        if not self._events:
            self.now += timeout
            return None
        self.now, _, worker, message = heapq.heappop(self._events)
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

    def close(self) -> None:
        self.closed = True

    def _new_worker(self) -> SimulatedWorker:
        worker = SimulatedWorker(self)
        self.post(0.0, worker, Ready("simulated", "fp32", {"python": "simulated"}))
        return worker
