"""The sentences a reader gets: every case, word for word."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from search.report import verdicts
from search.report.findings import find
from search.study.view import RunView, StudyView, TrialView

Runs = Callable[..., tuple[RunView, ...]]
Study = Callable[..., StudyView]

GOOD = (0.951, 0.953, 0.949, 0.952, 0.950)
FAIR = (0.947, 0.949, 0.945, 0.948, 0.946)
NOISY = (0.93, 0.96, 0.94, 0.97, 0.95)
CLOSING = (
    "These intervals show the noise between seeds; none of them covers a repeat of the search, which would find other "
    "networks."
)


def comparison_sentences(view: StudyView) -> list[str]:
    return verdicts.comparison_sentences(find(view))


def network_sentences(view: StudyView) -> list[str]:
    return verdicts.network_sentences(find(view).compared)


@pytest.fixture
def runs(run: Callable[..., RunView]) -> Runs:
    """Final runs of a label, one an accuracy, of 300M MACs."""

    def make(label: str, accuracies: tuple[float, ...], **changes: Any) -> tuple[RunView, ...]:
        changes = {"macs": 300_000_000} | changes
        return tuple(run(label, seed, accuracy, **changes) for seed, accuracy in enumerate(accuracies))

    return make


def test_better(runs: Runs, study: Study) -> None:
    view = study(runs=runs("0042", GOOD) + runs("resnet40", FAIR, macs=280_000_000, seconds=90))
    assert comparison_sentences(view) == [
        "trial 42 is better than resnet40 by 0.40 points (95% interval 0.17 to 0.63; 5 seeds each; Holm-adjusted p = "
        "0.004): 95.10% at 300M MACs and 10 min a run, against 94.70% at 280M MACs and 1 min 30 s a run.",
        CLOSING,
    ]


def test_worse(runs: Runs, study: Study) -> None:
    first, _ = comparison_sentences(study(runs=runs("0042", FAIR[:4]) + runs("resnet40", GOOD)))
    assert first.startswith("trial 42 is worse than resnet40 by 0.38 points (95% interval -0.64 to -0.11; 4 and 5 ")


def test_not_distinguishable(runs: Runs, study: Study) -> None:
    first, closing = comparison_sentences(study(runs=runs("0042", GOOD) + runs("resnet40", NOISY)))
    assert first == (
        "trial 42 and resnet40 are not distinguishable with 5 seeds each: the difference is 0.10 points (95% interval "
        "-1.86 to 2.06; Holm-adjusted p = 0.895): 95.10% at 300M MACs and 10 min a run, against 95.00% at 300M MACs "
        "and 10 min a run. To detect a difference of this size, more than 1,000 seeds of each would be needed."
    )
    assert closing == CLOSING


def test_the_seeds_that_are_needed_are_named(runs: Runs, study: Study) -> None:
    first, _ = comparison_sentences(study(runs=runs("0042", GOOD[:3]) + runs("resnet40", (0.945, 0.951, 0.947))))
    assert "are not distinguishable with 3 seeds each" in first
    assert first.endswith("To detect a difference of this size, about 11 seeds of each would be needed.")


def test_an_interval_that_leaves_out_0_is_not_left_to_contradict_the_verdict(runs: Runs, study: Study) -> None:
    view = study(runs=sum((runs("0042", GOOD), runs("a", (0.951, 0.947, 0.946, 0.949, 0.9485)),
                           *(runs(label, NOISY) for label in "bcd")), ()))  # fmt: skip
    first = comparison_sentences(view)[0]
    assert "are not distinguishable with 5 seeds each" in first
    assert "which leaves out 0, but not after the adjustment for 4 comparisons; Holm-adjusted p = 0." in first


@pytest.mark.parametrize(
    ("first", "second", "seeds"), [(GOOD[:1], FAIR[:1], "1 seed each"), (GOOD[:1], FAIR, "1 and 5 seeds")]
)
def test_of_one_seed_nothing_can_be_said(
    runs: Runs, study: Study, first: tuple[float, ...], second: tuple[float, ...], seeds: str
) -> None:
    (only,) = comparison_sentences(study(runs=runs("0042", first) + runs("resnet40", second)))
    assert only.startswith(
        f"nothing can be said of trial 42 against resnet40 with {seeds}, because one run shows no noise between seeds: "
        "95.10% at 300M MACs and 10 min a run, against 94.70% at"
    )


def test_of_runs_that_agree_exactly_nothing_can_be_said(runs: Runs, study: Study) -> None:
    (only,) = comparison_sentences(study(runs=runs("0042", (0.95, 0.95)) + runs("resnet40", (0.94, 0.94))))
    assert "with 2 seeds each, because no run differs from another of its network: 95.00%" in only


def test_a_bootstrap_that_disagrees_with_the_verdict_says_so(
    runs: Runs, study: Study, errors: Callable[..., tuple[tuple[int, ...], ...]]
) -> None:
    known = [replace(each, confusion=errors(each.test_accuracy)) for each in runs("0042", GOOD) + runs("a", FAIR)]
    first, closing = comparison_sentences(study(runs=tuple(known)))
    assert "is better than" in first
    assert "With seeds and test images resampled the interval is -" in first
    assert first.endswith("which includes 0: another test set of this size might not show the difference.")
    assert "class by class, as if no two networks had errors in common, which makes them wider" in closing


def test_a_costlier_trial_is_named_with_the_best_one_within(
    runs: Runs, study: Study, trial: Callable[..., TrialView]
) -> None:
    trials = (
        trial(42, 0.93, macs=300_000_000),
        trial(17, 0.91, macs=150_000_000),
        trial(18, 0.90, macs=90_000_000),
        trial(19, 0.99, "pruned", macs=90_000_000),
    )
    view = study(trials=trials, runs=runs("0042", GOOD) + runs("resnet40", FAIR, macs=100_000_000))
    assert comparison_sentences(view)[0].endswith(
        "The trial needs 3.0 times the MACs of resnet40; the best trial within 1.5 times is trial 17 (validation "
        "91.00%, 150M MACs)."
    )
    none = study(trials=trials[:1], runs=view.runs)
    assert comparison_sentences(none)[0].endswith("resnet40; no complete trial stays within 1.5 times.")


def test_one_and_a_half_times_the_macs_is_not_yet_costlier(runs: Runs, study: Study) -> None:
    view = study(runs=runs("0042", GOOD) + runs("resnet40", FAIR, macs=200_000_000))
    assert "times the MACs" not in " ".join(comparison_sentences(view))


def test_a_baseline_over_the_budget_is_called_a_reference(runs: Runs, study: Study) -> None:
    view = study(runs=runs("0042", GOOD) + runs("resnet40", FAIR, params=6_000_000))
    assert comparison_sentences(view)[0].endswith("The baseline is over the study's limits: a reference.")


def test_what_was_trained_differently_is_said_not_to_be_compared(runs: Runs, study: Study) -> None:
    (only,) = comparison_sentences(study(runs=runs("0042", GOOD) + runs("resnet40", FAIR, recipe="as1", epochs=200)))
    assert only == (
        "trial 42 and resnet40 are not compared, because they were trained differently: 95.10% at 300M MACs and 10 min "
        "a run, by cosine, 20 epochs; 94.70% at 300M MACs and 10 min a run, by as1, 200 epochs."
    )


def test_comparisons_of_several_trainings_say_which(runs: Runs, study: Study) -> None:
    both = sum(
        (runs(label, values, holdout=holdout) for label, values in (("0042", GOOD), ("a", FAIR))
         for holdout in (False, True)), ()
    )  # fmt: skip
    first, second, _ = comparison_sentences(study(runs=both))
    assert first.startswith("Trained by cosine, 20 epochs: trial 42 is better than a ")
    assert second.startswith("Trained by cosine, 20 epochs, validation images held out: trial 42 is better than a ")


def test_a_holdout_is_always_mentioned(runs: Runs, study: Study) -> None:
    held = runs("0042", GOOD, holdout=True) + runs("a", FAIR, holdout=True)
    assert comparison_sentences(study(runs=held))[0].startswith("Trained by cosine, 20 epochs, validation images held")


def test_without_trials_or_without_baselines_nothing_is_said(runs: Runs, study: Study) -> None:
    assert comparison_sentences(study()) == []
    assert comparison_sentences(study(runs=runs("0042", GOOD))) == []
    assert comparison_sentences(study(runs=runs("resnet40", GOOD))) == []


def test_networks_of_several_seeds_are_described_by_mean_and_deviation(runs: Runs, study: Study) -> None:
    view = study(runs=runs("resnet40", FAIR[:1]) + runs("0042", GOOD))
    assert network_sentences(view) == [
        "trial 42: 95.10% in the mean of 5 seeds, standard deviation 0.16 points, at 300M MACs and 10 min a run "
        "(cosine, 20 epochs)"
    ]
