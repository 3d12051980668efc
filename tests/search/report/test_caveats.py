"""What is said before a number is quoted, and only where it applies."""

from dataclasses import replace

import pytest

from models.baselines import find_baseline
from search.report.caveats import caveats
from search.report.findings import find
from search.report.page import is_over
from search.report.retraining.full_length_runs import results_frame, results_table
from search.report.summary import facts
from search.study.view import LedgerEntry
from search.teaching import Teacher, Teaching


def said(view) -> str:
    return " ".join(caveats(find(view)))


def test_a_network_over_the_budget_is_a_reference(study, run):
    view = study(budget=1_000, runs=(run("resnet10", 0, 0.9, params=1_001), run("resnet40", 0, 0.8, params=1_000)))
    assert results_frame(find(view).networks, view.is_over).set_index("label")["over"].to_dict() == {
        "resnet10": True,
        "resnet40": False,
    }
    sentences = caveats(find(view))
    assert "resnet10 is over the budget: it is a reference, not an answer." in sentences
    assert not any("resnet40" in sentence for sentence in sentences)
    assert "resnet10 (over the limits: a reference)" in str(
        results_table(results_frame(find(view).networks, view.is_over))
    )


def test_a_network_over_the_limit_on_bytes_is_a_reference_though_it_has_no_more_numbers(study, run, trial):
    resnet20 = find_baseline("resnet20-b", 3, 10)
    runs = run("resnet20-b", 0, 0.9, architecture=resnet20), run("0001", 0, 0.8)
    over, within = (study(budget=most, max_int8_bytes=most, runs=runs) for most in (280_000, 281_000))
    assert [comparison.is_reference for comparison in find(over).comparisons] == [True]
    assert [comparison.is_reference for comparison in find(within).comparisons] == [False]
    limit = "the limit of 280,000 bytes in int8"
    assert f"resnet20-b is over {limit}: it is a reference, not an answer." in caveats(find(over))
    assert "is a reference" not in said(within)
    assert results_frame(find(over).networks, over.is_over).set_index("label")["over"]["resnet20-b"]
    grown = replace(over, trials=(trial(7, 0.9, params=272_474, architecture=resnet20),))
    assert "1 trial exceeded the budget and must not be quoted: 7." in caveats(find(grown))


def test_a_run_that_watched_the_validation_split_is_said_to_lack_it(study, run):
    watched = tuple(replace(epoch, validation_accuracy=0.5) for epoch in run("a", 0, 0.9).history)
    view = study(runs=(run("resnet20-b", 0, 0.9, history=watched), run("resnet40", 0, 0.9)))
    said = [sentence for sentence in caveats(find(view)) if "did not see the validation images" in sentence]
    assert said == ["resnet20-b did not see the validation images: the recipe needs them to watch the training."]
    held_out = study(runs=(run("resnet20-b", 0, 0.9, history=watched, holdout=True), run("resnet40", 0, 0.9)))
    said = [sentence for sentence in caveats(find(held_out)) if "did not see the validation images" in sentence]
    assert said == ["resnet20-b did not see the validation images: that was asked for."]


def test_an_odd_first_loss_is_mentioned(study, run):
    first, *rest = run("a", 0, 0.9).history
    odd = (replace(first, first_loss=9.5), *rest)
    right = (replace(first, first_loss=2.35), *rest)
    view = study(runs=(run("resnet20-b", 0, 0.9, history=odd), run("resnet40", 0, 0.9, history=right)))
    said = [sentence for sentence in caveats(find(view)) if "first batch" in sentence]
    assert len(said) == 1 and said[0].startswith("resnet20-b, seed 0: the first batch had a loss of 9.50")


def test_a_seed_that_was_trained_with_half_of_the_batch_is_said_to_be(study, run):
    recipe = {"batch_size": 128}
    runs = [run("resnet40", seed, 0.9, recipe_values=recipe, batch_size=size) for seed, size in enumerate((128, 64))]
    odd = "a batch of 128 did not fit into memory, so it was trained with 64, unlike runs where it did"
    assert [each for each in caveats(find(study(runs=tuple(runs)))) if "batch" in each] == [f"resnet40, seed 1: {odd}."]


def test_designs_that_were_too_slow_are_no_failures(study, trial):
    view = study(
        trials=(
            trial(0),
            trial(1, None, "failed", reason="latency", too_slow=True),
            trial(2, None, "failed", reason="NaN"),
        )
    )
    sentences = caveats(find(view))
    assert "1 design missed the limit of latency and was not trained." in sentences
    assert "1 trial failed. The reason: NaN" in sentences
    (fact,) = [fact for fact in facts(find(view)) if fact.term == "Trained trials"]
    assert fact.note == "1 complete, 1 failed, 1 too slow"


def test_doubts_are_mentioned_where_they_apply(study, trial, run):
    alone = study(num_trials=2, trials=(trial(0, 0.9), trial(1, 0.8)))
    assert "The best of 2 validation accuracies is optimistic" in said(alone)
    assert "has not been retrained" in said(alone)
    once = replace(alone, runs=(run("0000", 0, 0.92),))
    assert "one seed only" in said(once)
    assert "No baseline was trained" in said(once)
    assert "not finished" not in said(once)
    assert "not finished: 2 of 5" in said(replace(alone, num_trials=5))
    by_time = replace(alone, by_time=True)
    assert "not finished" not in said(by_time)
    assert "not finished: there was time for 2 trials so far." in said(replace(by_time, num_trials=None))


def test_networks_that_the_rule_for_macs_left_out_are_mentioned(study, trial):
    limited = study(trials=(trial(0, 0.9),), max_macs=320 * 5_000_000)
    rule = "at most 1.6G MACs (320 for each of 5,000,000 parameters, --limit macs=none lifts it) were searched."
    assert f"Only networks of {rule}" in said(limited)
    for max_macs in (None, 600_000_000):  # of those, the question tells
        assert "were searched" not in said(replace(limited, max_macs=max_macs))


def test_a_baseline_trained_differently_is_said_to_be(study, trial, run):
    own = tuple(run("0000", seed, 0.92 + 0.01 * seed) for seed in range(2))
    like = tuple(run("resnet20-b", seed, 0.91) for seed in range(2))
    view = study(trials=(trial(0, 0.9),), runs=own + like)
    assert "trained differently" not in said(view)
    other = tuple(replace(each, recipe="long", epochs=300) for each in like)
    assert "trained differently (recipe long and epochs 300)" in said(replace(view, runs=own + other))


def test_a_number_of_seeds_and_teachers_are_told_apart_from_a_training(study, trial, run):
    own = tuple(run("0000", seed, 0.92 + 0.01 * seed) for seed in range(2))
    like = tuple(run("resnet20-b", seed, 0.91) for seed in range(3))
    view = study(trials=(trial(0, 0.9),), runs=own + like)
    assert "trained differently" not in said(view)
    assert "Baseline resnet20-b has 3 seeds, the answer 2." in said(view)
    teaching = Teaching((Teacher("trial 9", 1_000, 1_000, "0" * 64),), "top1")
    taught = tuple(replace(each, teaching=teaching) for each in own)
    assert "(without the answer's teacher)" in said(replace(view, runs=taught + like))
    taught = tuple(replace(each, teaching=teaching) for each in like)
    assert "(with a teacher, which the answer lacks)" in said(replace(view, runs=own + taught))


def test_a_winner_with_many_more_macs_is_said_to_be_one_and_the_best_within_is_named(study, trial, run, architecture):
    small, large = architecture(8), architecture(32)
    view = study(
        trials=(trial(0, 0.9, architecture=large), trial(1, 0.8, architecture=small)),
        runs=(run("0000", 0, 0.92, architecture=large), run("tiny", 0, 0.85, architecture=small)),
    )
    assert "times the MACs of baseline tiny; the best trial within 1.5 times is trial 1" in said(view)


def test_failures_are_counted_with_their_commonest_reason(study, trial):
    reasons = ("out of memory", "loss is not finite", "out of memory")
    view = study(trials=tuple(trial(n, None, "failed", reason=reason) for n, reason in enumerate(reasons)))
    assert "3 trials failed. The commonest reason: out of memory" in said(view)


def test_an_over_budget_trial_must_not_be_quoted(study, trial):
    assert "exceeded the budget and must not be quoted: 4" in said(study(budget=1000, trials=(trial(4),)))


@pytest.mark.parametrize(
    # (p + z²/2n ± z sqrt(p(1 - p)/n + z²/4n²)) / (1 + z²/n)
    ("accuracy", "interval"),
    [(0.9, "an accuracy of 90.0% may be one of 89.40% to 90.57%"), (1.0, "100.0% may be one of 99.96% to 100.00%")],
)
def test_the_test_sets_sampling_error_is_binomial(study, trial, run, errors, accuracy, interval):
    matrix = errors(accuracy)
    view = study(trials=(trial(0, accuracy),), runs=(run("0000", 0, accuracy, confusion=matrix),))
    assert "The test set has 10,000 images" in said(view)
    assert interval in said(view)


def test_a_search_that_found_no_more_design_is_not_called_unfinished(study, trial):
    view = study(trials=(trial(0), trial(1)), num_trials=100)
    assert "The search is not finished: 2 of 100 trials have been trained." in said(view)
    over = replace(view, exhausted="all 2 designs within the limits have been tried")
    assert "The search ended with 2 trials of 100: all 2 designs within the limits have been tried." in said(over)
    assert "not finished" not in said(over) and is_over(over) and not is_over(view)
    running = replace(over, trials=(*over.trials, trial(2, None, "running")))
    assert "The search is not finished" in said(running) and not is_over(running)


def test_openings_by_other_studies_are_counted(study, trial):
    ledger = (LedgerEntry("2026-01-01T00:00:00Z", "older", "0003", 0, 0.9),)
    assert "opened 1 time by 1 other study" in said(study(trials=(trial(0),), ledger=ledger))


def test_the_sampling_error_is_that_of_the_number_to_quote(study, trial, run):
    """Not of another training of the same network."""
    counts = ((90, 10), (10, 90))
    runs = (run("0001", 0, 0.2, confusion=counts, epochs=1), run("0001", 0, 0.9, confusion=counts, epochs=9))
    runs = tuple(replace(each, history=each.history[:1] * each.epochs) for each in runs)
    assert "so an accuracy of 90.0% may be one of" in said(study(trials=(trial(1),), runs=runs))
