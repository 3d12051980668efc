"""The devices of this machine: what the driver lists, what CUDA shows of it, and what a person asks for."""

from pathlib import Path

import pytest

from search.errors import InputError
from search.workers.devices import choose_devices, count_gpus, is_device, num_visible

LISTED = "".join(f"GPU {number}: NVIDIA H200 (UUID: GPU-{number}{number}ab-cd)\n" for number in range(4))
SLICED = f"{LISTED}  MIG 3g.71gb     Device  0: (UUID: MIG-1234)\n  MIG 3g.71gb     Device  1: (UUID: MIG-5678)\n"


@pytest.fixture(autouse=True)
def _no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without nvidia-smi, or with one that is put into `tmp_path`."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def has_nvidia_smi(folder: Path, script: str) -> None:
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)


@pytest.mark.parametrize("script", [None, "exit 9", "echo No devices were found", "echo GPU 0: broken; exit 1"])
def test_cuda_without_a_gpu_is_refused_in_one_line(tmp_path: Path, script: str | None) -> None:
    if script is not None:
        has_nvidia_smi(tmp_path, script)
    for wanted in ("cuda", "cuda:0"):
        with pytest.raises(InputError) as caught:
            choose_devices(wanted)
        assert str(caught.value) == (
            f"device = {wanted}: no CUDA GPU is found on this machine; use --device cpu or auto"
        )
    assert choose_devices("auto") == choose_devices("cpu") == ("cpu",)


def test_gpus_are_taken_unless_the_cpu_is_asked_for(tmp_path: Path) -> None:
    has_nvidia_smi(tmp_path, "echo 'GPU 0: NVIDIA H200 (UUID: GPU-0)'; echo 'GPU 1: NVIDIA H200 (UUID: GPU-1)'")
    assert count_gpus() == 2
    both = ("cuda:0", "cuda:1")
    assert [choose_devices(wanted) for wanted in ("auto", "cuda", "cpu")] == [both, both, ("cpu",)]
    assert choose_devices("cuda:1") == ("cuda:1",)


def test_gpus_that_are_hidden_are_not_there_and_the_message_says_what_hides_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_nvidia_smi(tmp_path, "echo 'GPU 0: NVIDIA H200 (UUID: GPU-0)'")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert choose_devices("auto") == ("cpu",)
    with pytest.raises(InputError, match=r"^device = cuda: no CUDA GPU is .* with CUDA_VISIBLE_DEVICES=-1; use "):
        choose_devices("cuda")


def test_for_the_cpu_nobody_looks_for_gpus() -> None:
    def count() -> int:
        raise AssertionError("somebody has looked")

    assert choose_devices("cpu", count) == ("cpu",)


@pytest.mark.parametrize(
    ("visible", "num_gpus"),
    [
        (None, 4),
        ("0,1,2,3", 4),
        ("2", 1),
        ("3, 1", 2),
        ("", 0),
        ("-1", 0),
        ("none", 0),
        ("0,-1,1", 1),
        ("0,4,1", 1),
        ("1,1", 0),
        ("GPU-00ab,GPU-33ab-cd", 2),
        ("GPU-99", 0),
        ("1,", 1),
    ],
)
def test_gpus_are_counted_as_cuda_shows_them(visible: str | None, num_gpus: int) -> None:
    assert num_visible(LISTED, visible) == num_gpus


@pytest.mark.parametrize(
    ("visible", "num_gpus"), [(None, 1), ("MIG-1234", 1), ("MIG-1234,MIG-5678", 1), ("", 0), ("MIG-9", 0)]
)
def test_a_process_sees_one_slice_of_gpus_that_are_divided(visible: str | None, num_gpus: int) -> None:
    assert num_visible(SLICED, visible) == num_gpus


def test_a_device_has_one_of_four_forms() -> None:
    assert all(map(is_device, ("auto", "cpu", "cuda", "cuda:0", "cuda:15")))
    assert not any(map(is_device, ("", "gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:1,2", "cpu:0", "CUDA", "cuda:0 ")))
