"""The optimiser, the learning-rate schedule and the averaging of weights of a recipe, made of torch's own."""

import math
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from search.recipe import Recipe


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser. BatchNorm and biases (all vectors) have no weight decay unless the recipe says so."""
    matrices = [p for p in model.parameters() if p.ndim > 1 or recipe.decay_norm_and_bias]
    vectors = [p for p in model.parameters() if p.ndim <= 1 and not recipe.decay_norm_and_bias]
    groups: list[dict[str, Any]] = [{"params": matrices}]
    if vectors:
        groups.append({"params": vectors, "weight_decay": 0.0})
    common: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=True, **common)
    is_cuda = matrices[0].is_cuda
    adam = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return adam(groups, fused=is_cuda, foreach=not is_cuda, **common)


class Schedule:
    """Sets the learning rate of an optimiser: call `step` after every step and `end_epoch` after every epoch.

    Args:
        optimizer: the optimiser.
        recipe: gives the shape of the schedule.
        num_steps: of the whole training.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, recipe: Recipe, num_steps: int) -> None:
        self._optimizer = optimizer
        self._by_step: LambdaLR | None = None
        self._by_epoch: ReduceLROnPlateau | None = None
        if recipe.schedule == "plateau":
            self._by_epoch = ReduceLROnPlateau(
                optimizer, mode="max", factor=recipe.factor, patience=recipe.patience, min_lr=recipe.min_lr
            )
        else:
            self._by_step = LambdaLR(optimizer, lambda step: share_of_peak(recipe, step / num_steps))

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def state_dict(self) -> dict[str, Any]:
        scheduler = self._by_step or self._by_epoch
        assert scheduler is not None
        return scheduler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        scheduler = self._by_step or self._by_epoch
        assert scheduler is not None
        scheduler.load_state_dict(state)

    def step(self) -> None:
        if self._by_step is not None:
            self._by_step.step()

    def end_epoch(self, validation_accuracy: float | None) -> None:
        if self._by_epoch is not None:
            assert validation_accuracy is not None, "a plateau schedule needs the validation accuracy"
            self._by_epoch.step(validation_accuracy)


def share_of_peak(recipe: Recipe, progress: float) -> float:
    """The learning rate as a share of its peak after a share `progress`, 0 to 1, of all steps."""
    if progress < recipe.warmup:
        return progress / recipe.warmup
    rest = (progress - recipe.warmup) / (1 - recipe.warmup)
    if recipe.schedule == "constant":
        return 1.0
    if recipe.schedule == "multi-step":
        return max(
            recipe.factor ** sum(progress >= milestone for milestone in recipe.milestones), recipe.min_lr / recipe.lr
        )
    if recipe.schedule == "cosine":
        height = 0.5 * (1 + math.cos(math.pi * rest))
    elif recipe.schedule == "cyclic":
        height = 1 - abs(2 * (rest * recipe.cycles % 1) - 1)
    else:
        height = 1 - rest
    floor = recipe.min_lr / recipe.lr
    return floor + (1 - floor) * height


def moving_average(model: nn.Module, window: float) -> AveragedModel:
    """An exponential moving average of weights and buffers over about `window` steps, to be updated after each."""
    average_fn = get_ema_multi_avg_fn(1 - 1 / max(1.0, window))  # type: ignore[no-untyped-call]  # torch's own gap
    return AveragedModel(model, multi_avg_fn=average_fn, use_buffers=True)
