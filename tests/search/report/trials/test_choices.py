"""The table of choices finds what was planted at equal parameters, and claims nothing of noise."""

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from math import log2
from pathlib import Path

import pytest

from models.architecture import Architecture, ArchitectureError, Stage, Stem
from models.count import count_parameters
from search.report.trials.choices import choices_frame, choices_table
from search.report.trials.importances import features, importances
from search.space.space import Task, load_space
from search.study.view import TrialView
from studies import make_architecture, make_trial


@cache
def designs(name: str, number: int) -> tuple[Architecture, ...]:
    """Random networks of a space that comes with the package."""
    space, chance, found = load_space(Path(name)), random.Random(0), list[Architecture]()
    while len(found) < number:
        vector = {slot.name: slot.value(chance.randrange(len(slot.choices))) for slot in space.slots}
        try:
            found.append(space.decode(vector, Task(32, 3, 10)))
        except ArchitectureError:
            continue
    return tuple(found)


def simulated(name: str, number: int, effect: Callable[[Architecture], float], noise: float = 0.003) -> list[TrialView]:
    """A study in which each doubling of parameters gives a point, and a network beside it what `effect` says."""
    chance = random.Random(1)
    trials = []
    for index, network in enumerate(designs(name, number)):
        size = 0.01 * (log2(count_parameters(network)) - 20)
        trials.append(make_trial(index, 0.8 + size + effect(network) + chance.gauss(0, noise), architecture=network))
    return trials


def gated_share(network: Architecture) -> float:
    gated = sum(stage.depth for stage in network.stages if stage.squeeze_excitation is not None)
    return gated / sum(stage.depth for stage in network.stages)


@pytest.mark.parametrize("name", ["modern", "tiny"])
def test_choices_that_earn_their_parameters_are_found_and_others_are_not(name):
    trials = simulated(name, 100, lambda network: 0.02 * gated_share(network) - 0.01 * (network.activation == "silu"))
    frame = choices_frame(trials)
    gated = frame[frame["choice"] == "squeeze-and-excitation"].iloc[0]
    sign = 1 if gated["instead_of"] == "none" else -1
    assert sign * gated["difference"] == pytest.approx(0.02, abs=0.006)
    assert gated["verdict"] == ("better" if sign > 0 else "worse")
    silu = frame[frame["choice"] == "activation"].iloc[0]
    assert silu["difference"] * (1 if silu["value"] == "silu" else -1) == pytest.approx(-0.01, abs=0.004)
    others = frame[~frame["choice"].isin(["squeeze-and-excitation", "activation"])]
    assert set(others["verdict"]) == {"not distinguishable"}


@pytest.mark.parametrize(
    ("name", "own"),
    [("modern", "group width of bottlenecks"), ("modern", "dropout"), ("tiny", "stride of later stages")],
)
def test_every_choice_of_a_space_has_a_row_whatever_the_number_of_stages(name, own):
    frame = choices_frame(simulated(name, 80, gated_share))
    common = {
        "block", "kernel", "reduction of bottlenecks", "expansion of inverted blocks", "squeeze-and-excitation",
        "activation", "head width",
    }  # fmt: skip
    assert {*common, own} <= set(frame["choice"])
    assert len(frame) < 20


def test_ratios_are_those_that_the_space_has_whatever_the_width():
    """A twelfth of 24 channels is a ninth too, and of 48 a tenth: the canonical forms."""
    trials, chance = [], random.Random(2)
    for number in range(60):
        width, reduction = chance.choice([24, 48, 64, 96]), chance.choice([4, 12])
        network = Architecture(Stem(8), (Stage("bottleneck", 1, width, reduction=reduction),)).canonical()
        trial = make_trial(number, chance.random(), architecture=network)
        trials.append(replace(trial, choices={"num_stages": 1, "stage1_reduction": reduction}))
    frame = choices_frame(trials)
    rows = frame[frame["choice"] == "reduction of bottlenecks"]
    assert len(rows) == 1
    assert {rows["value"].item(), rows["instead_of"].item()} == {"4", "12"}
    found = {row["reduction of bottlenecks (mean)"] for row in map(features, trials)}
    assert found == {4, 12}


def test_noise_is_not_called_better_or_worse():
    frame = choices_frame(simulated("tiny", 60, lambda network: 0.0, noise=0.02))
    assert set(frame["verdict"]) == {"not distinguishable"}


def test_a_choice_that_comes_with_parameters_owes_nothing_to_them():
    networks = [make_architecture(depth=depth, kernel=kernel) for kernel in (3, 5) for depth in range(1, 9)]
    chance = random.Random(0)
    trials = [
        make_trial(index, 0.05 * log2(count_parameters(network)) - 0.2 + chance.gauss(0, 1e-4), architecture=network)
        for index, network in enumerate(networks)
    ]
    frame = choices_frame(trials)
    assert frame["choice"].tolist() == ["kernel"]
    assert frame["difference"].tolist() == pytest.approx([0], abs=5e-4)
    assert frame["verdict"].tolist() == ["not distinguishable"]


def test_values_that_few_trials_took_are_left_out_and_few_trials_give_no_row():
    networks = [make_architecture(depth=1 + index % 6, kernel=3 if index > 3 else 5) for index in range(20)]
    trials = [make_trial(index, 0.5 + 0.01 * index, architecture=network) for index, network in enumerate(networks)]
    assert choices_frame(trials).empty
    assert choices_frame(simulated("modern", 9, gated_share)).empty
    same = [replace(trial, value=0.5) for trial in simulated("modern", 40, gated_share)]
    assert choices_frame(same).empty


def test_networks_without_a_shortcut_are_not_counted_for_one():
    of_kind = [("basic", "A"), ("basic", "B"), ("inverted", "b")]
    networks = [
        Architecture(Stem(8 + width), (Stage(block, depth, 32),), shortcut)
        for block, shortcut in of_kind
        for width in range(4)
        for depth in (1, 2, 3)
    ]
    trials = [make_trial(index, 0.5 + 0.01 * index, architecture=network) for index, network in enumerate(networks)]
    frame = choices_frame(trials)
    row = frame[frame["choice"] == "shortcut"].iloc[0]
    assert (row["value"], row["instead_of"], row["trials"], row["taken_by"]) == ("B", "A", 24, 12)
    assert [features(trial).get("shortcut") for trial in trials[::12]] == ["A", "B", None]


def test_the_table_says_what_its_intervals_cover():
    frame = choices_frame(simulated("modern", 80, gated_share))
    table = choices_table(frame)
    assert f"The {len(frame)} intervals hold together with 95%" in table.caption
    assert len(table.rows) == len(frame)
    assert all(row[table.heads.index("Difference, points")][0] in "+-" for row in table.rows)


@pytest.mark.parametrize("name", ["modern", "tiny"])
def test_importances_are_of_choices_over_all_stages(name):
    trials = simulated(name, 80, lambda network: 0.1 * gated_share(network))
    frame = importances(trials).frame
    assert frame["feature"].iloc[0] == "squeeze-and-excitation (share of blocks)"
    assert {
        "bottlenecks (share of blocks)", "inverted (share of blocks)", "reduction of bottlenecks (mean)",
        "grouped (share of bottlenecks)", "expansion of inverted blocks (mean)", "activation", "head width",
    } <= set(frame["feature"])  # fmt: skip
    assert ("later stages of stride 1" in set(frame["feature"])) == (name == "tiny")
    assert len(frame) < 25


def test_the_properties_of_a_network_do_not_grow_with_its_stages():
    assert (
        features(make_trial(0, architecture=make_architecture(stages=2))).keys()
        == features(make_trial(0, architecture=make_architecture(stages=6))).keys()
    )
