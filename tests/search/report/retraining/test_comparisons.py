"""What is compared with what, and what is said of the difference."""

import math
from collections.abc import Callable
from dataclasses import replace
from statistics import mean, stdev

import pandas as pd
import pytest
from scipy import stats

from models.architecture import Architecture
from search.report.findings import find
from search.report.retraining import comparisons
from search.report.retraining.comparisons import COLUMNS, Comparison
from search.report.statistics.significance import LEVEL, holm
from search.study.networks import Network
from search.study.view import RunView, StudyView, TrialView

Runs = Callable[..., tuple[RunView, ...]]
Study = Callable[..., StudyView]

GOOD = (0.951, 0.953, 0.949, 0.952, 0.950)
FAIR = (0.947, 0.949, 0.945, 0.948, 0.946)
NOISY = (0.93, 0.96, 0.94, 0.97, 0.95)


def compare(view: StudyView) -> list[Comparison]:
    return list(find(view).comparisons)


def unalike(view: StudyView) -> list[tuple[Network, Network]]:
    return list(find(view).unalike)


def comparisons_frame(view: StudyView) -> pd.DataFrame:
    return comparisons.comparisons_frame(find(view).comparisons)


@pytest.fixture
def runs(run: Callable[..., RunView]) -> Runs:
    """Final runs of a label, one an accuracy."""

    def make(label: str, accuracies: tuple[float, ...], **changes: object) -> tuple[RunView, ...]:
        return tuple(run(label, seed, accuracy, **changes) for seed, accuracy in enumerate(accuracies))

    return make


def test_a_comparison_is_welchs_test_of_the_test_accuracies(runs: Runs, study: Study) -> None:
    (comparison,) = compare(study(runs=runs("0003", GOOD) + runs("resnet40", FAIR)))
    test = stats.ttest_ind(GOOD, FAIR, equal_var=False)
    interval = test.confidence_interval(0.95)
    assert comparison.difference == pytest.approx(0.004)
    assert (comparison.low, comparison.high, comparison.p) == pytest.approx((interval.low, interval.high, test.pvalue))
    assert comparison.adjusted_p == comparison.p < LEVEL
    assert comparison.verdict == "better"
    assert (comparison.trial.mean, comparison.trial.deviation) == pytest.approx((mean(GOOD), stdev(GOOD)))
    assert comparison.seeds_needed is None


def test_a_trial_may_be_worse(runs: Runs, study: Study) -> None:
    (comparison,) = compare(study(runs=runs("0003", FAIR) + runs("resnet40", GOOD)))
    assert (comparison.verdict, comparison.difference) == ("worse", pytest.approx(-0.004))
    assert comparison.high < 0


def test_noise_is_not_distinguishable_and_the_seeds_needed_are_named(runs: Runs, study: Study) -> None:
    (comparison,) = compare(study(runs=runs("0003", FAIR) + runs("resnet40", NOISY)))
    assert comparison.verdict == "not distinguishable"
    assert comparison.low < 0 < comparison.high
    assert comparison.seeds_needed is not None and comparison.seeds_needed > 5


def test_every_trial_meets_every_baseline_and_all_count_for_holm(runs: Runs, study: Study) -> None:
    labels = {"0003": GOOD, "0007": FAIR, "resnet20": FAIR, "resnet40": NOISY}
    comparisons = compare(study(runs=sum((runs(label, values) for label, values in labels.items()), ())))
    assert [(comparison.trial.label, comparison.baseline.label) for comparison in comparisons] == [
        ("0003", "resnet20"), ("0003", "resnet40"), ("0007", "resnet20"), ("0007", "resnet40"),
    ]  # fmt: skip
    assert [comparison.adjusted_p for comparison in comparisons] == holm([comparison.p for comparison in comparisons])
    assert [comparison.verdict for comparison in comparisons] == ["better"] + ["not distinguishable"] * 3


def test_a_difference_that_would_pass_alone_may_not_among_others(runs: Runs, study: Study) -> None:
    close = (0.951, 0.947, 0.946, 0.949, 0.9485)
    alone = study(runs=runs("0003", GOOD) + runs("a", close))
    (before,) = compare(alone)
    after = compare(replace(alone, runs=alone.runs + runs("b", NOISY) + runs("c", NOISY)))[0]
    assert after.p == before.p
    assert after.adjusted_p == pytest.approx(3 * before.p)
    assert (before.verdict, after.verdict) == ("better", "not distinguishable")


@pytest.mark.parametrize(("first", "second"), [(GOOD[:1], FAIR), (GOOD, FAIR[:1]), (GOOD[:1], FAIR[:1])])
def test_with_one_seed_nothing_is_tested(
    runs: Runs, study: Study, first: tuple[float, ...], second: tuple[float, ...]
) -> None:
    (comparison,) = compare(study(runs=runs("0003", first) + runs("resnet40", second)))
    assert not comparison.is_tested
    assert comparison.verdict == "not distinguishable"
    assert all(
        math.isnan(value)
        for value in (comparison.low, comparison.high, comparison.p, comparison.adjusted_p, comparison.resampled_low)
    )
    assert comparison.seeds_needed is None


def test_what_cannot_be_tested_does_not_make_holm_stricter(runs: Runs, study: Study) -> None:
    tested = runs("0003", GOOD) + runs("resnet40", FAIR)
    comparisons = compare(study(runs=tested + runs("resnet20", FAIR[:1])))
    assert [comparison.is_tested for comparison in comparisons] == [False, True]
    assert comparisons[1].adjusted_p == comparisons[1].p


@pytest.mark.parametrize(
    "change", [{"recipe": "other"}, {"epochs": 10}, {"holdout": True}, {"recipe_digest": "0123456789ab"}]
)
def test_only_what_was_trained_alike_is_compared(runs: Runs, study: Study, change: dict[str, object]) -> None:
    view = study(runs=runs("0003", GOOD) + runs("resnet40", FAIR, **change))
    assert compare(view) == []
    assert [(a.label, b.label) for a, b in unalike(view)] == [("0003", "resnet40")]


def test_a_guess_that_was_trained_as_a_trial_too_is_not_compared_with_itself(
    runs: Runs, study: Study, trial: Callable[..., TrialView]
) -> None:
    tested = runs("0003", GOOD) + runs("guess-1", FAIR) + runs("resnet40", NOISY)
    own = study(trials=(trial(3, 0.9),), runs=tested)
    guess = replace(own, trials=(trial(3, 0.9, baseline="guess-1"),))
    assert [comparison.baseline.label for comparison in compare(own)] == ["guess-1", "resnet40"]
    (comparison,) = compare(guess)
    assert comparison.baseline.label == "resnet40" and comparison.adjusted_p == comparison.p
    apart = replace(guess, runs=runs("0003", GOOD) + runs("guess-1", FAIR, recipe="other"))
    assert unalike(apart) == []


def test_a_baseline_that_was_also_trained_alike_is_compared_by_those_runs(runs: Runs, study: Study) -> None:
    view = study(runs=runs("0003", GOOD) + runs("resnet40", NOISY, recipe="as1") + runs("resnet40", FAIR))
    (comparison,) = compare(view)
    assert comparison.baseline.accuracies == list(FAIR)
    assert unalike(view) == []


def test_runs_with_and_without_a_holdout_are_two_networks(runs: Runs, study: Study) -> None:
    whole, held = (GOOD, FAIR), (FAIR, NOISY)
    view = study(
        runs=sum(
            (runs("0003", a, holdout=flag) + runs("resnet40", b, holdout=flag)
             for flag, (a, b) in ((False, whole), (True, held))), ()
        )
    )  # fmt: skip
    comparisons = compare(view)
    assert [(comparison.trial.runs[0].holdout, comparison.baseline.runs[0].holdout) for comparison in comparisons] == [
        (False, False), (True, True),
    ]  # fmt: skip
    assert [network.seeds for network in find(view).compared] == [5, 5, 5, 5]


def test_runs_that_stopped_early_are_of_one_training(runs: Runs, study: Study) -> None:
    """The digest of the recipe says that they were trained alike, at whatever epoch they ended."""
    early = [
        replace(each, epochs=10 + each.seed, recipe_digest="0123456789ab")
        for each in runs("0003", GOOD) + runs("resnet40", FAIR)
    ]
    (comparison,) = compare(study(runs=tuple(early)))
    assert (comparison.trial.seeds, comparison.baseline.seeds) == (5, 5)
    assert comparison.trial.training == "cosine, 14 epochs"


def test_two_networks_under_one_number_are_not_one(
    runs: Runs, study: Study, architecture: Callable[..., Architecture]
) -> None:
    """A study that began anew after its database was lost."""
    old = replace(runs("0003", GOOD)[4], architecture=architecture(width=8))
    view = study(runs=(*runs("0003", GOOD[:3]), old, *runs("resnet40", FAIR)))
    assert sorted(comparison.trial.seeds for comparison in compare(view)) == [1, 3]


def test_finalists_and_runs_without_a_result_are_left_out(
    run: Callable[..., RunView], runs: Runs, study: Study
) -> None:
    view = study(
        runs=(run("0003", 0, 0.9, "finalist"), run("0003", 7, None), *runs("0003", GOOD), *runs("resnet40", FAIR))
    )
    (comparison,) = compare(view)
    assert comparison.trial.accuracies == list(GOOD)


def test_a_baseline_over_the_budget_is_a_reference(runs: Runs, study: Study) -> None:
    view = study(runs=runs("0003", GOOD) + runs("resnet40", FAIR, params=6_000_000))
    assert [comparison.is_reference for comparison in compare(view)] == [True]


def test_the_bootstrap_stands_beside_where_the_test_images_are_known(
    runs: Runs, study: Study, errors: Callable[..., tuple[tuple[int, ...], ...]]
) -> None:
    known = [replace(each, confusion=errors(each.test_accuracy)) for each in runs("0003", GOOD) + runs("a", FAIR)]
    exact = [replace(each, test_accuracy=sum(m[i] for i, m in enumerate(each.confusion)) / 10_000) for each in known]
    (comparison,) = compare(study(runs=tuple(exact)))
    assert comparison.resampled == "classes"
    assert (
        comparison.resampled_low < comparison.low < comparison.difference < comparison.high < comparison.resampled_high
    )
    (unknown,) = compare(study(runs=runs("0003", GOOD) + runs("a", FAIR)))
    assert unknown.resampled is None and math.isnan(unknown.resampled_low)


def test_the_frame_has_a_row_a_comparison(runs: Runs, study: Study) -> None:
    frame = comparisons_frame(study(runs=runs("0003", GOOD) + runs("a", FAIR) + runs("b", (0.90, 0.95, 0.93, 0.94))))
    assert list(frame.columns) == COLUMNS
    assert frame["baseline"].tolist() == ["a", "b"]
    row = frame.iloc[1]
    assert (row["trial"], row["recipe"], row["epochs"], row["holdout"]) == ("0003", "cosine", 20, False)
    assert (row["trial_seeds"], row["baseline_seeds"]) == (5, 4)
    assert row["difference"] == pytest.approx(row["trial_mean"] - row["baseline_mean"])
    assert frame["seeds_needed"].isna().tolist() == [True, False]


@pytest.mark.parametrize("label", ["0003", "resnet40"])
def test_without_trials_or_without_baselines_there_is_nothing_to_compare(runs: Runs, study: Study, label: str) -> None:
    view = study(runs=runs(label, GOOD))
    assert (compare(view), unalike(view)) == ([], [])
    assert list(comparisons_frame(view).columns) == COLUMNS
    assert len(comparisons_frame(view)) == 0
