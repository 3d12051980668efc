"""The optimiser, the learning-rate schedule and the averages of weights of a recipe, made of torch's own."""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import get_ema_multi_avg_fn

from search.recipe import Recipe
from search.training.muon import MuonAndSGD


def set_norms(model: nn.Module, recipe: Recipe) -> None:
    """Give BatchNorm the recipe's momentum, and take its weights out of the training if the recipe says so."""
    for norm in _norms(model):
        norm.momentum = recipe.norm_momentum
        norm.weight.requires_grad_(recipe.train_norm_weight)


def make_optimizer(model: nn.Module, recipe: Recipe, capturable: bool = False) -> torch.optim.Optimizer:
    """The recipe's optimiser, of all that is trained. BatchNorm and biases (all vectors) have no weight decay unless
    the recipe says so.

    A group's `lr_factor` is what `set_lr` multiplies the recipe's rate by. BatchNorm's biases are a group of their own
    where the recipe has a factor for them; so that they decay as the rest does, their decay is divided by it (as in
    cifar10-airbench).

    If it is `capturable`, its learning rate is a tensor, and so is Adam's number of steps.
    """
    factor = recipe.norm_bias_lr_factor
    apart = {id(norm.bias) for norm in _norms(model)} if factor != 1 else set()
    trained = [p for p in model.parameters() if p.requires_grad]
    biases = [p for p in trained if id(p) in apart]
    kernels = [p for p in trained if p.ndim == 4] if recipe.optimizer == "muon" else []
    apart |= {id(kernel) for kernel in kernels}
    matrices = [p for p in trained if id(p) not in apart and (p.ndim > 1 or recipe.decay_norm_and_bias)]
    vectors = [p for p in trained if id(p) not in apart and p.ndim <= 1 and not recipe.decay_norm_and_bias]
    unit, weight_decay = _of_a_step(recipe)
    vector_decay = weight_decay if recipe.decay_norm_and_bias else 0.0

    def group(parameters: list[nn.Parameter], weight_decay: float, lr_factor: float) -> dict[str, Any]:
        lr = recipe.lr * lr_factor
        rate = torch.tensor(lr, device=parameters[0].device) if capturable else lr
        return {"params": parameters, "lr": rate, "weight_decay": weight_decay, "lr_factor": lr_factor}

    groups = [group(matrices, weight_decay, unit)]
    if vectors:
        groups.append(group(vectors, 0.0, unit))
    if biases:
        groups.append(group(biases, vector_decay / factor, unit * factor))
    if recipe.optimizer in ("sgd", "muon"):
        momentum: dict[str, Any] = {"momentum": recipe.momentum, "nesterov": recipe.nesterov}
        if kernels:
            lr_factor = recipe.muon_lr / recipe.lr
            decay = weight_decay * unit / lr_factor / (1 - recipe.momentum)
            sgd: torch.optim.SGD = MuonAndSGD(groups, group(kernels, decay, lr_factor), **momentum)
        else:
            sgd = torch.optim.SGD(groups, fused=True, **momentum)
        # In fp16 the first steps may be skipped. Momenta that such a step made would stay whatever was in memory.
        for parameter in (*matrices, *vectors, *biases) if recipe.momentum else ():
            sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return sgd
    adam = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return adam(groups, lr=groups[0]["lr"], fused=capturable, capturable=capturable, foreach=not capturable)


def _of_a_step(recipe: Recipe) -> tuple[float, float]:
    """What the learning rate of a step is to the recipe's `lr`, and the weight decay as torch takes it."""
    if not recipe.rates_per:
        return 1.0, recipe.weight_decay
    num_images = recipe.rates_per * (1 + 1 / (1 - recipe.momentum))
    return recipe.sizes[0] / num_images, recipe.weight_decay / recipe.lr


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group, times its factor if it has one, in place where it is a tensor."""
    for group in optimizer.param_groups:
        rate = lr * group.get("lr_factor", 1.0)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


class Schedule:
    """The learning rate of every step: call `step` after each and `end_epoch` after every epoch.

    Args:
        recipe: gives the shape of the schedule.
        num_steps: of the whole training.
    """

    def __init__(self, recipe: Recipe, num_steps: int) -> None:
        self._recipe = recipe
        self._num_steps = num_steps
        self._step = 0
        # Torch's scheduler moves the rate of an optimiser: this one has nothing else to do.
        self._holder = torch.optim.SGD([torch.zeros(1)], lr=recipe.lr)
        self._plateau = ReduceLROnPlateau(
            self._holder, mode="max", factor=recipe.factor, patience=recipe.patience, min_lr=recipe.min_lr
        )

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        if self._recipe.schedule == "plateau":
            return float(self._holder.param_groups[0]["lr"])
        return self._recipe.lr * share_of_peak(self._recipe, self._step / self._num_steps)

    def state_dict(self) -> dict[str, Any]:
        return {"step": self._step, "lr": self._holder.param_groups[0]["lr"], "plateau": self._plateau.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._step = state["step"]
        set_lr(self._holder, state["lr"])
        self._plateau.load_state_dict(state["plateau"])

    def step(self) -> None:
        self._step += 1

    def end_epoch(self, validation_accuracy: float) -> None:
        self._plateau.step(validation_accuracy)


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


class MovingAverage:
    """An exponential moving average of a network's weights and BatchNorm statistics over about `window` steps.

    It begins with the values after the first step. Call `update`, and then `note_step`, after every step.

    Attributes:
        network: a copy of the model that has the averages.
    """

    def __init__(self, model: nn.Module, window: float) -> None:
        self.network = copy.deepcopy(model)
        self._model = model
        self._has_begun = False
        pairs = [*zip(_values(self.network), _values(model), strict=True)]
        self._averages = [average for average, value in pairs if value.is_floating_point()]
        self._values = [value for _, value in pairs if value.is_floating_point()]
        self._lerp = get_ema_multi_avg_fn(1 - 1 / max(1.0, window))  # type: ignore[no-untyped-call]  # torch's own gap

    def update(self) -> None:
        """Move the averages towards the values; the same operations at every step, the first included."""
        self._lerp(self._averages, self._values, None)

    def note_step(self) -> None:
        """A step is over: after the first, the averages are its values."""
        if not self._has_begun:
            self.network.load_state_dict(self._model.state_dict())
            self._has_begun = True

    def state_dict(self) -> dict[str, Any]:
        return {"has_begun": self._has_begun, "network": self.network.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._has_begun = state["has_begun"]
        self.network.load_state_dict(state["network"])


class Lookahead:
    """A slow average of a network's weights and BatchNorm statistics, to which they return every few steps.

    `Recipe` gives the source and the schedule. Call `note_step` after every step; it waits for nothing, and all tensors
    stay where they are.

    Args:
        model: the network.
        every: how many steps there are between two returns.
        num_steps: of the whole training.
    """

    def __init__(self, model: nn.Module, every: int, num_steps: int) -> None:
        self._every = every
        self._num_steps = num_steps
        self._step = 0
        self._values = [value for value in _values(model) if value.is_floating_point()]
        self._slow = [value.clone() for value in self._values]

    @torch.no_grad()
    def note_step(self) -> None:
        """A step is over: after every few, and after the last, the network gets the average."""
        self._step += 1
        is_due = self._step % self._every == 0
        if is_due:
            kept = 0.95**self._every * (self._step / self._num_steps) ** 3
            torch._foreach_lerp_(self._slow, self._values, 1 - kept)
        # Where none was due at all, the average is still that of the initial weights.
        if is_due or self._step == self._num_steps >= self._every:
            torch._foreach_copy_(self._values, self._slow)

    def state_dict(self) -> dict[str, Any]:
        return {"step": self._step, "slow": self._slow}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._step = state["step"]
        torch._foreach_copy_(self._slow, state["slow"])


def _norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def _values(network: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in (*network.parameters(), *network.buffers())]
