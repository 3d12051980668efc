"""How far accuracies fall on corrupted images."""

from dataclasses import replace

import pytest

from search.report.findings import find
from search.report.page import render
from search.report.retraining.shift import shift_frame, shift_table
from search.trained_network import CorruptedResult, Robustness


def robustness(clean, *accuracies, split="test", seen=False):
    """Two corruptions of two strengths."""
    pairs = [("noise", 1), ("noise", 3), ("jpeg", 1), ("jpeg", 3)]
    corrupted = tuple(CorruptedResult(*pair, value) for pair, value in zip(pairs, accuracies, strict=True))
    return Robustness(split, clean, corrupted, seen)


@pytest.fixture
def measured(study, run):
    """A trial with two seeds, of which one was measured on either split, and a baseline that was not measured."""
    first = run("0001", 0, 0.9, robustness=(robustness(0.9, 0.8, 0.6, 0.7, 0.5),))
    own = robustness(0.99, 0.95, 0.95, 0.95, 0.95, split="validation", seen=True)
    second = run("0001", 1, 0.8, robustness=(robustness(0.8, 0.6, 0.4, 0.7, 0.5), own))
    return study(runs=(first, second, run("resnet20-b", 0, 0.7)))


def test_a_fall_is_the_mean_over_seeds_of_clean_minus_corrupted(measured):
    frame = shift_frame(find(measured).networks)
    assert frame[["split", "seen", "seeds"]].values.tolist() == [["test", False, 2], ["validation", True, 1]]
    test = frame.iloc[0]
    assert test[["clean", "corrupted", "fall", "noise", "jpeg"]].tolist() == pytest.approx([0.85, 0.6, 0.25, 0.6, 0.6])
    shown = shift_table(frame)
    assert shown.heads[-3:] == ("Fall, points", "Noise", "JPEG")
    assert shown.rows[0][:6] == ("trial 1", "test", "2", "85.00%", "60.00%", "25.00")
    assert shown.rows[1][1] == "validation (trained on)"


def test_the_page_shows_the_fall_where_it_was_measured(measured):
    assert "Under corrupted images" in render(measured)
    bare = replace(measured, runs=tuple(replace(run, robustness=()) for run in measured.runs))
    assert "Under corrupted images" not in render(bare) and shift_frame(find(bare).networks).empty


def test_nothing_is_compared_by_a_fall(measured):
    bare = replace(measured, runs=tuple(replace(run, robustness=()) for run in measured.runs))
    ((with_it,), (without,)) = (find(view).comparisons for view in (measured, bare))
    assert repr((with_it.difference, with_it.low, with_it.verdict)) == repr(
        (without.difference, without.low, without.verdict)
    )
