"""Smallest and largest networks, in all and by choice, against listing every vector."""

from dataclasses import replace
from typing import Any

import pytest

from models.architecture import Architecture
from search.space.choices import StageChoices, StemChoices
from search.space.extremes import Choice, Extremes
from search.space.parts import Metric, Parts
from search.space.space import same_choices

METRICS: tuple[Metric, ...] = ("params", "macs")


def holds(listing: Any, design: Architecture, choice: Choice) -> bool:
    """Whether a vector with that choice decodes to the design."""
    if choice.stage is None:
        if choice.field == "num_stages":
            return len(design.stages) == choice.value
        if choice.field == "shortcut":
            # Networks that never change shape are written with shortcut B, whichever was chosen.
            is_plain = replace(design, shortcut="b").canonical().shortcut == "B"
            return is_plain or design.shortcut == choice.value
        if choice.field in ("preactivation", "head_width"):
            return bool(getattr(design, choice.field) == choice.value)
        return bool(getattr(design.stem, choice.field.removeprefix("stem_")) == choice.value)
    if choice.stage > len(design.stages):
        return False
    stage = design.stages[choice.stage - 1]
    if choice.block is not None and stage.block != choice.block:
        return False
    same = same_choices(replace(stage, dropout=0.0), choice.stage == 1, choice.field, (choice.value,))
    return choice.value in same


def all_choices(space: Any) -> set[Choice]:
    every = {
        Choice(None, f"stem_{name}", value) for name in StemChoices.model_fields for value in _of(space.stem, name)
    }
    every |= {Choice(None, "shortcut", value) for value in space.shortcut}
    every |= {Choice(None, name, value) for name in ("preactivation", "head_width") for value in _of(space, name)}
    every |= {Choice(None, "num_stages", value) for value in space.num_stages}
    for index in range(space.num_stages[-1]):
        choices = space.stage_choices(index)
        every |= {Choice(index + 1, name, value) for name in StageChoices.model_fields for value in _of(choices, name)}
        every |= {Choice(index + 1, "width", width, block) for width in choices.width for block in choices.block}
    return every


def _of(choices: Any, name: str) -> Any:
    return getattr(choices, name)


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("metric", METRICS)
def test_extremes_are_those_of_the_list(listing: Any, metric: Metric, largest: bool) -> None:
    costs = [getattr(cost, metric) for cost in listing.designs.values()]
    pick = max if largest else min
    extreme = Extremes(Parts(listing.space, listing.task, (metric,)), largest).cost
    assert extreme == (pick(costs) if costs else None)


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("metric", METRICS)
def test_extremes_with_every_choice_are_those_of_the_list(listing: Any, metric: Metric, largest: bool) -> None:
    pick = max if largest else min
    expected = {}
    for choice in all_choices(listing.space):
        costs = [getattr(cost, metric) for design, cost in listing.designs.items() if holds(listing, design, choice)]
        expected[choice] = pick(costs) if costs else None
    assert Extremes(Parts(listing.space, listing.task, (metric,)), largest).by_choice() == expected


def test_extremes_within_a_limit_of_activations_are_those_of_the_list(listing: Any) -> None:
    for share in (0, 0.3):
        most = listing.at(share, "peak")
        sizes = [cost.params for cost in listing.designs.values() if cost.peak <= most]
        parts = Parts(listing.space, listing.task, max_activations=most)
        assert Extremes(parts).cost == min(sizes, default=None)
        assert Extremes(parts, largest=True).cost == max(sizes, default=None)
