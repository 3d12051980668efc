"""Workers under supervision: tasks in, messages out, whatever happens to a process on the way."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from search.errors import StorageError, TrainingError
from search.files import new_attempt
from search.protocol import (
    Assignment,
    Failed,
    Finished,
    Job,
    Lost,
    Measurement,
    Message,
    Paused,
    Ready,
    Timed,
    Timing,
    TooSlow,
    Working,
)
from search.workers.duty import SHORTEST_DEADLINE, Duty, Watch
from search.workers.fleet import Fleet, Worker

MAX_FAILED_STARTS = 3  # in a row at one place, before it is left out for a while
MAX_LOST_NODES = 3  # with the same job, while it measures nothing: it may be the job that no node can bear


@dataclass(frozen=True, slots=True)
class Restarted:
    """A job's worker was lost and replaced; the job goes on in a new one, from its last checkpoint."""

    reason: str


@dataclass(frozen=True, slots=True)
class Event:
    """What the worker of a task said.

    Attributes:
        owner: whose task it is, as handed to `Crew.start`.
        ready: what the worker runs on.
        seconds: how long the task has had a worker by then, one that was lost included.
    """

    owner: object
    message: Message | Restarted
    ready: Ready
    seconds: float


class Crew:
    """Hands tasks to the workers of a fleet and watches them.

    A worker that crashes, can no longer be trusted, or says nothing for `PATIENCE` times an epoch is replaced. Its job
    goes on in another one from its last checkpoint, once; the second time it has failed. A job that ran out of memory
    begins again with half of the batch, if its recipe says so. A fleet's workers may come and go: all that are there
    are used. A worker that goes with its whole node does not count against its job, unless `MAX_LOST_NODES` of them go
    before an epoch is measured. A place where workers cannot start is left out for a while; all is given up only where
    no worker is ready and none that may become so is on its way.

    Args:
        clock: seconds that only ever grow.
    """

    def __init__(self, fleet: Fleet, clock: Callable[[], float] = time.monotonic) -> None:
        self._fleet = fleet
        self._clock = clock
        self._idle: list[Worker] = []
        self._ready: dict[Worker, Ready] = {}
        self._duties: dict[Worker, Duty] = {}
        self._orphaned: list[Duty] = []
        self._starting: dict[Worker, Watch] = {}
        self._failed_starts: Counter[str] = Counter()  # at each place, in a row
        self._notice()

    @property
    def has_idle(self) -> bool:
        return bool(self._idle)

    @property
    def is_complete(self) -> bool:
        """Whether a worker is ready, and so are all others but for those at a place where one could not start."""
        return bool(self._ready) and all(self._failed_starts[worker.place] for worker in self._starting)

    @property
    def num_workers(self) -> int:
        """How many workers are there now."""
        return len(self._fleet.workers)

    @property
    def ready(self) -> Ready:
        """What the worker that has been idle longest runs on."""
        return self._ready[self._idle[0]]

    def start(self, owner: object, task: Assignment, epoch_seconds: float = 0.0) -> None:
        """Hand a task to the worker that has been idle longest. The owner comes back with all that is said of the task.

        A job's attempt is numbered here, and its folder made.

        Args:
            epoch_seconds: how long an epoch is expected to take; 0 if that is not known.

        Raises:
            StorageError: the folder of checkpoints cannot be made.
        """
        self._begin(self._idle.pop(0), Duty(owner, task, epoch_seconds, Watch(0.0)))

    def pause(self) -> None:
        """Ask all workers to end what they do after the epoch they are in, with a checkpoint."""
        for worker in self._duties:
            worker.pause()

    def stop(self, owner: object) -> None:
        """Ask the worker of a task to end it; nobody wants the rest."""
        for worker in self._workers_of(owner):
            worker.stop()

    def open(self, owner: object) -> None:
        """Let the job, which has said Opening, open the test set."""
        for worker in self._workers_of(owner):
            worker.open()

    def seconds(self, owner: object) -> float:
        """How long a task that has not ended has had a worker by now, one that was lost included."""
        now, duties = self._clock(), [*self._duties.values(), *self._orphaned]
        return sum(duty.seconds(now) for duty in duties if duty.owner == owner)

    def receive(self, timeout: float = 1.0) -> Event | None:
        """What is said of a task next; None after `timeout` seconds, or where it was a worker that became ready.

        Raises:
            TrainingError: workers cannot start.
            StorageError: a worker cannot write.
        """
        self._notice()
        now = self._clock()
        for worker in [worker for worker, watch in self._starting.items() if watch.is_over(now)]:
            self._lose_idle(worker, Lost(f"no word for {SHORTEST_DEADLINE:.0f} s"))
        overdue = next((worker for worker, duty in self._duties.items() if duty.watch.is_over(now)), None)
        if overdue is not None:
            return self._lose(overdue, f"no word for {self._duties[overdue].patience:.0f} s")
        received = self._fleet.receive(timeout)
        if received is None:
            return None
        worker, message = received
        if isinstance(message, Ready):
            self._starting.pop(worker, None)
            self._ready[worker] = message
            self._failed_starts[worker.place] = 0
            self._relieve(worker)
            return None
        duty = self._duties.get(worker)
        if duty is None:
            self._lose_idle(worker, message)
            return None
        if isinstance(message, Lost):
            return self._lose(worker, message.reason, with_node=message.with_node)
        if isinstance(message, Failed) and message.blame in ("worker", "memory"):
            return self._lose(worker, message.reason, fits=message.blame != "memory")
        if isinstance(message, Failed) and message.blame == "disk":
            raise StorageError(message.reason)
        if isinstance(message, Measurement):
            duty.epoch_seconds = max(duty.epoch_seconds, message.seconds)
            duty.num_lost_nodes = 0
        duty.watch = Watch(self._clock() + duty.patience)
        event = Event(duty.owner, message, self._ready[worker], duty.seconds(self._clock()))
        if isinstance(message, Finished | Failed | Paused | TooSlow | Timed):
            del self._duties[worker]
            self._relieve(worker)
        return None if isinstance(message, Working) else event

    def _workers_of(self, owner: object) -> list[Worker]:
        """The worker that has the owner's task; none while the task waits for one."""
        return [worker for worker, duty in self._duties.items() if duty.owner == owner]

    def _begin(self, worker: Worker, duty: Duty) -> None:
        if isinstance(duty.task, Job) and duty.task.checkpoints is not None:
            duty.task = replace(duty.task, attempt=new_attempt(duty.task.checkpoints))
        duty.begun = self._clock()
        duty.watch = Watch(duty.begun + duty.patience)
        self._duties[worker] = duty
        worker.start(duty.task)

    def _relieve(self, worker: Worker) -> None:
        """Let the worker take over from a lost one, or be idle."""
        if self._orphaned:
            self._begin(worker, self._orphaned.pop(0))
        else:
            self._idle.append(worker)

    def _notice(self) -> None:
        """Watch workers that have come since, and forget those that left before they were ready."""
        present = dict.fromkeys(self._fleet.workers)
        self._starting = {worker: watch for worker, watch in self._starting.items() if worker in present}
        for worker in present:
            if worker not in self._ready and worker not in self._starting:
                self._starting[worker] = Watch(self._clock() + SHORTEST_DEADLINE)

    def _lose_idle(self, worker: Worker, message: Message) -> None:
        """Replace a worker that was lost without a task. A place where several in a row could not start is left out for
        a while.

        Raises:
            TrainingError: they could not start, none is ready, and none is coming to another place.
        """
        reason = message.reason if isinstance(message, Failed | Lost) else f"unexpected {type(message).__name__}"
        if worker in self._ready:
            del self._ready[worker]
            self._idle.remove(worker)
        else:
            self._starting.pop(worker, None)
            if not (isinstance(message, Lost) and message.with_node):
                num_here = sum(other.place == worker.place for other in self._fleet.workers)
                self._failed_starts[worker.place] += 1
                num_failed = self._failed_starts[worker.place]
                if num_failed >= MAX_FAILED_STARTS:
                    self._fleet.dismiss(worker, reason)
                if num_failed >= min(MAX_FAILED_STARTS, num_here) and not self._has_hope(worker.place):
                    raise TrainingError(f"a worker could not start: {reason}")
                if num_failed >= MAX_FAILED_STARTS:
                    return
        self._fleet.replace(worker)
        self._notice()

    def _has_hope(self, but_for: str) -> bool:
        """Whether a worker is ready, or one may yet become so at another place than this one."""
        others = [worker.place for worker in self._starting if worker.place != but_for]
        is_coming = any(self._failed_starts[place] < MAX_FAILED_STARTS for place in others)
        return bool(self._ready) or is_coming or self._fleet.expects_more

    def _lose(self, worker: Worker, reason: str, fits: bool = True, with_node: bool = False) -> Event:
        duty, ready = self._duties.pop(worker), self._ready.pop(worker)
        self._fleet.replace(worker)
        self._notice()
        duty.lost_seconds, duty.begun = duty.seconds(self._clock()), None
        duty.num_lost_nodes += with_node
        if duty.num_lost_nodes >= MAX_LOST_NODES or (duty.has_restarted and not with_node):
            reason += f", {MAX_LOST_NODES} times before an epoch was done" if with_node else ""
            return Event(duty.owner, Failed(reason), ready, duty.lost_seconds)
        duty.has_restarted |= not with_node
        if not fits and isinstance(duty.task, Job | Timing) and (smaller := duty.task.recipe.halved) is not None:
            duty.task = replace(duty.task, recipe=smaller)
            reason += f"; now with batch_size = {smaller.batch_size} and lr = {smaller.lr:g}"
        if fits and not with_node and isinstance(duty.task, Job):
            duty.task = replace(duty.task, captured=False)  # it may be the capture that broke the worker
        if self._idle:
            self._begin(self._idle.pop(0), duty)
        else:
            self._orphaned.append(duty)
        return Event(duty.owner, Restarted(reason), ready, duty.lost_seconds)
