"""The guesses: within every limit, as large as it allows, in any space."""

import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from models.architecture import Architecture, ArchitectureError
from models.count import count_macs, count_parameters, peak_activations
from search.space.guesses import find_hand_made, first_guesses, guesses, is_guess, no_guess, usual_name
from search.space.limits import Limits, parse_limits
from search.space.space import Space, Task, load_space

CIFAR10 = Task(32, 3, 10)
DIGITS = Task(8, 1, 10)


def widths(network: Architecture) -> list[int]:
    return [network.stem.width, *(stage.width for stage in network.stages)]


def test_within_100k_they_are_what_people_would_write_down() -> None:
    family = guesses(load_space(), CIFAR10, Limits(100_000))
    assert {name: (widths(network), count_parameters(network)) for name, network in family.items()} == {
        "guess-1": ([16, 16, 32, 64], 78_042),
        "guess-2": ([12, 12, 24, 48], 98_998),
        "guess-3": ([8, 8, 16, 32], 68_786),
        "guess-1x4": ([8, 8, 16, 32, 64], 78_002),
    }
    for network in family.values():
        assert network.shortcut == "B" and (network.in_channels, network.num_classes) == (3, 10)
        assert {(stage.block, stage.kernel, stage.dropout) for stage in network.stages} == {("basic", 3, 0.0)}
        assert (network.stem.kernel, network.stem.stride, network.stem.padding) == (3, 1, 1)


@pytest.mark.parametrize("task", [CIFAR10, DIGITS])
@pytest.mark.parametrize(
    ("budget", "texts"),
    [
        (100_000, ()),
        (100_000, ("macs=6e6",)),
        (5_000_000, ("bytes=300KB@int8",)),
        (1_000_000, ("activations=64KiB@int8",)),
        (5_000_000, ("macs=1e8", "activations=200KB@fp16")),
    ],
)
def test_each_is_within_all_limits_and_the_next_wider_is_not(task: Task, budget: int, texts: tuple[str, ...]) -> None:
    space, limits = load_space(), parse_limits(texts, budget)
    family = guesses(space, task, limits)
    assert family
    for network in family.values():
        assert space.holds(network, task)
        assert count_parameters(network) <= limits.max_params
        assert limits.macs is None or count_macs(network, task.image_size) <= limits.macs
        assert limits.max_activations is None or peak_activations(network, task.image_size) <= limits.max_activations
        stem, *stages = widths(network)
        assert stem == stages[0] and all(after == 2 * before for before, after in pairwise(stages))
        wider = next((width for width in space.stem.width if width > stem), None)
        if wider is not None:
            grown = tuple(replace(stage, width=wider * 2**index) for index, stage in enumerate(network.stages))
            larger = replace(network, stem=replace(network.stem, width=wider), stages=grown)
            assert not limits.admits(larger, task.image_size)


def test_fill_leaves_none_of_them_out() -> None:
    assert guesses(load_space(), CIFAR10, Limits(100_000, fill=0.9)) == guesses(load_space(), CIFAR10, Limits(100_000))


def space_with(**changes: Any) -> Space:
    values: dict[str, Any] = {
        "stem": {"width": [8, 16, 32]},
        "num_stages": [3, 4],
        "stage": {"block": "basic", "depth": [1, 2, 3], "width": [8, 16, 32, 64, 128]},
    }
    for name, change in changes.items():
        values[name] = values[name] | change if isinstance(change, dict) and name in values else change
    return Space.model_validate(values)


@pytest.mark.parametrize(
    ("changes", "name", "form"),
    [
        ({"stage": {"block": ["bottleneck"]}}, "guess-1", {"block": "bottleneck", "width": 128}),
        ({"stage": {"block": ["bottleneck", "basic"], "kernel": [5, 3]}}, "guess-1", {"block": "basic", "kernel": 3}),
        ({"stage": {"kernel": [7, 5]}}, "guess-1", {"kernel": 5}),
        ({"stage": {"kernel": [2], "block": "bottleneck", "even_kernel": ["pad-then-valid", "average-pool"]}},
         "guess-1", {"kernel": 2, "even_kernel": "average-pool"}),
        ({"dropout": [0.3, 0.1]}, "guess-2", {"dropout": 0.1, "depth": 2}),
        ({"num_stages": 2}, "guess-3x2", {"depth": 3, "width": 64}),
        ({"num_stages": [1, 5]}, "guess-1x1", {"width": 32}),  # 1 is as near to 3 as 5 is
        ({"num_stages": [5]}, "guess-1x5", {"width": 128}),
        ({"stage": {"depth": [4, 6]}}, "guess-4", {"depth": 4}),
        ({"stage": {"depth": [4, 6]}, "overrides": {"1": {"depth": [2]}}}, "guess-1", {"depth": 4}),
        ({"stage": {"width": [8, 16]}}, "guess-1", {"width": 16}),
        ({"stem": {"width": 24}, "rules": {"non_decreasing_width": True}}, "guess-1", {"width": 128}),
        ({"stem": {"width": 16, "kernel": 5, "stride": 2, "padding": 2}}, "guess-1", {"width": 64}),
    ],
)  # fmt: skip
def test_a_space_without_such_values_has_guesses_of_the_nearest(
    changes: dict[str, Any], name: str, form: dict[str, Any]
) -> None:
    space = space_with(**changes)
    network = guesses(space, CIFAR10, Limits(10_000_000))[name]
    assert space.holds(network, CIFAR10)
    assert {key: getattr(network.stages[-1], key) for key in form} == form


@pytest.mark.parametrize(("shortcuts", "chosen"), [(["A", "b", "B"], "B"), (["A", "b"], "b"), (["A"], "A")])
def test_the_shortcut_is_the_usual_one_that_the_space_has(shortcuts: list[str], chosen: str) -> None:
    (first, *_) = guesses(space_with(shortcut=shortcuts), CIFAR10, Limits(1_000_000)).values()
    assert first.shortcut == chosen


def test_a_space_may_offer_narrower_ones() -> None:
    narrow = space_with(stem={"width": [4, 8]}, stage={"width": [4, 8, 16, 32]})
    assert widths(guesses(narrow, CIFAR10, Limits(6_000))["guess-1"]) == [4, 4, 8, 16]


def test_a_network_whose_widths_double_is_preferred_to_a_wider_one() -> None:
    family = guesses(space_with(stem={"width": [16]}), CIFAR10, Limits(10_000_000))
    assert widths(family["guess-1"]) == [16, 16, 32, 64]
    only = space_with(stem={"width": [16]}, stage={"width": [24, 48, 96]})
    assert widths(guesses(only, CIFAR10, Limits(10_000_000))["guess-1"]) == [16, 24, 48, 96]


def test_names_stand_for_different_networks() -> None:
    fixed = space_with(overrides={"1": {"depth": [1]}, "2": {"depth": [2]}, "3": {"depth": [3]}}, num_stages=3)
    family = guesses(fixed, CIFAR10, Limits(1_000_000))
    assert [stage.depth for stage in family["guess-1"].stages] == [1, 2, 3] and len(family) == 1


SMALL = Task(16, 3, 10)


@pytest.mark.parametrize(
    ("task", "budget", "texts", "names"),
    [
        (CIFAR10, 20_000, (), ["guess-1"]),
        (CIFAR10, 100_000, (), ["guess-1", "guess-1x4", "guess-2", "guess-3"]),
        (CIFAR10, 300_000, (), ["guess-1", "guess-1x4", "guess-2x4", "guess-5"]),
        (CIFAR10, 5_000_000, (), ["guess-1", "guess-1x4", "guess-3", "guess-5x4"]),
        (CIFAR10, 100_000, ("macs=6e6",), ["guess-1x4"]),
        (CIFAR10, 10_000_000, ("macs=6e6",), ["guess-1x4"]),  # all use less than half: the largest
        (CIFAR10, 500, (), []),
        # Four stages would leave maps of 2 pixels; of digits even three do, and four one.
        (SMALL, 100_000, (), ["guess-1", "guess-2", "guess-3"]),
        (SMALL, 300_000, (), ["guess-1", "guess-2", "guess-3", "guess-5"]),
        (Task(25, 3, 10), 100_000, (), ["guess-1", "guess-1x4", "guess-2", "guess-3"]),
        (DIGITS, 100_000, (), ["guess-1", "guess-2", "guess-3"]),
    ],
)
def test_the_first_are_few_large_and_far_apart(
    task: Task, budget: int, texts: tuple[str, ...], names: list[str]
) -> None:
    limits = parse_limits(texts, budget)
    family = guesses(load_space(), task, limits)
    first = first_guesses(family, task, limits)
    assert list(first) == names
    assert first.items() <= family.items()
    depths = [network.depth for network in first.values()]
    assert depths == sorted(depths), "the quick ones come first"


@pytest.mark.parametrize(
    ("name", "usual"), [("guess-2x3", "guess-2"), ("guess-2x4", "guess-2x4"), ("guess", "guess"), ("as1", "as1")]
)
def test_three_stages_need_not_be_said(name: str, usual: str) -> None:
    assert usual_name(name) == usual
    assert is_guess(name) is name.startswith("guess")


def test_a_network_is_found_by_every_name() -> None:
    space, limits = load_space(), Limits(100_000)
    family = guesses(space, CIFAR10, limits)
    assert find_hand_made("guess-2x3", space, CIFAR10, limits) == family["guess-2"]
    assert find_hand_made("guess-1x4", space, CIFAR10, limits) == family["guess-1x4"]
    assert find_hand_made("resnet20-b", space, Task(8, 1, 7), limits).num_classes == 7


@pytest.mark.parametrize(
    ("name", "budget", "message"),
    [
        ("gess-1", 100_000, "baseline = 'gess-1': no such baseline; there are guess-1, guess-1x4, guess-3"),
        ("resnet4", 100_000, "baseline = 'resnet4': no such baseline; there are resnet40, resnet18, resnet10"),
        ("guess-9", 100_000, "baseline = 'guess-9': no such network is within the limits; there are guess-1, "),
        ("guess-7", 100_000, "baseline = 'guess-7': no such guess; there are guess-1, guess-2, guess-3, guess-1x4"),
        ("guess-1", 500, "baseline = 'guess-1': no such network is within the limits; no guess is within budget=500: "
                         "the smallest has 19,954 parameters and 3,236,160 MACs"),
    ],
)  # fmt: skip
def test_a_name_of_nothing_is_refused_with_what_there_is(name: str, budget: int, message: str) -> None:
    with pytest.raises(ArchitectureError) as caught:
        find_hand_made(name, load_space(), CIFAR10, Limits(budget))
    assert str(caught.value).startswith(message)


def test_a_limit_of_bytes_in_int8_that_no_guess_keeps_is_told_with_what_the_smallest_takes() -> None:
    limits = Limits(100_000, bytes=20_000, bytes_precision="int8")  # more than the parameters of the smallest
    told = no_guess(load_space(), CIFAR10, limits)
    assert re.search(r"bytes=20000@int8: the smallest has 19,954 parameters, 2\d,\d{3} bytes in int8 and 3,2", told)


def test_images_that_none_can_take_have_no_guess() -> None:
    space = space_with(stem={"kernel": 7, "padding": 0})
    assert guesses(space, Task(4, 3, 10), Limits(10_000_000)) == {}
    assert no_guess(space, Task(4, 3, 10), Limits(1)) == "the space holds no guess for images of 4 pixels"
