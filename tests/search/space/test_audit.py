"""What a budget leaves of a space."""

from typing import Any

import pytest

from models.architecture import Architecture, Stage, Stem
from models.count import count_parameters
from search.errors import SpaceError
from search.space.audit import audit
from search.space.space import Space, Task, load_space

TASK = Task(32, 3, 10)


def space(**stage: Any) -> Space:
    return Space.model_validate(
        {"stem": {"width": 8}, "num_stages": [1, 2], "stage": {"block": "basic", "depth": 1, "width": 8} | stage}
    )


def network(*widths: int) -> int:
    """Parameters of a network of one basic block a stage."""
    return count_parameters(Architecture(Stem(8), tuple(Stage("basic", 1, width) for width in widths)))


def test_without_a_budget_everything_is_feasible() -> None:
    found = audit(space(width=[8, 16]), TASK, None)
    assert (found.total, found.feasible, found.share, found.budget) == (6, 6, 1.0, None)
    assert (found.smallest, found.largest) == (network(8), network(16, 16))


def test_a_budget_leaves_the_designs_of_at_most_that_size() -> None:
    sizes = sorted(network(*widths) for widths in ((8,), (16,), (8, 8), (8, 16), (16, 8), (16, 16)))
    for number, size in enumerate(sizes):
        found = audit(space(width=[8, 16]), TASK, size)
        assert (found.total, found.feasible, found.budget) == (6, number + 1, size)
        assert found.share == pytest.approx((number + 1) / 6)
        assert (found.smallest, found.largest) == (sizes[0], sizes[-1])  # of the space, whatever the budget
    assert audit(space(width=[8, 16]), TASK, sizes[0] - 1).feasible == 0


def test_classes_and_channels_of_the_data_count() -> None:
    few, many = (audit(space(), Task(32, channels, classes), None) for channels, classes in ((1, 10), (3, 100)))
    assert many.smallest - few.smallest == 2 * 8 * 9 + 90 * 9


def test_slots_are_the_fields_with_a_choice() -> None:
    assert audit(space(), TASK, None).slots == 1
    assert audit(space(width=[8, 16], depth=[1, 2]), TASK, None).slots == 5


def test_a_space_without_a_network_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"^space: no choice of its values is a network$"):
        audit(space(block="bottleneck", kernel=2), TASK, 5_000_000)


def test_the_audit_as_values_has_what_scripts_rely_on() -> None:
    found = audit(space(), TASK, 5_000_000)
    assert found.as_dict() == {
        "total": 2,
        "feasible": 2,
        "share": 1.0,
        "budget": 5_000_000,
        "smallest": network(8),
        "largest": network(8, 8),
        "slots": 1,
    }


def test_the_default_space_holds_more_than_a_billion_designs() -> None:
    found = audit(load_space(), TASK, None)
    assert found.total == found.feasible > 10**9
    assert found.slots == 20
    assert found.smallest < 5_000_000 < found.largest
