"""The arithmetic of whole spaces against listing every vector."""

import random
from collections import Counter
from functools import cache
from itertools import product
from math import comb, prod
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from models.architecture import Architecture, ArchitectureError
from models.count import count_parameters
from search.space.space import Space, Task
from search.space.tally import Measure, Tally

TASK = Task(16, 3, 7)
MEASURES: tuple[Measure, ...] = ("designs", "vectors")

SPACES: dict[str, dict[str, Any]] = {
    "one design": {"stem": {"width": 8}, "num_stages": 1, "stage": {"block": "basic", "depth": 1, "width": 8}},
    "narrowing allowed": {
        "stem": {"width": [4, 16]},
        "num_stages": [2, 3],
        "stage": {"block": "basic", "depth": [1, 2], "width": [4, 8, 16]},
        "shortcut": "b",
    },
    "shortcut A among others": {
        "stem": {"width": [4, 8, 12]},
        "num_stages": [1, 2, 3],
        "stage": {"block": "basic", "depth": 1, "width": [4, 8, 12]},
        "shortcut": ["B", "A", "b"],
    },
    "shortcut A alone": {
        "stem": {"width": [4, 8]},
        "num_stages": [1, 3],
        "stage": {"block": "basic", "depth": [1, 3], "width": [4, 8]},
        "shortcut": "A",
    },
    "one stage": {
        "stem": {"width": [4, 8]},
        "num_stages": 1,
        "stage": {"block": ["basic", "bottleneck"], "depth": [1, 2], "width": [4, 8], "reduction": [1, 2, 4]},
        "shortcut": ["A", "b", "B"],
    },
    "overrides": {
        "stem": {"width": [4, 8]},
        "num_stages": [1, 2, 4],
        "stage": {"block": "basic", "depth": [1, 2], "width": [4, 8]},
        "overrides": {1: {"width": 8}, 3: {"block": "bottleneck", "depth": [1, 4], "reduction": [2, 4], "kernel": 5}},
    },
    "even kernels and reductions": {
        "stem": {"width": 4},
        "num_stages": [1, 2],
        "stage": {
            "block": ["basic", "bottleneck"],
            "depth": 1,
            "width": [4, 8],
            "kernel": [2, 3],
            "reduction": [1, 2, 8],
            "even_kernel": ["pad-then-valid", "average-pool"],
        },
    },
    "dropout and rules": {
        "stem": {"width": [4, 8]},
        "num_stages": [2, 3],
        "stage": {"block": ["basic", "bottleneck"], "depth": [1, 2], "width": [4, 8]},
        "dropout": [0.0, 0.1, 0.3],
        "shortcut": ["A", "B"],
        "rules": {"non_decreasing_width": True},
    },
    "stems, some impossible": {
        "stem": {"width": [4, 6], "kernel": [1, 3], "stride": [1, 2, 5], "padding": [0, 1, 2]},
        "num_stages": [1, 2],
        "stage": {"block": "basic", "depth": 1, "width": [4, 6]},
    },
    "no design": {"stem": {"width": 8}, "num_stages": 2, "stage": {"block": "bottleneck", "depth": 1, "width": 2}},
}


def random_space(seed: int) -> dict[str, Any]:
    """Any space of at most a few thousand vectors."""
    rng = random.Random(seed)

    def some(values: list[Any], most: int) -> list[Any]:
        return rng.sample(values, rng.randint(1, most))

    widths = [3, 4, 6, 8]
    values: dict[str, Any] = {
        "stem": {"width": some(widths, 2), "kernel": some([1, 3, 4], 2), "padding": some([0, 1, 2], 2)},
        "num_stages": some([1, 2, 3, 4], 3),
        "stage": {
            "block": some(["basic", "bottleneck"], 2),
            "depth": some([1, 2, 3], 2),
            "width": some(widths, 2),
            "kernel": rng.choice([1, 2, 3]),
            "reduction": rng.choice([1, 4]),
            "even_kernel": rng.choice(["pad-then-valid", "average-pool"]),
        },
        "dropout": some([0.0, 0.2], 2),
        "shortcut": some(["A", "B", "b"], 3),
        "rules": {"non_decreasing_width": rng.random() < 0.3},
    }
    if rng.random() < 0.7:
        values["overrides"] = {
            rng.randint(1, 4): {"width": some(widths, 2)},
            rng.randint(1, 4): {"kernel": some([1, 2, 3], 2), "reduction": some([1, 2, 4], 2)},
        }
    if prod(len(slot.choices) for slot in Space.model_validate(values).slots) > 3_000:
        values["num_stages"] = [1, 2]
    return values


SPACES |= {f"random {seed}": random_space(seed) for seed in range(12)}


@cache
def listed(name: str) -> tuple[Space, dict[Architecture, int]]:
    """The space, and of every design how many vectors decode to it, by trying all vectors."""
    space = Space.model_validate(SPACES[name])
    found: Counter[Architecture] = Counter()
    for indices in product(*(range(len(slot.choices)) for slot in space.slots)):
        vector = {slot.name: slot.value(index) for slot, index in zip(space.slots, indices, strict=True)}
        try:
            found[space.decode(vector, TASK)] += 1
        except ArchitectureError:
            continue
    return space, found


def budgets(designs: dict[Architecture, int]) -> list[int]:
    """Budgets at and around the sizes of some designs, with none and all of them within."""
    sizes = sorted({count_parameters(design) for design in designs}) or [1_000]
    chosen = {sizes[round(share * (len(sizes) - 1))] for share in (0, 0.1, 0.5, 0.9, 1)}
    return sorted({0} | {size + change for size in chosen for change in (-1, 0)} | {10 * sizes[-1]})


def within(designs: dict[Architecture, int], budget: int, measure: Measure) -> dict[Architecture, int]:
    """The weight of each design that fits."""
    return {
        design: weight if measure == "vectors" else 1
        for design, weight in designs.items()
        if count_parameters(design) <= budget
    }


def test_the_spaces_of_these_tests_are_of_many_kinds() -> None:
    sizes = [len(listed(name)[1]) for name in SPACES]
    assert sizes[0] == 1 and max(sizes) < 6_000
    assert sum(size > 50 for size in sizes) > 10
    differing = [name for name in SPACES if len(set(listed(name)[1].values())) > 1]
    assert len(differing) > 10  # in these the two measures differ


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("name", SPACES)
def test_counts_and_totals_equal_listing_every_vector(name: str, measure: Measure) -> None:
    space, designs = listed(name)
    for budget in budgets(designs):
        tally = Tally(space, TASK, budget, measure)
        assert tally.count() == sum(within(designs, budget, measure).values()), budget
        assert tally.total() == sum(within(designs, 10**12, measure).values())


@pytest.mark.parametrize("name", SPACES)
def test_designs_are_those_of_the_list_each_once(name: str) -> None:
    space, designs = listed(name)
    for budget in budgets(designs):
        found = list(Tally(space, TASK, budget).designs())
        assert len(found) == len(set(found))
        assert set(found) == within(designs, budget, "designs").keys()


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("name", SPACES)
def test_draws_are_within_budget_and_in_the_space(name: str, measure: Measure) -> None:
    space, designs = listed(name)
    for budget in budgets(designs):
        fitting = within(designs, budget, measure)
        tally, rng = Tally(space, TASK, budget, measure), np.random.default_rng(budget)
        if not fitting:
            with pytest.raises(LookupError, match="no design fits the budget"):
                tally.draw(rng)
        else:
            assert {tally.draw(rng) for _ in range(10)} <= fitting.keys()


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("name", SPACES)
def test_extremes_are_those_of_the_list(name: str, largest: bool) -> None:
    space, designs = listed(name)
    tally = Tally(space, TASK, budget=0)
    if not designs:
        with pytest.raises(LookupError, match="the space holds no design"):
            tally.extreme(largest)
        return
    found = tally.extreme(largest)
    assert found in designs
    pick = max if largest else min
    assert count_parameters(found) == pick(count_parameters(design) for design in designs)


# Spaces of few enough designs that a few thousand draws meet each of them often.
UNIFORM: dict[str, dict[str, Any]] = {
    "three stages": SPACES["shortcut A among others"] | {"stem": {"width": [4, 8]}, "num_stages": [1, 2, 3]},
    "even kernels": SPACES["even kernels and reductions"] | {"num_stages": [1, 2], "dropout": [0, 0.1]},
    "absent stages": SPACES["overrides"],
}
SPACES |= {f"uniform: {name}": values for name, values in UNIFORM.items()}


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("name", UNIFORM)
def test_draws_are_uniform_in_their_measure(name: str, measure: Measure) -> None:
    space, designs = listed(f"uniform: {name}")
    budget = sorted(map(count_parameters, designs))[2 * len(designs) // 3]
    weights = within(designs, budget, measure)
    assert 20 < len(weights) < 400
    tally, rng, num_draws = Tally(space, TASK, budget, measure), np.random.default_rng(7), 5_000
    drawn = Counter(tally.draw(rng) for _ in range(num_draws))
    assert drawn.keys() <= weights.keys()
    scale = num_draws / sum(weights.values())
    frequent = [design for design, weight in weights.items() if weight * scale >= 5]
    rare = weights.keys() - frequent
    observed = [drawn[design] for design in frequent]
    expected = [weights[design] * scale for design in frequent]
    if rare:
        observed.append(sum(drawn[design] for design in rare))
        expected.append(sum(weights[design] for design in rare) * scale)
    assert chisquare(observed, expected).pvalue > 0.001
    if measure == "vectors":  # the test is sharp enough to tell the measures apart
        flat = np.full(len(frequent), sum(observed[: len(frequent)]) / len(frequent))
        assert chisquare(observed[: len(frequent)], flat).pvalue < 1e-6


def test_the_same_seed_draws_the_same_designs() -> None:
    space, designs = listed("dropout and rules")
    tally = Tally(space, TASK, budgets(designs)[-1])
    first, again, other = (
        [tally.draw(rng) for rng in [np.random.default_rng(seed)] for _ in range(20)] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_nothing_fits_below_the_smallest_design_and_one_fits_at_it() -> None:
    space, _ = listed("dropout and rules")
    smallest = count_parameters(Tally(space, TASK, 0).extreme(largest=False))
    for measure in MEASURES:
        assert Tally(space, TASK, smallest - 1, measure).count() == 0
        with pytest.raises(LookupError):
            Tally(space, TASK, smallest - 1, measure).draw(np.random.default_rng(0))
    assert Tally(space, TASK, smallest).count() >= 1
    assert list(Tally(space, TASK, smallest - 1).designs()) == []


# More than 64 bits.


def test_the_total_of_a_space_beyond_64_bits_is_exact() -> None:
    depths, widths = list(range(1, 19)), [8, 12, 16, 24, 32, 48, 64]
    values: dict[str, Any] = {
        "stem": {"width": 4},
        "num_stages": 16,
        "stage": {"block": ["basic", "bottleneck"], "depth": depths, "width": widths},
        "shortcut": ["B", "b"],
    }
    free = Space.model_validate(values)
    a_stage = 2 * len(depths)
    assert Tally(free, TASK, 0).total() == 2 * (a_stage * len(widths)) ** 16 > 2**64
    # Widths that do not decrease are a choice of 16 from 7 with repetition.
    ruled = Space.model_validate(values | {"rules": {"non_decreasing_width": True}})
    assert Tally(ruled, TASK, 0).total() == 2 * a_stage**16 * comb(16 + len(widths) - 1, 16) > 2**64


@pytest.mark.parametrize("num_reductions", [2, 300])
def test_counts_and_draws_beyond_64_bits_are_exact(num_reductions: int) -> None:
    # A basic block ignores the reduction: every design weighs 300^8 vectors, and the designs can be listed.
    space = Space.model_validate(
        {
            "stem": {"width": 4},
            "num_stages": [7, 8],
            "stage": {
                "block": "basic",
                "depth": 1,
                "width": [4, 8],
                "reduction": list(range(1, num_reductions + 1)),
            },
        }
    )
    everything = Tally(space, TASK, 10**12)
    sizes = sorted(map(count_parameters, everything.designs()))
    assert len(sizes) == 2**7 + 2**8 == everything.total()
    for budget in (sizes[0] - 1, sizes[0], sizes[100], sizes[-1]):
        tally = Tally(space, TASK, budget, "vectors")
        fitting = [len(design.stages) for design in Tally(space, TASK, budget).designs()]
        # A network of seven stages leaves out one stage of two widths.
        assert tally.count() == sum(num_reductions**8 * (2 if stages == 7 else 1) for stages in fitting)
        if fitting:
            rng = np.random.default_rng(0)
            assert all(count_parameters(tally.draw(rng)) <= budget for _ in range(20))
    assert tally.count() == tally.total() == (2**8 + 2**8) * num_reductions**8
    assert (tally.count() > 2**64) == (num_reductions == 300)


def test_draws_beyond_64_bits_are_uniform() -> None:
    space = Space.model_validate(
        {
            "stem": {"width": 4},
            "num_stages": [3, 9],
            "stage": {"block": "basic", "depth": 1, "width": 4, "reduction": list(range(1, 301))},
            "overrides": {3: {"width": [4, 8, 12]}, 2: {"width": [4, 8, 16]}},
        }
    )
    tally, rng = Tally(space, TASK, 10**12, "vectors"), np.random.default_rng(3)
    designs = list(Tally(space, TASK, 10**12).designs())
    assert len(designs) == 18 and tally.total() == 18 * 300**9 > 2**64
    drawn = Counter(tally.draw(rng) for _ in range(1_800))
    assert chisquare([drawn[design] for design in designs]).pvalue > 0.001
