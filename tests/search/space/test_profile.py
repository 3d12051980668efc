"""What draws look like, against the draws themselves."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from models.count import count_macs, count_parameters
from search.space.draws import Draws
from search.space.limits import Limits
from search.space.profile import Spread, profile
from search.space.space import Space, Task, load_space

TASK = Task(32, 3, 10)
SPACE = Space.model_validate(
    {
        "stem": {"width": [4, 8]},
        "num_stages": [1, 3],
        "stage": {"block": ["basic", "bottleneck"], "depth": [1, 2, 3], "width": [4, 8, 16]},
        "weights": {"num_stages": [3, 1], "stage": {"depth": "falling"}},
    }
)
LIMITS = Limits(20_000, macs=4_000_000, fill=0.1)


def held(spread: Spread) -> list[tuple[int, int, int]]:
    return [(bin.low, bin.high, bin.draws) for bin in spread.bins]


@pytest.mark.parametrize("limits", [LIMITS, None], ids=["limits", "whole space"])
def test_the_histograms_are_those_of_the_draws_of_a_search(limits: Limits | None) -> None:
    found = profile(SPACE, TASK, limits, number=200)
    assert found is not None and found.number == 200 and found.are_limited == (limits is not None)
    draws, rng = Draws.weighed(SPACE, TASK, limits or Limits(10**9)), np.random.default_rng(0)
    designs = [draws.draw(rng) for _ in range(200)]
    if limits is None:  # the tables of another budget have other cells, so only the distribution is the same
        assert sum(bin.draws for bin in found.params.bins) == 200
        assert abs(found.stages.bins[0].draws - 150) < 30
        return
    numbers = {
        "stages": [len(design.stages) for design in designs],
        "layers": [design.depth for design in designs],
        "macs": [count_macs(design, 32) for design in designs],
        "params": [count_parameters(design) for design in designs],
    }
    for name, values in numbers.items():
        spread = getattr(found, name)
        for low, high, number in held(spread):
            assert number == sum(low <= value <= high for value in values), name
        ordered = sorted(values)
        assert (spread.p5, spread.p50, spread.p95) == (ordered[9], ordered[99], ordered[189])
        if name != "stages":
            assert (spread.bins[0].low, spread.bins[-1].high) == (ordered[0], ordered[-1])
            assert all(
                after.low == before.high + 1 for before, after in zip(spread.bins, spread.bins[1:], strict=False)
            )


def test_every_number_of_stages_has_a_bin_even_if_it_is_not_drawn() -> None:
    never = Space.model_validate(SPACE.model_dump() | {"weights": {"num_stages": [1, 0]}})
    found = profile(never, TASK, Limits(20_000), number=20)
    assert found is not None and held(found.stages) == [(1, 1, 20), (3, 3, 0)]


def test_draws_that_are_all_alike_are_one_bin() -> None:
    single = {"stem": {"width": 4}, "num_stages": 1, "stage": {"block": "basic", "depth": 9, "width": 4}}
    found = profile(Space.model_validate(single), TASK, None, number=10)
    assert found is not None
    assert held(found.layers) == [(20, 20, 10)]  # as papers count them: 18 convolutions in blocks, the stem, the head
    assert held(found.stages) == [(1, 1, 10)] and len(found.macs.bins) == len(found.params.bins) == 1


def test_where_nothing_can_be_drawn_there_is_no_profile(list_space: Any) -> None:
    assert profile(SPACE, TASK, Limits(10)) is None
    listing = list_space("no design")
    assert profile(listing.space, listing.task, None) is None


def test_the_weights_of_the_default_space_make_draws_like_networks_people_build() -> None:
    """Uniform over vectors, seven in ten have two stages, and half have more than fifty layers."""
    default = load_space()
    by_vectors = profile(
        Space.model_validate(default.model_dump() | {"weights": None}), TASK, Limits(5_000_000), number=200
    )
    found = profile(default, TASK, Limits(5_000_000), number=200)
    assert found is not None and by_vectors is not None
    assert max(Counter({bin.low: bin.draws for bin in found.stages.bins}).values()) < 90
    assert by_vectors.stages.bins[0].draws > 120
    assert found.layers.p50 < 45 < by_vectors.layers.p50
    assert (
        found.as_dict()["layers"]["bins"][0] == {"low": 5, "high": 6, "draws": 2} | found.as_dict()["layers"]["bins"][0]
    )
