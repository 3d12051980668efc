"""The audit of a space: how many networks it holds and how many of them limits leave, before anything is trained."""

from dataclasses import asdict, dataclass
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from search.errors import SpaceError
from search.space.counting import DesignCounter, TooManyError, count_all
from search.space.draws import Draws
from search.space.extremes import Extremes
from search.space.feasibility import no_network
from search.space.impossible_choices import ImpossibleChoice, find_impossible_choices
from search.space.limits import Limits
from search.space.parts import Measure, Parts
from search.space.space import Space, Task

NUM_BINS = 20
NUM_DRAWS = 1_000


@dataclass(frozen=True, slots=True)
class Bin:
    """How many designs of the space have from `low` to `high` parameters."""

    low: int
    high: int
    designs: int


@dataclass(frozen=True, slots=True)
class Audit:
    """What a space holds, in whole numbers. All are exact where `error` is 0.

    Attributes:
        total: different architectures that take images of the task.
        feasible: those of them within all limits but latency.
        share: `feasible` / `total`.
        budget: the limit on parameters; None without limits.
        smallest: parameters of the smallest network of the space, whatever the limits.
        largest: parameters of its largest.
        slots: the length of the space's vector.
        error: standard error of `feasible`: 0 (it is exact) unless MACs or bytes in int8 are limited as well and too
            many designs keep these limits to be listed, or the space is too large for an exact count. `feasible` is
            then the exact number of designs within limits rounded to cells, times the share of `NUM_DRAWS` uniform
            draws among these that keep the limits themselves.
        limits: the other limits as texts.
        fill: the least share to be used, see `Limits`.
        least: the fewest parameters that fill leaves; 0 where it is a share of bytes.
        most: the most.
        impossible: further architectures, which cannot take images of this size and are counted nowhere else.
        vectors: all vectors.
        vectors_valid: those that decode to a network that takes the images.
        vectors_feasible: those of them within the limits, as exact as `feasible`.
        vectors_share: `vectors_feasible` / `vectors_valid`.
        near_budget: designs of 90% (or `fill`, if that is more) to 100% of `most` parameters, within the limit on
            activations. None without limits, and where the space is too large for exact counts.
        added: designs that a budget larger by a tenth would add, likewise.
        histogram: all designs by parameters, in bins of equal width on a logarithmic axis. Where the space is too large
            for that, the last bin holds all beyond the bins around the budget; where even that is too much, there are
            no bins.
        impossible_choices: choices that no network within the limits has; `never` in `as_dict`.
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
    impossible_choices: tuple[ImpossibleChoice, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as `nas space --format json` prints them. An impossible choice comes with its text."""
        values = asdict(self)
        del values["impossible_choices"]
        return values | {"never": [asdict(choice) | {"text": choice.text} for choice in self.impossible_choices]}


def audit(space: Space, task: Task, limits: Limits | None) -> Audit:
    """What the space holds and what the limits leave of it. Without limits everything is feasible.

    Raises:
        SpaceError: the space holds no network for such images.
    """
    parts = Parts(space, task)
    smallest, largest = Extremes(parts).cost, Extremes(parts, largest=True).cost
    if smallest is None or largest is None:
        raise SpaceError(no_network(space, task))
    designs, valid = count_all(parts, "designs"), count_all(parts, "vectors")
    edges = _edges(smallest, largest)
    near = added = None
    feasible, error, vectors = designs, 0, valid
    if limits is None:
        histogram = _histogram(smallest, edges, _counts(parts, edges) or [])
    else:
        within = parts
        if limits.max_activations is not None:
            within = Parts(space, task, max_activations=limits.max_activations)
        least, most = limits.min_params, limits.max_params
        bounds = [least - 1, most, max(least, -(-9 * most // 10)) - 1, 11 * most // 10]
        numbers, edges, upto = _counts_around(parts, within, bounds, edges, designs)
        histogram = _histogram(smallest, edges, upto)
        if numbers:
            near, added = numbers[1] - numbers[2], numbers[3] - numbers[1]
        below_and_upto = _counts(within, bounds[:2], "vectors") if numbers else None
        if numbers and below_and_upto and limits.macs is None and limits.max_int8_bytes is None:
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
        impossible=count_all(Parts(space, task, any_size=True), "designs") - designs,
        vectors=prod(len(slot.choices) for slot in space.slots),
        vectors_valid=valid,
        vectors_feasible=vectors,
        vectors_share=vectors / valid,
        near_budget=near,
        added=added,
        histogram=histogram,
        impossible_choices=find_impossible_choices(space, task, limits) if limits is not None else (),
    )


def _counts(parts: Parts, bounds: list[int], measure: Measure = "designs") -> list[int] | None:
    """The number of designs (or vectors) of at most so many parameters, for each bound; None if there are too many."""
    try:
        return DesignCounter(parts, measure).counts(bounds)
    except TooManyError:
        return None


def _counts_around(
    parts: Parts, within: Parts, bounds: list[int], edges: list[int], designs: int
) -> tuple[list[int] | None, list[int], list[int]]:
    """Counts at the bounds, and at as many edges as can be counted.

    Returns:
        The counts at the bounds, of the designs `within` a limit on activations, or None; the edges that were counted,
        and the last; the number of all designs up to each of these.
    """
    near = [edge for edge in edges if edge < bounds[-1]]
    for possible in (edges[:-1], near):
        # At once where that is possible: most of the work is making the lists.
        counts = _counts(parts, [*(bounds if within is parts else []), *possible])
        if counts is not None:
            numbers = counts[: len(bounds)] if within is parts else _counts(within, bounds)
            upto = counts[len(counts) - len(possible) :]
            return numbers, [*possible, edges[-1]], [*upto, designs]
    return None, [], []


def _edges(smallest: int, largest: int) -> list[int]:
    """The upper ends of the bins, in ascending order; the last is `largest`."""
    ratio = largest / smallest
    edges = {round(smallest * ratio ** (number / NUM_BINS)) for number in range(1, NUM_BINS)}
    return sorted({edge for edge in edges if smallest <= edge < largest} | {largest})


def _histogram(smallest: int, edges: list[int], upto: list[int]) -> tuple[Bin, ...]:
    """The bins that end at the edges, up to which there are `upto` designs; none if `upto` is empty."""
    ends = pairwise([smallest - 1, *edges])
    return tuple(
        Bin(before + 1, end, number - fewer)
        for (before, end), (fewer, number) in zip(ends, pairwise([0, *upto]), strict=False)
    )


def _by_draws(space: Space, task: Task, limits: Limits) -> tuple[int, int, int]:
    """The number of designs within all limits, its standard error, and the number of vectors within them."""
    draws = Draws(space, task, limits, "designs")
    if draws.can_be_listed:
        listed = list(draws.designs())
        return len(listed), 0, sum(map(space.num_vectors, listed))
    feasible, error = _estimate(draws)
    return feasible, error, _estimate(Draws(space, task, limits, "vectors"))[0]


def _estimate(draws: Draws) -> tuple[int, int]:
    """The number of designs or vectors within the limits, and its standard error."""
    rng = np.random.default_rng(0)
    kept = sum(draws.try_draw(rng) is not None for _ in range(NUM_DRAWS if draws.upper_bound else 0))
    # In whole numbers, since there may be more designs than a float can count.
    error = round((kept * (NUM_DRAWS - kept) / NUM_DRAWS) ** 0.5)
    bound = int(draws.upper_bound)
    return bound * kept // NUM_DRAWS, bound * max(error, 1) // NUM_DRAWS
