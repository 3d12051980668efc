"""Muon beside SGD, held against torch's own."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from search.recipe import Recipe
from search.training.muon import orthogonalised
from search.training.optimisation import make_optimizer, set_lr

# Kernels with more and fewer outputs than inputs, a grouped and a depthwise one; a norm, a bias and a linear layer.
NETWORK = nn.Sequential(
    nn.Conv2d(2, 8, 3),
    nn.BatchNorm2d(8),
    nn.Conv2d(8, 8, 3, groups=8, bias=False),
    nn.Conv2d(8, 4, 1, groups=2, bias=False),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(16, 3),
).to(memory_format=torch.channels_last)
IMAGES = torch.randn(6, 2, 6, 6, generator=torch.Generator().manual_seed(0))


def make_recipe(**values: Any) -> Recipe:
    return Recipe.model_validate({"name": "test", "epochs": 3, "lr": 0.2, "optimizer": "muon"} | values)


def add_gradients(network: nn.Module, scale: float = 1.0) -> None:
    network.zero_grad()
    loss = nn.functional.cross_entropy(network(IMAGES), torch.arange(6) % 3)
    (scale * loss).backward()


def descend(network: nn.Module, optimizer: torch.optim.Optimizer, rates: list[float]) -> None:
    for lr in rates:
        set_lr(optimizer, lr)
        add_gradients(network)
        optimizer.step()


def kernels(network: nn.Module) -> list[Tensor]:
    return [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]


def in_float64(matrix: Tensor) -> Tensor:
    """Five steps of Newton and Schulz, as Jordan writes them down, of one matrix."""
    x = matrix.double() / matrix.double().norm()
    x = x.T if matrix.shape[0] > matrix.shape[1] else x
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x - 4.7750 * gram @ x + 2.0315 * gram @ gram @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def test_all_matrices_are_orthogonalised_together_as_torch_does_one() -> None:
    generator = torch.Generator().manual_seed(0)
    # Of four rows or columns there are three shapes, whose squares go together.
    shapes = [(3, 4, 9), (2, 9, 4), (1, 16, 144), (1, 4, 25), (2, 1, 9), (1, 5, 5)]
    batches = [torch.randn(shape, generator=generator) for shape in shapes]
    for matrices, ours in zip(batches, orthogonalised(batches), strict=True):
        for matrix, own in zip(matrices, ours, strict=True):
            torch.testing.assert_close(own, in_float64(matrix).float(), rtol=1e-4, atol=1e-5)
            settings = (3.4445, -4.7750, 2.0315), 5, 1e-7
            theirs = torch.optim._muon._zeropower_via_newtonschulz(matrix, *settings)
            assert (own - theirs.float()).abs().max() < 0.05  # of values near 1: bfloat16 has eight bits


def test_matrices_of_zeros_stay_zeros() -> None:
    batches = [torch.zeros(2, 4, 9), torch.zeros(1, 9, 4)]
    assert all(torch.equal(ours, zeros) for ours, zeros in zip(orthogonalised(batches), batches, strict=True))


@pytest.mark.parametrize("capturable", [False, True])
@pytest.mark.parametrize(
    "values",
    [
        {"weight_decay": 0.0},
        {"weight_decay": 0.01, "muon_lr": 0.1},
        {"weight_decay": 0.01, "momentum": 0.8, "nesterov": False, "decay_norm_and_bias": True},
        {"weight_decay": 0.01, "momentum": 0.0, "nesterov": False},
    ],
)
def test_kernels_go_as_by_torchs_muon_and_all_else_as_by_its_sgd(
    values: dict[str, Any], capturable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Torch's rounds to bfloat16.
    monkeypatch.setattr(torch.optim._muon, "_zeropower_via_newtonschulz", lambda matrix, *_: in_float64(matrix).float())
    recipe = make_recipe(**values)
    ours, theirs = copy.deepcopy(NETWORK), copy.deepcopy(NETWORK)
    descend(ours, make_optimizer(ours, recipe, capturable), [0.2, 0.1, 0.05, 0.02])
    momentum: dict[str, Any] = {"momentum": recipe.momentum, "nesterov": recipe.nesterov}
    others = [p for p in theirs.parameters() if p.ndim != 4]
    vectors = [p for p in others if p.ndim == 1]
    decays = recipe.weight_decay if recipe.decay_norm_and_bias else 0.0
    sgd = torch.optim.SGD(
        [{"params": [theirs[-1].weight]}, {"params": vectors, "weight_decay": decays}],
        weight_decay=recipe.weight_decay,
        lr=1.0,
        **momentum,
    )
    matrices = [kernel.detach().flatten(1).clone() for kernel in kernels(theirs)]
    muon = torch.optim.Muon(matrices, **momentum)
    for lr in (0.2, 0.1, 0.05, 0.02):
        rate = lr * recipe.muon_lr / recipe.lr
        muon.param_groups[0] |= {"lr": rate, "weight_decay": lr * recipe.weight_decay / (1 - recipe.momentum) / rate}
        set_lr(sgd, lr)
        add_gradients(theirs)
        for matrix, kernel in zip(matrices, kernels(theirs), strict=True):
            matrix.grad = kernel.grad.flatten(1)
        sgd.step()
        muon.step()
        with torch.no_grad():
            for matrix, kernel in zip(matrices, kernels(theirs), strict=True):
                kernel.copy_(matrix.view_as(kernel))
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if name != "0.bias":  # before BatchNorm it has no gradient but for rounding
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_a_step_goes_as_far_along_every_singular_vector() -> None:
    network = copy.deepcopy(NETWORK)
    before = [kernel.detach().clone() for kernel in kernels(network)]
    descend(network, make_optimizer(network, make_recipe(weight_decay=0.0, muon_lr=0.1)), [0.2])
    for old, kernel in zip(before, kernels(network), strict=True):
        step = (kernel.detach() - old).flatten(1)
        size = max(1, step.shape[0] / step.shape[1]) ** 0.5  # torch's factor for matrices with more rows than columns
        singular = torch.linalg.svdvals(step) / (0.1 * size)
        # Newton and Schulz's five steps come to within about a half of one, where the gradient has that direction.
        assert 0.6 < singular.max() < 1.3 and singular.median() > 0.5


def test_a_step_whose_gradients_have_overflowed_leaves_weights_and_momenta() -> None:
    network = copy.deepcopy(NETWORK)
    optimizer = make_optimizer(network, make_recipe())
    descend(network, optimizer, [0.2])
    states = [value.clone() for state in optimizer.state.values() for value in state.values()]
    weights = [parameter.detach().clone() for parameter in network.parameters()]
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale(torch.ones(()))
    add_gradients(network, float("inf"))
    scaler.step(optimizer)
    scaler.update()
    after = [value for state in optimizer.state.values() for value in state.values()]
    assert all(map(torch.equal, states, after))
    assert all(map(torch.equal, weights, network.parameters()))


def test_a_scaled_loss_trains_as_the_loss_does() -> None:
    plain, scaled = copy.deepcopy(NETWORK), copy.deepcopy(NETWORK)
    descend(plain, make_optimizer(plain, make_recipe()), [0.2, 0.2])
    optimizer = make_optimizer(scaled, make_recipe())
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale(torch.ones(()))
    for _ in range(2):
        add_gradients(scaled, 1024.0)
        scaler.step(optimizer)
        scaler.update()
    for one, other in zip(plain.parameters(), scaled.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
