"""A space without a design within the limits is refused in one line that says why, and what could be reached."""

from typing import Any

import pytest

from models.architecture import Architecture, Stage, Stem
from models.count import count_parameters
from models.int8 import count_int8_bytes
from search.errors import SpaceError
from search.space.draws import Draws
from search.space.feasibility import require_design
from search.space.limits import Limits
from search.space.space import Space, Task, load_space

DEFAULT, CIFAR = load_space(), Task(32, 3, 10)


def refusal(space: Space, task: Task, limits: Limits) -> str:
    with pytest.raises(SpaceError) as caught:
        require_design(space, task, limits, "toys")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_refused_is_what_leaves_no_design(listing: Any) -> None:
    if not listing.designs:
        return
    params, macs, peak = ([listing.at(share, cost) for share in (0, 0.2, 1)] for cost in ("params", "macs", "peak"))
    refused = 0
    for limits in [
        Limits(params[0]),
        Limits(params[0] - 1),
        Limits(params[2], macs=macs[0]),
        Limits(params[2], macs=macs[0] - 1),
        Limits(params[2], activations=4 * peak[0]),
        Limits(params[2], activations=4 * peak[0] - 1),
        Limits(params[2], fill=1.0),
        Limits(params[2] + 1, fill=1.0),
        Limits(params[1], macs=macs[1], activations=4 * peak[1], fill=0.9),
        Limits(params[2], macs=macs[0], fill=1.0),
    ]:
        if listing.within(limits):
            assert require_design(listing.space, listing.task, limits, "toys") is None
        else:
            refused += 1
            refusal(listing.space, listing.task, limits)
    assert refused >= 4


def test_the_message_names_the_limit_that_binds_and_the_smallest_that_can_be_reached(listing: Any) -> None:
    if not listing.designs:
        return
    space, task, network = listing.space, listing.task, "the smallest network of this space on toys"
    params, macs, peak = listing.at(0), listing.at(0, "macs"), listing.at(0, "peak")
    limits = Limits(params - 1)
    assert refusal(space, task, limits) == f"budget = {params - 1:,}: {network} has {params:,} parameters"
    limits = Limits(10**9, bytes=2 * params - 1, bytes_precision="bf16")
    assert refusal(space, task, limits) == f"limit bytes = {2 * params - 1}@bf16: {network} takes {2 * params:,} bytes"
    limits = Limits(10**9, bytes=params, bytes_precision="int8")  # scales come on top of a byte a parameter
    assert refusal(space, task, limits).startswith(f"limit bytes = {params}@int8: {network} takes at least ")
    limits = Limits(10**9, macs=macs - 1)
    assert refusal(space, task, limits) == (f"limit macs = {macs - 1:,}: {network} needs {macs:,} multiply-accumulates")
    limits = Limits(10**9, activations=peak - 1, activations_precision="int8")
    assert refusal(space, task, limits) == (
        f"limit activations = {peak - 1}@int8: {network} needs {peak:,} bytes of them"
    )


def test_the_message_about_a_budget_that_cannot_be_filled_gives_the_largest_network_within_it(listing: Any) -> None:
    if not listing.designs:
        return
    largest = listing.at(1)
    assert refusal(listing.space, listing.task, Limits(2 * largest, fill=0.75)) == (
        f"fill = 0.75: asks for at least {-(-3 * largest // 2):,} parameters, and the largest network of this space on "
        f"toys within the budget has {largest:,}"
    )


def test_a_gap_between_the_sizes_of_a_space_cannot_be_filled() -> None:
    space = Space.model_validate(
        {"stem": {"width": 8}, "num_stages": 1, "stage": {"block": "basic", "depth": 1, "width": [8, 64]}}
    )
    size = count_parameters(Architecture(Stem(8), (Stage("basic", 1, 8),)))
    message = refusal(space, CIFAR, Limits(40_000, fill=0.5))
    assert message.startswith("fill = 0.5: asks for at least 20,000 parameters, and the largest network")
    assert message.endswith(f"within the budget has {size:,}")


def test_bytes_in_int8_that_no_network_fills_are_told() -> None:
    space = Space.model_validate(
        {"stem": {"width": 8}, "num_stages": 1, "stage": {"block": "basic", "depth": 1, "width": [8, 64]}}
    )
    size = count_int8_bytes(Architecture(Stem(8), (Stage("basic", 1, 8),)))
    message = refusal(space, CIFAR, Limits(10**9, bytes=40_000, bytes_precision="int8", fill=0.5))
    assert message.startswith(
        "fill = 0.5: asks for at least 20,000 bytes in int8, and no network of this space on toys"
    )
    most = int(message.split()[-1].replace(",", ""))
    assert size <= most < size + 100
    assert require_design(space, CIFAR, Limits(10**9, bytes=2 * size, bytes_precision="int8", fill=0.5), "toys") is None


def test_limits_that_leave_nothing_together_are_all_named() -> None:
    message = refusal(DEFAULT, CIFAR, Limits(300_000, macs=2_000_000, fill=0.9))
    assert message == (
        "limits = budget=300000, macs=2000000, fill=0.9: no network of this space on toys was found to keep them all, "
        "though each can be kept by itself"
    )


def test_a_space_without_networks_for_such_images_says_so() -> None:
    values: dict[str, Any] = {
        "stem": {"width": 8},
        "num_stages": 2,
        "stage": {"block": "basic", "depth": 1, "width": 8, "kernel": 2},
    }
    space = Space.model_validate(values)
    assert require_design(space, Task(16, 3, 10), Limits(10**6), "toys") is None
    message = "space: none of its networks takes images of 15 pixels"
    assert refusal(space, Task(15, 3, 10), Limits(10**6)) == message


def test_draws_are_asked_for_only_where_they_are_needed() -> None:
    calls = []

    def draws() -> Draws:
        calls.append(1)
        return Draws(DEFAULT, CIFAR, Limits(5_000_000, fill=0.5))

    require_design(DEFAULT, CIFAR, Limits(5_000_000, latency=0.001), "toys", draws)
    assert not calls
    require_design(DEFAULT, CIFAR, Limits(5_000_000, fill=0.5), "toys", draws)
    assert len(calls) == 1


@pytest.mark.parametrize("further", [{}, {"macs": 10**9, "fill": 0.01}], ids=str)
def test_weights_that_leave_nothing_of_what_is_within_the_limits_are_refused(
    list_space: Any, further: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.space.draws.MAX_REJECTED", 500)
    listing = list_space("shortcut A among others")
    smallest = min(cost.params for design, cost in listing.designs.items() if len(design.stages) == 3)
    limits = Limits(smallest - 1, **further)

    def space(*weights: int) -> Space:
        return Space.model_validate(listing.space.model_dump() | {"weights": {"num_stages": weights}})

    assert refusal(space(0, 0, 1), listing.task, limits) == (
        "weights = num_stages first, {1: 0, 2: 0}; all else equal: leave nothing to draw, for of the networks of this "
        "space on toys those within the limits weigh nothing, or too little"
    )
    require_design(space(0, 1, 1), listing.task, limits, "toys")
    require_design(space(1, 0, 0), listing.task, limits, "toys")
