"""The trials as a table, and the best of them."""

import math

import pytest

from models.architecture import Architecture
from search.report.findings import find
from search.report.trials.leaderboard import budgets_frame, budgets_table, leaderboard_frame, trials_frame


def board(view):
    findings = find(view)
    return leaderboard_frame(findings.ranked, findings.tested_trials, view)


def under(view, budgets):
    findings = find(view)
    return budgets_frame(findings.ranked, findings.tested_trials, budgets)


def test_trials_frame_has_one_row_a_trial_in_order_of_number(study, trial):
    frame = trials_frame(study(trials=(trial(2), trial(0, None, "failed"), trial(1, 0.5, "pruned"))).trials)
    assert frame["number"].tolist() == [0, 1, 2]
    assert frame["state"].tolist() == ["failed", "pruned", "complete"]
    assert math.isnan(frame["value"].iloc[0])
    assert frame["epochs"].tolist() == [0, 5, 5]


def test_epochs_are_counted_without_their_history_too(study, trial):
    frame = trials_frame(study(trials=(trial(0, num_epochs=7, history=()),)).trials)
    assert frame["epochs"].tolist() == [7]


def test_trials_frame_keeps_the_network_as_json_that_reads_back(study, trial, architecture):
    frame = trials_frame(study(trials=(trial(0),)).trials)
    assert Architecture.from_json(frame["architecture"].iloc[0]) == architecture()


def test_trials_frame_of_an_empty_study_has_its_columns(study):
    frame = trials_frame(study().trials)
    assert list(frame.columns) == [
        "number", "state", "value", "params", "macs", "epochs", "seconds", "baseline",
        "architecture",
    ]  # fmt: skip
    assert len(frame) == 0


def test_a_choice_cannot_take_the_place_of_a_record(study, trial):
    frame = trials_frame(study(trials=(trial(7, choices={"number": 99, "depth": 3}),)).trials)
    assert frame["number"].tolist() == [7]
    assert list(frame.columns).count("number") == 1
    assert frame["depth"].tolist() == [3]


def test_leaderboard_ranks_complete_trials_only_the_smaller_first_among_equals(study, trial, architecture):
    small, large = architecture(16), architecture(32)
    trials = (
        trial(0, 0.8, architecture=large),
        trial(1, 0.9, architecture=large),
        trial(2, 0.9, architecture=small),
        trial(3, 0.99, "pruned"),
        trial(4, None),
        trial(5, float("nan")),
    )
    frame = board(study(trials=trials))
    assert frame["number"].tolist() == [2, 1, 0]
    assert frame["rank"].tolist() == [1, 2, 3]


def test_leaderboard_shows_test_accuracy_of_retrained_trials_alone(study, trial, run):
    view = study(trials=(trial(0, 0.9), trial(1, 0.8)), runs=(run("0001", 0, 0.93), run("0001", 1, 0.95)))
    frame = board(view).set_index("number")
    assert frame.at[1, "test_accuracy"] == pytest.approx(0.94)
    assert math.isnan(frame.at[0, "test_accuracy"])


def test_hand_made_trials_are_named_in_the_leaderboard(study, trial):
    view = study(trials=(trial(0, 0.9, baseline="resnet40"), trial(1, 0.8)))
    first, second = board(view)["design"]
    assert first.endswith(" (resnet40, made by hand)")
    assert "hand" not in second
    assert trials_frame(view.trials)["baseline"].fillna("").tolist() == ["resnet40", ""]


def test_every_budget_has_its_best_trial(study, trial, run):
    view = study(
        trials=(
            trial(0, 0.9, params=900),
            trial(1, 0.8, params=300),
            trial(2, 0.7, params=100),
            trial(3, 0.95, "pruned"),
        ),
        runs=(run("0001", 0, 0.77),),
    )
    frame = under(view, [50, 100, 500, 900])
    assert "No complete trial is within 50 parameters." in budgets_table(frame, [50, 100, 500, 900]).caption
    assert "No complete trial" not in budgets_table(frame, [100, 500, 900]).caption
    assert frame[["budget", "number"]].to_numpy().tolist() == [[100, 2], [500, 1], [900, 0]]
    assert frame["test_accuracy"].fillna(-1).tolist() == [-1, 0.77, -1]


def test_the_leaderboard_says_with_which_dropout_a_trial_was_tested(study, trial, final):
    view = study(trials=(trial(0, 0.9), trial(1, 0.8)), runs=(final(0, 0.1), final(1, accuracy=0.7), final(1, 0.2)))
    frame = board(view)
    assert frame["test_accuracy"].tolist() == [0.9, 0.7]
    assert [design.endswith(" (tested with dropout 0.1)") for design in frame["design"]] == [True, False]
    budgets = under(view, [view.budget])
    assert budgets["design"].tolist() == frame["design"].tolist()[:1]
