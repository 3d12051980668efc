"""The capture of a training step as a CUDA graph, and its replay.

A graph is a recording of kernels with their arguments. So every tensor that a captured function touches must stay where
it is, numbers of Python are frozen, and nothing may wait for the device in between
(https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs).
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache

import torch
from torch import Tensor

from search.training.pipeline import Batch

NUM_WARM_UPS = 3  # libraries choose their algorithms and make their workspaces in the first calls

Replay = Callable[[Batch], None]
Capture = Callable[[Callable[[Batch], None], Batch, Callable[[], Iterator[Tensor]]], Replay]


class CaptureError(RuntimeError):
    """A function cannot be captured; it can still be called."""


def capture_on(device: torch.device) -> Capture | None:
    """How steps are captured on a device; None on a CPU, which has no graphs."""
    return capture if device.type == "cuda" else None


def capture(compute: Callable[[Batch], None], batch: Batch, changed: Callable[[], Iterator[Tensor]]) -> Replay:
    """A function that does to a batch what `compute` does, as one CUDA graph. The batch given is not trained on yet.

    Args:
        compute: draws random numbers from the device's default generator alone.
        batch: a batch like those to come.
        changed: all tensors that `compute` changes. It may make some of them in its first call: those begin as zeros,
            which is how torch's optimisers begin.

    Raises:
        CaptureError: it cannot be captured. All tensors and the generator are as before.
    """
    device = batch.images.device
    static = batch.clone()
    stream = _side_stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    generator = torch.cuda.default_generators[device.index]
    graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
    # One stream for warm-up and capture, so that autograd's accumulators meet the stream on which they were made.
    with torch.cuda.stream(stream):
        rehearse(compute, static, changed, generator)
        spare = generator.clone_state()
        try:
            with torch.cuda.graph(graph, pool=pool, stream=stream):
                compute(static)
        except RuntimeError as error:
            generator.graphsafe_set_state(spare)  # the failed capture still holds the old one
            graph.reset()
            with suppress(RuntimeError, AttributeError):  # versions after 2.11 do it themselves
                torch._C._cuda_endAllocateToPool(device.index, pool)
                torch._C._cuda_releasePool(device.index, pool)
            # The end of a capture that became invalid fails as well. No variable holds the error: its frames hold all
            # activations of the step, which would then stay until Python looks for cycles.
            reason = str(error.__context__ or error).strip() or type(error.__context__ or error).__name__
            raise CaptureError(reason.splitlines()[0]) from error
    torch.cuda.current_stream(device).wait_stream(stream)

    def replay(batch: Batch) -> None:
        static.copy_(batch)
        graph.replay()

    return replay


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """The stream of all captures on a device: cuBLAS keeps tens of megabytes for every stream that it has met."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's own gap


def rehearse(
    compute: Callable[[Batch], None],
    batch: Batch,
    changed: Callable[[], Iterator[Tensor]],
    generator: torch.Generator,
) -> None:
    """Call `compute` a few times and put back everything that it changed: tensors and the default generator.

    Tensors that it made begin as zeros.
    """
    random_state = generator.get_state()
    before = {id(tensor): (tensor, tensor.clone()) for tensor in changed()}
    for _ in range(NUM_WARM_UPS):
        compute(batch)
    with torch.no_grad():
        for tensor in changed():
            if (kept := before.get(id(tensor))) is not None:
                tensor.copy_(kept[1])
            else:
                tensor.zero_()
    generator.set_state(random_state)
