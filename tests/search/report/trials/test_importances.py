"""Importances find what decides, add up to one, and are withheld with a reason."""

from dataclasses import replace

import pandas as pd
import pytest

from search.report.trials.importances import importances, importances_figure
from search.report.trials.leaderboard import ranked


def importances_of(trials):
    return importances(ranked(trials))


def all_complete(trials):
    return ranked(tuple(replace(each, state="complete", value=0.5 + each.number / 1_000) for each in trials))


def test_importances_find_the_property_that_decides_and_add_up_to_one(search):
    trials = tuple(
        replace(each, state="complete", value=0.5 + 0.1 * len(each.architecture.stages)) for each in search(120, seed=3)
    )
    frame = importances_of(trials).frame
    assert frame["importance"].sum() == pytest.approx(1)
    assert frame["importance"].is_monotonic_decreasing
    assert "number of stages" in frame["feature"].tolist()[:3]


def test_importances_of_one_study_are_always_the_same(search):
    trials = search(40)
    pd.testing.assert_frame_equal(importances_of(trials).frame, importances_of(trials).frame)


@pytest.mark.parametrize(
    ("number", "values", "reason"),
    [(9, (0.8, 0.9), "at least 10 complete trials"), (12, (0.9,), "different accuracy")],
)
def test_importances_are_withheld_with_a_reason(trial, architecture, number, values, reason):
    trials = tuple(trial(n, values[n % len(values)], architecture=architecture(8 + n)) for n in range(number))
    assert reason in (importances_of(trials).why_none or "")
    assert importances_of(trials).frame.empty


def test_importances_are_withheld_where_all_but_a_few_trials_tie(trial, architecture):
    values = (0.5, 0.49, 0.48, *[0.1] * 11)
    trials = tuple(trial(n, value, architecture=architecture(8 + n)) for n, value in enumerate(values))
    assert "too many of this study's are equally accurate" in (importances_of(trials).why_none or "")


def test_importances_leave_pruned_trials_out(search):
    trials = tuple(replace(each, state="pruned") for each in search(40))
    assert "this study has 0" in (importances_of(trials).why_none or "")


def test_importances_are_drawn_largest_on_top(search):
    trials = all_complete(search(60))
    frame = importances_of(trials).frame
    drawn = importances_figure(frame, trials)
    assert drawn.figure.data[0].y[-1] == frame["feature"].iloc[0]
    assert frame["feature"].iloc[0] in drawn.caption
    assert "the best 6 of 60 complete trials" in drawn.caption


def test_the_caption_counts_the_good_trials_as_optunas_filter_does(search):
    trials = all_complete(search(62))
    assert "the best 7 of 62" in importances_figure(importances_of(trials).frame, trials).caption
    tied = [replace(trial, value=min(trial.value, trials[9].value)) for trial in trials]
    assert "the best 10 of 62" in importances_figure(importances_of(tuple(tied)).frame, tied).caption
