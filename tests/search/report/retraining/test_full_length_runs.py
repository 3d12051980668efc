"""Full-length runs one by one, and test accuracies over seeds."""

import math

import pytest

from search.report.findings import find
from search.report.retraining.full_length_runs import results_figure, results_frame, results_table, runs_frame
from search.trained_network import AugmentedResult


def results(view):
    return results_frame(find(view).networks, view.is_over)


def test_runs_of_two_recipes_are_not_averaged(study, run):
    view = study(runs=(run("0001", 0, 0.9), run("0001", 1, 0.8), run("0001", 2, 0.95, recipe="long")))
    summary = results(view)
    assert summary[["recipe", "seeds"]].values.tolist() == [["long", 1], ["cosine", 2]]
    assert summary["mean"].tolist() == pytest.approx([0.95, 0.85])


def test_one_seed_has_a_mean_and_no_interval(study, run):
    summary = results(study(runs=(run("0001", 0, 0.9),)))
    assert summary["mean"].tolist() == [0.9]
    assert summary[["deviation", "half_width"]].isna().all(axis=None)


def test_interval_of_three_seeds_is_students(study, run):
    summary = results(study(runs=tuple(run("resnet20-b", seed, 0.9 + 0.01 * seed) for seed in range(3))))
    assert summary["deviation"].iloc[0] == pytest.approx(0.01)
    # Student's 97.5% quantile for 2 degrees of freedom is 4.3027.
    assert summary["half_width"].iloc[0] == pytest.approx(4.3027 * 0.01 / math.sqrt(3), rel=1e-4)


def test_test_time_augmentation_stands_beside_the_plain_accuracy_with_its_passes(study, run):
    augmented = (AugmentedResult("mirror", 2, 0.92), AugmentedResult("shifts", 6, 0.94))
    with_it = [run("0001", seed, 0.9 + 0.01 * seed, augmented=augmented) for seed in range(2)]
    older = [run("resnet20-b", 0, 0.8), run("resnet20-b", 1, 0.8, augmented=augmented)]  # a seed lacks them
    summary = results(study(runs=(*with_it, *older)))
    assert summary["mean"].tolist() == pytest.approx([0.905, 0.8])
    assert summary["shifts"].tolist() == pytest.approx([0.94, math.nan], nan_ok=True)
    shown = results_table(summary)
    columns = [shown.heads.index(head) for head in ("Test, mean", "Mirrored", "Shifted")]
    assert [[row[column] for column in columns] for row in shown.rows] == [
        ["90.50%", "92.00% in 2 passes", "94.00% in 6 passes"], ["80.00%", "\N{EN DASH}", "\N{EN DASH}"],
    ]  # fmt: skip
    assert "test-time augmentation" in shown.caption
    old = results_table(results(study(runs=older[:1])))
    assert "Shifted" not in old.heads and "test-time" not in old.caption


def test_trials_come_before_baselines(study, run):
    view = study(runs=(run("a-baseline", 0, 0.9), run("0042", 0, 0.8)))
    assert results(view)["kind"].tolist() == ["trial", "baseline"]


def test_runs_frame_distinguishes_finalists_from_final_runs(study, run):
    frame = runs_frame(study(runs=(run("0001", 0, 0.9, "finalist"), run("0001", 0, 0.95))).runs)
    rows = frame.set_index("purpose")
    assert rows.at["finalist", "validation_accuracy"] == pytest.approx(0.9)
    assert math.isnan(rows.at["finalist", "test_accuracy"])
    assert rows.at["final", "test_accuracy"] == 0.95
    assert math.isnan(rows.at["final", "validation_accuracy"])


def test_runs_with_a_holdout_are_another_way_of_training(study, run):
    held = run("0001", 0, 0.9, holdout=True)
    summary = results(study(runs=(held, run("0001", 0, 0.8), run("0001", 1, 0.8))))
    assert summary["holdout"].tolist() == [True, False]
    assert summary["seeds"].tolist() == [1, 2]
    assert "trial 1 (validation images held out)" in str(results_table(summary))


def test_test_accuracies_are_said_not_to_be_validation(realistic):
    drawn = results_figure(results(realistic), realistic.budget)
    assert [trace.name for trace in drawn.figure.data] == ["retrained trial", "baseline"]
    assert "not validation" in drawn.caption


def test_labels_of_networks_that_stand_together_are_above_and_below_them(study, run):
    runs = (
        run("0001", 0, 0.9),
        run("0001", 0, 0.901, recipe="long"),
        run("0002", 0, 0.899),
        run("0003", 0, 0.8),
    )
    frame = results(study(runs=runs))
    (trace,) = results_figure(frame, 100_000).figure.data
    levels = dict(zip(frame["mean"].round(3), (position.split()[0] for position in trace.textposition), strict=True))
    assert levels == {0.901: "top", 0.9: "middle", 0.899: "bottom", 0.8: "middle"}
