"""What the commands start: how many workers, with how many threads."""

from pathlib import Path

import pytest

from search.datasets import Dataset
from search.protocol import Setup
from search.study import launch
from search.study.launch import Machine

DATASET = Dataset("toy", Path("cache/toy"), 8, 1, tuple("0123456789"), "0" * 64, 100, 10)


@pytest.fixture(autouse=True)
def _four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(4)))
    monkeypatch.setattr("os.sysconf", {"SC_PHYS_PAGES": 2**24, "SC_PAGE_SIZE": 4096}.__getitem__)


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
    assert Machine("cpu", asked).staff(DATASET, 7, num_runs) == (setup, num_workers)


def test_a_gpu_has_one_worker_unless_more_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "choose_device", lambda _: "cuda")
    assert Machine("auto", None).staff(DATASET, 7, 100) == (Setup(DATASET.folder, 7, "cuda", 4), 1)
    assert Machine("auto", 3).staff(DATASET, 7, 100) == (Setup(DATASET.folder, 7, "cuda", 1), 3)


def test_a_machine_has_one_worker_with_all_cores_unless_told_otherwise() -> None:
    assert Machine("cpu").setup(DATASET, 7) == Setup(DATASET.folder, 7, "cpu", 4)
    assert Machine().num_workers == 1
