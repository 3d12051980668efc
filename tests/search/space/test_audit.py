"""What limits leave of a space."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from models.architecture import Architecture, Stage, Stem
from models.count import count_parameters
from search.errors import SpaceError
from search.space.audit import audit
from search.space.extremes import Choice
from search.space.limits import Limits
from search.space.space import Space, Task, load_space

TASK = Task(32, 3, 10)


def space(**stage: Any) -> Space:
    return Space.model_validate(
        {"stem": {"width": 8}, "num_stages": [1, 2], "stage": {"block": "basic", "depth": 1, "width": 8} | stage}
    )


def network(*widths: int) -> int:
    """Parameters of a network of one basic block a stage."""
    return count_parameters(Architecture(Stem(8), tuple(Stage("basic", 1, width) for width in widths)))


def test_without_limits_everything_is_feasible() -> None:
    counts = audit(space(width=[8, 16]), TASK, None)
    assert (counts.total, counts.feasible, counts.share, counts.budget) == (6, 6, 1.0, None)
    assert (counts.smallest, counts.largest) == (network(8), network(16, 16))
    assert (counts.vectors, counts.vectors_valid, counts.vectors_feasible) == (8, 8, 8)
    assert (counts.near_budget, counts.added, counts.impossible_choices) == (None, None, ())


def test_a_budget_leaves_the_designs_of_at_most_that_size() -> None:
    sizes = sorted(network(*widths) for widths in ((8,), (16,), (8, 8), (8, 16), (16, 8), (16, 16)))
    for number, size in enumerate(sizes):
        counts = audit(space(width=[8, 16]), TASK, Limits(size))
        assert (counts.total, counts.feasible, counts.budget) == (6, number + 1, size)
        assert counts.share == pytest.approx((number + 1) / 6)
        assert (counts.smallest, counts.largest) == (sizes[0], sizes[-1])  # of the space, whatever the budget
    assert audit(space(width=[8, 16]), TASK, Limits(sizes[0] - 1)).feasible == 0


def test_every_number_equals_that_of_listing_every_vector(listing: Any) -> None:
    if not listing.designs:
        return
    sizes = [cost.params for cost in listing.designs.values()]
    vectors = [cost.vectors for cost in listing.designs.values()]
    params, macs, peak = (listing.at(0.6, cost) for cost in ("params", "macs", "peak"))
    for limits in (Limits(params), Limits(params, fill=0.5), Limits(params, macs=macs, activations=4 * peak)):
        counts, fitting = audit(listing.space, listing.task, limits), listing.within(limits)
        assert (counts.total, counts.feasible, counts.error) == (len(sizes), len(fitting), 0)
        assert (counts.smallest, counts.largest) == (min(sizes), max(sizes))
        assert counts.impossible == listing.num_impossible
        assert counts.vectors_valid == sum(vectors) <= counts.vectors
        by_arithmetic = [
            cost
            for cost in listing.designs.values()
            if limits.activations is None or 4 * cost.peak <= limits.activations
        ]
        least, most = limits.min_params, limits.max_params
        assert (counts.least, counts.most) == (least, most)
        assert counts.vectors_feasible == sum(cost.vectors for cost in fitting.values())
        near = max(least, 0.9 * most)
        assert counts.near_budget == sum(near <= cost.params <= most for cost in by_arithmetic)
        assert counts.added == sum(most < cost.params <= 1.1 * most for cost in by_arithmetic)
        histogram = [(one.low, one.high) for one in counts.histogram]
        assert (histogram[0][0], histogram[-1][1]) == (min(sizes), max(sizes))
        assert all(before[1] + 1 == after[0] for before, after in pairwise(histogram))
        assert [one.designs for one in counts.histogram] == [
            sum(low <= size <= high for size in sizes) for low, high in histogram
        ]


def test_a_choice_never_fits_if_no_listed_design_within_the_limit_has_it(listing: Any) -> None:
    if not listing.designs:
        return
    for limits in (Limits(listing.at(0.1)), Limits(listing.at(0.5)), Limits(listing.at(1), fill=0.8)):
        impossible_choices = {
            impossible.choice for impossible in audit(listing.space, listing.task, limits).impossible_choices
        }
        fitting = listing.within(limits)
        for index in range(listing.space.num_stages[-1]):
            stages = [design.stages[index] for design in fitting if len(design.stages) > index]
            for width in listing.space.stage_choices(index).width:
                has_width = any(stage.width == width for stage in stages)
                assert (Choice(index + 1, "width", width) in impossible_choices) == (not has_width)
        for number in listing.space.num_stages:
            has_number = any(len(design.stages) == number for design in fitting)
            assert (Choice(None, "num_stages", number) in impossible_choices) == (not has_number)


def texts(audited: Any) -> list[str]:
    return [impossible.text for impossible in audited.impossible_choices]


def test_choices_that_never_fit_say_what_they_need() -> None:
    impossible = texts(audit(load_space(), TASK, Limits(5_000_000)))
    assert "stage 4: width 1024 with basic needs at least 9,525,766 parameters" in impossible
    assert not any("width 512" in text or "bottleneck" in text for text in impossible)
    assert "stem_width 64" not in " ".join(impossible)
    small = texts(audit(load_space(), TASK, Limits(300_000)))
    assert "stage 4: width 1024 needs at least 867,846 parameters" in small
    assert not any("width 1024 with" in text for text in small)  # it follows from the width alone


@pytest.mark.slow
def test_choices_that_never_fit_other_limits_say_which() -> None:
    impossible = texts(audit(load_space(), TASK, Limits(5_000_000, macs=100_000_000, fill=0.8, activations=400_000)))
    assert any(text.endswith("multiply-accumulates") for text in impossible)
    assert any(text.endswith("needs more activations than the limit") for text in impossible)
    filled = texts(audit(space(width=[8, 16]), TASK, Limits(network(16, 16), fill=1.0)))
    assert f"num_stages 1 has at most {network(16):,} parameters" in filled


def test_a_choice_that_no_network_has_is_said_to_be_in_none() -> None:
    narrow = space(block=["basic", "bottleneck"], width=[2, 16])
    values = narrow.model_dump() | {"stem": {"width": 2}}
    impossible = texts(audit(Space.model_validate(values), TASK, Limits(10**9)))
    assert impossible == [
        "stage 1: width 2 with bottleneck is in no network",
        "stage 2: width 2 with bottleneck is in no network",
    ]


def test_several_limits_of_many_designs_are_estimated_with_an_error(
    monkeypatch: pytest.MonkeyPatch, list_space: Any, cells: Callable[[int], None]
) -> None:
    listing = list_space("dropout and rules")
    limits = Limits(listing.at(0.8), macs=listing.at(0.6, "macs"), fill=0.2)
    number = len(listing.within(limits))
    assert audit(listing.space, listing.task, limits).feasible == number
    monkeypatch.setattr("search.space.draws.MAX_LISTED", 0)
    cells(12)
    estimated = audit(listing.space, listing.task, limits)
    assert estimated.error > 0
    assert abs(estimated.feasible - number) <= 4 * estimated.error


def test_classes_and_channels_of_the_data_count() -> None:
    few, many = (audit(space(), Task(32, channels, classes), None) for channels, classes in ((1, 10), (3, 100)))
    assert many.smallest - few.smallest == 2 * 8 * 9 + 90 * 9


def test_slots_are_the_fields_with_a_choice() -> None:
    assert audit(space(), TASK, None).slots == 1
    assert audit(space(width=[8, 16], depth=[1, 2]), TASK, None).slots == 5


def test_a_space_without_a_network_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"^space: no choice of its values is a network$"):
        audit(space(block="bottleneck", kernel=2), TASK, Limits(5_000_000))
    values = space(kernel=2).model_dump() | {"num_stages": 2}
    with pytest.raises(SpaceError, match=r"^space: none of its networks takes images of 15 pixels$"):
        audit(Space.model_validate(values), Task(15, 3, 10), None)


def test_the_audit_as_values_has_what_scripts_rely_on() -> None:
    values = audit(space(), TASK, Limits(5_000_000)).as_dict()
    relied_on = {"total": 2, "feasible": 2, "share": 1.0, "budget": 5_000_000, "smallest": network(8), "slots": 1}
    assert relied_on.items() <= values.items()
    assert values["largest"] == network(8, 8)
    assert values["histogram"][0] == {"low": network(8), "high": network(8), "designs": 1} | values["histogram"][0]


def test_the_default_space_holds_more_than_a_billion_designs() -> None:
    counts = audit(load_space(), TASK, None)
    assert counts.total == counts.feasible == sum(one.designs for one in counts.histogram) > 10**9
    assert counts.slots == 20
    assert counts.smallest < 5_000_000 < counts.largest
    assert len(counts.histogram) == 20


@pytest.mark.slow
def test_a_space_too_large_to_be_counted_is_counted_around_the_budget_and_then_estimated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = Limits(100_000)
    exact = audit(load_space(), TASK, limits)
    monkeypatch.setattr("search.space.counting.MAX_LISTED", 2_000_000)
    around = audit(load_space(), TASK, limits)
    assert 5 < len(around.histogram) < 20
    assert around.histogram[:-1] == exact.histogram[: len(around.histogram) - 1]
    assert (around.histogram[-1].high, sum(one.designs for one in around.histogram)) == (exact.largest, exact.total)
    unchanged = ("total", "feasible", "error", "near_budget", "added", "vectors_feasible", "impossible_choices")
    assert [getattr(around, name) for name in unchanged] == [getattr(exact, name) for name in unchanged]

    monkeypatch.setattr("search.space.counting.MAX_LISTED", 1_000)
    estimated = audit(load_space(), TASK, limits)
    assert (estimated.near_budget, estimated.added, estimated.histogram) == (None, None, ())
    assert 0 < estimated.error < 0.01 * exact.feasible
    assert abs(estimated.feasible - exact.feasible) <= 4 * estimated.error
    assert estimated.vectors_feasible == pytest.approx(exact.vectors_feasible, rel=0.01)
    assert (estimated.total, estimated.impossible_choices) == (exact.total, exact.impossible_choices)
