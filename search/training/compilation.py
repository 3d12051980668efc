"""A network's training step by torch.compile, and what is said where torch cannot compile it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from search.errors import TrainingError
from search.training.memory import is_out_of_memory

Compiler = str | Callable[..., Any]  # a backend of torch.compile

INDUCTOR = "inductor"  # torch's own compiler: C++ on the CPU, Triton on CUDA


def compiled(model: nn.Module, compiler: Compiler) -> Callable[[Tensor], Tensor]:
    """The model's forward pass, and so the backward pass, as `compiler` makes them.

    Nothing happens before the first call, and none of the model itself changes: it has the same parameters, under the
    same names, and is not compiled where it is called itself. Images must have the same shape in every call.
    """
    # What earlier networks were compiled to is of no use, and of one function torch keeps so many forms and no more.
    torch.compiler.reset()
    forward: Callable[[Tensor], Tensor] = torch.compile(model, backend=compiler, dynamic=False)
    return forward


@contextmanager
def explained() -> Iterator[None]:
    """Say in one line that torch cannot compile what is called here, as where there is no C++ compiler.

    Raises:
        TrainingError: it cannot be compiled. That memory is short is left as it is.
    """
    try:
        yield
    except RuntimeError as error:
        from torch._dynamo.exc import TorchDynamoException  # by now it has been imported, and takes no second

        if not isinstance(error, TorchDynamoException) or is_out_of_memory(error):
            raise
        cause = getattr(error, "inner_exception", error)
        said = (str(cause).strip().splitlines() or [""])[0]
        raise TrainingError(
            f"compile: torch cannot do it here ({type(cause).__name__}: {said}); leave out --compile"
        ) from error
