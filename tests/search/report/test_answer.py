"""The answer quotes one network, trained in one way, and that of the trial it names."""

from dataclasses import replace

import pytest

from search.report import caveats, cells, comparisons, seeds, tables
from search.report.answer import conclusion, find_answer
from search.report.runs import final_summary


def told(view):
    found = find_answer(view)
    return " ".join([*conclusion(view, found), *caveats.caveats(view, found)])


@pytest.fixture
def stopped(run):
    """Three seeds of one recipe that stopped at different epochs."""

    def make(label, accuracies, epochs):
        return tuple(
            run(label, seed, accuracy, epochs=length, recipe_digest="patient")
            for seed, (accuracy, length) in enumerate(zip(accuracies, epochs, strict=True))
        )

    return make


def test_seeds_that_stopped_early_are_quoted_together(study, trial, stopped):
    runs = (*stopped("0000", (0.90, 0.91, 0.92), (41, 47, 52)), *stopped("resnet20-b", (0.8, 0.81, 0.82), (39, 40, 40)))
    view = study(trials=(trial(0, 0.9),), runs=runs)
    found = find_answer(view)
    assert found is not None and found.final is not None
    assert (found.final.mean, found.final.seeds, found.final.epochs) == (pytest.approx(0.91), 3, 52)
    said = told(view)
    assert "right on 91.00% of the test images (95% interval" in said and "3 seeds)" in said
    assert "one seed" not in said and "trained otherwise" not in said
    assert len(comparisons.compare(view)) == 1
    summary = final_summary(view)
    assert summary[["label", "epochs", "seeds"]].values.tolist() == [["0000", 52, 3], ["resnet20-b", 40, 3]]
    frame = seeds.seeds_frame(view)
    assert frame["place"].tolist() == [0, 0, 0, 1, 1, 1]
    assert frame["epochs"].tolist() == [41, 47, 52, 39, 40, 40]
    assert tables.leaderboard(view)["test_accuracy"].tolist() == [pytest.approx(0.91)]


def test_recipes_of_one_name_are_not_averaged(study, trial, run):
    """As where --seeds 3 was followed by --seeds 1 --batch-size 256, which took the place of seed 0."""
    first = tuple(run("0000", seed, 0.90 + seed / 100, recipe_digest="0a") for seed in (1, 2))
    view = study(trials=(trial(0, 0.9),), runs=(run("0000", 0, 0.5, recipe_digest="0b"), *first))
    summary = final_summary(view)
    assert summary[["seeds", "recipe_digest"]].values.tolist() == [[1, "0b"], [2, "0a"]]
    assert summary["mean"].tolist() == pytest.approx([0.5, 0.915])
    assert "right on 91.50%" in told(view)
    table = cells.summary_table(summary)
    assert [row[table.heads.index("Recipe")] for row in table.rows] == ["cosine (0b)", "cosine (0a)"]


def test_a_baseline_by_another_recipe_of_the_same_name_was_trained_otherwise(study, trial, run):
    own, like = run("0000", 0, 0.9, recipe_digest="a"), run("resnet20-b", 0, 0.8, recipe_digest="b")
    view = study(trials=(trial(0),), runs=(own, like))
    assert "resnet20-b was trained otherwise (another recipe of the same name): this does" in told(view)
    held = study(trials=(trial(0),), runs=(own, replace(like, recipe_digest="a", holdout=True)))
    assert "resnet20-b was trained otherwise (validation images held out): this does" in told(held)
    both = replace(view, runs=(*view.runs, replace(like, recipe_digest="a")))
    assert "trained otherwise" not in told(both)


def test_of_equal_seeds_the_network_that_had_all_images_is_quoted(study, trial, run):
    whole, held = run("0000", 0, 0.95), run("0000", 0, 0.93, holdout=True)
    view = study(trials=(trial(0, 0.9),), runs=(whole, held))
    assert "right on 95.00% of the test images (one seed, so no interval)" in told(view)
    assert tables.leaderboard(view)["test_accuracy"].tolist() == [0.95]


def test_a_holdout_of_the_quoted_network_is_said_beside_its_accuracy(study, trial, run):
    one = study(trials=(trial(0, 0.9),), runs=(run("0000", 0, 0.93, holdout=True),))
    assert "right on 93.00% of the test images (one seed, so no interval; validation images held out)" in told(one)
    two = replace(one, runs=tuple(run("0000", seed, 0.93 + seed / 100, holdout=True) for seed in (0, 1)))
    assert "2 seeds; validation images held out)" in told(two)


def test_a_network_of_an_earlier_search_is_not_the_trials(study, trial, run, architecture):
    """A study that began anew has other networks under the same numbers."""
    old = run("0000", 0, 0.99, architecture=architecture(64))
    view = study(trials=(trial(0, 0.9),), runs=(old,))
    found = find_answer(view)
    assert found is not None and found.final is None
    assert "It has not been retrained" in told(view)
    assert "1 full-length run trained networks of an earlier search" in told(view)
    assert final_summary(view).empty and comparisons.networks(view) == []
    assert tables.leaderboard(view)["test_accuracy"].isna().all()
    again = replace(view, runs=(old, run("0000", 1, 0.9)))
    found = find_answer(again)
    assert found is not None and found.final is not None and found.final.accuracies == [0.9]


def test_a_trial_with_another_dropout_is_still_the_trials(study, trial, run, architecture):
    view = study(
        trials=(trial(0),), runs=(run("0000 with dropout 0.1", 0, 0.9, architecture=architecture(dropout=0.1)),)
    )
    assert final_summary(view)["label"].tolist() == ["0000 with dropout 0.1"]
    assert "earlier search" not in told(view)


@pytest.mark.parametrize("state", ["failed", "pruned"])
def test_a_search_whose_trials_all_ended_early_is_not_said_to_be_under_way(study, trial, state):
    view = study(trials=tuple(trial(number, 0.4 if state == "pruned" else None, state) for number in range(3)))
    assert conclusion(view, find_answer(view)) == ["There is no answer yet: no trial was trained to the end."]
