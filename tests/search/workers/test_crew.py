"""Workers under supervision, in virtual time: whatever happens to one, its task goes on once and then fails."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from simulation import SimulatedFleet, SimulatedWorker

from models.architecture import Architecture, Stage, Stem
from search.errors import StorageError, TrainingError
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
from search.recipe import Recipe
from search.workers.crew import MAX_FAILED_STARTS, MAX_LOST_NODES, Crew, Event, Restarted
from search.workers.duty import FIRST_DEADLINE, PATIENCE, SECOND_LOOK, SHORTEST_DEADLINE
from search.workers.fleet import Worker

Curve = Callable[[Job, int], Any]
NETWORK = Architecture(Stem(4), (Stage("basic", 1, 8),), in_channels=1)
EPOCHS = 4


def job(number: int = 0, checkpoints: Path | None = None) -> Job:
    recipe = Recipe(name="quick", epochs=EPOCHS, batch_size=16)
    return Job(f"trial {number}", NETWORK, recipe, number, "search", None, checkpoints=checkpoints)


def staffed(fleet: SimulatedFleet) -> Crew:
    """A crew whose workers are all ready; its clock is the fleet's."""
    crew = Crew(fleet, lambda: fleet.now)
    while not crew.is_complete:
        assert crew.receive(1.0) is None
    return crew


def is_busy(crew: Crew) -> bool:
    """Whether a task is being done, or waits for a worker in the place of a lost one."""
    return bool(crew._duties or crew._orphaned)


def events(crew: Crew, most: int = 10_000) -> list[Event]:
    """All that is said until nobody is busy."""
    found = []
    for _ in range(most):
        if not is_busy(crew):
            return found
        event = crew.receive(1.0)
        if event is not None:
            found.append(event)
    raise AssertionError(f"still busy after {most} turns: {found[-3:]}")


def told(crew: Crew) -> list[Any]:
    """The messages, where a measurement is its epoch."""
    said = [event.message for event in events(crew)]
    return [message.epoch if isinstance(message, Measurement) else message for message in said]


def attempts(fleet: SimulatedFleet, gone: list[SimulatedWorker]) -> list[int]:
    return [each.attempt for worker in (*gone, *fleet._workers) for each in worker.jobs]


def times(message: Any, count: int, at: int = 2) -> Curve:
    """A curve that answers with a message in epoch `at`, so many times."""
    left = [count]

    def curve(_: Job, epoch: int) -> Any:
        if epoch == at and left[0] > 0:
            left[0] -= 1
            return message
        return 0.1 * epoch

    return curve


LOST = Lost("worker ended by signal 9")
POISONED = Failed("RuntimeError: CUDA error: an illegal memory access was encountered", "worker")


def finished(message: Any) -> bool:
    return isinstance(message, Finished)


def test_a_job_is_told_from_its_first_epoch_to_its_end() -> None:
    fleet = SimulatedFleet(1, lambda job, epoch: 0.5)
    crew = staffed(fleet)
    crew.start("a", job())
    assert is_busy(crew) and not crew.has_idle
    *epochs, last = told(crew)
    assert epochs == [1, 2, 3, 4] and finished(last)
    assert crew.has_idle and not is_busy(crew)


@pytest.mark.parametrize("message", [LOST, POISONED, Failed("out of memory", "worker")])
def test_a_job_whose_worker_is_lost_goes_on_in_a_new_one(tmp_path: Path, message: Lost | Failed) -> None:
    fleet = SimulatedFleet(1, times(message, 1))
    crew = staffed(fleet)
    gone = list(fleet._workers)
    crew.start("a", job(checkpoints=tmp_path))
    *said, last = told(crew)
    assert said == [1, Restarted(message.reason), 1, 2, 3, 4] and finished(last)
    assert fleet.replaced == 1 and not set(gone) & set(fleet._workers)
    assert attempts(fleet, gone) == [1, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attempt-1", "attempt-2"]


@pytest.mark.parametrize("message", [LOST, POISONED])
def test_a_job_that_loses_two_workers_has_failed_with_the_reason(tmp_path: Path, message: Lost | Failed) -> None:
    fleet = SimulatedFleet(1, times(message, 2))
    crew = staffed(fleet)
    crew.start("a", job(checkpoints=tmp_path))
    assert told(crew) == [1, Restarted(message.reason), 1, Failed(message.reason)]
    assert fleet.replaced == 2
    assert crew.receive(1.0) is None and crew.has_idle, "the second worker's successor is ready for another"
    crew.start("b", job(1))
    assert finished(told(crew)[-1])


@pytest.mark.parametrize(
    ("message", "is_captured"),
    [(LOST, False), (POISONED, False), (None, False), (Failed("out of memory", "memory"), True)],
)
def test_a_job_that_may_have_broken_its_worker_goes_on_without_captured_steps(
    message: Message | None, is_captured: bool
) -> None:
    fleet = SimulatedFleet(1, times(message, 1))
    crew, gone = staffed(fleet), list(fleet._workers)
    crew.start("a", job())
    assert finished(told(crew)[-1])
    crew.start("b", job(1))
    assert finished(told(crew)[-1])
    given = [each.captured for worker in (*gone, *fleet._workers) for each in worker.jobs]
    assert given == [True, is_captured, True]


def test_every_job_is_restarted_once_whatever_happened_to_others() -> None:
    lost = Counter[str]()

    def curve(job: Job, epoch: int) -> Any:
        lost[job.label] += epoch == 2
        return LOST if epoch == 2 and lost[job.label] == 1 else 0.5

    fleet = SimulatedFleet(1, curve)
    crew = staffed(fleet)
    for number in range(3):
        crew.start(number, job(number))
        said = told(crew)
        assert said.count(Restarted(LOST.reason)) == 1 and finished(said[-1])
    assert fleet.replaced == 3


def test_a_failure_of_the_trial_itself_costs_neither_worker_nor_second_try(tmp_path: Path) -> None:
    nan = Failed("training loss is nan in epoch 2")
    fleet = SimulatedFleet(1, times(nan, 1))
    crew = staffed(fleet)
    crew.start("a", job(checkpoints=tmp_path))
    assert told(crew) == [1, nan]
    assert fleet.replaced == 0 and crew.has_idle
    assert [path.name for path in tmp_path.iterdir()] == ["attempt-1"]


def test_a_disk_that_cannot_be_written_ends_it_all() -> None:
    fleet = SimulatedFleet(1, times(Failed("cannot write x: No space left on device; free", "disk"), 1))
    crew = staffed(fleet)
    crew.start("a", job())
    with pytest.raises(StorageError, match=r"^cannot write x: No space left on device; free$"):
        events(crew)
    assert fleet.replaced == 0


def test_a_folder_of_checkpoints_that_cannot_be_made_ends_it_all(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    crew = staffed(SimulatedFleet(1, lambda job, epoch: 0.5))
    with pytest.raises(StorageError, match=r"^cannot write .*/file/0000: Not a directory$"):
        crew.start("a", job(checkpoints=tmp_path / "file" / "0000"))


def test_attempts_are_numbered_on_from_those_of_earlier_runs(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        (tmp_path / f"attempt-{number}").mkdir()
    fleet = SimulatedFleet(1, times(LOST, 1))
    crew = staffed(fleet)
    gone = list(fleet._workers)
    crew.start("a", job(checkpoints=tmp_path))
    told(crew)
    assert attempts(fleet, gone) == [11, 12]


# Silence.


def test_a_worker_that_hangs_is_replaced_after_its_deadline_and_no_sooner() -> None:
    fleet = SimulatedFleet(1, times(None, 1))
    crew = staffed(fleet)
    crew.start("a", job())
    assert isinstance((first := crew.receive(1.0)) and first.message, Measurement)
    since = fleet.now
    while (event := crew.receive(1.0)) is None:
        assert fleet.replaced == 0
    assert event.message == Restarted("no word for 300 s")
    assert SHORTEST_DEADLINE < fleet.now - since <= SHORTEST_DEADLINE + SECOND_LOOK + 3.0
    *said, last = told(crew)
    assert said == [1, 2, 3, 4] and finished(last)


def test_a_worker_that_hangs_twice_has_failed() -> None:
    fleet = SimulatedFleet(1, times(None, 2, at=1))
    crew = staffed(fleet)
    crew.start("a", job(), epoch_seconds=1.0)
    assert told(crew) == [Restarted("no word for 300 s"), Failed("no word for 300 s")]


def test_the_first_epoch_of_a_job_of_unknown_length_has_an_hour() -> None:
    fleet = SimulatedFleet(1, times(None, 2, at=1))
    crew = staffed(fleet)
    crew.start("a", job())
    assert told(crew) == [Restarted("no word for 3600 s"), Failed("no word for 3600 s")]


@pytest.mark.parametrize(("expected", "longest"), [(0.0, 100.0), (100.0, 1.0), (100.0, 60.0)])
def test_the_patience_is_ten_times_the_longest_epoch_expected_or_seen(expected: float, longest: float) -> None:
    fleet = SimulatedFleet(1, times(None, 1, at=3), epoch_seconds=longest)
    crew = staffed(fleet)
    crew.start("a", job(), epoch_seconds=expected)
    event = None
    while not (event and isinstance(event.message, Restarted)):
        event = crew.receive(1.0)
    assert PATIENCE == 10
    assert event.message == Restarted("no word for 1000 s")
    assert fleet.now - 2 * longest == pytest.approx(1_000.0 + SECOND_LOOK, abs=3.0)


def test_long_epochs_that_nobody_expected_are_waited_for_once_they_are_known() -> None:
    """The first must be done within an hour, or within ten times what the timing says."""
    fleet = SimulatedFleet(1, lambda job, epoch: 0.5, epoch_seconds=FIRST_DEADLINE - 1)
    crew = staffed(fleet)
    crew.start("a", job())
    assert finished(told(crew)[-1]) and fleet.replaced == 0


def test_a_worker_that_hangs_does_not_hold_up_another() -> None:
    hangs = times(None, 1, at=1)
    fleet = SimulatedFleet(2, lambda job, epoch: hangs(job, epoch) if job.label == "trial 0" else 0.5)
    crew = staffed(fleet)
    crew.start("hung", job(0))
    crew.start("busy", job(1))
    said = [event.owner for event in events(crew) if isinstance(event.message, Finished)]
    assert said == ["busy", "hung"]


class LateFleet(SimulatedFleet):
    """Its workers say that they are ready `late` seconds after their start, and never if that is None."""

    def __init__(self, late: list[float | None]) -> None:
        self.late = late
        super().__init__(1, times(LOST, 1))

    def _new_worker(self) -> SimulatedWorker:
        worker = SimulatedWorker(self)
        late = self.late.pop(0)
        if late is not None:
            self.post(late, worker, Ready("simulated", "fp32", {}))
        return worker


def test_a_worker_that_never_becomes_ready_ends_it_all() -> None:
    fleet = LateFleet([None])
    crew = Crew(fleet, lambda: fleet.now)
    with pytest.raises(TrainingError, match=r"^a worker could not start: no word for 300 s$"):
        for _ in range(1_000):
            assert crew.receive(1.0) is None
    assert SHORTEST_DEADLINE < fleet.now <= SHORTEST_DEADLINE + SECOND_LOOK + 3.0


def test_a_replacement_that_never_becomes_ready_ends_it_all() -> None:
    fleet = LateFleet([1.0, None])
    crew = staffed(fleet)
    crew.start("a", job())
    with pytest.raises(TrainingError, match=r"^a worker could not start: no word for 300 s$"):
        events(crew)


def test_a_worker_that_takes_its_time_to_become_ready_is_waited_for() -> None:
    fleet = LateFleet([SHORTEST_DEADLINE - 1, SHORTEST_DEADLINE - 1])
    crew = staffed(fleet)
    crew.start("a", job())
    *said, last = told(crew)
    assert said == [1, Restarted(LOST.reason), 1, 2, 3, 4] and finished(last)


class StoppedFleet(SimulatedFleet):
    """Its worker is stopped, as by SIGSTOP, from its second epoch on; what it said by then is heard once it goes on."""

    def __init__(self) -> None:
        super().__init__(1, lambda job, epoch: 0.5)
        self.stopped: SimulatedWorker | None = self._workers[0]
        self.held: list[tuple[float, int, SimulatedWorker, Message]] = []

    def receive(self, timeout: float) -> tuple[Worker, Message] | None:
        for event in [event for event in self._events if event[2] is self.stopped]:
            if isinstance(event[3], Measurement) and event[3].epoch == 2:
                self._events.remove(event)
                self.held.append(event)
        return super().receive(timeout)


def test_what_a_stopped_worker_says_after_its_replacement_is_not_heard() -> None:
    fleet = StoppedFleet()
    crew = staffed(fleet)
    crew.start("a", job())
    found: list[Any] = []
    while not any(isinstance(message, Restarted) for message in found):
        event = crew.receive(1.0)
        found += [event.message] if event else []
    assert len(fleet.held) == 1
    # It goes on. A fleet reads its present workers alone, so nothing of this one arrives.
    assert fleet.stopped not in fleet.workers
    *said, last = told(crew)
    assert said == [1, 2, 3, 4] and finished(last)
    assert fleet.replaced == 1


# The clock.


def test_a_wall_clock_that_jumps_by_a_day_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that supervises asks for the time of day: here that would be an error."""
    import time

    def never() -> float:
        raise AssertionError("the time of day was asked for")

    monkeypatch.setattr(time, "time", never)
    fleet = SimulatedFleet(1, times(None, 1))
    crew = staffed(fleet)
    crew.start("a", job())
    assert finished(told(crew)[-1]) and fleet.replaced == 1


def test_deadlines_are_those_of_the_clock_that_is_given() -> None:
    fleet = SimulatedFleet(1, times(None, 1))
    now = [0.0]
    crew = Crew(fleet, lambda: now[0])
    assert crew.receive(1.0) is None
    crew.start("a", job())
    assert crew.receive(1.0) is not None
    for _ in range(1_000):  # the fleet waits, and the clock stands
        assert crew.receive(1.0) is None
    now[0] = SHORTEST_DEADLINE + 0.1
    assert crew.receive(1.0) is None
    now[0] += SECOND_LOOK
    assert crew.receive(1.0) is None
    now[0] += 0.1
    event = crew.receive(1.0)
    assert event is not None and event.message == Restarted("no word for 300 s")


def test_workers_are_not_blamed_where_the_coordinator_itself_stood_still() -> None:
    """Ctrl-Z and `fg` an hour later: what they said meanwhile is heard first, the ready and the busy."""
    fleet = SimulatedFleet(2, lambda job, epoch: 0.5)
    now = [0.0]
    crew = Crew(fleet, lambda: now[0])
    assert crew.receive(1.0) is None
    now[0] += 3_600.0
    assert crew.receive(1.0) is None and crew.is_complete
    crew.start("a", job(0))
    crew.start("b", job(1))
    for _ in range(EPOCHS):
        now[0] += 3_600.0
        for _ in range(2):
            assert isinstance((event := crew.receive(1.0)) and event.message, Measurement)
    assert [finished(event.message) for event in events(crew)] == [True, True]
    assert fleet.replaced == 0


# Asking for the end.


def test_all_workers_are_asked_to_pause_and_end_after_their_epochs() -> None:
    fleet = SimulatedFleet(2, lambda job, epoch: 0.5)
    crew = staffed(fleet)
    crew.start("a", job(0))
    crew.start("b", job(1))
    crew.pause()
    said = events(crew)
    assert sorted(event.owner for event in said if event.message == Paused()) == ["a", "b"]
    assert not any(isinstance(event.message, Finished) for event in said)
    assert crew.has_idle and not is_busy(crew)


def test_only_the_worker_of_a_task_is_asked_to_stop() -> None:
    fleet = SimulatedFleet(2, lambda job, epoch: 0.5)
    crew = staffed(fleet)
    crew.start("a", job(0))
    crew.start("b", job(1))
    crew.stop("b")
    crew.stop("nobody's")
    epochs = Counter(event.owner for event in events(crew) if isinstance(event.message, Measurement))
    assert epochs["a"] == EPOCHS and epochs["b"] < EPOCHS


@pytest.mark.parametrize("message", [TooSlow(0.01), Failed("unlucky")])
def test_a_worker_is_idle_again_after_its_task(message: Message) -> None:
    fleet = SimulatedFleet(1, times(message, 1, at=1))
    crew = staffed(fleet)
    crew.start("a", job())
    assert told(crew) == [message]
    assert crew.has_idle


def test_a_timing_is_a_task_too_and_has_no_attempts() -> None:
    crew = staffed(SimulatedFleet(1, lambda job, epoch: 0.5, epoch_seconds=2.0))
    crew.start("timing", Timing((NETWORK,), job().recipe))
    assert told(crew) == [Timed((2.0,))]


def test_the_worker_of_an_event_is_described_also_where_it_is_gone() -> None:
    fleet = SimulatedFleet(1, times(LOST, 2))
    crew = staffed(fleet)
    crew.start("a", job())
    assert {event.ready.device for event in events(crew)} == {"simulated"}


def test_a_job_that_is_given_out_is_the_one_that_was_handed_in_but_for_its_attempt(tmp_path: Path) -> None:
    fleet = SimulatedFleet(1, lambda job, epoch: 0.5)
    crew = staffed(fleet)
    given = job(3, tmp_path)
    crew.start("a", replace(given, attempt=99))
    assert fleet._workers[0].jobs == [replace(given, attempt=1)]


# Memory.

SHORT = Failed("out of memory on the device at batch_size = 16 with 1,000 parameters", "memory")


def asked(fleet: SimulatedFleet, gone: list[SimulatedWorker]) -> list[tuple[int, float, int]]:
    """Batch, learning rate and seed of every job that a worker was given."""
    given = [each for worker in (*gone, *fleet._workers) for each in worker.jobs]
    return [(each.recipe.sizes[0], each.recipe.lr, each.seed) for each in given]


def halving(number: int = 0) -> Job:
    whole = job(number)
    return replace(whole, recipe=whole.recipe.model_copy(update={"halve_batch": True}))


def test_a_job_without_memory_begins_again_as_it_was() -> None:
    fleet = SimulatedFleet(1, times(SHORT, 1))
    crew, gone = staffed(fleet), list(fleet._workers)
    crew.start("a", job())
    *said, last = told(crew)
    assert said == [1, Restarted(SHORT.reason), 1, 2, 3, 4]
    assert isinstance(last, Finished) and last.batch_size == 16
    assert asked(fleet, gone) == [(16, 0.1, 0), (16, 0.1, 0)]


def test_a_job_that_may_begins_again_with_half_of_the_batch() -> None:
    fleet = SimulatedFleet(1, times(SHORT, 1, at=1))
    crew, gone = staffed(fleet), list(fleet._workers)
    crew.start("a", halving())
    restarted, *said, last = told(crew)
    assert restarted == Restarted(f"{SHORT.reason}; now with batch_size = 8 and lr = 0.05")
    assert said == [1, 2, 3, 4]
    assert isinstance(last, Finished) and last.batch_size == 8
    assert asked(fleet, gone) == [(16, 0.1, 0), (8, 0.05, 0)]
    assert fleet.replaced == 1
    crew.start("b", halving(1))
    assert isinstance(told(crew)[-1], Finished)
    assert asked(fleet, gone)[-1] == (16, 0.1, 1), "the next job has a whole batch again"


def test_a_batch_is_halved_once() -> None:
    half = Failed("out of memory on the device at batch_size = 8 with 1,000 parameters", "memory")
    fleet = SimulatedFleet(1, lambda job, _: SHORT if job.recipe.batch_size == 16 else half)
    crew, gone = staffed(fleet), list(fleet._workers)
    crew.start("a", halving())
    restarted, last = told(crew)
    assert isinstance(restarted, Restarted)
    assert last == Failed(half.reason)
    assert [batch for batch, _, _ in asked(fleet, gone)] == [16]  # the second worker is gone as well
    assert fleet.replaced == 2


@pytest.mark.parametrize("message", [LOST, POISONED])
def test_a_batch_is_not_halved_for_another_reason(message: Lost | Failed) -> None:
    fleet = SimulatedFleet(1, times(message, 1))
    crew, gone = staffed(fleet), list(fleet._workers)
    crew.start("a", halving())
    assert Restarted(message.reason) in told(crew)
    assert asked(fleet, gone) == [(16, 0.1, 0), (16, 0.1, 0)]


def test_designs_that_cannot_be_timed_are_timed_with_half_of_the_batch() -> None:
    timings: list[Timing] = []

    class Short(SimulatedWorker):
        def start(self, task: Any) -> None:
            timings.append(task)
            fits = task.recipe.batch_size < 16
            self.fleet.post(1.0, self, Timed((1.0,)) if fits else Failed("out of memory at batch_size = 16", "memory"))

    class ShortFleet(SimulatedFleet):
        def _new_worker(self) -> SimulatedWorker:
            worker = Short(self)
            self.post(0.0, worker, Ready("simulated", "fp32", {}))
            return worker

    crew = staffed(ShortFleet(1, lambda job, epoch: 0.5))
    crew.start("timing", Timing((NETWORK,), halving().recipe))
    assert told(crew)[-1] == Timed((1.0,))
    assert [timing.recipe.batch_size for timing in timings] == [16, 8]


# Workers that come and go, as on a cluster.

READY = Ready("scripted", "fp32", {})
GONE = Lost("the worker's node is gone, or does not answer", with_node=True)
NO_START = Lost("worker ended with status 1: ModuleNotFoundError: no")
FINISHED = Finished(1.0, (0.5,), (0.25,))
MEASURED = Measurement(1, 0.5, 0.5, 0.5, 0.5, 0.1, 1.0)


class ScriptedWorker:
    """Writes down what it is given to do."""

    def __init__(self, place: str = "node") -> None:
        self.place = place
        self.tasks: list[Assignment] = []

    def start(self, task: Assignment) -> None:
        self.tasks.append(task)

    def stop(self) -> None:
        raise AssertionError("nobody is asked to stop")

    pause = open = stop


class ScriptedFleet:
    """Its workers come, go and speak when a test says so. A lost one's successor comes when it has a place."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        self.replaced: list[Worker] = []
        self.dismissed: list[tuple[Worker, str]] = []
        self.said: list[tuple[Worker, Message]] = []
        self.expects_more = False
        self.now = 0.0

    def add(self, place: str = "node") -> ScriptedWorker:
        worker = ScriptedWorker(place)
        self.workers.append(worker)
        return worker

    def receive(self, timeout: float) -> tuple[Worker, Message] | None:
        return self.said.pop(0) if self.said else None

    def replace(self, worker: Worker) -> None:
        self.workers.remove(worker)
        self.replaced.append(worker)

    def dismiss(self, worker: Worker, reason: str) -> None:
        self.workers.remove(worker)
        self.dismissed.append((worker, reason))

    def close(self) -> None:
        self.workers.clear()


class Cluster:
    """A crew on a scripted fleet."""

    def __init__(self) -> None:
        self.fleet = ScriptedFleet()
        self.crew = Crew(self.fleet, lambda: self.fleet.now)

    def hears(self, worker: ScriptedWorker, message: Message) -> Message | Restarted | None:
        """What comes of it."""
        self.fleet.said.append((worker, message))
        event = self.crew.receive(0.0)
        assert not self.fleet.said
        return event.message if event else None

    def adds_ready(self) -> ScriptedWorker:
        worker = self.fleet.add()
        assert self.hears(worker, READY) is None
        return worker

    def passes(self, seconds: float) -> None:
        """In silence."""
        end = self.fleet.now + seconds
        while self.fleet.now < end:
            self.fleet.now = min(self.fleet.now + SECOND_LOOK / 2, end)
            assert self.crew.receive(0.0) is None


def test_a_crew_has_as_many_workers_as_there_are_and_is_complete_once_there_are_some_and_all_are_ready() -> None:
    cluster = Cluster()
    fleet, crew = cluster.fleet, cluster.crew
    assert (crew.num_workers, crew.is_complete) == (0, False)
    first, second = fleet.add(), fleet.add()
    assert crew.receive(0.0) is None
    assert (crew.num_workers, crew.is_complete) == (2, False)
    cluster.hears(first, READY)
    assert not crew.is_complete
    cluster.hears(second, READY)
    assert crew.is_complete
    for number, worker in enumerate((first, second)):
        cluster.hears(worker, GONE)
        assert crew.num_workers == 1 - number
    assert not crew.is_complete and not crew.has_idle


def test_a_worker_that_comes_while_others_work_is_waited_for_and_used() -> None:
    cluster = Cluster()
    first = cluster.adds_ready()
    cluster.crew.start("a", job(0))
    second = cluster.fleet.add()
    assert cluster.crew.receive(0.0) is None
    assert not cluster.crew.is_complete and not cluster.crew.has_idle
    cluster.hears(second, READY)
    assert cluster.crew.is_complete and cluster.crew.has_idle
    cluster.crew.start("b", job(1))
    assert (first.tasks, second.tasks) == ([job(0)], [job(1)])
    assert cluster.hears(second, FINISHED) == FINISHED


def test_a_worker_that_comes_and_says_nothing_is_replaced_when_its_own_time_is_over() -> None:
    cluster = Cluster()
    cluster.adds_ready()
    cluster.passes(SHORTEST_DEADLINE)
    silent = cluster.fleet.add()
    assert cluster.crew.receive(0.0) is None
    cluster.passes(SHORTEST_DEADLINE)
    assert cluster.fleet.replaced == []
    cluster.passes(2 * SECOND_LOOK)
    assert cluster.fleet.replaced == [silent]


def test_a_worker_that_leaves_before_it_was_ready_is_forgotten() -> None:
    cluster = Cluster()
    cluster.adds_ready()
    leaver = cluster.fleet.add()
    assert cluster.crew.receive(0.0) is None
    assert not cluster.crew.is_complete
    cluster.fleet.workers.remove(leaver)
    assert cluster.crew.receive(0.0) is None
    assert cluster.crew.is_complete
    cluster.passes(10 * SHORTEST_DEADLINE)
    assert cluster.fleet.replaced == []


def test_all_that_come_may_leave_before_they_were_ready() -> None:
    cluster = Cluster()
    for _ in range(2 * MAX_FAILED_STARTS):
        cluster.fleet.add()
        assert cluster.crew.receive(0.0) is None
        cluster.fleet.workers.clear()
        cluster.passes(SHORTEST_DEADLINE)
    assert cluster.fleet.replaced == [] and cluster.crew.num_workers == 0


@pytest.mark.parametrize("first_loss_comes", ["before", "after"])
def test_a_node_that_is_lost_does_not_count_against_its_job_and_two_lost_workers_do(
    tmp_path: Path, first_loss_comes: str
) -> None:
    losses: list[Message] = [GONE] * (MAX_LOST_NODES - 1)
    losses.insert(0 if first_loss_comes == "before" else MAX_LOST_NODES - 1, LOST)
    cluster = Cluster()
    worker = cluster.adds_ready()
    cluster.crew.start("a", job(checkpoints=tmp_path))
    for attempt, loss in enumerate(losses, 1):
        is_first = LOST not in losses[: attempt - 1]
        assert worker.tasks == [replace(job(checkpoints=tmp_path), attempt=attempt, captured=is_first)]
        assert isinstance(loss, Lost)
        assert cluster.hears(worker, loss) == Restarted(loss.reason)
        worker = cluster.adds_ready()
    assert cluster.hears(worker, POISONED) == Failed(POISONED.reason)
    assert not is_busy(cluster.crew) and len(cluster.fleet.replaced) == len(losses) + 1


def test_a_job_that_no_node_outlives_has_failed_unless_it_measures_something_between() -> None:
    cluster = Cluster()
    worker = cluster.adds_ready()
    cluster.crew.start("a", job())
    for _ in range(2):
        for _ in range(MAX_LOST_NODES - 1):
            assert cluster.hears(worker, GONE) == Restarted(GONE.reason)
            worker = cluster.adds_ready()
        assert isinstance(cluster.hears(worker, MEASURED), Measurement)
    for _ in range(MAX_LOST_NODES - 1):
        cluster.hears(worker, GONE)
        worker = cluster.adds_ready()
    assert cluster.hears(worker, GONE) == Failed(f"{GONE.reason}, {MAX_LOST_NODES} times before an epoch was done")
    assert not is_busy(cluster.crew)


def test_a_job_without_a_worker_goes_to_an_idle_one_at_once() -> None:
    cluster = Cluster()
    first, second, third = (cluster.adds_ready() for _ in range(3))
    cluster.crew.start("a", job(0))
    assert cluster.hears(first, LOST) == Restarted(LOST.reason)
    assert second.tasks == [replace(job(0), captured=False)] and third.tasks == [], "the one that is idle longest"
    assert cluster.crew.has_idle
    assert cluster.hears(second, FINISHED) == FINISHED
    assert not is_busy(cluster.crew)


def test_jobs_without_workers_go_to_those_that_are_free_next_in_order() -> None:
    cluster = Cluster()
    first, second, third = (cluster.adds_ready() for _ in range(3))
    for number in range(3):
        cluster.crew.start(number, job(number))
    for worker in (second, first):
        assert cluster.hears(worker, GONE) == Restarted(GONE.reason)
    assert cluster.crew.num_workers == 1
    assert cluster.hears(third, FINISHED) == FINISHED
    assert third.tasks == [job(2), job(1)], "it does not become idle"
    assert not cluster.crew.has_idle and is_busy(cluster.crew)
    newcomer = cluster.adds_ready()
    assert newcomer.tasks == [job(0)] and not cluster.crew.has_idle


def test_time_without_a_worker_is_not_a_tasks_own() -> None:
    cluster = Cluster()
    worker = cluster.adds_ready()
    cluster.crew.start("a", job())
    cluster.fleet.now += 20.0
    assert cluster.crew.seconds("a") == 20.0
    cluster.hears(worker, GONE)
    cluster.fleet.now += 1_000.0
    assert cluster.crew.seconds("a") == 20.0
    worker = cluster.adds_ready()
    cluster.fleet.now += 3.0
    assert cluster.crew.seconds("a") == 23.0
    cluster.fleet.said.append((worker, FINISHED))
    event = cluster.crew.receive(0.0)
    assert event is not None and event.seconds == 23.0 and cluster.crew.seconds("a") == 0.0


def test_an_idle_worker_that_is_lost_is_replaced_and_nothing_else_happens() -> None:
    cluster = Cluster()
    busy = cluster.adds_ready()
    cluster.crew.start("a", job())
    idle = [cluster.adds_ready() for _ in range(3 * MAX_FAILED_STARTS)]
    for worker, loss in zip(idle, [LOST, POISONED, GONE] * MAX_FAILED_STARTS, strict=True):
        assert cluster.crew.has_idle
        assert cluster.hears(worker, loss) is None
        assert cluster.fleet.replaced.pop() is worker and cluster.crew.is_complete
    assert not cluster.crew.has_idle and cluster.fleet.workers == [busy]
    assert cluster.hears(cluster.fleet.add(), NO_START) is None, "the first that could not start"
    assert busy.tasks == [job()]
    assert cluster.hears(busy, FINISHED) == FINISHED


@pytest.mark.parametrize("loss", [NO_START, POISONED, Failed("data cache = '/x': missing or damaged")])
@pytest.mark.parametrize("num_workers", [1, 2, MAX_FAILED_STARTS, 10])
def test_workers_that_cannot_start_end_it_all_where_none_is_ready(loss: Lost | Failed, num_workers: int) -> None:
    cluster = Cluster()
    for _ in range(num_workers):
        cluster.fleet.add()
    for _ in range(min(num_workers, MAX_FAILED_STARTS) - 1):
        assert cluster.hears(cluster.fleet.workers[0], loss) is None  # type: ignore[arg-type]
        cluster.fleet.add()  # in its place
    with pytest.raises(TrainingError) as caught:
        cluster.hears(cluster.fleet.workers[0], loss)  # type: ignore[arg-type]
    assert str(caught.value) == f"a worker could not start: {loss.reason}"


def test_where_one_is_ready_the_places_of_those_that_cannot_start_stay_empty() -> None:
    cluster = Cluster()
    ready = cluster.adds_ready()
    for _ in range(MAX_FAILED_STARTS - 1):
        assert cluster.hears(cluster.fleet.add(), NO_START) is None
    cluster.adds_ready()  # ends the row
    for _ in range(MAX_FAILED_STARTS - 1):
        assert cluster.hears(cluster.fleet.add(), NO_START) is None
    assert len(cluster.fleet.replaced) == 2 * (MAX_FAILED_STARTS - 1) and cluster.fleet.dismissed == []
    for _ in range(2):
        last = cluster.fleet.add()
        assert cluster.hears(last, NO_START) is None
        assert cluster.fleet.dismissed.pop() == (last, NO_START.reason)
    assert len(cluster.fleet.replaced) == 2 * (MAX_FAILED_STARTS - 1)
    cluster.crew.start("a", job())
    assert cluster.hears(ready, FINISHED) == FINISHED


def test_a_node_on_which_no_worker_can_start_ends_nothing_while_others_are_loading() -> None:
    cluster = Cluster()
    fleet = cluster.fleet
    good, bad = [fleet.add("good") for _ in range(4)], [fleet.add("bad") for _ in range(4)]
    for number, worker in enumerate(bad, 1):
        assert cluster.hears(worker, NO_START) is None
        if number < MAX_FAILED_STARTS:
            fleet.add("bad")  # in its place
    assert [worker for worker, _ in fleet.dismissed] == bad[MAX_FAILED_STARTS - 1 :]
    for worker in [worker for worker in fleet.workers if worker.place == "bad"]:
        assert cluster.hears(worker, NO_START) is None  # type: ignore[arg-type]
    assert cluster.crew.num_workers == 4 and not cluster.crew.is_complete
    for worker in good:
        assert cluster.hears(worker, READY) is None
    assert cluster.crew.is_complete
    cluster.crew.start("a", job())
    assert cluster.hears(good[0], FINISHED) == FINISHED


def test_all_is_given_up_once_no_place_is_left() -> None:
    cluster = Cluster()
    first, second = cluster.fleet.add("one"), cluster.fleet.add("two")
    for _ in range(MAX_FAILED_STARTS):
        assert cluster.hears(first, NO_START) is None
        first = cluster.fleet.add("one")
    with pytest.raises(TrainingError, match=rf"^a worker could not start: {NO_START.reason}$"):
        cluster.hears(second, NO_START)  # the only one at the only place that was left


@pytest.mark.parametrize("place", ["", "bad"])
def test_a_worker_that_fails_before_it_has_a_place_ends_it_all_only_if_no_other_is_on_its_way(place: str) -> None:
    cluster = Cluster()
    cluster.fleet.expects_more = True
    for _ in range(2 * MAX_FAILED_STARTS):
        failing = cluster.fleet.add(place)
        assert cluster.hears(failing, NO_START) is None
    assert len(cluster.fleet.dismissed) == MAX_FAILED_STARTS + 1
    cluster.fleet.expects_more = False
    with pytest.raises(TrainingError, match=r"^a worker could not start: "):
        cluster.hears(cluster.fleet.add(place), NO_START)


def test_a_place_where_a_worker_has_started_begins_its_count_again_and_other_places_have_their_own() -> None:
    cluster = Cluster()
    cluster.adds_ready()
    for _ in range(3):
        for place in ("one", "two"):
            for _ in range(MAX_FAILED_STARTS - 1):
                assert cluster.hears(cluster.fleet.add(place), NO_START) is None
            assert cluster.hears(cluster.fleet.add(place), READY) is None
    assert cluster.fleet.dismissed == []


def test_a_place_where_one_could_not_start_is_not_waited_for() -> None:
    cluster = Cluster()
    cluster.adds_ready()
    hanging = cluster.fleet.add("bad")
    assert cluster.crew.receive(0.0) is None and not cluster.crew.is_complete
    assert cluster.hears(hanging, NO_START) is None
    cluster.fleet.add("bad")
    assert cluster.crew.receive(0.0) is None and cluster.crew.is_complete


def test_a_worker_that_says_it_is_working_is_waited_for_and_nothing_comes_of_it() -> None:
    cluster = Cluster()
    worker = cluster.adds_ready()
    cluster.crew.start("timing", Timing((NETWORK,), job().recipe))
    for _ in range(3):
        cluster.passes(SHORTEST_DEADLINE)
        assert cluster.hears(worker, Working()) is None
    assert cluster.hears(worker, Timed((1.0,))) == Timed((1.0,)) and cluster.fleet.replaced == []


def test_workers_that_never_become_ready_cannot_start_either() -> None:
    cluster = Cluster()
    cluster.adds_ready()
    for _ in range(MAX_FAILED_STARTS):
        last = cluster.fleet.add()
        cluster.passes(2 * SHORTEST_DEADLINE)
    assert len(cluster.fleet.replaced) == MAX_FAILED_STARTS - 1
    assert cluster.fleet.dismissed == [(last, "no word for 300 s")]


def test_where_the_last_that_was_ready_goes_with_its_node_another_that_goes_so_ends_nothing() -> None:
    cluster = Cluster()
    ready = cluster.adds_ready()
    cluster.hears(cluster.fleet.add(), NO_START)
    cluster.hears(ready, GONE)
    assert cluster.hears(cluster.fleet.add(), GONE) is None


@pytest.mark.parametrize("num_ready", [0, 1])
def test_workers_that_go_with_their_nodes_before_they_are_ready_end_nothing(num_ready: int) -> None:
    cluster = Cluster()
    for _ in range(num_ready):
        cluster.adds_ready()
    for _ in range(2 * MAX_FAILED_STARTS):
        assert cluster.hears(cluster.fleet.add(), GONE) is None
    assert len(cluster.fleet.replaced) == 2 * MAX_FAILED_STARTS
    cluster.adds_ready()
    assert cluster.crew.is_complete
