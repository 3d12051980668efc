"""`nas retrain`: which networks it selects, and what it says of them."""

from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import pytest

from search.cli.retrain import Selection, parse_selection
from search.errors import InputError
from search.files import StudyFiles
from search.recipes import FAST
from search.study.plan import Plan
from search.study.reading import read_view
from search.study.storage import read_study

Nas = Callable[..., CompletedProcess[str]]


@pytest.mark.parametrize(
    ("options", "selection"),
    [
        (([3, 1, 3], None, None, None, None), Selection(trials=(3, 1))),
        (([3], None, None, 0.1, ["resnet40"]), Selection(trials=(3,), dropout=0.1, baselines=("resnet40",))),
        ((None, 2, None, None, None), Selection(top=2)),
        ((None, None, "0.3M,1M", 0.0, None), Selection(budgets=(300_000, 1_000_000), dropout=0.0)),
        ((None, None, None, None, ["resnet40", "resnet40"]), Selection(baselines=("resnet40",))),
    ],
)
def test_options_select_each_network_once(options: tuple[Any, ...], selection: Selection) -> None:
    assert parse_selection(*options) == selection


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((None, None, None, None, None), "retrain: give either --trial NUMBER (once or more), --top K or"),
        (([], None, None, None, []), "retrain: give either --trial NUMBER (once or more), --top K or"),
        (([1], 2, None, None, None), "retrain: give either --trial NUMBER (once or more), --top K or"),
        ((None, 2, "1M", None, None), "retrain: give either --trial NUMBER (once or more), --top K or"),
        ((None, 1, None, 0.1, None), "dropout = 0.1: is for --trial and --per-budget; --top 2 or more chooses it"),
        ((None, None, None, 0.1, ["resnet40"]), "dropout = 0.1: is for --trial and --per-budget; --top 2 or more"),
        ((None, None, "1M,few", None, None), "per-budget = 'few': must be a whole number"),
    ],
)
def test_other_options_are_refused(options: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_selection(*options)
    assert str(caught.value).startswith(message)


def test_one_trial_is_chosen_only_of_several() -> None:
    assert Selection(top=2).chooses
    assert not Selection(top=1).chooses and not Selection(trials=(1, 2)).chooses


def test_one_search_answers_for_every_budget(searched: StudyFiles) -> None:
    records, _ = read_study(searched, None)
    complete = [trial for trial in read_view(searched).trials if trial.state == "complete"]
    small = sorted(trial.params for trial in complete)[1]
    best = max((trial for trial in complete if trial.params <= small), key=lambda trial: trial.value or 0.0)
    selection = parse_selection(None, None, f"{small},{small}", 0.0, None)
    assert selection.numbers(records) == [best.number]
    (candidate,) = selection.candidates(records, Plan.load(searched), FAST)
    assert (candidate.identity.trial, candidate.recipe) == (best.number, FAST)
    assert {stage.dropout for stage in candidate.architecture.stages} == {0.0}


def test_a_budget_that_no_trial_meets_is_named(nas: Nas, searched: StudyFiles) -> None:
    none = nas("retrain", "--per-budget", "10")
    assert none.returncode == 2
    assert none.stderr.endswith("nas: per-budget = 10: no trial of so few parameters was trained to the end\n")
