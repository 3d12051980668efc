"""Optimisers and schedules, held against torch's own."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from search.recipe import Recipe
from search.training.optimisation import Lookahead, Schedule, make_optimizer, set_lr, set_norms, share_of_peak

STEPS = 120
# Convolutions, norms and biases; nothing in it is random but its weights.
NETWORK = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


def make_recipe(**values: Any) -> Recipe:
    return Recipe.model_validate({"name": "test", "epochs": 3, "lr": 0.2, "warmup": 0} | values)


def lrs_of(recipe: Recipe, num_steps: int = STEPS) -> list[float]:
    """The learning rates before every step and after the last, of a training without gradients."""
    schedule = Schedule(recipe, num_steps)
    values = [schedule.lr]
    for _ in range(num_steps):
        schedule.step()
        values.append(schedule.lr)
    return values


def lrs_of_torch(lr: float, make: Callable[[torch.optim.Optimizer], LRScheduler]) -> list[float]:
    optimizer = torch.optim.SGD(NETWORK.parameters(), lr=lr)
    scheduler = make(optimizer)
    values = [optimizer.param_groups[0]["lr"]]
    for _ in range(STEPS):
        optimizer.step()
        scheduler.step()
        values.append(optimizer.param_groups[0]["lr"])
    return values


# Schedules.


@pytest.mark.parametrize(
    ("values", "reference"),
    [
        ({"schedule": "constant"}, lambda optimizer: lr_scheduler.ConstantLR(optimizer, factor=1.0)),
        ({"schedule": "linear"}, lambda optimizer: lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=STEPS)),
        (
            {"schedule": "linear", "min_lr": 0.05},
            lambda optimizer: lr_scheduler.LinearLR(optimizer, 1.0, 0.25, total_iters=STEPS),
        ),
        ({"schedule": "cosine"}, lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS)),
        (
            {"schedule": "cosine", "min_lr": 0.01},
            lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS, eta_min=0.01),
        ),
        (
            {"schedule": "multi-step", "milestones": (0.5, 0.75)},
            lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [STEPS // 2, STEPS * 3 // 4], gamma=0.1),
        ),
        (
            {"schedule": "multi-step", "milestones": (0.1, 0.3, 0.7), "factor": 0.5},
            lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [12, 36, 84], gamma=0.5),
        ),
        (
            {"schedule": "one-cycle", "warmup": 0.25},
            # torch's last step, not the end after it, has the lowest rate.
            lambda optimizer: lr_scheduler.OneCycleLR(
                optimizer,
                max_lr=0.2,
                total_steps=STEPS + 1,
                pct_start=(0.25 * STEPS + 1) / (STEPS + 1),
                anneal_strategy="linear",
                cycle_momentum=False,
                div_factor=1e9,
            ),
        ),
        *(
            (
                {"schedule": "cyclic", "min_lr": 0.05, "cycles": cycles},
                lambda optimizer, cycles=cycles: lr_scheduler.CyclicLR(
                    optimizer, base_lr=0.05, max_lr=0.2, step_size_up=STEPS / (2 * cycles), cycle_momentum=False
                ),
            )
            for cycles in (1, 4, 7)
        ),
    ],
)
def test_a_schedule_moves_as_torchs_own(
    values: dict[str, Any], reference: Callable[[torch.optim.Optimizer], LRScheduler]
) -> None:
    assert lrs_of(make_recipe(**values)) == pytest.approx(lrs_of_torch(0.2, reference), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(("factor", "patience", "min_lr"), [(0.5, 1, 0.0), (0.1, 0, 0.003), (0.5, 5, 0.0)])
def test_plateau_moves_as_torchs_own_under_the_same_accuracies(factor: float, patience: int, min_lr: float) -> None:
    accuracies = [0.3, 0.4, 0.4, 0.35, 0.41, 0.2, 0.3, 0.41, 0.4, 0.41, 0.1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    recipe = make_recipe(schedule="plateau", factor=factor, patience=patience, min_lr=min_lr)
    schedule = Schedule(recipe, STEPS)
    optimizer = torch.optim.SGD(NETWORK.parameters(), lr=0.2)
    reference = lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", factor=factor, patience=patience, min_lr=min_lr)
    ours, theirs = [], []
    for accuracy in accuracies:
        schedule.step()
        schedule.end_epoch(accuracy)
        reference.step(accuracy)
        ours.append(schedule.lr)
        theirs.append(optimizer.param_groups[0]["lr"])
    assert ours == theirs
    assert min(ours) < 0.2, "the accuracies do stall"


def test_only_plateau_listens_to_the_validation_accuracy() -> None:
    for name in ("constant", "linear", "cosine"):
        recipe = make_recipe(schedule=name)
        schedule = Schedule(recipe, STEPS)
        for _ in range(20):
            schedule.end_epoch(0.1)
        assert schedule.lr == 0.2


@pytest.mark.parametrize("name", ["one-cycle", "linear", "cosine"])
def test_schedules_rise_to_the_peak_and_fall_to_zero(name: str) -> None:
    values = lrs_of(make_recipe(schedule=name, warmup=0.25))
    peak = STEPS // 4
    assert values[0] == 0
    assert values[peak] == 0.2 == max(values)
    assert values[-1] == pytest.approx(0, abs=1e-12)
    assert values[: peak + 1] == sorted(values[: peak + 1])
    assert values[peak:] == sorted(values[peak:], reverse=True)


@pytest.mark.parametrize(
    "values",
    [
        {"schedule": "one-cycle"},
        {"schedule": "linear", "min_lr": 0.1},
        {"schedule": "cosine"},
        {"schedule": "constant"},
        {"schedule": "multi-step", "milestones": (0.5,)},
    ],
)
def test_warmup_rises_linearly_from_zero(values: dict[str, Any]) -> None:
    lrs = lrs_of(make_recipe(warmup=0.25, **values))
    assert lrs[:31] == pytest.approx([0.2 * step / 30 for step in range(31)])


@pytest.mark.parametrize("name", ["linear", "cosine", "constant"])
def test_after_the_warmup_the_whole_schedule_fits_in_what_is_left(name: str) -> None:
    plain, warmed = make_recipe(schedule=name, min_lr=0.02), make_recipe(schedule=name, min_lr=0.02, warmup=0.4)
    for percent in range(101):
        share = share_of_peak(plain, percent / 100)
        assert share_of_peak(warmed, 0.4 + 0.6 * percent / 100) == pytest.approx(share)


def test_milestones_are_shares_of_the_whole_training_even_with_a_warmup() -> None:
    values = lrs_of(make_recipe(schedule="multi-step", milestones=(0.5, 0.75), warmup=0.25))
    assert values[59] == 0.2
    assert values[60] == values[89] == pytest.approx(0.02)
    assert values[90] == values[-1] == pytest.approx(0.002)


@pytest.mark.parametrize(
    "values",
    [
        {"schedule": "linear"},
        {"schedule": "cosine"},
        {"schedule": "multi-step", "milestones": (0.3, 0.5, 0.8)},
        {"schedule": "cyclic", "cycles": 3},
    ],
)
def test_the_lowest_rate_is_the_floor_and_is_reached(values: dict[str, Any]) -> None:
    lrs = lrs_of(make_recipe(min_lr=0.01, **values))
    assert min(lrs) == pytest.approx(0.01) == lrs[-1]
    assert max(lrs) == pytest.approx(0.2)


@pytest.mark.parametrize("name", ["one-cycle", "linear", "cosine", "multi-step", "cyclic", "constant"])
def test_a_schedule_keeps_its_shape_at_any_length(name: str) -> None:
    recipe = make_recipe(schedule=name, milestones=(0.5, 0.75), cycles=2)
    assert lrs_of(recipe, 10 * STEPS)[::10] == pytest.approx(lrs_of(recipe, STEPS), abs=1e-12)


@pytest.mark.parametrize("name", ["plateau", "cosine"])
def test_a_schedule_goes_on_from_its_state(name: str) -> None:
    accuracies = [0.3, 0.2, 0.1, 0.3, 0.5, 0.1, 0.1, 0.1]
    recipe = make_recipe(schedule=name, patience=1, factor=0.5)
    whole, halves = Schedule(recipe, STEPS), Schedule(recipe, STEPS)
    for epoch, accuracy in enumerate(accuracies):
        for schedule in (whole, halves):
            schedule.step()
            schedule.end_epoch(accuracy)
        if epoch == 4:
            state, halves = halves.state_dict(), Schedule(recipe, STEPS)
            halves.load_state_dict(copy.deepcopy(state))
        assert whole.lr == halves.lr
    assert whole.lr < 0.2


def test_cycles_repeat_each_other() -> None:
    values = lrs_of(make_recipe(schedule="cyclic", min_lr=0.05, cycles=4))
    assert values[:30] * 4 == pytest.approx(values[:-1])
    assert values[15] == pytest.approx(0.2)


# Optimisers.


def test_momenta_begin_as_zeros_also_where_the_first_step_is_skipped() -> None:
    network = copy.deepcopy(NETWORK)
    optimizer = make_optimizer(network, make_recipe())
    before = [parameter.clone() for parameter in network.parameters()]
    momenta = [optimizer.state[parameter]["momentum_buffer"] for parameter in network.parameters()]
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    # What GradScaler lends an optimiser when gradients in fp16 overflow.
    vars(optimizer).update(grad_scale=torch.ones(()), found_inf=torch.ones(()))
    optimizer.step()
    assert all(torch.equal(*pair) for pair in zip(before, network.parameters(), strict=True))
    after = [optimizer.state[parameter]["momentum_buffer"] for parameter in network.parameters()]
    assert all(one is other and not other.any() for one, other in zip(momenta, after, strict=True))


def test_the_rate_is_set_for_all_groups_and_where_it_is_a_tensor_in_place() -> None:
    optimizer = make_optimizer(NETWORK, make_recipe())
    set_lr(optimizer, 0.03)
    assert [group["lr"] for group in optimizer.param_groups] == [0.03, 0.03]
    lr = torch.tensor(1.0)
    set_lr(torch.optim.SGD(NETWORK.parameters(), lr=lr), 0.5)
    assert lr == 0.5


def torchs(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser that the recipe asks for, written out."""
    common = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), momentum=recipe.momentum, nesterov=recipe.nesterov, **common)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimizer](model.parameters(), **common)


def descend(model: nn.Module, optimizer: torch.optim.Optimizer, num_steps: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    for _ in range(num_steps):
        images = torch.randn(8, 1, 4, 4, generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), torch.arange(8) % 3).backward()
        optimizer.step()
    return list(model.parameters())


OPTIMISERS = [
    {"optimizer": "sgd"},
    {"optimizer": "sgd", "nesterov": False},
    {"optimizer": "sgd", "nesterov": False, "momentum": 0},
    {"optimizer": "adam", "lr": 0.01},
    {"optimizer": "adamw", "lr": 0.01},
]


@pytest.mark.parametrize("values", OPTIMISERS)
def test_an_optimiser_takes_the_steps_of_torchs_own(values: dict[str, Any]) -> None:
    recipe = make_recipe(weight_decay=0.1, decay_norm_and_bias=True, **values)
    ours, theirs = copy.deepcopy(NETWORK), copy.deepcopy(NETWORK)
    optimizer, reference = make_optimizer(ours, recipe), torchs(recipe, theirs)
    assert type(optimizer) is type(reference)
    for one, other in zip(descend(ours, optimizer, 5), descend(theirs, reference, 5), strict=True):
        torch.testing.assert_close(one, other)


def test_no_two_optimisers_take_the_same_steps() -> None:
    ends = []
    for values in OPTIMISERS:
        model = copy.deepcopy(NETWORK)
        recipe = make_recipe(weight_decay=0.1, decay_norm_and_bias=True, **values)
        ends.append(torch.cat([p.flatten() for p in descend(model, make_optimizer(model, recipe), 5)]))
    for index, end in enumerate(ends):
        assert all((end - other).abs().max() > 1e-3 for other in ends[:index])


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_weight_decay_spares_norms_and_biases_unless_told_otherwise(name: str) -> None:
    recipe = make_recipe(optimizer=name, weight_decay=0.01)
    spared = make_optimizer(NETWORK, recipe).param_groups
    assert [group["weight_decay"] for group in spared] == [0.01, 0.0]
    assert all(p.ndim > 1 for p in spared[0]["params"])
    assert all(p.ndim == 1 for p in spared[1]["params"])
    decayed = make_optimizer(NETWORK, recipe.model_copy(update={"decay_norm_and_bias": True})).param_groups
    assert {group["weight_decay"] for group in decayed} == {0.01}
    for groups in (spared, decayed):
        assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in NETWORK.parameters()}


# BatchNorm.


@pytest.mark.parametrize("decays", [False, True])
@pytest.mark.parametrize("values", OPTIMISERS)
def test_biases_of_batch_norm_take_the_steps_of_torchs_own_at_a_higher_rate(
    values: dict[str, Any], decays: bool
) -> None:
    recipe = make_recipe(weight_decay=0.1, decay_norm_and_bias=decays, norm_bias_lr_factor=8, **values)
    ours, theirs = copy.deepcopy(NETWORK), copy.deepcopy(NETWORK)
    optimizer, reference = make_optimizer(ours, recipe), torchs(recipe, theirs)
    bias = theirs[1].bias
    matrices, vectors = (
        [p for p in theirs.parameters() if p is not bias and (p.ndim > 1) is is_matrix] for is_matrix in (True, False)
    )
    decay = 0.1 if decays else 0.0
    reference = type(reference)(
        [
            {"params": matrices},
            {"params": vectors, "weight_decay": decay},
            {"params": [bias], "weight_decay": decay / 8, "lr": 8 * recipe.lr},
        ],
        **{
            name: reference.defaults[name]
            for name in ("lr", "weight_decay", "momentum", "nesterov")
            if name in reference.defaults
        },
    )
    before = ours[1].bias.detach().clone()
    for one, other in zip(descend(ours, optimizer, 5), descend(theirs, reference, 5), strict=True):
        torch.testing.assert_close(one, other)
    assert not torch.equal(before, ours[1].bias)


@pytest.mark.parametrize("capturable", [False, True])
def test_the_rate_of_biases_of_batch_norm_stays_a_multiple(capturable: bool) -> None:
    optimizer = make_optimizer(NETWORK, make_recipe(norm_bias_lr_factor=64), capturable)
    rates = [group["lr"] for group in optimizer.param_groups]
    for lr in (0.2, 0.03):
        set_lr(optimizer, lr)
        assert [float(group["lr"]) for group in optimizer.param_groups] == pytest.approx([lr, lr, 64 * lr])
    assert all(isinstance(rate, torch.Tensor) is capturable for rate in rates)
    if capturable:
        assert all(group["lr"] is rate for group, rate in zip(optimizer.param_groups, rates, strict=True))


def test_weights_of_batch_norm_that_are_not_trained_stay_and_the_rest_moves() -> None:
    network = copy.deepcopy(NETWORK)
    recipe = make_recipe(weight_decay=0.1, train_norm_weight=False, zero_init_last_norm=False)
    set_norms(network, recipe)
    optimizer = make_optimizer(network, recipe)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    descend(network, optimizer, 3)
    stayed = {name for name, parameter in network.named_parameters() if torch.equal(before[name], parameter)}
    # A bias before BatchNorm has no gradient but for rounding, so it may move or not.
    assert (
        stayed - {"0.bias"} == {"1.weight"}
        and torch.equal(network[1].weight, torch.ones(4))
        and network[1].weight.grad is None
    )
    assert [p.numel() for group in optimizer.param_groups for p in group["params"]].count(4) == 2  # two biases


@pytest.mark.parametrize("momentum", [0.1, 0.4, 1.0])
def test_a_batch_has_its_share_in_the_statistics(momentum: float) -> None:
    network = copy.deepcopy(NETWORK)
    set_norms(network, make_recipe(norm_momentum=momentum))
    images = torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    mean = network[0](images).mean(dim=(0, 2, 3))
    network.train()(images)
    torch.testing.assert_close(network[1].running_mean, momentum * mean)


def test_by_default_norms_are_torchs_own() -> None:
    network = copy.deepcopy(NETWORK)
    set_norms(network, make_recipe())
    assert network[1].momentum == nn.BatchNorm2d(4).momentum and network[1].weight.requires_grad
    groups = make_optimizer(network, make_recipe()).param_groups
    assert [len(group["params"]) for group in groups] == [2, 4]


# Rates per so many images.

AIRBENCH: dict[str, Any] = {
    "lr": 11.5,
    "weight_decay": 0.0153,
    "momentum": 0.85,
    "norm_bias_lr_factor": 64,
    "rates_per": 1024,
    "decay_norm_and_bias": True,
}


def airbench_sgd(model: nn.Sequential, batch_size: int) -> torch.optim.SGD:
    """The optimiser of cifar10-airbench with its numbers, for losses that are summed over a batch."""
    lr, weight_decay, momentum, bias_scaler = 11.5, 0.0153, 0.85, 64.0
    kilostep_scale = 1024 * (1 + 1 / (1 - momentum))
    lr = lr / kilostep_scale
    wd = weight_decay * batch_size / kilostep_scale
    lr_biases = lr * bias_scaler
    norm_biases = [model[1].bias]
    other_params = [p for p in model.parameters() if p is not model[1].bias]
    groups = [
        {"params": norm_biases, "lr": lr_biases, "weight_decay": wd / lr_biases},
        {"params": other_params, "lr": lr, "weight_decay": wd / lr},
    ]
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=True)


@pytest.mark.parametrize("batch_size", [1024, 500])
def test_the_numbers_of_airbench_can_be_written_as_they_are(batch_size: int) -> None:
    theirs, ours = copy.deepcopy(NETWORK), copy.deepcopy(NETWORK)
    reference = airbench_sgd(theirs, batch_size)
    optimizer = make_optimizer(ours, make_recipe(batch_size=batch_size, **AIRBENCH))
    groups = [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    kiloimages = batch_size / (1024 * (1 + 1 / 0.15))
    assert groups == [
        (pytest.approx(11.5 * kiloimages), pytest.approx(0.0153 / 11.5)),
        (pytest.approx(64 * 11.5 * kiloimages), pytest.approx(0.0153 / 11.5 / 64)),
    ]
    generator = torch.Generator().manual_seed(0)
    for share in (1.0, 0.7, 0.4, 0.1):
        for group, peak in zip(reference.param_groups, (64.0, 1.0), strict=True):
            group["lr"] = share * peak * 11.5 / (1024 * (1 + 1 / 0.15))
        set_lr(optimizer, share * 11.5)
        for one, other in zip(theirs.parameters(), ours.parameters(), strict=True):
            gradient = torch.randn(one.shape, generator=generator)  # of one image
            one.grad, other.grad = batch_size * gradient, gradient.clone()
        reference.step()
        optimizer.step()
    for one, other in zip(theirs.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("capturable", [False, True])
def test_a_rate_per_so_many_images_is_set_as_the_recipe_writes_it(capturable: bool) -> None:
    optimizer = make_optimizer(NETWORK, make_recipe(batch_size=256, **AIRBENCH), capturable)
    peaks = [float(group["lr"]) for group in optimizer.param_groups]
    set_lr(optimizer, 11.5 / 4)
    assert [float(group["lr"]) for group in optimizer.param_groups] == pytest.approx([peak / 4 for peak in peaks])


def test_momentum_hardly_changes_how_far_a_steady_gradient_leads() -> None:
    ends = []
    for momentum in (0.5, 0.9):
        network = copy.deepcopy(NETWORK)
        recipe = make_recipe(lr=0.05, weight_decay=0.0, momentum=momentum, rates_per=256, batch_size=64)
        optimizer = make_optimizer(network, recipe)
        for _ in range(400):
            network[4].weight.grad = torch.ones_like(network[4].weight)
            optimizer.step()
        ends.append((network[4].weight - NETWORK[4].weight).mean().item())
    # Airbench's factor, 1 + 1 / (1 - m), is rough: in the end a steady gradient is multiplied by 1 / (1 - m).
    assert ends[0] / (2 / 3) == pytest.approx(ends[1] / (10 / 11), rel=0.05)


# Lookahead.


def airbench(model: nn.Module, deltas: list[list[torch.Tensor]], every: int) -> list[dict[str, torch.Tensor]]:
    """The weights after every step of cifar10-airbench's loop, if a step adds these to the parameters and 1 to the
    running variance."""
    slow = {name: value.clone() for name, value in model.state_dict().items()}

    def update(decay: float) -> None:
        for old, new in zip(slow.values(), model.state_dict().values(), strict=True):
            if new.is_floating_point():
                old.lerp_(new, 1 - decay)
                new.copy_(old)

    after = []
    for step, change in enumerate(deltas, 1):
        move(model, change)
        if step % every == 0:
            update(0.95**every * (step / len(deltas)) ** 3)
        if step == len(deltas):
            update(1.0)
        after.append({name: value.clone() for name, value in model.state_dict().items()})
    return after


@torch.no_grad()
def move(model: nn.Module, change: list[torch.Tensor]) -> None:
    for parameter, delta in zip(model.parameters(), change, strict=True):
        parameter += delta
    model[1].running_var += 1  # type: ignore[index, operator]


@pytest.mark.parametrize(("every", "num_steps"), [(5, 20), (5, 23), (3, 20), (1, 6), (20, 20)])
def test_lookahead_is_that_of_airbench_with_its_schedule(every: int, num_steps: int) -> None:
    generator = torch.Generator().manual_seed(0)
    deltas = [[torch.randn(p.shape, generator=generator) for p in NETWORK.parameters()] for _ in range(num_steps)]
    theirs, ours, resumed = (copy.deepcopy(NETWORK) for _ in range(3))
    places = [value.data_ptr() for value in ours.state_dict().values()]
    lookahead = Lookahead(ours, every, num_steps)
    for step, expected in enumerate(airbench(theirs, deltas, every)):
        move(ours, deltas[step])
        lookahead.note_step()
        for name, value in ours.state_dict().items():
            torch.testing.assert_close(value, expected[name])
        if step == 10:
            state, weights = copy.deepcopy(lookahead.state_dict()), copy.deepcopy(ours.state_dict())
            lookahead = Lookahead(resumed, every, num_steps)
            resumed.load_state_dict(weights)
            lookahead.load_state_dict(state)
            ours, places = resumed, [value.data_ptr() for value in resumed.state_dict().values()]
    assert places == [value.data_ptr() for value in ours.state_dict().values()], "a captured step knows only these"


def test_a_lookahead_longer_than_the_training_leaves_what_was_trained() -> None:
    network = copy.deepcopy(NETWORK)
    lookahead = Lookahead(network, 30, 20)
    for _ in range(20):
        move(network, [torch.ones_like(parameter) for parameter in network.parameters()])
        lookahead.note_step()
    for after, before in zip(network.parameters(), NETWORK.parameters(), strict=True):
        torch.testing.assert_close(after, before + 20)
