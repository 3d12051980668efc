"""Muon for the weights of convolutions, beside SGD for all else."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

# As in torch.optim.Muon: of https://kellerjordan.github.io/posts/muon/.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
NUM_ITERATIONS = 5
EPSILON = 1e-7


class MuonAndSGD(torch.optim.SGD):
    """Torch's fused SGD, which goes along the directions of Muon in the group of `kernels`.

    A kernel (out, in / groups, k, k) is to Muon the matrix (out, in / groups * k * k); one of a depthwise convolution
    is (out, k * k). Muon's direction takes the place of the gradient for SGD without momentum, which takes the rate as
    a tensor, so that a CUDA graph does not freeze it, and lets the step out where a loss in fp16 has overflowed.

    The directions are those of `torch.optim.Muon`, which takes the rate as a number and orthogonalises one matrix after
    the other, in bfloat16. Here all matrices of one shape are one batch: of the many layers of a deep network few
    shapes differ, and fewer lengths of the shorter side.

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
        self._momentum = momentum
        self._nesterov = nesterov
        self._kernels: list[Tensor] = kernels["params"]
        alike = defaultdict(list)
        for index, kernel in enumerate(self._kernels):
            matrix = kernel.detach().flatten(1)
            alike[matrix.shape].append(index)
            self.state[kernel]["momentum_buffer"] = torch.zeros_like(matrix)
        self._alike = list(alike.values())

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        self._orthogonalise()
        loss: float | None = super().step(closure)
        return loss

    @torch.no_grad()
    def _orthogonalise(self) -> None:
        """Replace the gradients of the kernels by Muon's directions."""
        scale: Tensor | None = getattr(self, "grad_scale", None)
        overflowed: Tensor | None = getattr(self, "found_inf", None)
        momenta: list[Tensor] = [self.state[kernel]["momentum_buffer"] for kernel in self._kernels]
        own = [kernel.grad for kernel in self._kernels if kernel.grad is not None]
        gradients = [gradient.flatten(1) for gradient in own]
        if scale is not None:
            gradients = [gradient / scale for gradient in gradients]
        if overflowed is not None:  # momenta then stay as they are
            pairs = zip(momenta, gradients, strict=True)
            gradients = [torch.where(overflowed > 0, momentum, gradient) for momentum, gradient in pairs]
        torch._foreach_lerp_(momenta, gradients, 1 - self._momentum)
        directions = torch._foreach_lerp(gradients, momenta, self._momentum) if self._nesterov else momenta
        batches = [torch.stack([directions[index] for index in indices]) for indices in self._alike]
        for indices, batch in zip(self._alike, orthogonalised(batches), strict=True):
            batch = batch * max(1.0, batch.shape[1] / batch.shape[2]) ** 0.5
            if scale is not None:
                batch = batch * scale
            for index, direction in zip(indices, batch, strict=True):
                own[index].copy_(direction.view_as(own[index]))


def orthogonalised(batches: Sequence[Tensor]) -> list[Tensor]:
    """Batches of matrices (n, rows, columns) with the same singular vectors and all singular values near 1, in float32.

    That is what five steps of Newton and Schulz make of each, x -> (a + b g + c g^2) x with g = x x^T, as in
    `torch.optim.Muon`. All factors are polynomials of the first g, so they are multiplied by each other, for all
    batches with a g of one size together, and x is multiplied once: that takes a fraction of the time. Small matrices
    take longer in bfloat16 than in float32.
    """
    wide = [_normalised(batch.mT if _is_tall(batch) else batch) for batch in batches]
    alike = defaultdict(list)
    for index, values in enumerate(wide):
        alike[values.shape[1]].append(index)
    orthogonal = list(batches)
    for indices in alike.values():
        grams = torch.cat([torch.bmm(wide[index], wide[index].mT) for index in indices])
        products = torch.split(_newton_schulz(grams), [len(wide[index]) for index in indices])
        for index, product in zip(indices, products, strict=True):
            values = torch.bmm(product, wide[index])
            orthogonal[index] = values.mT if _is_tall(batches[index]) else values
    return orthogonal


def _is_tall(batch: Tensor) -> bool:
    return batch.shape[1] > batch.shape[2]


def _normalised(batch: Tensor) -> Tensor:
    values = batch.float()
    norms: Tensor = values.norm(dim=(1, 2), keepdim=True)
    return values / norms.clamp(min=EPSILON)


def _newton_schulz(gram: Tensor) -> Tensor:
    """The product of the factors of all steps, (n, rows, rows), by the first g of each matrix, (n, rows, rows)."""
    a, b, c = COEFFICIENTS
    diagonal = a * torch.eye(gram.shape[-1], device=gram.device)
    factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c) + diagonal
    product = factor
    for _ in range(NUM_ITERATIONS - 1):
        gram = torch.bmm(torch.bmm(factor, gram), factor)
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c) + diagonal
        product = torch.bmm(factor, product)
    return product
