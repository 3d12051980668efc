"""The simulated fleet: virtual time, and the coordinator's own on top of it."""

from simulation import SimulatedFleet, Start

from models.architecture import Architecture, Stage, Stem
from search.protocol import Finished, Job, Measurement, Message, Ready
from search.recipe import Recipe

NETWORK = Architecture(Stem(4), (Stage("basic", 1, 4),))


def make_job(epochs: int) -> Job:
    return Job("trial 0", NETWORK, Recipe(name="quick", epochs=epochs, batch_size=16), 0, "search", None)


class Stopwatch:
    """A coordinator's own time, which passes when a test says so."""

    def __init__(self) -> None:
        self.seconds = 7.0

    def __call__(self) -> float:
        return self.seconds


def make_fleet(watch: Stopwatch, num_workers: int = 1) -> SimulatedFleet:
    fleet = SimulatedFleet(num_workers, lambda job, epoch: 0.5, 10.0, watch)
    for _ in range(num_workers):
        assert isinstance(received(fleet), Ready)
    return fleet


def received(fleet: SimulatedFleet, timeout: float = 1.0) -> Message:
    found = fleet.receive(timeout)
    assert found is not None
    return found[1]


def test_a_coordinator_that_takes_no_time_finds_no_worker_waiting() -> None:
    fleet = make_fleet(Stopwatch())
    for _ in range(2):
        fleet.workers[0].start(make_job(1))
        assert isinstance(received(fleet), Measurement) and isinstance(received(fleet), Finished)
    assert fleet.now == 20.0
    assert fleet.starts == [Start(0.0, 0.0, 0.0, True), Start(10.0, 0.0, 0.0, False)]


def test_while_the_coordinator_works_messages_wait_and_a_worker_is_idle() -> None:
    watch = Stopwatch()
    fleet = make_fleet(watch)
    fleet.workers[0].start(make_job(1))
    watch.seconds += 25.0
    assert fleet.now == fleet.worked == 25.0
    assert isinstance(received(fleet), Measurement) and isinstance(received(fleet), Finished)
    assert fleet.now == 25.0, "both were due after 10 seconds: nothing is jumped over"
    watch.seconds += 1.0
    fleet.workers[0].start(make_job(1))
    assert fleet.starts[1] == Start(26.0, 26.0, 16.0, False)


def test_a_worker_does_not_wait_until_its_epoch_is_heard_of() -> None:
    watch = Stopwatch()
    fleet = make_fleet(watch)
    fleet.workers[0].start(make_job(2))
    watch.seconds += 15.0
    assert isinstance(received(fleet), Measurement)
    assert isinstance(received(fleet), Measurement)
    assert fleet.now == 20.0
    finished = received(fleet)
    assert isinstance(finished, Finished) and finished.seconds == 20.0


def test_with_a_timeout_of_zero_only_what_was_said_is_received() -> None:
    watch = Stopwatch()
    fleet = make_fleet(watch)
    fleet.workers[0].start(make_job(1))
    assert fleet.receive(0.0) is None and fleet.now == 0.0
    watch.seconds += 10.0
    assert isinstance(received(fleet, 0.0), Measurement)


def test_epochs_may_differ_in_length() -> None:
    fleet = SimulatedFleet(1, lambda job, epoch: 0.5, length=lambda job, epoch: 2.0 * epoch)
    assert isinstance(received(fleet), Ready)
    fleet.workers[0].start(make_job(3))
    measured = [received(fleet) for _ in range(3)]
    assert [message.seconds for message in measured if isinstance(message, Measurement)] == [2.0, 4.0, 6.0]
    assert fleet.now == 12.0
