from search.report.space_audit import audit_figure, histogram_frame, lines
from search.space.audit import audit
from search.space.limits import Limits, parse_limits
from search.space.space import Space, Task

TASK = Task(8, 1, 10)
SPACE = Space.model_validate(
    {"stem": {"width": [4, 8]}, "num_stages": [1, 2], "stage": {"block": "basic", "depth": [1, 2], "width": [4, 8, 64]}}
)


def test_the_figure_holds_every_design_once() -> None:
    found = audit(SPACE, TASK, Limits(6_000))
    frame = histogram_frame(found)
    assert abs(frame["share"].sum() - 1) < 1e-12
    drawn = audit_figure(found)
    (bars,) = drawn.figure.data
    assert len(bars.x) == (frame["designs"] > 0).sum()
    assert sum(bars.y) == found.total
    assert f"{found.total} different networks" in drawn.caption and f"{found.feasible} of them" in drawn.caption


def test_the_lines_tell_what_was_counted() -> None:
    found = audit(SPACE, TASK, parse_limits(["bytes=5KB@int8"], 6_000, 0.5))
    text = "\n".join(lines(found))
    assert f"designs    {found.total} different architectures of {found.smallest} to" in text
    assert "limit      6,000 parameters, bytes=5000@int8, at least 0.5 of them used" in text
    assert f"fitting    {found.feasible} designs" in text
    assert "estimated" not in text
    assert all(never.text in text for never in found.impossible_choices[:12])


def test_without_a_budget_nothing_is_said_of_limits() -> None:
    text = "\n".join(lines(audit(SPACE, TASK, None)))
    assert "fitting" not in text and "limit" not in text
