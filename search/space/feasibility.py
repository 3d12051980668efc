"""Whether a space holds a design within all limits and, if not, which limit rules all out and what can be reached."""

from bisect import bisect_left
from collections.abc import Callable

import numpy as np

from models.int8 import most_feature_map_bytes
from search.errors import SpaceError
from search.space.counting import DesignCounter, TooManyError, count_all
from search.space.draws import Draws
from search.space.extremes import Extremes
from search.space.limits import Limits, in_bytes
from search.space.parts import Parts
from search.space.space import Space, Task

NUM_DRAWS = 100  # of designs within rounded limits; one within the limits themselves is enough


def require_design(
    space: Space, task: Task, limits: Limits, data_name: str, draws: Callable[[], Draws] | None = None
) -> None:
    """Check that the space holds a design within the limits.

    Args:
        space: the search space.
        task: image size, channels and classes of the data.
        limits: what a design may cost; latency is not checked.
        data_name: what messages call the data.
        draws: gives draws within the limits, if the caller has some; called only if they are needed.

    Raises:
        SpaceError: no design is within the limits. The message names the limit that no design meets and, exactly, the
            smallest (for fill, the largest) value that can be reached; or it says that only all limits together leave
            nothing. It says the same where designs are left, but too rare for `search.space.draws` to meet one; and
            where the space's weights are why none is drawn, it says that.
    """
    smallest = Extremes(Parts(space, task)).cost
    if smallest is None:
        raise SpaceError(no_network(space, task))
    smallest_network = f"the smallest network of this space on {data_name}"
    if smallest > limits.budget:
        raise SpaceError(f"budget = {limits.budget:,}: {smallest_network} has {smallest:,} parameters")
    if limits.max_int8_bytes is not None:
        size = Extremes(Parts(space, task, ("bytes",))).cost or 0
        if size > limits.max_int8_bytes:
            limit = f"limit bytes = {limits.bytes}@int8"
            raise SpaceError(f"{limit}: {smallest_network} takes at least {size:,} bytes, scales included")
    elif smallest > limits.max_params:
        size, precision = in_bytes(smallest, limits.bytes_precision), limits.bytes_precision
        raise SpaceError(f"limit bytes = {limits.bytes}@{precision}: {smallest_network} takes {size:,} bytes")
    may_weigh_nothing = any(not share for shares in space.choice_shares.values() for share in shares)
    limited = (limits.macs, limits.max_int8_bytes, limits.activations)
    if limited == (None, None, None) and not limits.fill and not may_weigh_nothing:
        return
    drawn = draws() if draws is not None else Draws.weighed(space, task, limits)
    if _meets_design(drawn):
        return
    if space.weights is None:
        if _has_design(drawn):
            return
    # Draws in vain take long, so whether there is a design comes before whether one of any weight is met.
    elif _has_design(Draws(space, task, limits, "designs")):
        if _has_design(drawn):
            return
        raise SpaceError(
            f"weights = {space.weights.text}: leave nothing to draw, for of the networks of this space on {data_name} "
            "those within the limits weigh nothing, or too little"
        )
    # Which limit is it? The search has failed, so time no longer matters.
    if limits.macs is not None:
        macs = Extremes(Parts(space, task, ("macs",))).cost
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
    if limits.min_int8_bytes:
        within = _largest_within(Parts(space, task, ("bytes",)), limits.max_params)
        largest = None if within is None else within + most_feature_map_bytes(space.most_blocks)
        if largest is not None and largest < limits.min_int8_bytes:
            raise SpaceError(
                f"fill = {limits.fill}: asks for at least {limits.min_int8_bytes:,} bytes in int8, and no network of "
                f"this space on {data_name} within the limit takes more than {largest:,}"
            )
    elif limits.fill:
        largest = _largest_within(Parts(space, task), limits.max_params)
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
    """The message for a space without a network that takes such images."""
    if count_all(Parts(space, task, any_size=True), "designs"):
        return f"space: none of its networks takes images of {task.image_size} pixels"
    return "space: no choice of its values is a network"


def _meets_design(draws: Draws) -> bool:
    rng = np.random.default_rng(0)
    return any(draws.try_draw(rng) is not None for _ in range(NUM_DRAWS if draws.upper_bound else 0))


def _has_design(draws: Draws) -> bool:
    if draws.can_be_listed:
        return next(draws.designs(), None) is not None
    try:
        draws.draw(np.random.default_rng(0))
    except LookupError:
        return False
    return True


def _least_activations(space: Space, task: Task) -> int:
    """The lowest limit on activations, in numbers, that leaves a network of a space that holds one."""

    def is_possible(most: int) -> bool:
        return Extremes(Parts(space, task, max_activations=most)).cost is not None

    high = 1
    while not is_possible(high):
        high *= 2
    return bisect_left(range(high), True, key=is_possible)


def _largest_within(parts: Parts, most: int) -> int | None:
    """What the largest design of at most `most` costs in the parts' metric; None if there are too many to count.

    There must be one. It is the lowest bound that counts as many designs as `most` does.
    """
    counter = DesignCounter(parts)
    try:
        number = counter.count(most)
    except TooManyError:
        return None
    return bisect_left(range(most), True, key=lambda bound: counter.count(bound) == number)
