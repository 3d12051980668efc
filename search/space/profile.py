"""What random draws from a space look like: their stages, layers, multiply-accumulates and parameters."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from models.count import count_macs, count_parameters
from search.space.draws import Draws
from search.space.extremes import Extremes
from search.space.limits import Limits
from search.space.parts import Parts
from search.space.space import Space, Task

NUM_DRAWS = 1_000
NUM_BINS = 8


@dataclass(frozen=True, slots=True)
class Bin:
    """How many draws have from `low` to `high` of something."""

    low: int
    high: int
    draws: int


@dataclass(frozen=True, slots=True)
class Spread:
    """How one number of a network is spread over the draws: its quantiles, which are numbers of draws, and a histogram.

    The bins are of equal width, on a logarithmic axis where the largest number is more than ten times the smallest.
    """

    p5: int
    p50: int
    p95: int
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """The spreads of a number of draws.

    Attributes:
        number: of draws.
        weights: how they were weighed, in words.
        are_limited: whether they were within limits; else within the space alone.
        stages: the number of stages.
        layers: weighted layers as papers count them.
        macs: multiply-accumulates for one image.
        params: parameters.
    """

    number: int
    weights: str
    are_limited: bool
    stages: Spread
    layers: Spread
    macs: Spread
    params: Spread

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def profile(space: Space, task: Task, limits: Limits | None, number: int = NUM_DRAWS) -> Profile | None:
    """What random draws look like, as a search makes them; the same in every call. None if none can be made.

    Without limits they are from the whole space.
    """
    whole = Limits(Extremes(Parts(space, task), largest=True).cost or 1)
    draws, rng = Draws.weighed(space, task, limits or whole), np.random.default_rng(0)
    try:
        designs = [draws.draw(rng) for _ in range(number)]
    except LookupError:
        return None
    return Profile(
        number,
        space.weights.text if space.weights is not None else "all vectors of choices alike",
        limits is not None,
        _spread([len(design.stages) for design in designs], space.num_stages),
        _spread([design.depth for design in designs]),
        _spread([count_macs(design, task.image_size) for design in designs]),
        _spread([count_parameters(design) for design in designs]),
    )


def _spread(values: Sequence[int], choices: Sequence[int] | None = None) -> Spread:
    """Of at least one value; with `choices`, each of these has a bin."""
    p5, p50, p95 = (int(value) for value in np.quantile(values, (0.05, 0.5, 0.95), method="inverted_cdf"))
    ends = list(choices) if choices is not None else _ends(min(values), max(values))
    lows = ends if choices is not None else [min(values), *(end + 1 for end in ends[:-1])]
    numbers = np.diff(np.searchsorted(np.sort(values), ends, side="right"), prepend=0).tolist()
    return Spread(p5, p50, p95, tuple(Bin(*bin) for bin in zip(lows, ends, numbers, strict=True)))


def _ends(smallest: int, largest: int) -> list[int]:
    """The last whole number of each bin, in ascending order."""
    space = np.geomspace if largest > 10 * smallest else np.linspace
    ends = space(smallest, largest, NUM_BINS + 1)[1:-1]
    return sorted({int(end) for end in ends} | {largest})
