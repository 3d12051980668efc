import json
import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from models.architecture import Architecture, Stage, Stem
from models.count import count_macs, count_parameters
from search.cli.search import print_best
from search.errors import StorageError
from search.files import StudyFiles
from search.report import answer, caveats, cells, importances, notation, runs, tables
from search.study import reading
from search.study.view import LedgerEntry


def test_trials_frame_has_one_row_a_trial_in_order_of_number(study, trial):
    frame = tables.trials_frame(study(trials=(trial(2), trial(0, None, "failed"), trial(1, 0.5, "pruned"))))
    assert frame["number"].tolist() == [0, 1, 2]
    assert frame["state"].tolist() == ["failed", "pruned", "complete"]
    assert math.isnan(frame["value"].iloc[0])
    assert frame["epochs"].tolist() == [0, 5, 5]


def test_epochs_are_counted_without_their_history_too(study, trial):
    frame = tables.trials_frame(study(trials=(trial(0, num_epochs=7, history=()),)))
    assert frame["epochs"].tolist() == [7]


def test_trials_frame_keeps_the_network_as_json_that_reads_back(study, trial, architecture):
    frame = tables.trials_frame(study(trials=(trial(0),)))
    assert Architecture.from_json(frame["architecture"].iloc[0]) == architecture()


def test_trials_frame_of_an_empty_study_has_its_columns(study):
    frame = tables.trials_frame(study())
    assert list(frame.columns) == [
        "number", "state", "value", "params", "macs", "epochs", "seconds", "baseline",
        "architecture",
    ]  # fmt: skip
    assert len(frame) == 0


def test_a_choice_cannot_take_the_place_of_a_record(study, trial):
    frame = tables.trials_frame(study(trials=(trial(7, choices={"number": 99, "depth": 3}),)))
    assert frame["number"].tolist() == [7]
    assert list(frame.columns).count("number") == 1
    assert frame["depth"].tolist() == [3]


def test_csv_writes_integers_beside_missing_choices_without_a_point(study, trial, tmp_path):
    view = study(trials=(trial(0, choices={"depth_1": 3, "depth_4": 5}), trial(1, choices={"depth_1": 2})))
    path = tmp_path / "trials.csv"
    tables.write_trials_csv(view, path)
    read = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert read["depth_1"].tolist() == ["3", "2"]
    assert read["depth_4"].tolist() == ["5", ""]
    assert json.loads(read["architecture"].iloc[0])["num_classes"] == 10


def test_csv_that_cannot_be_written_is_a_storage_error(study, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        tables.write_trials_csv(study(), tmp_path / "file" / "trials.csv")


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
    board = tables.leaderboard(study(trials=trials))
    assert board["number"].tolist() == [2, 1, 0]
    assert board["rank"].tolist() == [1, 2, 3]


def test_leaderboard_shows_test_accuracy_of_retrained_trials_alone(study, trial, run):
    view = study(trials=(trial(0, 0.9), trial(1, 0.8)), runs=(run("0001", 0, 0.93), run("0001", 1, 0.95)))
    board = tables.leaderboard(view).set_index("number")
    assert board.at[1, "test_accuracy"] == pytest.approx(0.94)
    assert math.isnan(board.at[0, "test_accuracy"])


def test_front_is_the_best_accuracy_at_most_this_many_parameters(study, trial, architecture):
    sizes = [architecture(width) for width in (8, 16, 24, 32)]
    values = (0.80, 0.85, 0.84, 0.90)
    trials = tuple(
        trial(number, value, architecture=size) for number, (size, value) in enumerate(zip(sizes, values, strict=True))
    )
    frame = tables.accuracy_frame(study(trials=trials))
    assert frame["params"].is_monotonic_increasing
    assert frame.set_index("number")["params_front"].to_dict() == {0: True, 1: True, 2: False, 3: True}


def test_the_front_of_macs_is_another_than_that_of_parameters(study, trial):
    trials = (
        trial(0, 0.8, params=10, macs=300),
        trial(1, 0.9, params=20, macs=200),
        trial(2, 0.85, params=30, macs=100),
    )
    frame = tables.accuracy_frame(study(trials=trials)).set_index("number")
    assert frame["params_front"].to_dict() == {0: True, 1: True, 2: False}
    assert frame["macs_front"].to_dict() == {0: False, 1: True, 2: True}


def test_thinning_keeps_what_is_to_be_kept_and_the_ends():
    frame = pd.DataFrame({"number": range(1000)})
    kept = tables.thinned(frame, frame["number"] == 501, 10)["number"].tolist()
    assert len(kept) == 10
    assert {0, 501, 999} <= set(kept)
    assert kept == sorted(kept)


def test_of_two_designs_of_one_size_only_the_better_is_on_the_front(study, trial):
    frame = tables.accuracy_frame(study(trials=(trial(0, 0.8), trial(1, 0.9))))
    assert frame.set_index("number")["params_front"].to_dict() == {0: False, 1: True}


def test_best_so_far_counts_complete_trials_and_never_falls(study, trial):
    trials = (
        trial(0, None, "failed"),
        trial(1, 0.7),
        trial(2, 0.9, "pruned"),
        trial(3, 0.6),
        trial(4, 0.8),
        trial(5, None, "running"),
    )
    frame = tables.history_frame(study(trials=trials))
    assert frame["number"].tolist() == [0, 1, 2, 3, 4]
    assert math.isnan(frame["best"].iloc[0])
    assert frame["best"].tolist()[1:] == [0.7, 0.7, 0.7, 0.8]


def test_parts_add_up_to_the_network(architecture):
    network = architecture()
    frame = tables.parts_frame(network, 32)
    assert frame["params"].sum() == count_parameters(network)
    assert frame["macs"].sum() == count_macs(network, 32)
    assert frame["params_share"].sum() == pytest.approx(1)


def test_runs_of_two_recipes_are_not_averaged(study, run):
    view = study(runs=(run("0001", 0, 0.9), run("0001", 1, 0.8), run("0001", 2, 0.95, recipe="long")))
    summary = runs.final_summary(view)
    assert summary[["recipe", "seeds"]].values.tolist() == [["long", 1], ["cosine", 2]]
    assert summary["mean"].tolist() == pytest.approx([0.95, 0.85])


def test_one_seed_has_a_mean_and_no_interval(study, run):
    summary = runs.final_summary(study(runs=(run("0001", 0, 0.9),)))
    assert summary["mean"].tolist() == [0.9]
    assert summary[["deviation", "half_width"]].isna().all(axis=None)


def test_interval_of_three_seeds_is_students(study, run):
    summary = runs.final_summary(study(runs=tuple(run("resnet20-b", seed, 0.9 + 0.01 * seed) for seed in range(3))))
    assert summary["deviation"].iloc[0] == pytest.approx(0.01)
    # Student's 97.5% quantile for 2 degrees of freedom is 4.3027.
    assert summary["half_width"].iloc[0] == pytest.approx(4.3027 * 0.01 / math.sqrt(3), rel=1e-4)


def test_trials_come_before_baselines(study, run):
    view = study(runs=(run("a-baseline", 0, 0.9), run("0042", 0, 0.8)))
    assert runs.final_summary(view)["kind"].tolist() == ["trial", "baseline"]


def test_runs_frame_tells_finalists_from_final_runs(study, run):
    frame = runs.runs_frame(study(runs=(run("0001", 0, 0.9, "finalist"), run("0001", 0, 0.95))))
    rows = frame.set_index("purpose")
    assert rows.at["finalist", "validation_accuracy"] == pytest.approx(0.9)
    assert math.isnan(rows.at["finalist", "test_accuracy"])
    assert rows.at["final", "test_accuracy"] == 0.95
    assert math.isnan(rows.at["final", "validation_accuracy"])


def test_run_curves_have_validation_only_where_it_was_measured(study, run):
    view = study(runs=(run("0001", 0, 0.9), run("0001", 0, 0.9, "finalist")))
    frame = runs.run_curves_frame(view)
    assert frame["split"].unique().tolist() == ["train"]
    assert len(frame) == 20


def test_curves_of_finalists_show_training_and_validation(study, run):
    view = study(runs=(run("0001", 0, 0.9), run("0001", 0, 0.9, "finalist"), run("0001", 1, 0.9, "finalist")))
    frame = runs.run_curves_frame(view, "finalist")
    assert frame["split"].unique().tolist() == ["train", "validation"]
    assert frame["seed"].unique().tolist() == [0, 1]


def test_a_baseline_trained_by_two_recipes_is_two_networks(study, run):
    view = study(
        runs=(run("resnet40", 0, 0.9, recipe="as1"), run("resnet40", 0, 0.8, recipe="ft"), run("resnet10", 0, 0.7))
    )
    assert [each.label for each in runs.final_runs(view)] == ["resnet10", "resnet40 by as1", "resnet40 by ft"]
    assert runs.final_summary(view)["label"].tolist() == ["resnet10", "resnet40 by as1", "resnet40 by ft"]


def test_a_network_over_the_budget_is_a_reference(study, run):
    view = study(budget=1_000, runs=(run("resnet10", 0, 0.9, params=1_001), run("resnet40", 0, 0.8, params=1_000)))
    assert runs.final_summary(view).set_index("label")["over"].to_dict() == {"resnet10": True, "resnet40": False}
    said = caveats.caveats(view, None)
    assert "resnet10 is over the budget: it is a reference, not an answer." in said
    assert not any("resnet40" in each for each in said)
    assert "resnet10 (over the budget: a reference)" in str(cells.summary_table(runs.final_summary(view)))


def test_a_run_that_watched_the_validation_split_is_said_to_lack_it(study, run):
    watched = tuple(replace(each, validation_accuracy=0.5) for each in run("a", 0, 0.9).history)
    view = study(runs=(run("resnet20-b", 0, 0.9, history=watched), run("resnet40", 0, 0.9)))
    said = [each for each in caveats.caveats(view, None) if "did not see the validation images" in each]
    assert said == ["resnet20-b did not see the validation images: the recipe needs them to watch the training."]
    held_out = study(runs=(run("resnet20-b", 0, 0.9, history=watched, holdout=True), run("resnet40", 0, 0.9)))
    said = [each for each in caveats.caveats(held_out, None) if "did not see the validation images" in each]
    assert said == ["resnet20-b did not see the validation images: that was asked for."]


def test_an_odd_first_loss_is_told(study, run):
    first, *rest = run("a", 0, 0.9).history
    odd = (replace(first, first_loss=9.5), *rest)
    right = (replace(first, first_loss=2.35), *rest)
    view = study(runs=(run("resnet20-b", 0, 0.9, history=odd), run("resnet40", 0, 0.9, history=right)))
    said = [each for each in caveats.caveats(view, None) if "first batch" in each]
    assert len(said) == 1 and said[0].startswith("resnet20-b, seed 0: the first batch had a loss of 9.50")


def test_hand_made_trials_are_named_in_the_leaderboard(study, trial):
    view = study(trials=(trial(0, 0.9, baseline="resnet40"), trial(1, 0.8)))
    first, second = tables.leaderboard(view)["design"]
    assert first.endswith(" (resnet40, made by hand)")
    assert "hand" not in second
    assert tables.trials_frame(view)["baseline"].fillna("").tolist() == ["resnet40", ""]


def test_runs_with_a_holdout_are_another_way_of_training(study, run):
    held = run("0001", 0, 0.9, holdout=True)
    summary = runs.final_summary(study(runs=(held, run("0001", 0, 0.8), run("0001", 1, 0.8))))
    assert summary["holdout"].tolist() == [True, False]
    assert summary["seeds"].tolist() == [1, 2]
    assert "trial 1 (validation images held out)" in str(cells.summary_table(summary))


def test_designs_that_were_too_slow_are_no_failures(study, trial):
    view = study(
        trials=(
            trial(0),
            trial(1, None, "failed", reason="latency", too_slow=True),
            trial(2, None, "failed", reason="NaN"),
        )
    )
    said = caveats.caveats(view, None)
    assert "1 design missed the limit of latency and was not trained." in said
    assert "1 trial failed. The reason: NaN" in said
    (fact,) = [each for each in answer.facts(view, None) if each.term == "Trained trials"]
    assert fact.note == "1 complete, 1 failed, 1 too slow"


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
    frame = tables.budgets_frame(view, [50, 100, 500, 900])
    assert frame[["budget", "number"]].to_numpy().tolist() == [[100, 2], [500, 1], [900, 0]]
    assert frame["test_accuracy"].fillna(-1).tolist() == [-1, 0.77, -1]


def test_a_study_of_baselines_alone_says_that_nothing_was_searched(study, run):
    view = study(runs=(run("resnet20-b", 0, 0.9), run("resnet20-b", 1, 0.9), run("resnet40", 0, 0.9)))
    assert answer.conclusion(view, None) == ["No search was made here: 2 networks made by hand."]


def test_the_answer_is_chosen_by_validation_never_by_test(study, trial, run):
    view = study(trials=(trial(0, 0.9), trial(1, 0.8)), runs=(run("0000", 0, 0.91), run("0001", 0, 0.99)))
    found = answer.find_answer(view)
    assert found is not None
    assert found.trial.number == 0
    assert found.final is not None
    assert found.final.mean == 0.91


def test_finalists_overrule_the_searchs_own_ranking(study, trial, run):
    view = study(
        trials=(trial(0, 0.9), trial(1, 0.8)),
        runs=tuple(
            run(label, seed, accuracy, "finalist")
            for label, accuracy in (("0000", 0.92), ("0001", 0.94))
            for seed in (0, 1)
        ),
    )
    found = answer.find_answer(view)
    assert found is not None
    assert found.trial.number == 1
    assert any("won the finalists' round" in each for each in caveats.caveats(view, found))
    later = replace(view, trials=(*view.trials, trial(2, 0.99)))
    assert "99.00%, but was not among the finalists; trial 1 is the answer" in said(later)


def test_there_is_no_answer_without_a_complete_trial(study, trial):
    view = study(trials=(trial(0, None, "failed", reason="out of memory"), trial(1, 0.5, "pruned")))
    assert answer.find_answer(view) is None
    assert answer.conclusion(view, None) == ["There is no answer yet: no trial was trained to the end."]


def said(view) -> str:
    return " ".join(caveats.caveats(view, answer.find_answer(view)))


def test_doubts_are_told_where_they_apply(study, trial, run):
    alone = study(num_trials=2, trials=(trial(0, 0.9), trial(1, 0.8)))
    assert "The best of 2 validation accuracies is optimistic" in said(alone)
    assert "has not been retrained" in said(alone)
    once = replace(alone, runs=(run("0000", 0, 0.92),))
    assert "one seed only" in said(once)
    assert "No baseline was trained" in said(once)
    assert "not finished" not in said(once)
    assert "not finished: 2 of 5" in said(replace(alone, num_trials=5))


def test_a_baseline_trained_otherwise_is_said_to_be(study, trial, run):
    own = tuple(run("0000", seed, 0.92 + 0.01 * seed) for seed in range(2))
    like = tuple(run("resnet20-b", seed, 0.91) for seed in range(2))
    view = study(trials=(trial(0, 0.9),), runs=own + like)
    assert "trained otherwise" not in said(view)
    other = tuple(replace(each, recipe="long", epochs=300) for each in like)
    assert "trained otherwise (recipe long and epochs 300)" in said(replace(view, runs=own + other))


def test_a_winner_with_many_more_macs_is_said_to_be_one_and_the_best_within_is_named(study, trial, run, architecture):
    small, large = architecture(8), architecture(32)
    view = study(
        trials=(trial(0, 0.9, architecture=large), trial(1, 0.8, architecture=small)),
        runs=(run("0000", 0, 0.92, architecture=large), run("tiny", 0, 0.85, architecture=small)),
    )
    assert "times the MACs of baseline tiny. The best trial within 1.5 times is trial 1" in said(view)


def test_failures_are_counted_with_their_commonest_reason(study, trial):
    reasons = ("out of memory", "loss is not finite", "out of memory")
    view = study(trials=tuple(trial(n, None, "failed", reason=reason) for n, reason in enumerate(reasons)))
    assert "3 trials failed. The commonest reason: out of memory" in said(view)


def test_an_over_budget_trial_must_not_be_quoted(study, trial):
    assert "exceeded the budget and must not be quoted: 4" in said(study(budget=1000, trials=(trial(4),)))


def test_the_test_sets_sampling_error_is_binomial(study, trial, run, errors):
    matrix = errors(0.9)
    view = study(trials=(trial(0, 0.9),), runs=(run("0000", 0, 0.9, confusion=matrix),))
    # 1.96 sqrt(0.9 x 0.1 / 10,000) = 0.588 points
    assert "10,000 images" in said(view)
    assert "\N{PLUS-MINUS SIGN} 0.59 points" in said(view)


def test_openings_by_other_studies_are_told(study, trial):
    ledger = (LedgerEntry("2026-01-01T00:00:00Z", "older", "0003", 0, 0.9),)
    assert "opened 1 time by 1 other study" in said(study(trials=(trial(0),), ledger=ledger))


def test_importances_find_the_property_that_decides_and_add_up_to_one(study, search):
    trials = tuple(
        replace(each, state="complete", value=0.5 + 0.1 * len(each.architecture.stages)) for each in search(120, seed=3)
    )
    frame = importances.importances_frame(study(trials=trials))
    assert frame["importance"].sum() == pytest.approx(1)
    assert frame["importance"].is_monotonic_decreasing
    assert "number of stages" in frame["feature"].tolist()[:3]


def test_importances_of_one_study_are_always_the_same(study, search):
    view = study(trials=search(40))
    pd.testing.assert_frame_equal(importances.importances_frame(view), importances.importances_frame(view))


@pytest.mark.parametrize(
    ("trials", "values", "reason"),
    [(9, (0.8, 0.9), "at least 10 complete trials"), (12, (0.9,), "different accuracy")],
)
def test_importances_are_withheld_with_a_reason(study, trial, architecture, trials, values, reason):
    made = tuple(trial(n, values[n % len(values)], architecture=architecture(8 + n)) for n in range(trials))
    view = study(trials=made)
    assert reason in (importances.why_none(view) or "")
    assert importances.importances_frame(view).empty


def test_importances_leave_pruned_trials_out(study, search):
    view = study(trials=tuple(replace(each, state="pruned") for each in search(40)))
    assert "this study has 0" in (importances.why_none(view) or "")


def test_a_design_is_told_on_one_line():
    network = Architecture(
        Stem(16, kernel=5, stride=2),
        (Stage("basic", 3, 16), Stage("basic", 3, 32, kernel=5), Stage("bottleneck", 4, 256, dropout=0.1)),
        shortcut="A",
    )
    expected = "stem 16 k5 s2; basic 3x16, 3x32 k5, bottleneck 4x256 p0.1; shortcut A"
    assert notation.design(network) == expected.replace("x", "\N{MULTIPLICATION SIGN}")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(8.24, "8.2 s"), (245, "4 min 5 s"), (3600, "1 h"), (11_530, "3 h 12 min"), (200_000, "2 d 7 h"), (None, "–")],  # noqa: RUF001
)
def test_durations_are_told_in_their_two_largest_units(seconds, text):
    assert notation.duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"), [(999, "999"), (4_912_330, "4.91M"), (999_999, "1M"), (1.63e9, "1.63G"), (0, "0")]
)
def test_counts_are_shortened_to_three_digits(number, text):
    assert notation.short(number) == text


def test_of_equal_trials_the_command_line_and_the_page_name_the_same(study, trial, architecture, monkeypatch, capsys):
    trials = (trial(0, 0.9, architecture=architecture(32)), trial(1, 0.9, architecture=architecture(16)))
    view = study(trials=(*trials, trial(2, 0.9, architecture=architecture(16))))
    monkeypatch.setattr(reading, "read_view", lambda files, storage: view)
    print_best(StudyFiles(Path("studies"), view.name), None)
    assert capsys.readouterr().out.startswith("best: trial 1,")
    assert [each.number for each in tables.ranked(view)] == [1, 2, 0]
    assert tables.budgets_frame(view, [view.budget])["number"].tolist() == [1]
    found = answer.find_answer(view)
    assert found is not None and found.trial.number == 1
