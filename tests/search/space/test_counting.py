"""Counting whole spaces against listing every vector."""

from math import comb
from typing import Any

import pytest

from search.space import counting
from search.space.counting import DesignCounter, TooManyError, count_all
from search.space.parts import Measure, Parts
from search.space.space import Space, Task, load_space

MEASURES: tuple[Measure, ...] = ("designs", "vectors")


def bounds(listing: Any) -> list[int]:
    """Numbers at and around the sizes of some designs, with none and all of them within."""
    sizes = {listing.at(share) for share in (0, 0.1, 0.3, 0.5, 0.7, 0.9, 1)}
    return sorted({-1, 0} | {size + change for size in sizes for change in (-1, 0)} | {10 * listing.at(1), 10**12})


@pytest.mark.parametrize("measure", MEASURES)
def test_counts_and_totals_equal_listing_every_vector(listing: Any, measure: Measure) -> None:
    parts = Parts(listing.space, listing.task)
    weights = [(cost.params, cost.vectors if measure == "vectors" else 1) for cost in listing.designs.values()]
    counter, most = DesignCounter(parts, measure), bounds(listing)
    expected = [sum(weight for params, weight in weights if params <= bound) for bound in most]
    assert counter.counts(most) == expected
    assert [counter.count(bound) for bound in most] == expected
    assert counter.total == count_all(parts, measure) == expected[-1]


def test_numbers_may_be_asked_in_any_order_and_twice(list_space: Any) -> None:
    counter = DesignCounter(Parts(list_space("overrides").space, list_space("overrides").task))
    ascending = bounds(list_space("overrides"))
    mixed = [*reversed(ascending), *ascending]
    assert counter.counts(mixed) == [counter.count(bound) for bound in mixed]
    assert counter.counts([]) == []


def test_designs_that_take_no_images_of_the_size_are_counted_nowhere(listing: Any) -> None:
    any_size = count_all(Parts(listing.space, listing.task, any_size=True), "designs")
    assert any_size == len(listing.designs) + listing.num_impossible


def test_designs_above_a_limit_of_activations_are_counted_nowhere(listing: Any) -> None:
    for share in (0, 0.2, 0.6):
        most = listing.at(share, "peak")
        counter = DesignCounter(Parts(listing.space, listing.task, max_activations=most))
        params = [cost.params for cost in listing.designs.values() if cost.peak <= most]
        numbers = bounds(listing)
        assert counter.counts(numbers) == [sum(size <= bound for size in params) for bound in numbers]


def test_the_default_space_is_counted_the_same_in_one_list_and_in_two() -> None:
    # The count of one stage more is the sum over that stage of the counts of what remains of the budget.
    values = load_space().model_dump()
    values["stage"] |= {"width": (8, 16, 64), "depth": (1, 2, 5, 18)}
    space, task = Space.model_validate(values | {"num_stages": (3,), "shortcut": ("b",)}), Task(32, 3, 10)
    parts, budget = Parts(space, task), 100_000
    expected = 0
    for start in parts.starts:
        for first in parts.following(start.style, 0, start.output, is_last=False):
            for second in parts.following(start.style, 1, first.output, is_last=False):
                for third in parts.following(start.style, 1, second.output, is_last=True):
                    head = parts.head_costs(start.style, third.output)
                    assert head is not None
                    sums = first.costs[0][:, None, None] + second.costs[0][:, None] + third.costs[0]
                    expected += int((sums + start.costs[0] + head[0] <= budget).sum())
    assert DesignCounter(parts).count(budget) == expected * len(space.dropout) > 0


# Large spaces.


def test_the_total_of_a_space_beyond_64_bits_is_exact() -> None:
    depths, widths = list(range(1, 19)), [8, 12, 16, 24, 32, 48, 64]
    values: dict[str, Any] = {
        "stem": {"width": 4},
        "num_stages": 16,
        "stage": {"block": ["basic", "bottleneck"], "depth": depths, "width": widths},
        "shortcut": ["B", "b"],
    }
    free, task = Space.model_validate(values), Task(16, 3, 7)
    a_stage = 2 * len(depths)
    assert DesignCounter(Parts(free, task)).total == 2 * (a_stage * len(widths)) ** 16 > 2**64
    # Widths that do not decrease are a choice of 16 from 7 with repetition.
    ruled = Space.model_validate(values | {"rules": {"non_decreasing_width": True}})
    assert DesignCounter(Parts(ruled, task)).total == 2 * a_stage**16 * comb(16 + len(widths) - 1, 16) > 2**64


@pytest.mark.parametrize("num_reductions", [2, 300])
def test_counts_beyond_64_bits_are_exact(num_reductions: int) -> None:
    # A basic block ignores the reduction: every design weighs 300^8 vectors, and the designs can be counted apart.
    space = Space.model_validate(
        {
            "stem": {"width": 4},
            "num_stages": [7, 8],
            "stage": {"block": "basic", "depth": 1, "width": [4, 8], "reduction": list(range(1, num_reductions + 1))},
        }
    )
    parts = Parts(space, Task(16, 3, 7))
    designs, vectors = DesignCounter(parts), DesignCounter(parts, "vectors")
    assert designs.total == 2**7 + 2**8
    assert vectors.total == (2**8 + 2**8) * num_reductions**8
    assert (vectors.total > 2**64) == (num_reductions == 300)
    # A network of seven stages leaves out one stage of two widths.
    sevens = DesignCounter(Parts(space.model_copy(update={"num_stages": (7,)}), Task(16, 3, 7)))
    for bound in (1_000, 4_000, 6_000, 8_000):
        weighed = designs.count(bound) + sevens.count(bound)
        assert vectors.count(bound) == weighed * num_reductions**8
    assert 0 < designs.count(4_000) < designs.count(6_000) < designs.total


def test_a_space_too_large_for_exact_counts_is_given_up_before_its_lists_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counter = DesignCounter(Parts(load_space(), Task(32, 3, 10)))
    monkeypatch.setattr(counting, "MAX_LISTED", 100_000)
    with pytest.raises(TooManyError):
        counter.count(5_000_000)
    assert counter.count(10**12) == counter.total  # all designs need no lists
    assert counter.count(3_000) > 0
