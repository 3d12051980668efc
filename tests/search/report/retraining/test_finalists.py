"""The round that picks a winner: of one recipe, and not before it is over."""

from dataclasses import replace

import pytest

from search.report.caveats import caveats
from search.report.findings import find
from search.report.retraining import finalists
from search.report.retraining.finalists import finalists_table
from search.report.retraining.training_curves import training_curves_frame
from search.study.networks import quoted


def finalists_frame(view):
    return finalists.finalists_frame(find(view).finalists)


def unfinished_round(view):
    return find(view).unfinished


@pytest.fixture
def round(run):
    """Two runs a finalist, all by one recipe."""

    def make(accuracies, **changes):
        return tuple(
            run(label, seed, accuracy, "finalist", **changes)
            for label, accuracy in accuracies.items()
            for seed in (0, 1)
        )

    return make


def answer_and_caveats(view):
    findings = find(view)
    assert findings.answer is not None
    return findings.answer, " ".join(caveats(findings))


def test_a_finalist_with_one_lucky_seed_does_not_lead_one_with_two(study, run):
    view = study(
        runs=(
            run("0001", 0, 0.99, "finalist"),
            run("0002", 0, 0.90, "finalist"),
            run("0002", 1, 0.92, "finalist"),
        )
    )
    assert finalists_frame(view)["label"].tolist() == ["0002", "0001"]


def test_a_round_that_is_not_over_has_no_winner(study, trial, round, run):
    trials = (trial(0, 0.9), trial(1, 0.8), trial(2, 0.7))
    one = study(trials=trials, runs=(run("0001", 0, 0.99, "finalist"),))
    answer, said = answer_and_caveats(one)
    assert (answer.trial.number, answer.how) == (0, "the best validation accuracy of 3 complete trials")
    assert "The finalists' round has no winner yet: 0 of 1 finalist begun have all of 2 seeds." in said
    assert "not among the finalists" not in said
    table = finalists_table(find(one).finalists, unfinished_round(one))
    assert table.caption.endswith("the round is unfinished, 0 of 1 finalist begun have all of 2 seeds.")
    alone = replace(one, runs=round({"0001": 0.99}))
    assert answer_and_caveats(alone)[0].trial.number == 0
    third = replace(one, runs=(*round({"0000": 0.9, "0001": 0.99}), run("0002", 0, 0.95, "finalist")))
    assert unfinished_round(third) == "2 of 3 finalists begun have all of 2 seeds"
    assert answer_and_caveats(third)[0].trial.number == 0
    over = replace(one, runs=round({"0000": 0.9, "0001": 0.99}))
    assert unfinished_round(over) is None
    answer, said = answer_and_caveats(over)
    assert answer.trial.number == 1 and "no winner yet" not in said
    assert finalists_table(find(over).finalists).caption.endswith("the first is the winner.")


def test_a_round_of_which_a_finalist_failed_is_over_once_its_winner_has_been_trained_finally(study, trial, round, run):
    """What failed leaves nothing behind, so that a page cannot tell it from what is still to come."""
    trials = (trial(0, 0.9), trial(1, 0.8), trial(2, 0.7))
    runs = (run("0000", 0, 0.99, "finalist"), *round({"0001": 0.92, "0002": 0.91}))
    runs = tuple(replace(each, time="2026-01-01T00:00:00+00:00") for each in runs)
    begun = study(trials=trials, runs=runs)
    assert unfinished_round(begun) is not None
    final = replace(run("0001", 0, 0.93), time="2026-01-02T00:00:00+00:00")
    over = replace(begun, runs=(*runs, final))
    answer, said = answer_and_caveats(over)
    assert unfinished_round(over) is None and answer.trial.number == 1 and "no winner yet" not in said
    assert answer.final is not None and answer.final.mean == 0.93
    for other in (replace(final, time="2025-12-31T00:00:00+00:00"), replace(run("0002", 0, 0.93), time=final.time)):
        assert unfinished_round(replace(begun, runs=(*runs, other))) is not None
    assert unfinished_round(replace(begun, runs=(*runs[:4], final))) is not None, "one has two seeds, of three"
    alone = replace(begun, runs=(*runs[1:3], final))
    assert unfinished_round(alone) is None and answer_and_caveats(alone)[0].trial.number == 1


def test_a_finalist_alone_has_won_once_its_dropouts_are_tried(study, trial, run, round, architecture):
    tried = run("0001 with dropout 0.1", 0, 0.8, "finalist", architecture=architecture(dropout=0.1))
    assert unfinished_round(study(trials=(trial(1),), runs=(*round({"0001": 0.9}), tried))) is None


def test_values_of_two_recipes_are_not_compared(study, trial, round):
    trials = tuple(trial(number, 0.9 - number / 100) for number in range(4))
    long = round({"0000": 0.91, "0001": 0.90}, recipe_digest="full", time="2026-01-01T00:00:00+00:00")
    short = round({"0002": 0.95, "0003": 0.94}, recipe_digest="fast", epochs=5, time="2026-01-02T00:00:00+00:00")
    later = study(trials=trials, runs=(*long, *short))
    assert finalists_frame(later)["label"].tolist() == ["0002", "0003"]
    assert answer_and_caveats(later)[0].how == "the best mean validation accuracy of 2 finalists trained for 5 epochs"
    assert set(training_curves_frame(quoted(find(later).round))["label"]) == {"0002", "0003"}
    earlier = replace(later, runs=(*(replace(run, time="2026-01-03T00:00:00+00:00") for run in long), *short))
    assert finalists_frame(earlier)["label"].tolist() == ["0000", "0001"]


def test_without_their_time_the_round_of_the_most_finalists_is_read_and_then_the_longest(study, trial, round):
    trials = tuple(trial(number) for number in range(5))
    short = round({"0000": 0.9, "0001": 0.8, "0002": 0.7}, recipe_digest="fast", epochs=5)
    long = round({"0003": 0.99, "0004": 0.98}, recipe_digest="full", epochs=60)
    assert set(finalists_frame(study(trials=trials, runs=(*long, *short)))["label"]) == {"0000", "0001", "0002"}
    assert set(finalists_frame(study(trials=trials, runs=(*long, *short[:4])))["label"]) == {"0003", "0004"}


def test_seeds_that_stopped_early_are_of_one_round(study, trial, round):
    runs = [
        replace(run, epochs=40 + index, recipe_digest="patient")
        for index, run in enumerate(round({"0000": 0.9, "0001": 0.95}))
    ]
    frame = finalists_frame(study(trials=(trial(0), trial(1)), runs=tuple(runs)))
    assert frame["seeds"].tolist() == [2, 2]


def test_of_equal_means_that_which_is_better_in_the_search_wins(study, trial, round):
    view = study(trials=(trial(0, 0.8), trial(1, 0.9)), runs=round({"0000": 0.95, "0001": 0.95}))
    assert finalists_frame(view)["label"].tolist() == ["0001", "0000"]


def test_finalists_of_an_earlier_search_do_not_win(study, trial, round, architecture):
    trials = (trial(0, 0.9), trial(1, 0.8), trial(2, 0.7))
    runs = (*round({"0000": 0.9, "0001": 0.91}), *round({"0002": 0.99}, architecture=architecture(64)))
    answer, said = answer_and_caveats(study(trials=trials, runs=runs))
    assert answer.trial.number == 1
    assert "2 full-length runs trained networks of an earlier search" in said
