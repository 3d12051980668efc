"""All trials in parallel coordinates: grouped by rank, each axis on its own scale."""

import pytest

from search.report.trials.leaderboard import ranked
from search.report.trials.parallel_coordinates import AXES, MAX_LINES, parallel_figure, parallel_frame


def lines_of(view):
    return parallel_frame(ranked(view.trials))


def test_trials_are_grouped_by_rank(study, trial):
    frame = lines_of(study(trials=tuple(trial(n, 0.5 + n / 100) for n in range(20))))
    assert frame["number"].tolist() == list(reversed(range(20)))
    assert frame["group"].value_counts().to_dict() == {"best": 2, "better": 8, "other": 10}
    assert frame["group"].tolist()[:3] == ["best", "best", "better"]


def test_properties_are_those_of_the_network(study, trial, architecture):
    network = architecture(width=16, depth=2, stages=3)
    (row,) = lines_of(study(trials=(trial(7, 0.9, architecture=network),))).to_dict("records")
    assert row["number"] == 7 and row["value"] == 0.9 and row["group"] == "best"
    assert (row["depth"], row["stages"], row["stem_width"], row["widest"]) == (network.depth, 3, 16, 64)


def test_every_axis_runs_from_its_smallest_to_its_largest_value(study, trial, architecture):
    view = study(trials=tuple(trial(n, 0.8 + n / 100, architecture=architecture(8 * 2**n, n + 1)) for n in range(3)))
    drawn = parallel_figure(lines_of(view))
    best = next(trace for trace in drawn.figure.data if trace.name == "the best tenth")
    places = dict(zip([axis.column for axis in AXES], best.y, strict=False))
    assert places["params"] == places["widest"] == places["value"] == 1
    assert places["stages"] == 0.5  # all have three stages
    lowest = next(trace for trace in drawn.figure.data if trace.name == "the other half")
    assert lowest.y[0] == 0
    middle = next(trace for trace in drawn.figure.data if trace.name == "the better half")
    # Widths double from one to the next: they are as far apart on a logarithmic axis.
    assert middle.y[[axis.column for axis in AXES].index("widest")] == pytest.approx(0.5)


def test_equal_trials_are_still_drawn(study, trial):
    drawn = parallel_figure(lines_of(study(trials=(trial(0, 0.5), trial(1, 0.5)))))
    assert {place for trace in drawn.figure.data for place in trace.y} == {0.5, None}


def test_many_trials_are_selected_and_the_caption_says_so(study, trial):
    view = study(trials=tuple(trial(n, n / 10_000, history=()) for n in range(1000)))
    drawn = parallel_figure(lines_of(view))
    lines = sum(trace.y.count(None) for trace in drawn.figure.data)
    assert lines == MAX_LINES
    assert f"{MAX_LINES} of 1,000" in drawn.caption
