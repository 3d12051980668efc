"""Test accuracies seed by seed, with the interval of each network's mean."""

import math

import pytest

from search.report.findings import find
from search.report.retraining import seeds
from search.report.retraining.seeds import seeds_figure


def seeds_frame(view):
    return seeds.seeds_frame(find(view).networks)


def test_every_tested_run_is_a_row_beside_its_networks_mean_and_interval(study, run):
    view = study(runs=(run("0001", 0, 0.90), run("0001", 1, 0.92), run("resnet20-b", 0, 0.8), run("0002", 0, None)))
    frame = seeds_frame(view)
    assert frame[["label", "seed", "accuracy"]].to_numpy().tolist() == [
        ["0001", 0, 0.9], ["0001", 1, 0.92], ["resnet20-b", 0, 0.8],
    ]  # fmt: skip
    assert frame["mean"].tolist() == [pytest.approx(0.91), pytest.approx(0.91), 0.8]
    # Student's 97.5% quantile for 1 degree of freedom is 12.706.
    assert frame["half_width"].iloc[0] == pytest.approx(12.706 * 0.01 * math.sqrt(2) / math.sqrt(2), rel=1e-3)
    assert math.isnan(frame["half_width"].iloc[2])


def test_a_network_trained_in_two_ways_has_two_rows_in_the_figure(study, run):
    frame = seeds_frame(study(runs=(run("0001", 0, 0.9), run("0001", 0, 0.8, holdout=True))))
    drawn = seeds_figure(frame)
    assert sorted(drawn.figure.data[0].y) == [0, 1]
    one, other = frame["key"]
    assert one != other and drawn.figure.layout.yaxis.ticktext == (f"trial 1<br>{one}", f"trial 1<br>{other}")
    assert f": trial 1, {one} 90.00%; trial 1, {other} 80.00%." in drawn.caption


def test_the_figure_holds_seeds_means_and_intervals(study, run):
    drawn = seeds_figure(seeds_frame(study(runs=tuple(run("0001", seed, 0.90 + seed / 100) for seed in range(3)))))
    dots, means = drawn.figure.data
    assert dots.x == (0.9, 0.91, 0.92)
    assert means.x == (0.91,)
    assert means.error_x.array[0] == pytest.approx(4.3027 * 0.01 / math.sqrt(3), abs=1e-5)
    assert "trial 1 91.00% (88.52% to 93.48%)" in drawn.caption


def test_an_interval_over_all_accuracies_leaves_the_dots_apart(study, run):
    frame = seeds_frame(study(runs=(run("0001", 0, 0.90), run("0001", 1, 0.92))))
    low, high = seeds_figure(frame).figure.layout.xaxis.range
    assert frame["half_width"].iloc[0] > 0.12
    assert 0.8 < low < 0.9 and 0.92 < high <= 1
