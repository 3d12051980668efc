"""Real worker processes on the digits: what they answer, and how they end."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.architecture import Architecture, Stage, Stem
from models.count import count_parameters
from search.data.datasets import Dataset, open_dataset
from search.protocol import (
    Failed,
    Finished,
    Job,
    Lost,
    Measurement,
    Message,
    Opening,
    Ranged,
    RangeTest,
    Ready,
    Setup,
    Timed,
    Timing,
)
from search.recipe import with_epochs
from search.recipes import FAST
from search.study.weights import certify_saved
from search.workers.fleet import Worker
from search.workers.local import FASTER, LocalFleet, LocalWorker, choose_workers

NETWORK = Architecture(Stem(4), (Stage("basic", 1, 8),), in_channels=1)
PATIENCE = 120.0


def job(epochs: int = 2, **changes: object) -> Job:
    recipe = with_epochs(FAST, epochs).fit_to("digits", 1_438, 8, 1).model_copy(update={"precision": "fp32"})
    values = {
        "label": "trial 0",
        "architecture": NETWORK,
        "recipe": recipe,
        "seed": 1,
        "purpose": "search",
        "max_params": 5_000,
    }
    return Job(**values | changes)  # type: ignore[arg-type]


def receive(fleet: LocalFleet) -> tuple[Worker, Message]:
    received = fleet.receive(PATIENCE)
    assert received is not None, "no worker has said anything"
    return received


def answers(fleet: LocalFleet) -> list[Message]:
    """All messages until a task ends."""
    found = [receive(fleet)[1]]
    while isinstance(found[-1], Measurement):
        found.append(receive(fleet)[1])
    return found


def is_running(pid: int) -> bool:
    """Whether the process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ends(pid: int, within: float = 30.0) -> bool:
    deadline = time.monotonic() + within
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_running(pid)


@pytest.fixture(scope="module")
def digits(cache: Path) -> Iterator[Dataset]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE", str(cache))
        yield open_dataset("digits")


@pytest.fixture(scope="module")
def setup(digits: Dataset) -> Setup:
    return Setup(digits.folder, 0, "cpu", 1)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study") / "new folder" / "workers.log"


@pytest.fixture(scope="module")
def started(setup: Setup, log: Path) -> Iterator[tuple[LocalFleet, Message]]:
    """One worker for the whole module, and the first it said."""
    fleet = LocalFleet([setup], log)
    try:
        yield fleet, receive(fleet)[1]
    finally:
        fleet.close()


@pytest.fixture
def fleet(started: tuple[LocalFleet, Message]) -> LocalFleet:
    return started[0]


@pytest.fixture
def worker(fleet: LocalFleet) -> LocalWorker:
    (worker,) = fleet.workers
    assert isinstance(worker, LocalWorker)
    return worker


def test_a_worker_says_what_it_is(started: tuple[LocalFleet, Message]) -> None:
    ready = started[1]
    assert isinstance(ready, Ready)
    assert ready.device == "CPU, 1 thread"
    assert ready.precision in ("fp32", "bf16")
    assert set(ready.versions) == {"python", "torch", "numpy"}


def test_a_job_is_answered_by_one_measurement_an_epoch(fleet: LocalFleet, worker: LocalWorker) -> None:
    worker.start(job(epochs=3))
    *measurements, last = answers(fleet)
    assert [measurement.epoch for measurement in measurements] == [1, 2, 3]
    for measurement in measurements:
        assert 0 <= measurement.validation_accuracy <= 1
        assert measurement.validation_loss > 0 and measurement.train_loss > 0 and measurement.seconds > 0
    assert measurements[-1].validation_accuracy > 0.3  # a tenth is chance
    assert isinstance(last, Finished)
    assert last.test is None
    assert len(last.mean) == len(last.std) == 1


def test_the_same_job_gives_the_same_numbers_and_another_seed_others(fleet: LocalFleet, worker: LocalWorker) -> None:
    runs = []
    for seed in (1, 1, 2):
        worker.start(job(seed=seed))
        *measurements, _ = answers(fleet)
        runs.append([(each.train_loss, each.validation_accuracy) for each in measurements])
    assert runs[0] == runs[1] != runs[2]


def test_a_timing_is_one_number_a_design(fleet: LocalFleet, worker: LocalWorker) -> None:
    larger = Architecture(Stem(16), (Stage("basic", 2, 16), Stage("basic", 2, 32)), in_channels=1)
    worker.start(Timing((NETWORK, larger), job().recipe))
    (timed,) = answers(fleet)
    assert isinstance(timed, Timed)
    small, large = timed.seconds_per_epoch
    assert 0 < small < large


def test_a_range_test_is_answered_by_a_loss_for_every_rate(fleet: LocalFleet, worker: LocalWorker) -> None:
    worker.start(RangeTest(NETWORK, job().recipe, 0, 0.001, 0.01, num_steps=9))
    (ranged,) = answers(fleet)
    assert isinstance(ranged, Ranged) and not ranged.diverged
    assert [point.lr for point in ranged.points] == pytest.approx([0.001 * 10 ** (step / 8) for step in range(9)])
    assert all(point.loss > 0 for point in ranged.points)


def test_a_job_that_is_told_to_stop_ends_after_its_epoch(fleet: LocalFleet, worker: LocalWorker) -> None:
    worker.start(job(epochs=1_000))
    assert isinstance(receive(fleet)[1], Measurement)
    worker.stop()
    *measurements, last = answers(fleet)
    assert len(measurements) < 50
    assert isinstance(last, Finished)


def test_a_stop_between_jobs_does_not_stop_the_next(fleet: LocalFleet, worker: LocalWorker) -> None:
    worker.stop()
    worker.start(job(epochs=2))
    assert [type(message) for message in answers(fleet)] == [Measurement, Measurement, Finished]


def test_a_job_over_the_budget_is_refused_before_its_first_epoch(fleet: LocalFleet, worker: LocalWorker) -> None:
    count = count_parameters(NETWORK)
    worker.start(job(max_params=count - 1))
    refused = f"the built network holds {count:,} parameters, over the limit of {count - 1:,}"
    assert answers(fleet) == [Failed(refused)]
    worker.start(job(epochs=1, max_params=count))
    assert [type(message) for message in answers(fleet)] == [Measurement, Finished]


def test_a_loss_that_is_not_finite_is_a_failure_and_not_a_number(fleet: LocalFleet, worker: LocalWorker) -> None:
    recipe = job().recipe.model_copy(update={"lr": 1e30})
    worker.start(job(recipe=recipe))
    *measurements, last = answers(fleet)
    assert isinstance(last, Failed)
    assert last.reason.startswith("training loss is ")
    assert "\n" not in last.reason
    assert measurements == []


def test_a_final_job_opens_the_test_set_and_keeps_certified_weights(
    fleet: LocalFleet, worker: LocalWorker, digits: Dataset, tmp_path: Path
) -> None:
    worker.start(job(purpose="final", keep=tmp_path / "0042"))
    *measurements, asks = answers(fleet)
    assert asks == Opening()
    assert fleet.receive(0.3) is None, "the test set stays closed until the worker is told to open it"
    worker.open()
    (last,) = answers(fleet)
    assert {measurement.validation_accuracy for measurement in measurements} == {None}
    assert isinstance(last, Finished) and last.test is not None
    confusion = last.test.confusion
    assert sum(map(sum, confusion)) == digits.num_test
    assert sum(confusion[i][i] for i in range(10)) / digits.num_test == pytest.approx(last.test.accuracy)
    weights = tmp_path / "0042" / "weights.safetensors"
    assert certify_saved(weights, NETWORK, 5_000) == count_parameters(NETWORK)
    assert Architecture.from_json((tmp_path / "0042" / "architecture.json").read_text()) == NETWORK


def test_a_final_job_with_a_holdout_measures_the_validation_split(
    fleet: LocalFleet, worker: LocalWorker, tmp_path: Path
) -> None:
    worker.start(job(purpose="final", holdout=True, keep=tmp_path / "0042"))
    *measurements, asks = answers(fleet)
    assert asks == Opening()
    assert None not in {measurement.validation_accuracy for measurement in measurements}
    worker.open()
    (last,) = answers(fleet)
    assert isinstance(last, Finished) and last.test is not None


def test_leave_to_open_the_test_set_is_for_one_job(fleet: LocalFleet, worker: LocalWorker, tmp_path: Path) -> None:
    for _ in range(2):
        worker.start(job(purpose="final", keep=tmp_path / "0042"))
        assert answers(fleet)[-1] == Opening()
        assert fleet.receive(0.3) is None
        worker.open()
        assert isinstance(answers(fleet)[-1], Finished)


def test_a_job_that_cannot_be_done_leaves_the_worker_ready_for_the_next(fleet: LocalFleet, worker: LocalWorker) -> None:
    worker.start(job(architecture=Architecture(Stem(4), NETWORK.stages, in_channels=3)))
    (failed,) = answers(fleet)
    assert isinstance(failed, Failed) and failed.reason
    assert "\n" not in failed.reason
    worker.start(job(epochs=1))
    assert isinstance(answers(fleet)[-1], Finished)


def test_nothing_to_say_is_none(fleet: LocalFleet) -> None:
    assert fleet.receive(0.0) is None


@pytest.mark.slow
def test_a_killed_worker_is_lost_and_a_new_one_works(fleet: LocalFleet, worker: LocalWorker) -> None:
    worker.start(job(epochs=10_000))
    assert isinstance(receive(fleet)[1], Measurement)
    worker.process.send_signal(signal.SIGKILL)
    last = answers(fleet)[-1]
    assert last == Lost("worker ended by signal 9")
    worker.stop()  # to nobody: neither this nor a task raises
    worker.start(job())
    fleet.replace(worker)
    (new,) = fleet.workers
    assert new is not worker
    assert isinstance(receive(fleet)[1], Ready)
    new.start(job(epochs=1))
    assert isinstance(answers(fleet)[-1], Finished)


@pytest.mark.slow
def test_a_worker_that_cannot_open_its_data_says_why(setup: Setup, tmp_path: Path) -> None:
    missing = Setup(tmp_path / "nothing", 0, "cpu", 1)
    fleet = LocalFleet([missing], tmp_path / "workers.log")
    try:
        message = receive(fleet)[1]
        assert isinstance(message, Failed)
        assert message.reason.startswith("data cache = ")
        assert isinstance(receive(fleet)[1], Lost)
    finally:
        fleet.close()


@pytest.mark.slow
def test_what_workers_print_goes_to_the_log(
    setup: Setup, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "workers.log"
    log.write_text("what was there before\n")
    # A worker that cannot even begin says so in a traceback.
    monkeypatch.setattr("search.workers.local.WORKER", "search.training.nothing")
    fleet = LocalFleet([setup], log)
    try:
        assert receive(fleet)[1] == Lost("worker ended with status 1")
    finally:
        fleet.close()
    lines = log.read_text().splitlines()
    assert lines[0] == "what was there before"
    assert "No module named search.training.nothing" in lines[-1]
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("busy", [True, False])
def test_a_worker_ends_when_the_coordinators_end_closes(setup: Setup, tmp_path: Path, busy: bool) -> None:
    fleet = LocalFleet([setup], tmp_path / "workers.log")
    (worker,) = fleet.workers
    assert isinstance(worker, LocalWorker)
    try:
        assert isinstance(receive(fleet)[1], Ready)
        if busy:
            worker.start(job(epochs=10_000))
            receive(fleet)
        worker.connection.close()
        assert worker.process.wait(timeout=30) == 0
    finally:
        fleet.close()
    assert (tmp_path / "workers.log").read_text() == ""


@pytest.mark.slow
def test_closing_a_fleet_ends_its_workers(setup: Setup, tmp_path: Path) -> None:
    fleet = LocalFleet([setup] * 2, tmp_path / "workers.log")
    workers = [worker for worker in fleet.workers if isinstance(worker, LocalWorker)]
    assert len(workers) == 2
    fleet.close()
    assert [worker.process.poll() for worker in workers] == [-signal.SIGKILL] * 2


COORDINATOR = """
import os, sys, time
from pathlib import Path
from search.protocol import Setup
from search.workers.local import LocalFleet
fleet = LocalFleet([Setup(Path(sys.argv[1]), 0, "cpu", 1)] * 2, Path(sys.argv[2]))
if sys.argv[3] == "ready":
    for _ in range(2):
        fleet.receive(120)
print(*(worker.process.pid for worker in fleet.workers), flush=True)
time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["ready", "starting"])
def test_workers_end_when_their_coordinator_is_killed(setup: Setup, tmp_path: Path, when: str) -> None:
    command = [sys.executable, "-c", COORDINATOR, str(setup.data), str(tmp_path / "workers.log"), when]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as coordinator:
        try:
            assert coordinator.stdout is not None
            pids = [int(pid) for pid in coordinator.stdout.readline().split()]
            assert len(pids) == 2 and all(map(is_running, pids))
        finally:
            coordinator.kill()
    assert all(ends(pid, within=90) for pid in pids)


def test_the_current_folder_is_not_on_a_workers_import_path(worker: LocalWorker) -> None:
    arguments = Path(f"/proc/{worker.process.pid}/cmdline").read_bytes().split(b"\0")
    assert arguments[1:4] == [b"-P", b"-m", b"search.training.worker"]


def test_a_worker_has_the_threads_it_was_given(worker: LocalWorker) -> None:
    environment = Path(f"/proc/{worker.process.pid}/environ").read_bytes().split(b"\0")
    assert b"OMP_NUM_THREADS=1" in environment


def environment_of(worker: LocalWorker) -> list[bytes]:
    """The variables that a worker was given; Linux shows none while the process is about to begin."""
    path, latest = Path(f"/proc/{worker.process.pid}/environ"), time.monotonic() + 10
    while not (content := path.read_bytes()) and time.monotonic() < latest:
        time.sleep(0.01)
    return content.split(b"\0")


def test_a_workers_threads_sleep_soon_and_it_keeps_its_memory_unless_the_user_says_otherwise(
    worker: LocalWorker, setup: Setup, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = environment_of(worker)
    assert all(f"{name}={value}".encode() in given for name, value in FASTER.items())
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    other = LocalWorker(setup, log)
    try:
        given = [each for each in environment_of(other) if each.startswith(b"GOMP_SPINCOUNT")]
        assert given == [b"GOMP_SPINCOUNT=7"]
    finally:
        other.close()


@pytest.mark.parametrize(
    ("num_cores", "num_runs", "gigabytes", "num_workers"),
    [(1, 99, 64, 1), (2, 99, 64, 2), (8, 99, 64, 8), (8, 3, 64, 3), (8, 99, 8, 4), (64, 99, 512, 16), (8, 9, 1, 1)],
)
def test_on_the_cpu_workers_are_as_many_as_cores_runs_and_memory_allow(
    monkeypatch: pytest.MonkeyPatch, num_cores: int, num_runs: int, gigabytes: int, num_workers: int
) -> None:
    pages = {"SC_PHYS_PAGES": gigabytes * 2**30 // 4096, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(num_cores)))
    monkeypatch.setattr("os.sysconf", pages.__getitem__)
    assert choose_workers(("cpu",), num_runs) == num_workers
