"""The winner's dropout: what was compared at full length, what was chosen, and that no two networks are mixed."""

from dataclasses import replace

import pytest

from search.identity import Identity
from search.report.caveats import caveats
from search.report.findings import find
from search.report.retraining.dropouts import dropout_choice
from search.report.retraining.finalists import finalists_frame, finalists_table
from search.report.retraining.full_length_runs import results_frame
from search.report.retraining.training_curves import training_curves_frame
from search.report.summary import conclusion
from search.report.verdicts import comparison_sentences
from search.study.networks import quoted

ACCURACIES = {None: (0.70, 0.80), 0.1: (0.60, 0.95), 0.2: (0.90, 0.50)}  # by dropout, for seeds 0 and 1


@pytest.fixture
def tried(architecture, run):
    """The finalists' runs of a trial with three dropouts, of two seeds each."""

    def make(number, accuracies=ACCURACIES, **changes):
        return tuple(
            run(
                Identity(trial=number, dropout=dropout).label,
                seed,
                value,
                "finalist",
                architecture=architecture(dropout=dropout or 0.0),
            )
            for dropout, values in accuracies.items()
            for seed, value in enumerate(values)
        )

    return make


def test_what_was_compared_and_chosen_is_one_line(tried):
    choice = dropout_choice(tried(1), 1)
    assert choice is not None
    assert choice.best.identity.label == "0001 with dropout 0.1"
    assert choice.phrase == (
        "dropout 0.1, by mean validation accuracy the best of 0 (75.00%), 0.1 (77.50%) and 0.2 (70.00%)"
    )


def test_of_equal_means_the_trials_own_dropout_is_chosen(tried):
    choice = dropout_choice(tried(1, {None: (0.7, 0.7), 0.1: (0.7, 0.7)}), 1)
    assert choice is not None and choice.best.identity.label == "0001"


def test_nothing_is_said_where_no_other_dropout_was_tried(tried):
    assert dropout_choice(tried(1, {None: (0.7, 0.7)}), 1) is None
    assert dropout_choice(tried(1), 2) is None
    assert dropout_choice([each for each in tried(1) if "with" in each.label], 1) is None


def test_one_lucky_seed_another_recipe_or_another_design_is_not_compared(tried, architecture):
    own, lucky, other = tried(1)[:2], tried(1)[3:4], tried(1)[2:4]
    assert dropout_choice([*own, *lucky], 1) is None
    assert dropout_choice([*own, *(replace(run, recipe_digest="other") for run in other)], 1) is None
    deeper = architecture(depth=3, dropout=0.1)
    assert dropout_choice([*own, *(replace(run, architecture=deeper) for run in other)], 1) is None


def test_the_answer_gives_the_choice_and_has_the_test_accuracy_of_that_network(study, trial, tried, final):
    view = study(trials=(trial(0, 0.9), trial(1, 0.8)), runs=(*tried(1), *tried(0, {None: (0.6, 0.6)}), final(1, 0.1)))
    answer = find(view).answer
    assert answer is not None and answer.final is not None
    assert (answer.trial.number, answer.label, answer.final.mean) == (1, "0001 with dropout 0.1", 0.9)
    assert conclusion(find(view))[-1] == (
        "It is trial 1, chosen for the best mean validation accuracy of 2 finalists trained for 20 epochs, and then "
        "with dropout 0.1, by mean validation accuracy the best of 0 (75.00%), 0.1 (77.50%) and 0.2 (70.00%)."
    )


def test_the_winner_is_the_best_of_those_with_as_many_seeds(study, trial, tried):
    """Not of all finalists: one that has its first seed alone may have a higher mean."""
    runs = (*tried(0, {None: (0.93, 0.90)}), *tried(1, {None: (0.929, 0.905)}), *tried(2, {None: (0.928, 0.902)}))
    view = study(trials=tuple(trial(n, 0.8) for n in range(4)), runs=(*runs, *tried(3, {None: (0.927,)})))
    best = "trial 1, chosen for the best mean validation accuracy of the 3 of 4 finalists that have 2 seeds"
    assert best in conclusion(find(view))[-1]
    caption = finalists_table(find(view).finalists).caption
    assert "ranked by their number of seeds and then by their mean validation accuracy; the first is" in caption


def test_an_answer_that_was_tested_with_its_own_dropout_alone_says_so(study, trial, tried, final):
    view = study(trials=(trial(1, 0.8),), runs=(*tried(1), final(1)))
    answer = find(view).answer
    assert answer is not None and answer.label == "0001"
    assert conclusion(find(view))[-1].endswith("(70.00%); it has been tested only with its own.")


def test_an_answer_that_was_not_tested_names_what_was(study, trial, tried, final):
    view = study(trials=(trial(0, 0.9), trial(1, 0.8)), runs=(*tried(1), final(0, 0.2)))
    answer = find(view).answer
    assert answer is not None and answer.final is None
    assert any("Retrained were trial 0 with dropout 0.2." in sentence for sentence in caveats(find(view)))


def test_finalists_stand_with_the_winners_dropouts_and_without_a_losers(study, tried):
    view = study(runs=(*tried(1), *tried(0, {None: (0.6, 0.6), 0.1: (0.99, 0.99)})))
    frame = finalists_frame(find(view).finalists)
    assert frame["label"].tolist() == ["0001 with dropout 0.1", "0001", "0001 with dropout 0.2", "0000"]
    assert frame["mean"].tolist() == pytest.approx([0.775, 0.75, 0.70, 0.60])


def test_one_trial_with_two_dropouts_is_two_networks_everywhere(study, trial, final, errors):
    finals = [final(1, dropout, seed, accuracy, confusion=errors(accuracy))
              for dropout, accuracy in ((None, 0.8), (0.1, 0.9)) for seed in (0, 1)]  # fmt: skip
    baseline = [
        replace(each, identity=Identity(baseline="resnet40"), test_accuracy=0.5 + 0.01 * each.seed)
        for each in finals[:2]
    ]
    view = study(trials=(trial(1, 0.8),), runs=(*finals, *baseline))
    findings = find(view)
    summary = results_frame(findings.networks, view.is_over)
    both = ["0001", "0001 with dropout 0.1"]
    assert summary["label"].tolist() == [*both, "resnet40"]
    assert summary["mean"].tolist() == pytest.approx([0.8, 0.9, 0.505])
    assert summary["seeds"].tolist() == [2, 2, 2]
    assert [network.label for network in findings.compared] == [*both, "resnet40"]
    assert [(comparison.trial.label, comparison.baseline.label) for comparison in findings.comparisons] == [
        (label, "resnet40") for label in both
    ]
    assert "trial 1 with dropout 0.1 is better than resnet40" in " ".join(comparison_sentences(findings))
    for label, accuracy in zip(both, (0.8, 0.9), strict=True):
        matrix = findings.confusions[label]
        assert matrix.tolist() == [[2 * each for each in row] for row in errors(accuracy)]
    assert training_curves_frame(quoted(findings.final_networks))["label"].unique().tolist() == [*both, "resnet40"]


def test_the_choice_stands_where_the_recipe_stops_early(tried):
    runs = [replace(run, epochs=40 + place, recipe_digest="patient") for place, run in enumerate(tried(1))]
    choice = dropout_choice(runs, 1)
    assert choice is not None and choice.best.identity.label == "0001 with dropout 0.1"


def test_nothing_is_chosen_where_the_trials_own_runs_were_trained_in_two_ways(tried):
    first, *rest = tried(1)
    assert dropout_choice([replace(first, recipe_digest="other"), *rest], 1) is None
