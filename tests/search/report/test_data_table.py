import pandas as pd

from search.report.data_table import MAX_ROWS, data_table
from search.report.drawing import Drawing, blank


def behind(frame):
    return data_table(Drawing("name", blank(100), "caption", frame))


def test_a_figure_without_numbers_has_no_table():
    assert behind(None) is None
    assert behind(pd.DataFrame(columns=["a"])) is None


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
    found = behind(frame)
    assert found.heads == ("Network", "Trial", "Validation", "Parameters", "Some thing", "State")
    assert found.rows == (("trial 7", "7", "91.23%", "1,234,567", "2.5", "complete"),)
    assert found.numeric == (False, True, True, True, True, False)


def test_long_frames_are_cut_and_said_to_be():
    found = behind(pd.DataFrame({"epoch": range(100)}))
    assert len(found.rows) == MAX_ROWS
    assert found.caption.startswith("The first 40 of 100 rows")
