"""The course of a search as a frame and as a figure."""

import math

from search.report.trials.history import history_figure, history_frame


def test_best_so_far_counts_complete_trials_and_never_falls(study, trial):
    trials = (
        trial(0, None, "failed"),
        trial(1, 0.7),
        trial(2, 0.9, "pruned"),
        trial(3, 0.6),
        trial(4, 0.8),
        trial(5, None, "running"),
    )
    frame = history_frame(trials)
    assert frame["number"].tolist() == [0, 1, 2, 3, 4]
    assert math.isnan(frame["best"].iloc[0])
    assert frame["best"].tolist()[1:] == [0.7, 0.7, 0.7, 0.8]


def test_pruned_and_failed_trials_have_a_strip_of_their_own(study, trial):
    view = study(trials=(trial(0, 0.8), trial(1, 0.3, "pruned"), trial(2, None, "failed")))
    drawn = history_figure(history_frame(view.trials))
    assert [trace.yaxis for trace in drawn.figure.data if trace.name in ("pruned", "failed")] == ["y2", "y2"]
    assert drawn.figure.layout.yaxis2.ticktext == ("failed", "pruned")
    assert "1 complete, 1 pruned, 1 failed" in drawn.caption


def test_of_equal_trials_the_one_that_a_search_chooses_is_called_the_best(trial):
    equal = (trial(0, 0.8, params=2_000), trial(1, 0.8, params=1_000), trial(2, 0.8, params=1_000))
    assert "The best, 80.00%, came with trial 1." in history_figure(history_frame(equal)).caption


def test_history_without_a_value_is_still_drawn(study, trial):
    drawn = history_figure(history_frame((trial(0, None, "failed"),)))
    assert [trace.name for trace in drawn.figure.data] == ["failed"]
