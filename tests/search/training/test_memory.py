"""Tasks that do not fit into memory are told from other errors, and say what decides how much they take."""

from pathlib import Path

import pytest
import torch

from models.architecture import Architecture, Stage, Stem
from models.count import count_parameters
from search.protocol import Assignment, ContactSheet, Failed, Job, RangeTest, Timing
from search.recipe import Recipe
from search.training.memory import does_not_fit, is_out_of_memory

NETWORK = Architecture(Stem(4), (Stage("basic", 1, 8),), in_channels=1)
RECIPE = Recipe(name="test", epochs=1, batch_size=256)
PARAMS = f"{count_parameters(NETWORK):,} parameters"


def what_torch_says_on_the_cpu() -> RuntimeError:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)  # no host has so much
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        MemoryError(),
        what_torch_says_on_the_cpu(),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_a_lack_of_memory_is_recognised(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("could not create a primitive"),
        ValueError("out of memory"),
    ],
)
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (Job("trial 0", NETWORK, RECIPE, 0, "search", None), f"out of memory at batch_size = 256 with {PARAMS}"),
        (RangeTest(NETWORK, RECIPE, 0, 0.1, 1.0, 9), f"out of memory at batch_size = 256 with {PARAMS}"),
        (Timing((NETWORK,), RECIPE), "out of memory at batch_size = 256"),
        (ContactSheet(RECIPE, 0, Path("sheet.png")), "out of memory"),
    ],
)
def test_a_task_says_its_batch_and_its_parameters(task: Assignment, reason: str) -> None:
    assert does_not_fit(task, torch.device("cpu")) == Failed(reason, "memory")
    on_device = reason.replace("out of memory", "out of memory on the device")
    assert does_not_fit(task, torch.device("cuda")) == Failed(on_device, "memory")
