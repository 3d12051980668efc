"""Findings are derived once a page. The answer quotes one network, trained in one way, and of the trial it names."""

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from search.cli.search import print_best
from search.files import StudyFiles
from search.report import proxy_audit, summary
from search.report.caveats import caveats
from search.report.findings import find
from search.report.page import render
from search.report.retraining import comparisons, confusion, dropouts, known_runs
from search.report.retraining.full_length_runs import results_frame, results_table
from search.report.retraining.seeds import seeds_frame
from search.report.summary import conclusion
from search.report.trials import importances, leaderboard, learning_curves
from search.report.trials.leaderboard import budgets_frame, leaderboard_frame
from search.report.verdicts import comparison_sentences
from search.study import reading, rounds
from search.trained_network import AugmentedResult


def results(view):
    return results_frame(find(view).networks, view.is_over)


def board(view):
    findings = find(view)
    return leaderboard_frame(findings.ranked, findings.tested_trials, view)


DERIVATIONS = (
    find, known_runs.known_runs, rounds.last_round, rounds.standings, rounds.unfinished_round,
    dropouts.dropout_choice, comparisons.compare, comparisons.unalike, confusion.confusions, confusion.num_test_images,
    leaderboard.ranked, leaderboard.tested_trials, importances.importances, learning_curves.drawable_trials,
    proxy_audit.proxy_verdict, summary.conclusion, caveats,
)  # fmt: skip
OF_SEVERAL_THINGS = {"training_curves_frame", "parts_frame", "diagram_frame"}  # finalists and finals; some networks


def test_each_derivation_and_each_frame_is_made_once_for_a_page(realistic, audit):
    """Counted, not patched: no cache can hide a second call."""
    calls = Counter()

    def count(frame, event, argument):
        if event == "call" and frame.f_globals.get("__name__", "").startswith(("search.report.", "search.study.")):
            calls[frame.f_code.co_name] += 1

    render(realistic)  # what is the same in every page
    sys.setprofile(count)
    try:
        render(realistic, audit, budgets=[1_000_000])
    finally:
        sys.setprofile(None)
    frames = {name for name in calls if name.endswith("_frame")} - OF_SEVERAL_THINGS
    assert len(frames) >= 13
    names = frames | {derivation.__name__ for derivation in DERIVATIONS}
    assert {name: calls[name] for name in names if calls[name] != 1} == {}


def sentences(view):
    findings = find(view)
    return " ".join([*conclusion(findings), *caveats(findings)])


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
    answer = find(view).answer
    assert answer is not None and answer.final is not None
    assert (answer.final.mean, answer.final.seeds, answer.final.epochs) == (pytest.approx(0.91), 3, 52)
    said = sentences(view)
    assert "right on 91.00% of the test images (95% interval" in said and "3 seeds)" in said
    assert "one seed" not in said and "trained differently" not in said
    assert len(find(view).comparisons) == 1
    summary = results(view)
    assert summary[["label", "epochs", "seeds"]].values.tolist() == [["0000", 52, 3], ["resnet20-b", 40, 3]]
    frame = seeds_frame(find(view).networks)
    assert frame["place"].tolist() == [0, 0, 0, 1, 1, 1]
    assert frame["epochs"].tolist() == [41, 47, 52, 39, 40, 40]
    assert board(view)["test_accuracy"].tolist() == [pytest.approx(0.91)]


def test_recipes_of_one_name_are_not_averaged(study, trial, run):
    """As where --seeds 3 was followed by --seeds 1 --batch-size 256, which took the place of seed 0."""
    first = tuple(run("0000", seed, 0.90 + seed / 100, recipe_digest="0a") for seed in (1, 2))
    view = study(trials=(trial(0, 0.9),), runs=(run("0000", 0, 0.5, recipe_digest="0b"), *first))
    summary = results(view)
    assert summary[["seeds", "recipe_digest"]].values.tolist() == [[1, "0b"], [2, "0a"]]
    assert summary["mean"].tolist() == pytest.approx([0.5, 0.915])
    assert "right on 91.50%" in sentences(view)
    table = results_table(summary)
    assert [row[table.heads.index("Recipe")] for row in table.rows] == ["cosine (0b)", "cosine (0a)"]


def test_a_baseline_by_another_recipe_of_the_same_name_was_trained_differently(study, trial, run):
    own, like = run("0000", 0, 0.9, recipe_digest="a"), run("resnet20-b", 0, 0.8, recipe_digest="b")
    view = study(trials=(trial(0),), runs=(own, like))
    assert "resnet20-b was trained differently (another recipe of the same name): this does" in sentences(view)
    held = study(trials=(trial(0),), runs=(own, replace(like, recipe_digest="a", holdout=True)))
    assert "resnet20-b was trained differently (validation images held out): this does" in sentences(held)
    both = replace(view, runs=(*view.runs, replace(like, recipe_digest="a")))
    assert "trained differently" not in sentences(both)


def test_of_equal_seeds_the_network_that_had_all_images_is_quoted(study, trial, run):
    whole, held = run("0000", 0, 0.95), run("0000", 0, 0.93, holdout=True)
    view = study(trials=(trial(0, 0.9),), runs=(whole, held))
    assert "right on 95.00% of the test images (one seed, so no interval)" in sentences(view)
    assert board(view)["test_accuracy"].tolist() == [0.95]


def test_a_holdout_of_the_quoted_network_is_said_beside_its_accuracy(study, trial, run):
    one = study(trials=(trial(0, 0.9),), runs=(run("0000", 0, 0.93, holdout=True),))
    assert "right on 93.00% of the test images (one seed, so no interval; validation images held out)" in sentences(one)
    two = replace(one, runs=tuple(run("0000", seed, 0.93 + seed / 100, holdout=True) for seed in (0, 1)))
    assert "2 seeds; validation images held out)" in sentences(two)


def test_a_network_of_an_earlier_search_is_not_the_trials(study, trial, run, architecture):
    """A study that began anew has other networks under the same numbers."""
    old = run("0000", 0, 0.99, architecture=architecture(64))
    view = study(trials=(trial(0, 0.9),), runs=(old,))
    answer = find(view).answer
    assert answer is not None and answer.final is None
    assert "It has not been retrained" in sentences(view)
    assert "1 full-length run trained networks of an earlier search" in sentences(view)
    assert results(view).empty and find(view).compared == ()
    assert board(view)["test_accuracy"].isna().all()
    again = replace(view, runs=(old, run("0000", 1, 0.9)))
    answer = find(again).answer
    assert answer is not None and answer.final is not None and answer.final.accuracies == [0.9]


def test_a_trial_with_another_dropout_is_still_the_trials(study, trial, run, architecture):
    view = study(
        trials=(trial(0),), runs=(run("0000 with dropout 0.1", 0, 0.9, architecture=architecture(dropout=0.1)),)
    )
    assert results(view)["label"].tolist() == ["0000 with dropout 0.1"]
    assert "earlier search" not in sentences(view)


def test_the_answer_is_chosen_by_validation_never_by_test(study, trial, run):
    view = study(trials=(trial(0, 0.9), trial(1, 0.8)), runs=(run("0000", 0, 0.91), run("0001", 0, 0.99)))
    answer = find(view).answer
    assert answer is not None
    assert answer.trial.number == 0
    assert answer.final is not None
    assert answer.final.mean == 0.91


def test_finalists_overrule_the_searchs_own_ranking(study, trial, run):
    view = study(
        trials=(trial(0, 0.9), trial(1, 0.8)),
        runs=tuple(
            run(label, seed, accuracy, "finalist")
            for label, accuracy in (("0000", 0.92), ("0001", 0.94))
            for seed in (0, 1)
        ),
    )
    answer = find(view).answer
    assert answer is not None
    assert answer.trial.number == 1
    assert any("won the finalists' round" in sentence for sentence in caveats(find(view)))
    later = replace(view, trials=(*view.trials, trial(2, 0.99)))
    assert "99.00%, but was not among the finalists; trial 1 is the answer" in sentences(later)


def test_of_equal_trials_the_command_line_and_the_page_name_the_same(study, trial, architecture, monkeypatch, capsys):
    trials = (trial(0, 0.9, architecture=architecture(32)), trial(1, 0.9, architecture=architecture(16)))
    view = study(trials=(*trials, trial(2, 0.9, architecture=architecture(16))))
    monkeypatch.setattr(reading, "read_view", lambda files, storage: view)
    print_best(StudyFiles(Path("studies"), view.name), None)
    assert capsys.readouterr().out.startswith("best: trial 1,")
    assert [trial.number for trial in find(view).ranked] == [1, 2, 0]
    assert budgets_frame(find(view).ranked, {}, [view.budget])["number"].tolist() == [1]
    answer = find(view).answer
    assert answer is not None and answer.trial.number == 1


def test_other_rounds_of_the_answer_are_named_and_the_rule_is_said(study, trial, run):
    long = [run("0000", seed, 0.90 + seed / 100, recipe_digest="a", epochs=6) for seed in range(3)]
    short = run("0000", 0, 0.5, recipe_digest="b", epochs=1, time="2026-01-02")
    view = study(trials=(trial(0),), runs=(*long, short))
    assert "right on 91.00% of the test images" in sentences(view)
    assert (
        "Trial 0 was also trained by cosine, 1 epoch (1 seed): listed under full training, but not quoted. Quoted, and "
        "exported, is cosine, 6 epochs (3 seeds): of several the one trained for most epochs "
        "counts, over all its seeds and with those of two teachers at most, but one with teachers only where the same "
        "training without them is not there; of equal ones that with most seeds, then with all images, then the latest."
    ) in sentences(view)
    assert "also trained" not in sentences(replace(view, runs=tuple(long)))


def test_seeds_in_other_precisions_or_on_other_devices_are_never_averaged_or_compared(study, trial, run):
    fast = [run("0000", seed, 0.9, precision="bf16") for seed in (0, 1)]
    slow = [run("0000", 2, 0.8, precision="fp32"), run("0000", 3, 0.7, precision="bf16", device="CPU, 2 threads")]
    baseline = [run("resnet20-b", seed, 0.6 + seed / 100, precision="fp32") for seed in (0, 1)]
    view = study(trials=(trial(0),), runs=(*fast, *slow, *baseline))
    findings = find(view)
    answer = findings.answer
    assert answer is not None and answer.final is not None and answer.final.runs == tuple(fast)
    assert [network.seeds for network in findings.compared] == [2, 1, 1, 2]
    assert [(comparison.trial.seeds, comparison.trial.hardware) for comparison in findings.comparisons] == [
        (1, "fp32 on a GPU")
    ]
    assert "resnet20-b was trained differently (fp32 on a GPU): this does not" in sentences(view)
    table = results_table(results(view))
    assert {row[table.heads.index("Trained in")] for row in table.rows} == {
        "bf16 on a GPU", "fp32 on a GPU", "bf16 on a CPU",
    }  # fmt: skip
    apart = find(replace(view, runs=(*fast, *baseline)))
    (said,) = comparison_sentences(apart)
    assert "cosine, 20 epochs, bf16 on a GPU; " in said and said.endswith("cosine, 20 epochs, fp32 on a GPU.")


def test_the_sentence_against_baselines_is_of_the_quoted_round_alone(study, trial, run):
    def both(digest, accuracies):
        return [
            run(label, seed, accuracy + seed / 1000, recipe_digest=digest)
            for label, accuracy in zip(("0000", "resnet20-b"), accuracies, strict=True)
            for seed in range(2 if digest == "b" else 3)
        ]

    view = study(trials=(trial(0),), runs=(*both("a", (0.9, 0.8)), *both("b", (0.5, 0.7))))
    (said,) = [sentence for sentence in conclusion(find(view)) if sentence.startswith("Beside baselines")]
    assert "better than resnet20-b by 10.00 points" in said and "worse" not in said


def test_other_rounds_of_finalists_are_named(study, trial, run):
    rounds = [
        run(label, seed, 0.9, "finalist", epochs=epochs, time=time)
        for epochs, time in ((5, "2026-01-01"), (9, "2026-01-02"))
        for label in ("0000", "0001")
        for seed in (0, 1)
    ]
    view = study(trials=(trial(0, 0.9), trial(1, 0.8)), runs=tuple(rounds))
    said = "There were other rounds of finalists, by cosine, 5 epochs: the one that was trained last counts."
    assert said in sentences(view)


def test_what_was_put_aside_is_said(study, trial):
    view = study(trials=(trial(0),), unread=("a: cannot be read (cut)", "b: is gone"))
    said = (
        "2 files or lines in the folder of studies are put aside and count for nothing: a: cannot be read (cut) (and 1"
    )
    assert f"{said} more)." in sentences(view)


def test_the_leaderboard_has_the_test_accuracy_that_is_quoted(study, trial, run, architecture):
    """The round chose dropout 0.1, so that the trial is tested with it, though its own was tested too."""
    changed = architecture(dropout=0.1)
    round = [
        run(label, seed, accuracy, "finalist", architecture=network)
        for label, accuracy, network in (("0000", 0.7, architecture()), ("0000 with dropout 0.1", 0.8, changed))
        for seed in (0, 1)
    ]
    finals = [run("0000", seed, 0.95) for seed in (0, 1)]
    finals.append(run("0000 with dropout 0.1", 0, 0.91, architecture=changed))
    view = study(trials=(trial(0),), runs=(*round, *finals))
    answer = find(view).answer
    assert answer is not None and answer.final is not None and answer.final.mean == 0.91
    assert board(view)["test_accuracy"].tolist() == [0.91]
    assert "tested with dropout 0.1" in board(view)["design"].tolist()[0]


def test_nothing_is_compared_chosen_or_said_to_pay_by_test_time_augmentation(realistic):
    """Augmented accuracies that would turn every order around change nothing but the numbers that bear their name."""

    def with_augmented(run):
        if run.test_accuracy is None:
            return run
        return replace(run, augmented=(AugmentedResult("shifts", 6, 1 - run.test_accuracy),))

    plain, augmented = find(realistic), find(replace(realistic, runs=tuple(map(with_augmented, realistic.runs))))
    assert any(network.augmented("shifts") for network in augmented.compared)
    assert plain.comparisons and plain.answer is not None
    for mine, other in zip(plain.comparisons, augmented.comparisons, strict=True):
        assert repr(replace(mine, trial=None, baseline=None)) == repr(replace(other, trial=None, baseline=None))
        assert (mine.trial.mean, mine.baseline.mean) == (other.trial.mean, other.baseline.mean)
    assert comparison_sentences(plain) == comparison_sentences(augmented)
    assert conclusion(plain) == conclusion(augmented) and caveats(plain) == caveats(augmented)
    assert plain.answer.trial == augmented.answer.trial and plain.finalists == augmented.finalists
    (fact,) = [fact for fact in summary.facts(augmented) if fact.term == "Test accuracy"]
    assert fact.value == summary.facts(plain)[0].value and " with test-time augmentation, which takes 6" in fact.note
