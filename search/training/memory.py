"""Tasks that do not fit into memory: how that is recognised, and what is said of it."""

import torch

from models.count import count_parameters
from search.protocol import Assignment, Failed, Job, RangeTest, Timing

# What torch and the libraries of CUDA say where they have no exception of their own for it.
SIGNS = ("out of memory", "can't allocate memory", "alloc_failed")


def is_out_of_memory(error: Exception) -> bool:
    """Whether the error says that memory is short, of the device or of the host."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)


def does_not_fit(task: Assignment, device: torch.device) -> Failed:
    """The answer to a task that ran out of memory. It names what decides how much the task takes."""
    reason = "out of memory on the device" if device.type == "cuda" else "out of memory"
    if isinstance(task, Job | RangeTest | Timing):
        reason += f" at batch_size = {task.recipe.batch_size}"
    if isinstance(task, Job | RangeTest):
        reason += f" with {count_parameters(task.architecture):,} parameters"
    return Failed(reason, "memory")
