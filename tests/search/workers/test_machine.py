"""What a command trains on: how many workers, with how many threads, here or on a cluster."""

from pathlib import Path
from typing import Any

import pytest

from search.data.datasets import Dataset
from search.errors import InputError
from search.files import StudyFiles
from search.protocol import Setup
from search.workers import machine
from search.workers.machine import Machine
from search.workers.ray_cluster import Cluster

DATASET = Dataset("toy", Path("cache/toy"), 8, 1, tuple("0123456789"), "0" * 64, 100, 10)


@pytest.fixture(autouse=True)
def _four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(4)))
    monkeypatch.setattr("os.sysconf", {"SC_PHYS_PAGES": 2**24, "SC_PAGE_SIZE": 4096}.__getitem__)


@pytest.fixture
def files(tmp_path: Path) -> StudyFiles:
    return StudyFiles(tmp_path, "toy")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The fleets that would have been started, each with its arguments."""
    calls: list[tuple[Any, ...]] = []
    for name in ("LocalFleet", "RayFleet"):
        monkeypatch.setattr(machine, name, lambda *arguments, name=name: calls.append((name, *arguments)))
    return calls


@pytest.mark.parametrize(
    ("asked", "num_runs", "num_workers", "num_threads"),
    [
        (None, 100, 4, 1),
        (None, 3, 3, 1),
        (None, 2, 2, 2),
        (None, 1, 1, 4),
        (1, 100, 1, 4),
        (2, 1, 2, 2),
        (9, 1, 9, 1),
    ],
)
def test_workers_share_the_cores(asked: int | None, num_runs: int, num_workers: int, num_threads: int) -> None:
    setup = Setup(DATASET.folder, 7, "cpu", num_threads)
    assert Machine("cpu", asked).staff(DATASET, 7, num_runs) == [setup] * num_workers


@pytest.mark.parametrize(
    ("device", "num_gpus", "asked", "num_runs", "devices"),
    [
        ("auto", 1, None, 100, ["cuda:0"]),
        ("auto", 1, 3, 100, ["cuda:0"] * 3),
        ("auto", 0, 2, 100, ["cpu", "cpu"]),
        ("auto", 4, None, 100, ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]),
        ("cuda", 4, None, 100, ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]),
        ("cuda", 4, None, 2, ["cuda:0", "cuda:1"]),
        ("cuda", 4, None, 0, ["cuda:0"]),
        ("cuda", 2, 5, 1, ["cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:0"]),
        ("cuda", 4, 1, 100, ["cuda:0"]),
        ("cuda:1", 4, None, 100, ["cuda:1"]),
        ("cuda:1", 4, 3, 100, ["cuda:1"] * 3),
        ("cpu", 4, 1, 100, ["cpu"]),
    ],
)
def test_every_gpu_has_a_worker_of_its_own_and_more_are_spread_in_turn(
    device: str, num_gpus: int, asked: int | None, num_runs: int, devices: list[str]
) -> None:
    machine = Machine(device, asked, count_gpus=lambda: num_gpus)
    setups = machine.staff(DATASET, 7, num_runs)
    assert [setup.device for setup in setups] == devices
    assert {setup.num_threads for setup in setups} == {max(1, 4 // len(devices))}
    assert machine.setup(DATASET, 7).device == devices[0], "a single worker is on the first of them"


def test_a_gpu_that_is_not_there_is_refused_before_anything_starts(started: list[tuple[Any, ...]]) -> None:
    with pytest.raises(InputError, match=r"^device = cuda:2: must be one of the GPUs here, which are cuda:0, cuda:1$"):
        Machine("cuda:2", count_gpus=lambda: 2).hire(DATASET, 7, 1)
    assert started == []


def test_a_machine_has_one_worker_with_all_cores_unless_told_otherwise() -> None:
    assert Machine("cpu").setup(DATASET, 7) == Setup(DATASET.folder, 7, "cpu", 4)
    assert Machine().num_workers == 1


def test_workers_here_start_with_the_study_and_log_into_its_folder(
    files: StudyFiles, started: list[tuple[Any, ...]]
) -> None:
    hire = Machine("cpu", 2, say=print).hire(DATASET, 7, 100)
    assert started == [], "the study is not locked yet"
    hire(files)
    setup = Setup(DATASET.folder, 7, "cpu", 2)
    assert started == [("LocalFleet", [setup, setup], files.folder / "workers.log", print)]


@pytest.mark.parametrize(("gpus", "device"), [(0.0, "cpu"), (0.25, "cuda"), (2.0, "cuda")])
@pytest.mark.parametrize(("cpus", "num_threads"), [(0.25, 1), (1.0, 1), (1.5, 1), (4.0, 4)])
@pytest.mark.parametrize("asked", [None, 300])
def test_workers_on_a_cluster_have_the_device_and_the_threads_of_their_share(
    gpus: float,
    device: str,
    cpus: float,
    num_threads: int,
    asked: int | None,
    files: StudyFiles,
    started: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    joined: list[tuple[Cluster, str]] = []

    def connect(to: Cluster, wanted: str) -> float:
        joined.append((to, wanted))
        return gpus

    def count_gpus() -> int:
        raise AssertionError("what this machine has is of no matter")

    monkeypatch.setattr(machine, "connect", connect)
    cluster = Cluster("auto", print, cpus_per_worker=cpus)
    hire = Machine("cuda", asked, cluster=cluster, count_gpus=count_gpus).hire(DATASET, 7, 100)
    assert joined == [(cluster, "cuda")] and started == [], "the study is not locked yet"
    hire(files)
    setup = Setup(DATASET.folder, 7, device, num_threads)
    assert started == [("RayFleet", cluster, gpus, setup, DATASET, asked, 100, files)]


def test_a_cluster_that_cannot_be_joined_starts_nothing(
    started: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: object) -> float:
        raise InputError("ray = auto: no")

    monkeypatch.setattr(machine, "connect", connect)
    with pytest.raises(InputError, match=r"^ray = auto: no$"):
        Machine("cpu", 1, cluster=Cluster("auto", print)).hire(DATASET, 7, 1)
    assert started == []
