"""Small spaces of many kinds, each with a list of all its designs, made by trying all vectors: the reference for
everything that counts or draws without listing. As fixtures: a test that uses `listing` runs for every space."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import prod
from typing import Any

import pytest

from models.architecture import Architecture, ArchitectureError
from models.count import count_macs, count_parameters, peak_activations
from models.int8 import count_int8_bytes
from search.space.draws import prepare
from search.space.limits import Limits
from search.space.space import Space, Task

TASK = Task(14, 3, 7)  # an even kernel of stride 2 meets 14 pixels, which it can halve, and then 7, which it cannot

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
    "inverted blocks, strides and shortcuts": {
        "stem": {"width": [4, 8]},
        "num_stages": [1, 2],
        "stage": {
            "block": ["basic", "inverted"],
            "depth": 2,
            "width": [4, 8],
            "stride": [1, "none"],
            "expansion": [1, 3],
        },
        "shortcut": ["A", "B"],
    },
    "groups and gates": {
        "stem": {"width": 4},
        "num_stages": [1, 2],
        "stage": {
            "block": ["basic", "bottleneck"],
            "depth": 1,
            "width": [8, 24],
            "reduction": [2, 4],
            "group_width": ["none", 1, 4],
            "squeeze_excitation": ["none", 7, 8],
        },
    },
    "heads, preactivation and a narrow end": {
        "stem": {"width": [4, 8]},
        "num_stages": [1, 2, 3],
        "stage": {"block": ["basic", "inverted"], "depth": 1, "width": [4, 8]},
        "shortcut": ["b", "A"],
        "preactivation": [True, False],
        "activation": ["relu", "gelu"],
        "head_width": ["none", 6],
        "rules": {"non_decreasing_width": True, "last_may_narrow": True},
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
    overrides = values.pop("overrides", {})
    if prod(len(slot.choices) for slot in Space.model_validate(values).slots) > 3_000:
        values["num_stages"] = [1, 2]
    most = max(values["num_stages"])
    return values | {"overrides": {stage: choices for stage, choices in overrides.items() if stage <= most}}


SPACES |= {f"random {seed}": random_space(seed) for seed in range(12)}


@dataclass(frozen=True)
class Cost:
    """What a design costs, and how many vectors decode to it."""

    params: int
    macs: int
    peak: int
    int8_bytes: int
    vectors: int


@dataclass(frozen=True)
class Listing:
    """A space, all its designs that take images of the task, and how many others there are."""

    name: str
    space: Space
    task: Task
    designs: dict[Architecture, Cost]
    num_impossible: int

    def within(self, limits: Limits) -> dict[Architecture, Cost]:
        """The designs within the limits, by comparing their costs one by one."""
        of_bytes = limits.bytes_precision == "int8" and (limits.bytes or limits.budget + 1) <= limits.budget
        filled = limits.fill * ((limits.bytes or 0) if of_bytes else limits.budget)
        return {
            design: cost
            for design, cost in self.designs.items()
            if cost.params <= limits.budget
            and (cost.int8_bytes if of_bytes else cost.params) >= filled
            and (limits.macs is None or cost.macs <= limits.macs)
            and (limits.max_int8_bytes is None or cost.int8_bytes <= limits.max_int8_bytes)
            and (limits.activations is None or 4 * cost.peak <= limits.activations)
        }

    def at(self, share: float, cost: str = "params") -> int:
        """The cost of the design at that share of all, in the order of that cost."""
        costs = sorted(getattr(costs, cost) for costs in self.designs.values()) or [1_000]
        return costs[round(share * (len(costs) - 1))]


@cache
def _listed(name: str, task: Task) -> Listing:
    space = Space.model_validate(SPACES[name])
    num_vectors: Counter[Architecture] = Counter()
    for indices in product(*(range(len(slot.choices)) for slot in space.slots)):
        vector = {slot.name: slot.value(index) for slot, index in zip(space.slots, indices, strict=True)}
        try:
            num_vectors[space.decode(vector, task)] += 1
        except ArchitectureError:
            continue
    designs, size = {}, task.image_size
    for design, number in num_vectors.items():
        try:
            costs = count_parameters(design), count_macs(design, size), peak_activations(design, size)
        except ArchitectureError:
            continue
        designs[design] = Cost(*costs, count_int8_bytes(design), number)
    return Listing(name, space, task, designs, len(num_vectors) - len(designs))


@pytest.fixture(params=SPACES)
def listing(request: pytest.FixtureRequest) -> Listing:
    """Every space in turn."""
    return _listed(request.param, TASK)


@pytest.fixture
def list_space() -> Callable[..., Listing]:
    """Lists a space by its name."""
    return lambda name, task=TASK: _listed(name, task)


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Sets how many cells an axis of tables has, until the test is over."""

    def change(number: int) -> None:
        for name in ("CELLS", "MOST_CELLS"):
            monkeypatch.setattr(f"search.space.completion_tables.{name}", {1: number, 2: number})
        prepare.cache_clear()

    yield change
    prepare.cache_clear()
