"""The audit of a space: what it holds and what limits leave of it, counted before anything is trained."""

from dataclasses import asdict, dataclass
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from search.errors import SpaceError
from search.space.draws import Draws
from search.space.extremes import Reach
from search.space.feasibility import no_network
from search.space.impossible_choices import Never, find_never
from search.space.limits import Limits
from search.space.menu import Measure, Menu
from search.space.space import Space, Task
from search.space.tally import Tally, TooManyError, total

NUM_BINS = 20
NUM_DRAWS = 1_000
MAX_LISTED = 20_000


@dataclass(frozen=True, slots=True)
class Bin:
    """How many designs of the space have from `low` to `high` parameters."""

    low: int
    high: int
    designs: int


@dataclass(frozen=True, slots=True)
class Audit:
    """What a space holds, in exact whole numbers but for those that `error` speaks of.

    Attributes:
        total: different architectures that take images of the task.
        feasible: those within the limits that are counted, and `share` of the total.
        error: standard error of `feasible`. 0, for it is exact, unless there is a limit of MACs beside that of
            parameters and too many designs keep both to be listed, or the space is too large for the exact count. Then
            `feasible` is the number of designs within the limits rounded to cells, which is exact, times the share
            of `NUM_DRAWS` uniform draws among these that keep the limits.
        budget: the limit of parameters; `limits` the others as texts; `fill` the least share of the budget.
        least, most: the interval of parameters that limits and fill leave.
        smallest, largest: parameters of the smallest and largest network of the space, whatever the limits.
        impossible: further architectures, which cannot take images of this size and are counted nowhere else.
        slots: places of the space's vector.
        vectors: all vectors; `vectors_valid` those that decode to a network that takes the images; `vectors_feasible`
            those of these within the limits, as exact as `feasible`, and `vectors_share` of the valid.
        near_budget: designs from 90% to 100% of `most`; `added` those that a budget larger by a tenth would add. Both
            by parameters and activations. None without limits, and where the space is too large for exact counts.
        histogram: all designs by parameters, in bins of equal width on a logarithmic axis. If the space is too large
            for this, all beyond the bins around the budget stand in one last bin; if for that too, there is no bin.
        never: choices that no network within the limits has.
    """

    total: int
    feasible: int
    share: float
    budget: int | None
    smallest: int
    largest: int
    slots: int
    error: int
    limits: tuple[str, ...]
    fill: float
    least: int | None
    most: int | None
    impossible: int
    vectors: int
    vectors_valid: int
    vectors_feasible: int
    vectors_share: float
    near_budget: int | None
    added: int | None
    histogram: tuple[Bin, ...]
    never: tuple[Never, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values. A choice that never fits has its text, too."""
        never = [asdict(one) | {"text": one.text} for one in self.never]
        return asdict(self) | {"never": never}


def audit(space: Space, task: Task, limits: Limits | None) -> Audit:
    """Count the space; without limits everything is feasible.

    Raises:
        SpaceError: the space holds no network for such images.
    """
    menu = Menu(space, task)
    smallest, largest = Reach(menu).extreme, Reach(menu, largest=True).extreme
    if smallest is None or largest is None:
        raise SpaceError(no_network(space, task))
    designs, valid = total(menu, "designs"), total(menu, "vectors")
    edges = _edges(smallest, largest)
    near = added = None
    feasible, error, vectors = designs, 0, valid
    if limits is None:
        histogram = _histogram(smallest, edges, _counts(menu, edges) or [])
    else:
        within = menu
        if limits.max_activations is not None:
            within = Menu(space, task, max_activations=limits.max_activations)
        least, most = limits.min_params, limits.max_params
        bounds = [least - 1, most, max(least, -(-9 * most // 10)) - 1, 11 * most // 10]
        numbers, edges, upto = _counts_around(menu, within, bounds, edges, designs)
        histogram = _histogram(smallest, edges, upto)
        if numbers:
            near, added = numbers[1] - numbers[2], numbers[3] - numbers[1]
        below_and_upto = _counts(within, bounds[:2], "vectors") if numbers else None
        if numbers and below_and_upto and limits.macs is None:
            feasible, vectors = numbers[1] - numbers[0], below_and_upto[1] - below_and_upto[0]
        else:
            feasible, error, vectors = _by_draws(space, task, limits)
    return Audit(
        total=designs,
        feasible=feasible,
        share=feasible / designs,
        budget=limits.budget if limits is not None else None,
        smallest=smallest,
        largest=largest,
        slots=len(space.slots),
        error=error,
        limits=limits.texts if limits is not None else (),
        fill=limits.fill if limits is not None else 0.0,
        least=limits.min_params if limits is not None else None,
        most=limits.max_params if limits is not None else None,
        impossible=total(Menu(space, task, any_size=True), "designs") - designs,
        vectors=prod(len(slot.choices) for slot in space.slots),
        vectors_valid=valid,
        vectors_feasible=vectors,
        vectors_share=vectors / valid,
        near_budget=near,
        added=added,
        histogram=histogram,
        never=find_never(space, task, limits) if limits is not None else (),
    )


def _counts(menu: Menu, bounds: list[int], measure: Measure = "designs") -> list[int] | None:
    """How many designs have at most each number of parameters; None if they are too many to count."""
    try:
        return Tally(menu, measure).counts(bounds)
    except TooManyError:
        return None


def _counts_around(
    menu: Menu, within: Menu, bounds: list[int], edges: list[int], designs: int
) -> tuple[list[int] | None, list[int], list[int]]:
    """Counts at the bounds (of the designs `within` a limit of activations) and at as many edges as can be counted,
    with these edges and the last, up to which all designs are."""
    near = [edge for edge in edges if edge < bounds[-1]]
    for possible in (edges[:-1], near):
        # In one go where that is possible: most of the work is to make the lists.
        counts = _counts(menu, [*(bounds if within is menu else []), *possible])
        if counts is not None:
            numbers = counts[: len(bounds)] if within is menu else _counts(within, bounds)
            upto = counts[len(counts) - len(possible) :]
            return numbers, [*possible, edges[-1]], [*upto, designs]
    return None, [], []


def _edges(smallest: int, largest: int) -> list[int]:
    """The upper ends of the bins, ascending; the last is the largest."""
    ratio = largest / smallest
    edges = {round(smallest * ratio ** (number / NUM_BINS)) for number in range(1, NUM_BINS)}
    return sorted({edge for edge in edges if smallest <= edge < largest} | {largest})


def _histogram(smallest: int, edges: list[int], upto: list[int]) -> tuple[Bin, ...]:
    """The bins between the edges, of which `upto` says how many designs there are; none if it says nothing."""
    ends = pairwise([smallest - 1, *edges])
    return tuple(
        Bin(before + 1, end, number - fewer)
        for (before, end), (fewer, number) in zip(ends, pairwise([0, *upto]), strict=False)
    )


def _by_draws(space: Space, task: Task, limits: Limits) -> tuple[int, int, int]:
    """How many designs keep all limits, the standard error of that number, and how many vectors do."""
    draws = Draws(space, task, limits, "designs")
    if draws.upper <= MAX_LISTED:
        listed = list(draws.designs())
        return len(listed), 0, sum(map(space.num_vectors, listed))
    feasible, error = _estimate(draws)
    return feasible, error, _estimate(Draws(space, task, limits, "vectors"))[0]


def _estimate(draws: Draws) -> tuple[int, int]:
    rng = np.random.default_rng(0)
    kept = sum(draws.try_draw(rng) is not None for _ in range(NUM_DRAWS if draws.upper else 0))
    # In whole numbers, for there may be more designs than a float can tell.
    error = round((kept * (NUM_DRAWS - kept) / NUM_DRAWS) ** 0.5)
    return draws.upper * kept // NUM_DRAWS, draws.upper * max(error, 1) // NUM_DRAWS
