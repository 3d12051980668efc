"""Draws within limits against listing every vector."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from models.architecture import Architecture
from models.count import count_macs, count_parameters
from search.space.draws import Draws
from search.space.limits import Limits
from search.space.parts import Measure
from search.space.space import Space, Task, load_space

MEASURES: tuple[Measure, ...] = ("designs", "vectors")
DEFAULT, CIFAR = load_space(), Task(32, 3, 10)


def many_limits(listing: Any) -> list[Limits]:
    """Limits that leave none, some and all of a listing's designs, of each kind and together."""
    params, macs, peak = ({share: listing.at(share, cost) for share in (0, 0.3, 0.7, 1)} for cost in COSTS)
    return [
        Limits(max(1, params[0] - 1)),
        Limits(params[0]),
        Limits(params[0.3]),
        Limits(params[0.7] - 1),
        Limits(10**12),
        Limits(params[0.7], fill=0.8),
        Limits(params[1], fill=1.0),
        Limits(params[0.7], macs=macs[0.3]),
        Limits(params[0.7], macs=macs[0.7], fill=0.5),
        Limits(10**12, activations=4 * peak[0.3]),
        Limits(params[0.7], macs=macs[0.7], activations=4 * peak[0.7], fill=0.3),
    ]


COSTS = ("params", "macs", "peak")


def test_designs_are_those_of_the_list_each_once(listing: Any) -> None:
    for limits in many_limits(listing):
        listed = list(Draws(listing.space, listing.task, limits, "designs").designs())
        assert len(listed) == len(set(listed))
        assert set(listed) == listing.within(limits).keys(), limits


@pytest.mark.parametrize("measure", MEASURES)
def test_draws_are_within_limits_and_in_the_space(listing: Any, measure: Measure) -> None:
    for limits in many_limits(listing):
        fitting = listing.within(limits)
        draws, rng = Draws(listing.space, listing.task, limits, measure), np.random.default_rng(1)
        weight = sum(cost.vectors if measure == "vectors" else 1 for cost in fitting.values())
        assert draws.upper_bound >= weight
        if fitting:
            assert {draws.draw(rng) for _ in range(5)} <= fitting.keys()
        elif draws.upper_bound == 0:
            with pytest.raises(LookupError, match="no design is within the limits"):
                draws.draw(rng)


def assert_uniform(weights: dict[Architecture, int], drawn: Counter[Architecture]) -> None:
    assert drawn.keys() <= weights.keys()
    scale = drawn.total() / sum(weights.values())
    frequent = [design for design, weight in weights.items() if weight * scale >= 5]
    rare = weights.keys() - frequent
    observed, expected = [drawn[design] for design in frequent], [weights[design] * scale for design in frequent]
    if rare:
        observed.append(sum(drawn[design] for design in rare))
        expected.append(sum(weights[design] for design in rare) * scale)
    assert chisquare(observed, expected).pvalue > 0.001


LIMITED = {
    "params": lambda listing: Limits(listing.at(0.7)),
    "fill": lambda listing: Limits(listing.at(0.9), fill=0.5),
    "macs": lambda listing: Limits(10**9, macs=listing.at(0.4, "macs")),
    "all": lambda listing: Limits(
        listing.at(0.9), macs=listing.at(0.8, "macs"), activations=4 * listing.at(0.9, "peak"), fill=0.2
    ),
}


@pytest.mark.parametrize("kind", LIMITED)
@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("name", ["shortcut A among others", "even kernels and reductions", "overrides"])
def test_draws_are_uniform_in_their_measure(list_space: Any, name: str, measure: Measure, kind: str) -> None:
    listing = list_space(name)
    limits = LIMITED[kind](listing)
    fitting = listing.within(limits)
    weights = {design: cost.vectors if measure == "vectors" else 1 for design, cost in fitting.items()}
    assert 4 < len(weights) < 500
    draws, rng = Draws(listing.space, listing.task, limits, measure), np.random.default_rng(7)
    assert_uniform(weights, Counter(draws.draw(rng) for _ in range(3_000)))


def test_the_test_of_uniformity_distinguishes_the_measures(list_space: Any) -> None:
    listing = list_space("even kernels and reductions")
    draws, rng = Draws(listing.space, listing.task, Limits(10**9), "vectors"), np.random.default_rng(7)
    with pytest.raises(AssertionError):
        assert_uniform(dict.fromkeys(listing.designs, 1), Counter(draws.draw(rng) for _ in range(3_000)))


def test_coarse_cells_refuse_more_and_draw_the_same(list_space: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = list_space("shortcut A among others")
    limits = Limits(listing.at(0.6), macs=listing.at(0.6, "macs"), fill=0.1)
    fine = Draws(listing.space, listing.task, limits, "designs")
    for name in ("CELLS", "MOST_CELLS"):
        monkeypatch.setattr(f"search.space.completion_tables.{name}", {1: 8, 2: 8})
    coarse, rng = Draws(listing.space, listing.task, limits, "designs"), np.random.default_rng(3)
    assert coarse.upper_bound > fine.upper_bound >= len(listing.within(limits))
    assert None in [coarse.try_draw(rng) for _ in range(500)]
    assert_uniform(dict.fromkeys(listing.within(limits), 1), Counter(coarse.draw(rng) for _ in range(5_000)))
    assert set(coarse.designs()) == set(fine.designs())


def test_the_same_seed_draws_the_same_designs() -> None:
    draws = Draws(DEFAULT, CIFAR, Limits(300_000))
    first, again, other = (
        [draws.draw(rng) for rng in [np.random.default_rng(seed)] for _ in range(20)] for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize(
    "limits",
    [
        Limits(5_000_000),
        Limits(300_000, fill=0.9),
        Limits(5_000_000, macs=50_000_000, fill=0.5),
        Limits(1_000_000, macs=10_000_000, activations=200_000),
        Limits(5_000_000, bytes=150_000, bytes_precision="int4"),
    ],
    ids=str,
)
def test_rounding_lets_few_designs_of_the_default_space_in(limits: Limits) -> None:
    draws, rng = Draws(DEFAULT, CIFAR, limits), np.random.default_rng(0)
    drawn = [draws.try_draw(rng) for _ in range(100)]
    kept = [design for design in drawn if design is not None]
    assert all(limits.admits(design, 32) for design in kept)
    assert len(kept) >= (50 if limits.macs is not None else 90)
    assert len(set(kept)) == len(kept)


def test_draws_beyond_64_bits_are_uniform() -> None:
    space = Space.model_validate(
        {
            "stem": {"width": 4},
            "num_stages": [3, 9],
            "stage": {"block": "basic", "depth": 1, "width": 4, "reduction": list(range(1, 301))},
            "overrides": {3: {"width": [4, 8, 12]}, 2: {"width": [4, 8, 16]}},
        }
    )
    draws, rng = Draws(space, CIFAR, Limits(10**12), "vectors"), np.random.default_rng(3)
    designs = list(Draws(space, CIFAR, Limits(10**12), "designs").designs())
    assert len(designs) == 18 and draws.upper_bound == 18 * 300**9 > 2**64
    drawn = Counter(draws.draw(rng) for _ in range(1_800))
    assert chisquare([drawn[design] for design in designs]).pvalue > 0.001


def test_draws_from_twelve_stages_keep_the_limits() -> None:
    values = DEFAULT.model_dump() | {"num_stages": (12,)}
    values["stage"] |= {"depth": (1, 2, 3), "width": (8, 16, 32, 64)}
    space, limits = Space.model_validate(values), Limits(300_000, macs=20_000_000, fill=0.8)
    draws, rng = Draws(space, CIFAR, limits), np.random.default_rng(0)
    for design in [draws.draw(rng) for _ in range(20)]:
        assert 240_000 <= count_parameters(design) <= 300_000
        assert count_macs(design, 32) <= 20_000_000
