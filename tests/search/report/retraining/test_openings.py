"""Openings of the test set as a reader sees them."""

from search.report.retraining.openings import openings_table
from search.study.view import LedgerEntry


def test_an_opening_without_a_result_is_in_the_table() -> None:
    ledger = (
        LedgerEntry("2026-01-01T00:00:00+00:00", "toy", "0003", 0, None),
        LedgerEntry("2026-01-02T00:00:00+00:00", "toy", "0003", 0, 0.9),
        LedgerEntry("2026-01-03T00:00:00+00:00", "toy", "resnet40", 0, 0.0),
    )
    table = openings_table(ledger)
    assert [(row[table.heads.index("Network")], row[table.heads.index("Test")]) for row in table.rows] == [
        ("trial 3", "no result"), ("trial 3", "90.00%"), ("resnet40", "0.00%"),
    ]  # fmt: skip


def test_openings_without_any_result_still_say_so() -> None:
    table = openings_table((LedgerEntry("2026-01-01T00:00:00+00:00", "toy", "0003", 0, None),))
    assert table.rows[0][table.heads.index("Test")] == "no result"


def test_an_opening_of_a_network_with_teachers_names_them() -> None:
    alone = LedgerEntry("2026-01-01T00:00:00+00:00", "toy", "0003", 0, 0.8)
    taught = LedgerEntry("2026-01-02T00:00:00+00:00", "toy", "0003", 0, 0.9, "trial 7 and trial 11")
    table = openings_table((alone, taught))
    assert [row[table.heads.index("Taught by")] for row in table.rows] == ["", "trial 7 and trial 11"]
    assert "Taught by" not in openings_table((alone,)).heads
