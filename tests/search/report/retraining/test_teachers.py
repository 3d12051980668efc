"""What is said of a network with teachers beside itself without."""

from collections.abc import Callable

import pytest
from scipy import stats

from search.report.findings import find
from search.report.retraining.full_length_runs import results_frame, results_table, runs_frame, runs_table
from search.report.retraining.teachers import Effect, effect_sentences
from search.report.statistics.significance import holm
from search.report.time_ledger import time_ledger_frame
from search.report.verdicts import comparison_sentences
from search.study.view import RunView, StudyView
from search.teaching import Teacher, Teaching

Runs = Callable[..., tuple[RunView, ...]]
Study = Callable[..., StudyView]

GOOD = (0.951, 0.953, 0.949, 0.952, 0.950)
FAIR = (0.947, 0.949, 0.945, 0.948, 0.946)
LARGE = Teacher("resnet40", 9_000_000, 400, "def", "has no card of its data")
TEACHING = Teaching((Teacher("trial 3", 100, 200, "abc"),), "top1")


@pytest.fixture
def runs(run: Callable[..., RunView]) -> Runs:
    """Final runs of a label, one an accuracy."""

    def make(label: str, accuracies: tuple[float, ...], **changes: object) -> tuple[RunView, ...]:
        return tuple(run(label, seed, accuracy, **changes) for seed, accuracy in enumerate(accuracies))

    return make


def effects(view: StudyView) -> list[Effect]:
    return list(find(view).effects)


def test_the_difference_is_welchs_over_the_seeds_that_both_have(runs: Runs, study: Study) -> None:
    view = study(runs=runs("0042", (*FAIR, 0.5)) + runs("0042", GOOD, teaching=TEACHING))
    (effect,) = effects(view)
    test = stats.ttest_ind(GOOD, FAIR, equal_var=False)
    interval = test.confidence_interval(0.95)
    assert effect.alone is not None and (effect.taught.seeds, effect.alone.seeds) == (5, 5)
    assert effect.difference == pytest.approx(0.004)
    assert (effect.low, effect.high, effect.p) == pytest.approx((interval.low, interval.high, test.pvalue))


def test_p_values_are_adjusted_over_all_networks_with_teachers(runs: Runs, study: Study) -> None:
    taught = [runs(label, GOOD, teaching=TEACHING) for label in ("0001", "0002")]
    alone = [runs("0001", FAIR), runs("0002", GOOD[::-1])]
    found = effects(study(runs=sum([*taught, *alone], ())))
    assert [effect.adjusted_p for effect in found] == pytest.approx(holm([effect.p for effect in found]))


def test_the_sentence_claims_no_more_than_the_seeds_show(runs: Runs, study: Study) -> None:
    def said(*views: tuple[RunView, ...]) -> str:
        (sentence,) = effect_sentences(effects(study(runs=sum(views, ()))), 5_000_000)
        return sentence

    subject = "trial 42, cosine, 20 epochs, taught by trial 3 (temperature 2, share 0.7),"
    taught = runs("0042", GOOD, teaching=TEACHING, seconds=660.0)
    assert said(taught, runs("0042", FAIR)) == (
        f"{subject} is better with a teacher than without by 0.40 points (95% interval 0.17 to 0.63; 5 seeds each): "
        "95.10% with a teacher in 11 min a run, 94.70% without in 10 min a run."
    )
    assert f"{subject} is not distinguishable with a teacher and without: the difference is 0.00 points (95%" in said(
        taught, runs("0042", GOOD[::-1])
    )
    assert said(taught[:1], runs("0042", FAIR[:1])).endswith(
        "nothing can be said of the difference with 1 seed, because one run shows no noise between seeds."
    )
    assert said(taught).startswith(f"{subject} has 95.10% with a teacher; without it was not trained in this way.")
    assert "not trained in this way" in said(taught, runs("0042", FAIR, recipe="other", recipe_digest="0a"))


def test_a_teacher_over_the_budget_is_said_to_be(runs: Runs, study: Study) -> None:
    view = study(runs=runs("0042", GOOD, teaching=Teaching((*TEACHING.teachers, LARGE), "top2")))
    (sentence,) = effect_sentences(effects(view), view.budget)
    assert "resnet40 has 9,000,000 parameters, over the budget of 5,000,000: it teaches, and is no answer." in sentence
    assert sentence.endswith("resnet40 has no card of its data.") and "trial 3 has" not in sentence


def test_what_had_a_teacher_is_compared_with_no_baseline_without(runs: Runs, study: Study) -> None:
    view = study(runs=runs("0042", GOOD, teaching=TEACHING) + runs("0042", FAIR) + runs("resnet40", FAIR[::-1]))
    findings = find(view)
    (comparison,) = findings.comparisons
    assert comparison.trial.teaching is None and comparison.trial.accuracies == [*FAIR]
    assert findings.quoted["0042"].teaching is None
    assert len(comparison_sentences(findings)) == 2


def test_tables_and_ledger_tell_runs_with_a_teacher_apart(
    runs: Runs, run: Callable[..., RunView], study: Study
) -> None:
    teacher = run("0003", 0, 0.9, purpose="teacher")
    view = study(runs=(*runs("0042", GOOD, teaching=TEACHING), *runs("0042", FAIR), teacher))
    results = results_table(results_frame(find(view).networks, view.is_over))
    assert [row[0] for row in results.rows] == ["trial 42 (with a teacher)", "trial 42"]
    assert {row[0] for row in runs_table(runs_frame(view.runs)).rows} == {
        "trial 42 (with a teacher)",
        "trial 42",
        "trial 3",
    }
    rows = time_ledger_frame(view)
    assert dict(zip(rows["outcome"], rows["seconds"], strict=True)) == {
        "retraining: final training and test, with a teacher": 3_000.0,
        "retraining: final training and test": 3_000.0,
        "retraining: teachers": 600.0,
    }
