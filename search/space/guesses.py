"""The guesses: networks that anybody would try without a search, as large as the limits allow.

`guess-N` has three stages of N basic blocks and `guess-Nx4` has four; the widths double from stage to stage, and the
stem is as wide as the first stage. N is 1, 2, 3, 5, 9 or 18, which makes ResNet-8 to ResNet-110 of three stages (He et
al. 2015, https://arxiv.org/abs/1512.03385). Kernels are 3x3, shortcuts 1x1 convolutions with BatchNorm, and there is no
dropout. A name stands for one network a space, task and limits: the widest that the space holds and the limits admit.

A space that lacks one of these values has guesses all the same, with what it holds instead: of blocks bottleneck; of
shortcuts b, then A; of kernels, strides, paddings and dropouts the smallest; of widths and depths the next below, if
there is one. A network whose widths double is preferred to a wider one whose do not. In a space of neither three nor
four stages guesses have the number that is nearest to three, S, and are called `guess-NxS`; where it has none of these
depths, N are those it has.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from math import log
from typing import TypeVar

from models.architecture import Architecture, ArchitectureError, Stage, Stem
from models.baselines import BASELINES, find_baseline
from models.count import count_macs, count_parameters, parts
from models.int8 import count_int8_bytes
from search.quantities import plural
from search.space.limits import Limits, used
from search.space.space import Space, Task

BEST_GUESS = "guess"  # the name that stands for the best of a study's guesses
RECIPE = "full"
DEPTHS = (1, 2, 3, 5, 9, 18)
NUM_STAGES = (3, 4)
NUM_FIRST = 4
MAX_FIRST_DEPTH = 5
MIN_SHARE = 0.5
MIN_LAST_MAP = 4  # pixels

_NAME = re.compile(r"guess-(\d+)(?:x(\d+))?")
Value = TypeVar("Value")


def guesses(space: Space, task: Task, limits: Limits) -> dict[str, Architecture]:
    """The guesses within the limits (all but fill and latency) by name, in canonical form: those of three stages first,
    the shallow before the deep. Names that stand for one network are given once. Empty where none fits."""
    most = replace(limits, fill=0.0)
    family: dict[str, Architecture] = {}
    for name, networks in _by_name(space, task, most).items():
        network = next(networks, None)
        if network is not None and network not in family.values():
            family[name] = network
    return family


def first_guesses(family: Mapping[str, Architecture], task: Task, limits: Limits) -> dict[str, Architecture]:
    """The few guesses that a search begins with, the shallow before the deep: at most `NUM_FIRST`.

    Those that use less than half of what they may (see `used`) are left out, and so are those of many blocks a stage,
    which are narrow; where all do or are, the largest alone is taken. Left out are also those whose last maps are
    smaller than `MIN_LAST_MAP`, if others have larger ones. The shallowest of three and of four stages come first, then
    always the one whose number of layers differs most, by its ratio, from all that are there.
    """
    large = {
        name: network
        for name, network in family.items()
        if used(network, limits.max_params, limits.max_int8_bytes)[0] >= MIN_SHARE
        and network.stages[0].depth <= MAX_FIRST_DEPTH
    }
    if not large:
        return dict([max(family.items(), key=lambda item: count_parameters(item[1]))] if family else [])
    maps = {name: parts(network, task.image_size)[-2].size for name, network in large.items()}  # before the head
    smallest = min(MIN_LAST_MAP, max(maps.values()))
    large = {name: network for name, network in large.items() if maps[name] >= smallest}
    shallowest: dict[int, str] = {}
    for name, network in large.items():
        shallowest.setdefault(len(network.stages), name)
    chosen = [*shallowest.values()][:NUM_FIRST]
    while len(chosen) < min(NUM_FIRST, len(large)):
        rest = [name for name in large if name not in chosen]
        chosen.append(max(rest, key=lambda name: min(_depth_ratio(large[name], large[other]) for other in chosen)))
    return {name: family[name] for name in sorted(chosen, key=lambda name: family[name].depth)}


def _depth_ratio(first: Architecture, second: Architecture) -> float:
    return abs(log(first.depth / second.depth))


def is_guess(name: str) -> bool:
    """Whether a baseline of this name is a guess."""
    return name == BEST_GUESS or _NAME.fullmatch(name) is not None


def usual_name(name: str) -> str:
    """The name under which a guess is known: guess-2 for guess-2x3; any other name as it is."""
    match = _NAME.fullmatch(name)
    return _name(int(match[1]), int(match[2] or 3)) if match else name


def find_hand_made(name: str, space: Space, task: Task, limits: Limits) -> Architecture:
    """The network of a baseline of `models.baselines`, for such images, or of a guess.

    Raises:
        ArchitectureError: there is no such network, or none within the limits; the message offers the nearest names.
    """
    if name in BASELINES:
        return find_baseline(name, task.in_channels, task.num_classes)
    family = guesses(space, task, limits)
    usual = usual_name(name)
    if usual in family:
        return family[usual]
    if usual in _by_name(space, task):
        there = f"there are {', '.join(family)}" if family else no_guess(space, task, limits)
        raise ArchitectureError(f"baseline = {name!r}: no such network is within the limits; {there}")
    if is_guess(name):
        there = f"there are {', '.join(family)}" if family else no_guess(space, task, limits)
        raise ArchitectureError(f"baseline = {name!r}: no such guess; {there}")
    names = [*BASELINES, BEST_GUESS, *family]
    near = get_close_matches(name, names, n=3, cutoff=0.5) or names
    raise ArchitectureError(f"baseline = {name!r}: no such baseline; there are {', '.join(near)}")


def no_guess(space: Space, task: Task, limits: Limits) -> str:
    """Why no guess is within the limits, in words."""
    costs: list[tuple[int, int, int]] = []
    for networks in _by_name(space, task).values():
        for network in networks:
            try:
                macs = count_macs(network, task.image_size)
                costs.append((count_parameters(network), macs, count_int8_bytes(network)))
            except ArchitectureError:  # it cannot take the images
                continue
    if not costs:
        return f"the space holds no guess for images of {plural(task.image_size, 'pixel')}"
    texts = ", ".join((f"budget={limits.budget}", *limits.texts))
    params, macs, num_bytes = min(costs)
    in_int8 = f", {num_bytes:,} bytes in int8" if limits.max_int8_bytes is not None else ""
    return f"no guess is within {texts}: the smallest has {params:,} parameters{in_int8} and {macs:,} MACs"


def _by_name(space: Space, task: Task, limits: Limits | None = None) -> dict[str, Iterator[Architecture]]:
    """The networks of the space that each name may stand for, within the limits if there are any, the preferred
    first."""
    counts = [count for count in NUM_STAGES if count in space.num_stages]
    networks = {}
    for num_stages in counts or [min(space.num_stages, key=lambda count: abs(count - NUM_STAGES[0]))]:
        offered = set.intersection(*(set(space.stage_choices(index).depth) for index in range(num_stages)))
        for depth in [depth for depth in DEPTHS if depth in offered] or sorted(offered) or DEPTHS:
            networks[_name(depth, num_stages)] = _networks(space, task, depth, num_stages, limits)
    return networks


def _name(depth: int, num_stages: int) -> str:
    return f"guess-{depth}" if num_stages == NUM_STAGES[0] else f"guess-{depth}x{num_stages}"


def _networks(space: Space, task: Task, depth: int, num_stages: int, limits: Limits | None) -> Iterator[Architecture]:
    """Networks of the space, within the limits if there are any, by the number of widths that are not doubled, the
    widest first."""
    by_preference = []
    for width in space.stage_choices(0).width:
        wanted = [width * 2**index for index in range(num_stages)]
        widths = [_next_below(space.stage_choices(index).width, wanted[index]) for index in range(num_stages)]
        stem_width = _next_below(space.stem.width, width)
        departures = sum(own != other for own, other in zip([stem_width, *widths], [width, *wanted], strict=True))
        by_preference.append((departures, -width, stem_width, widths))
    for _, _, stem_width, widths in sorted(by_preference):
        try:
            network = _network(space, task, depth, stem_width, widths)
        except ArchitectureError:
            continue
        if (limits is None or limits.admits(network, task.image_size)) and space.holds(network, task):
            yield network


def _network(space: Space, task: Task, depth: int, stem_width: int, widths: list[int]) -> Architecture:
    stem = space.stem
    sizes = _preferred(stem.kernel, 3), _preferred(stem.stride, 1), _preferred(stem.padding, 1)
    stages = tuple(_stage(space, index, depth, width) for index, width in enumerate(widths))
    shortcut = _preferred(space.shortcut, "B", "b")
    return Architecture(
        Stem(stem_width, *sizes),
        stages,
        shortcut,
        *task[1:],
        preactivation=_preferred(space.preactivation, False),
        activation=_preferred(space.activation, "relu"),
        head_width=_preferred(space.head_width, None),
    ).canonical()


def _stage(space: Space, index: int, depth: int, width: int) -> Stage:
    choices = space.stage_choices(index)
    return Stage(
        _preferred(choices.block, "basic"),
        _next_below(choices.depth, depth),
        width,
        _preferred(choices.kernel, 3),
        _preferred(space.dropout, 0.0),
        _preferred(choices.reduction, 4),
        _preferred(choices.even_kernel, "average-pool"),  # which every block can have
        _preferred(choices.stride, None, 2 if index else 1),
        _preferred(choices.group_width, None),
        _preferred(choices.expansion, 6),
        _preferred(choices.squeeze_excitation, None),
    )


def _preferred(choices: Sequence[Value], *wanted: Value) -> Value:
    """The first that the choices hold, else their first: of numbers the smallest."""
    return next((value for value in wanted if value in choices), choices[0])


def _next_below(choices: Sequence[int], wanted: int) -> int:
    """The largest choice that is not above, else the smallest of all."""
    return max((value for value in choices if value <= wanted), default=choices[0])
