"""Whether a space holds a design within all limits, and if not, which limit is to blame and what could be reached."""

from collections.abc import Callable

import numpy as np

from search.errors import SpaceError
from search.space.draws import Draws
from search.space.extremes import Reach
from search.space.limits import Limits, in_bytes
from search.space.menu import Menu
from search.space.space import Space, Task
from search.space.tally import Tally, TooManyError, total

NUM_DRAWS = 100  # of designs within rounded limits, of which one within the limits is enough
MAX_LISTED = 20_000  # of vectors: as many as can be tried one by one where draws have met none


def require_design(
    space: Space, task: Task, limits: Limits, data_name: str, draws: Callable[[], Draws] | None = None
) -> None:
    """`draws` gives draws within the limits, if the caller has some; they are asked for only if they are needed.

    Raises:
        SpaceError: no design is within the limits. The message names the limit that no design meets and, exactly, the
            smallest (for fill, the largest) that can be reached; or it says that only all limits together leave
            nothing. Of limits that leave designs too rare to be met by `search.space.draws` it says the same.
    """
    smallest = Reach(Menu(space, task)).extreme
    if smallest is None:
        raise SpaceError(no_network(space, task))
    smallest_network = f"the smallest network of this space on {data_name}"
    if smallest > limits.budget:
        raise SpaceError(f"budget = {limits.budget:,}: {smallest_network} has {smallest:,} parameters")
    if smallest > limits.max_params:
        size, precision = in_bytes(smallest, limits.bytes_precision), limits.bytes_precision
        raise SpaceError(f"limit bytes = {limits.bytes}@{precision}: {smallest_network} takes {size:,} bytes")
    if limits.macs is None and limits.activations is None and not limits.fill:
        return
    if _has_design(draws() if draws is not None else Draws(space, task, limits)):
        return
    # Which limit is it? The search has failed, so that time matters no more.
    if limits.macs is not None:
        macs = Reach(Menu(space, task, ("macs",))).extreme
        assert macs is not None
        if macs > limits.macs:
            raise SpaceError(f"limit macs = {limits.macs:,}: {smallest_network} needs {macs:,} multiply-accumulates")
    if limits.max_activations is not None:
        peak = _least_activations(space, task)
        if peak > limits.max_activations:
            size, precision = in_bytes(peak, limits.activations_precision), limits.activations_precision
            raise SpaceError(
                f"limit activations = {limits.activations}@{precision}: {smallest_network} needs {size:,} bytes of them"
            )
    if limits.fill:
        largest = _largest_within(Menu(space, task), limits.max_params)
        if largest is not None and largest < limits.min_params:
            raise SpaceError(
                f"fill = {limits.fill}: asks for at least {limits.min_params:,} parameters, and the largest network "
                f"of this space on {data_name} within the budget has {largest:,}"
            )
    texts = [f"budget={limits.budget}", *limits.texts, *([f"fill={limits.fill}"] if limits.fill else [])]
    raise SpaceError(
        f"limits = {', '.join(texts)}: no network of this space on {data_name} was found to keep them all, "
        "though each can be kept by itself"
    )


def no_network(space: Space, task: Task) -> str:
    """What to say of a space without a network for such images."""
    if total(Menu(space, task, any_size=True), "designs"):
        return f"space: none of its networks takes images of {task.image_size} pixels"
    return "space: no choice of its values is a network"


def _has_design(draws: Draws) -> bool:
    rng = np.random.default_rng(0)
    if any(draws.try_draw(rng) is not None for _ in range(NUM_DRAWS if draws.upper else 0)):
        return True
    if draws.upper <= MAX_LISTED:
        return next(draws.designs(), None) is not None
    try:
        draws.draw(rng)
    except LookupError:
        return False
    return True


def _least_activations(space: Space, task: Task) -> int:
    """The least limit of activations that leaves a network, by halving."""

    def is_possible(most: int) -> bool:
        return Reach(Menu(space, task, max_activations=most)).extreme is not None

    low, high = 0, 1
    while not is_possible(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_possible(middle) else (middle, high)
    return high


def _largest_within(menu: Menu, most: int) -> int | None:
    """Parameters of the largest design of at most `most`, of which there is one: the least number that as many keep.
    None if there are too many to count."""
    tally = Tally(menu)
    try:
        number = tally.count(most)
    except TooManyError:
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if tally.count(middle) == number else (middle, high)
    return high
