"""Muon for the weights of convolutions, beside SGD for all else."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class MuonAndSGD(torch.optim.SGD):
    """Torch's fused SGD, which goes along the directions of torch's Muon in the group of `kernels`.

    A kernel (out, in / groups, k, k) is to Muon the matrix (out, in / groups * k * k); one of a depthwise convolution
    is (out, k * k). Muon takes its rate as a number, which a CUDA graph would freeze. So it makes a step of rate 1 from
    zeros, and what comes of it is the gradient for SGD without momentum. That takes the rate as a tensor, and lets the
    step out where a loss in fp16 has overflowed.

    Args:
        groups: of SGD, without that of the kernels.
        kernels: the group of them: `params`, `lr` and `weight_decay`, which is decoupled.
        momentum: of both.
        nesterov: whether theirs is Nesterov's.
    """

    def __init__(
        self, groups: list[dict[str, Any]], kernels: dict[str, Any], *, momentum: float, nesterov: bool
    ) -> None:
        own = kernels | {"momentum": 0.0, "nesterov": False}
        super().__init__([*groups, own], momentum=momentum, nesterov=nesterov, fused=True)
        self._kernels: list[Tensor] = kernels["params"]
        self._directions = [torch.zeros_like(kernel.detach().flatten(1)) for kernel in self._kernels]
        self._muon = torch.optim.Muon(self._directions, lr=1.0, weight_decay=0.0, momentum=momentum, nesterov=nesterov)
        for kernel, direction in zip(self._kernels, self._directions, strict=True):
            self.state[kernel]["momentum_buffer"] = torch.zeros_like(direction)

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        self._orthogonalise()
        loss: float | None = super().step(closure)
        return loss

    @torch.no_grad()
    def _orthogonalise(self) -> None:
        """Replace the gradients of the kernels by Muon's directions."""
        scale: Tensor | None = getattr(self, "grad_scale", None)
        overflowed: Tensor | None = getattr(self, "found_inf", None)
        pairs = [*zip(self._kernels, self._directions, strict=True)]
        for kernel, direction in pairs:
            assert kernel.grad is not None
            momentum = self.state[kernel]["momentum_buffer"]
            gradient = kernel.grad.flatten(1)
            if scale is not None:
                gradient = gradient / scale
            if overflowed is not None:
                gradient = torch.where(overflowed > 0, momentum, gradient)  # the momentum then stays as it is
            direction.zero_()
            direction.grad = gradient
            self._muon.state[direction]["momentum_buffer"] = momentum
        self._muon.step()  # type: ignore[no-untyped-call]  # torch's own gap
        for kernel, direction in pairs:
            assert kernel.grad is not None
            kernel.grad.copy_(direction.view_as(kernel)).neg_()
            if scale is not None:
                kernel.grad.mul_(scale)
            direction.grad = None
