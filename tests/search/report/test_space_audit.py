import pytest

from search.report.drawing import BLUE
from search.report.space_audit import audit_figure, histogram_frame, lines
from search.space.audit import audit
from search.space.limits import Limits, parse_limits
from search.space.space import Space, Task

TASK = Task(8, 1, 10)
SPACE = Space.model_validate(
    {"stem": {"width": [4, 8]}, "num_stages": [1, 2], "stage": {"block": "basic", "depth": [1, 2], "width": [4, 8, 64]}}
)


def test_the_figure_holds_every_design_once() -> None:
    counted = audit(SPACE, TASK, Limits(6_000))
    frame = histogram_frame(counted)
    assert abs(frame["share"].sum() - 1) < 1e-12
    drawn = audit_figure(counted)
    (bars,) = drawn.figure.data
    assert len(bars.x) == (frame["designs"] > 0).sum()
    assert sum(bars.y) == counted.total
    assert f"{counted.total} different networks" in drawn.caption and f"{counted.feasible} of them" in drawn.caption


@pytest.mark.parametrize("fill", [0.0, 0.8])
def test_blue_are_the_bars_with_designs_that_may_be_searched(fill: float) -> None:
    limits = Limits(6_000, fill=fill)
    counted = audit(SPACE, TASK, limits)
    (bars,) = audit_figure(counted).figure.data
    drawn = [bin for bin in counted.histogram if bin.designs]
    within = [bin.high >= limits.min_params and bin.low <= 6_000 for bin in drawn]
    assert [color == BLUE for color in bars.marker.color] == within
    assert any(within) and not all(within)


def test_the_lines_tell_what_was_counted() -> None:
    counted = audit(SPACE, TASK, parse_limits(["bytes=5KB@int8"], 6_000, 0.5))
    text = "\n".join(lines(counted))
    assert f"designs    {counted.total} different architectures of {counted.smallest} to" in text
    assert "limit      6,000 parameters, bytes=5000@int8, at least 0.5 of the bytes used" in text
    assert f"fitting    {counted.feasible} designs" in text
    assert "estimated" not in text
    assert all(choice.text in text for choice in counted.impossible_choices[:12])


def test_near_the_budget_is_what_fill_leaves_of_the_last_tenth() -> None:
    counted = audit(SPACE, TASK, Limits(6_000, fill=0.95))
    assert counted.near_budget == counted.feasible
    assert f"near it    {counted.feasible} designs of 95 to 100% of the parameters" in "\n".join(lines(counted))


def test_without_a_budget_nothing_is_said_of_limits() -> None:
    text = "\n".join(lines(audit(SPACE, TASK, None)))
    assert "fitting" not in text and "limit" not in text


def test_a_space_too_large_to_be_counted_is_told_without_what_was_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.space.counting.MAX_LISTED", 1)
    counted = audit(SPACE, TASK, Limits(6_000))
    assert counted.near_budget is None and counted.histogram == ()
    text = "\n".join(lines(counted))
    assert f"fitting    {counted.feasible} designs" in text
    assert "near it    too many designs to be counted of 90 to 100% of the parameters" in text
    assert "  too many to be counted by their parameters" in text
