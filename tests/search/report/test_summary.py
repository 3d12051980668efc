"""The first lines of the page, where a study has no answer or an odd one."""

import pytest

from search.report.findings import find
from search.report.summary import conclusion, facts, question


@pytest.mark.parametrize("state", ["failed", "pruned"])
def test_a_search_whose_trials_all_ended_early_is_not_said_to_be_under_way(study, trial, state):
    view = study(trials=tuple(trial(number, 0.4 if state == "pruned" else None, state) for number in range(3)))
    assert conclusion(find(view)) == ["There is no answer yet: no trial was trained to the end."]


def test_a_study_of_baselines_alone_says_that_nothing_was_searched(study, run):
    view = study(runs=(run("resnet20-b", 0, 0.9), run("resnet20-b", 1, 0.9), run("resnet40", 0, 0.9)))
    assert conclusion(find(view)) == ["No search was made here: 2 networks made by hand."]


def test_trials_are_of_a_number_where_a_number_was_asked_for(study, trial):
    for changes, shown in (({}, "1 of 3"), ({"by_time": True}, "1"), ({"by_time": True, "num_trials": None}, "1")):
        (fact,) = [fact for fact in facts(find(study(trials=(trial(0),), **changes))) if fact.term == "Trained trials"]
        assert fact.value == shown


def test_a_limit_of_macs_is_part_of_the_question(study):
    assert question(study(max_macs=600_000_000)) == (
        "Which network of at most 5,000,000 parameters and 600M MACs classifies cifar10 best?"
    )


def test_there_is_no_answer_without_a_complete_trial(study, trial):
    view = study(trials=(trial(0, None, "failed", reason="out of memory"), trial(1, 0.5, "pruned")))
    assert find(view).answer is None
    assert conclusion(find(view)) == ["There is no answer yet: no trial was trained to the end."]
