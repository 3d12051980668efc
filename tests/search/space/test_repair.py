"""Vectors that break limits, moved to vectors near them that do not."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.architecture import ArchitectureError
from models.count import count_parameters
from search.space.limits import Limits
from search.space.repair import repair
from search.space.space import Space, Task, load_space

TASK = Task(32, 3, 10)
DEFAULT = load_space()
# How many of 100 vectors can be moved at least. Several limits that pull apart leave few ways.
LIMITS = {
    Limits(5_000_000): 95,
    Limits(300_000): 90,
    Limits(1_000_000, fill=0.9): 75,
    Limits(1_000_000, macs=30_000_000): 90,
    Limits(10**9, bytes=300_000, bytes_precision="int8", fill=0.8): 75,
    Limits(5_000_000, activations=200_000): 60,
    Limits(500_000, macs=20_000_000, activations=200_000, fill=0.5): 20,
}


def random_vector(rng: random.Random, space: Space = DEFAULT) -> dict[str, Any]:
    return {slot.name: slot.value(rng.randrange(len(slot.choices))) for slot in space.slots}


@pytest.mark.parametrize(("limits", "at_least"), LIMITS.items(), ids=map(str, LIMITS))
def test_what_is_moved_is_within_the_limits_and_most_vectors_can_be(limits: Limits, at_least: int) -> None:
    rng, moved = random.Random(1), 0
    for _ in range(100):
        repaired = repair(DEFAULT, TASK, limits, random_vector(rng), np.random.default_rng(0))
        if repaired is not None:
            moved += 1
            assert repaired.keys() == DEFAULT.distributions.keys()
            assert limits.admits(DEFAULT.decode(repaired, TASK), 32)
    assert moved >= at_least


def test_a_vector_within_the_limits_is_left_as_it_is() -> None:
    rng, unchanged = random.Random(2), 0
    for _ in range(200):
        vector = random_vector(rng)
        try:
            fits = count_parameters(DEFAULT.decode(vector, TASK)) <= 5_000_000
        except ArchitectureError:
            continue
        if fits:
            unchanged += 1
            assert repair(DEFAULT, TASK, Limits(5_000_000), vector, np.random.default_rng(0)) == vector
    assert unchanged > 5


def test_the_number_of_stages_the_kinds_of_block_the_shortcut_and_dropout_are_kept() -> None:
    rng = random.Random(3)
    kept = [name for name in DEFAULT.distributions if name in ("num_stages", "shortcut", "dropout") or "block" in name]
    assert len(kept) == 7
    for _ in range(50):
        vector = random_vector(rng)
        repaired = repair(DEFAULT, TASK, Limits(2_000_000), vector, np.random.default_rng(0))
        if repaired is not None:
            assert [repaired[name] for name in kept] == [vector[name] for name in kept]


def test_widths_that_break_the_rule_are_raised_and_no_other_if_the_limits_are_wide() -> None:
    rng = random.Random(4)
    for _ in range(50):
        vector = random_vector(rng)
        repaired = repair(DEFAULT, TASK, Limits(10**12), vector, np.random.default_rng(0))
        assert repaired is not None
        for name, value in repaired.items():
            assert value == vector[name] or (name.endswith("_width") and value > vector[name])


def test_a_last_stage_that_may_narrow_is_not_raised() -> None:
    tiny, rng, narrow = load_space(Path("tiny")), random.Random(5), 0
    for _ in range(300):
        vector = random_vector(rng, tiny)
        try:
            before, last = tiny.decode(vector, TASK).stages[-2:]
        except ArchitectureError:
            continue
        repaired = repair(tiny, TASK, Limits(10**12), vector, np.random.default_rng(0))
        assert repaired == vector
        narrow += last.width < before.width
    assert narrow > 10


def test_absent_stages_are_not_moved() -> None:
    vector = dict.fromkeys(DEFAULT.distributions, 0) | {"num_stages": 0, "shortcut": "B"}
    vector |= {f"stage{number}_block": "basic" for number in range(1, 5)} | {"stage2_width": 14, "stage2_depth": 17}
    repaired = repair(DEFAULT, TASK, Limits(100_000), vector, np.random.default_rng(0))
    assert repaired is not None
    assert all(repaired[name] == vector[name] for name in repaired if name.startswith(("stage3", "stage4")))
    assert repaired != vector


def test_what_cannot_be_moved_into_the_limits_is_given_up() -> None:
    small = Space.model_validate(
        {"stem": {"width": [4, 8]}, "num_stages": 1, "stage": {"block": "basic", "depth": [1, 2], "width": [8, 16]}}
    )
    vector = dict.fromkeys(small.distributions, 1)
    assert repair(small, TASK, Limits(100), vector, np.random.default_rng(0)) is None
    assert repair(small, TASK, Limits(10**9, fill=1.0), vector, np.random.default_rng(0)) is None


def test_the_same_seed_moves_the_same_way() -> None:
    vector = random_vector(random.Random(5)) | {"num_stages": 2}
    first, again = (repair(DEFAULT, TASK, Limits(50_000), vector, np.random.default_rng(6)) for _ in range(2))
    assert first == again is not None
