"""Frames as tables of text: the numbers of a figure as readers know them."""

import pandas as pd

from search.report.drawing import Drawing, blank
from search.report.tables import MAX_ROWS, data_table


def numbers_of(frame):
    return data_table(Drawing("name", blank(100), "caption", frame))


def test_a_figure_without_numbers_has_no_table():
    assert numbers_of(None) is None
    assert numbers_of(pd.DataFrame(columns=["a"])) is None


def test_numbers_are_written_as_readers_know_them():
    frame = pd.DataFrame(
        {
            "label": ["0007"],
            "number": [7],
            "value": [0.9123],
            "params": [1234567],
            "some_thing": [2.5],
            "state": ["complete"],
        }
    )
    table = numbers_of(frame)
    assert table.heads == ("Network", "Trial", "Validation", "Parameters", "Some thing", "State")
    assert table.rows == (("trial 7", "7", "91.23%", "1,234,567", "2.5", "complete"),)
    assert table.numeric == (False, True, True, True, True, False)


def test_long_frames_are_cut_and_said_to_be():
    table = numbers_of(pd.DataFrame({"epoch": range(100)}))
    assert len(table.rows) == MAX_ROWS
    assert table.caption.startswith("The first 40 of 100 rows")
