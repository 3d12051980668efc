"""Frames as a reader sees them."""

from collections.abc import Callable

from search.report.cells import ledger_table
from search.study.view import LedgerEntry, StudyView


def test_an_opening_that_came_to_nothing_stands_in_the_ledger(study: Callable[..., StudyView]) -> None:
    ledger = (
        LedgerEntry("2026-01-01T00:00:00+00:00", "toy", "0003", 0, None),
        LedgerEntry("2026-01-02T00:00:00+00:00", "toy", "0003", 0, 0.9),
        LedgerEntry("2026-01-03T00:00:00+00:00", "toy", "resnet40", 0, 0.0),
    )
    table = ledger_table(study(ledger=ledger))
    assert [(row[table.heads.index("Network")], row[table.heads.index("Test")]) for row in table.rows] == [
        ("trial 3", "no result"), ("trial 3", "90.00%"), ("resnet40", "0.00%"),
    ]  # fmt: skip


def test_a_ledger_without_any_result_still_says_so(study: Callable[..., StudyView]) -> None:
    table = ledger_table(study(ledger=(LedgerEntry("2026-01-01T00:00:00+00:00", "toy", "0003", 0, None),)))
    assert table.rows[0][table.heads.index("Test")] == "no result"
