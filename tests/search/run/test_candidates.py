from collections.abc import Callable
from dataclasses import replace

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from models.architecture import Architecture, ArchitectureError, Stage, Stem
from models.count import count_macs, count_parameters
from models.int8 import count_int8_bytes
from search.errors import StudyError
from search.identity import Identity
from search.recipe import Recipe
from search.run.candidates import (
    Candidate,
    are_one_design,
    baseline_candidate,
    best_trials,
    best_within,
    candidate_of,
    with_dropout,
)
from search.space.space import load_space
from search.study.plan import Plan
from search.study.view import at_dropout
from studies import make_trial

FULL = Recipe(name="full", epochs=3, batch_size=16)
NETWORK = Architecture(Stem(4), (Stage("basic", 1, 8),), in_channels=1)


def recorded(number: int, state: TrialState, value: float | None = None, **attributes: object) -> FrozenTrial:
    known = {"architecture": NETWORK.to_json(), "params": 100 * (number + 1)}
    intermediate = {1: value} if value is not None else {}
    trial = create_trial(
        state=state,
        value=value if state == TrialState.COMPLETE else None,
        intermediate_values=intermediate,
        user_attrs=attributes or known,
    )
    trial.number = number
    return trial


TRIALS = [
    recorded(0, TrialState.COMPLETE, 0.5),
    recorded(1, TrialState.PRUNED, 0.95),
    recorded(2, TrialState.FAIL),
    recorded(3, TrialState.COMPLETE, 0.7),
    recorded(4, TrialState.RUNNING),
    recorded(5, TrialState.COMPLETE, 0.7),
]


def test_the_best_trials_are_completed_ones_the_earlier_first_among_equals() -> None:
    assert best_trials(TRIALS, 2) == [3, 5]
    assert best_trials(TRIALS, 3) == [3, 5, 0]


def test_of_equal_trials_the_smaller_is_the_better_and_then_the_earlier() -> None:
    design = NETWORK.to_json()
    later, same = (recorded(number, TrialState.COMPLETE, 0.7, architecture=design, params=300) for number in (6, 7))
    assert best_trials([*TRIALS, same, later], 4) == [6, 7, 3, 5]
    assert best_within([*TRIALS, same, later], 10_000) == 6


def test_a_trial_without_a_design_is_neither_the_best_nor_to_be_retrained(make_plan: Callable[..., Plan]) -> None:
    bare = recorded(6, TrialState.COMPLETE, 0.99, note="by hand")
    assert best_trials([*TRIALS, bare], 1) == [3]
    assert best_within([*TRIALS, bare], 10_000) == 3
    with pytest.raises(StudyError, match=r"^trial = 6: it was recorded without its design"):
        candidate_of([*TRIALS, bare], 6, make_plan(), FULL)


def test_more_trials_than_were_completed_cannot_be_the_best() -> None:
    with pytest.raises(StudyError, match=r"^top = 4: this study has only 3 trials trained to the end$"):
        best_trials(TRIALS, 4)


@pytest.mark.parametrize("number", [0, 1])
def test_a_trained_trial_is_a_candidate(number: int, make_plan: Callable[..., Plan]) -> None:
    expected = Candidate(Identity(trial=number), NETWORK, FULL, 6_000)
    assert candidate_of(TRIALS, number, make_plan(), FULL) == expected


def test_a_trial_is_certified_against_all_that_the_limits_of_the_search_leave(make_plan: Callable[..., Plan]) -> None:
    """A limit of bytes leaves fewer parameters than the budget."""
    plan = make_plan(limits=("bytes=4000@int8",))
    assert plan.question.budget == 6_000
    assert candidate_of(TRIALS, 0, plan, FULL).max_params == 4_000


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (2, "trial = 2: it failed, so there is nothing to retrain"),
        (4, "trial = 4: it is running or was interrupted, so there is nothing to retrain"),
        (9, "trial = 9: no such trial in this study; there are 6, from 0"),
        (-1, "trial = -1: no such trial in this study; there are 6, from 0"),
    ],
)
def test_a_trial_without_a_result_is_no_candidate(number: int, said: str, make_plan: Callable[..., Plan]) -> None:
    with pytest.raises(StudyError) as caught:
        candidate_of(TRIALS, number, make_plan(), FULL)
    assert str(caught.value) == said


def test_a_study_without_trials_has_no_candidate(make_plan: Callable[..., Plan]) -> None:
    with pytest.raises(StudyError, match=r"^trial = 0: no such trial in this study; there is none yet$"):
        candidate_of([], 0, make_plan(), FULL)


@pytest.mark.parametrize(("budget", "number"), [(100, 0), (399, 0), (400, 3), (10_000, 3)])
def test_the_best_within_a_budget_is_the_most_accurate_completed_one_that_fits(budget: int, number: int) -> None:
    assert best_within(TRIALS, budget) == number


def test_a_budget_that_no_trial_keeps_is_refused() -> None:
    with pytest.raises(StudyError, match=r"^per-budget = 99: no trial of so few parameters was trained to the end$"):
        best_within(TRIALS, 99)


def test_another_dropout_is_another_network_of_the_same_cost() -> None:
    two = Architecture(Stem(4), (Stage("basic", 1, 8, dropout=0.3), Stage("bottleneck", 2, 8)), in_channels=1)
    found = with_dropout(Candidate(Identity(trial=42), two, FULL, 6_000), 0.1)
    assert (found.identity.label, found.recipe, found.max_params) == ("0042 with dropout 0.1", FULL, 6_000)
    assert [stage.dropout for stage in found.architecture.stages] == [0.1, 0.1]
    assert count_parameters(found.architecture) == count_parameters(two)
    assert count_macs(found.architecture, 8) == count_macs(two, 8)


def test_its_own_dropout_changes_nothing_and_an_impossible_one_is_refused() -> None:
    own = Candidate(Identity(trial=42), NETWORK, FULL, 6_000)
    assert with_dropout(own, 0) is own
    with pytest.raises(ArchitectureError, match=r"^dropout = 1\.0: must be a number from 0 to below 1$"):
        with_dropout(own, 1.0)


def test_a_guess_is_held_to_the_limits_and_a_network_of_a_report_is_not(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(space=load_space(), budget=100_000, limits=("bytes=90KB@int8",))
    guess = baseline_candidate("guess-1x4", plan, FULL)
    with pytest.raises(ArchitectureError, match=r"no such network is within the limits; there are guess-1$"):
        baseline_candidate("guess-1x4", make_plan(space=load_space(), budget=20_000), FULL)
    assert (guess.identity, guess.max_params) == (Identity(baseline="guess-1x4"), 90_000)
    assert count_parameters(guess.architecture) < count_int8_bytes(guess.architecture) <= 90_000
    assert baseline_candidate("resnet20-b", plan, FULL).max_params is None
    assert guess.architecture.in_channels == 1


def test_a_guess_is_held_to_the_limit_of_latency_unless_the_search_has_trained_it(
    make_plan: Callable[..., Plan],
) -> None:
    plan = make_plan(space=load_space(), budget=100_000, limits=("latency=5ms",))
    guess = baseline_candidate("guess-1x4", plan, FULL)
    assert guess.max_latency == 0.005
    trained = make_trial(3, 0.8, architecture=at_dropout(guess.architecture, 0.1))
    assert baseline_candidate("guess-1x4", plan, FULL, [trained]).max_latency is None
    too_slow = replace(trained, state="failed", value=None, too_slow=True)
    assert baseline_candidate("guess-1x4", plan, FULL, [too_slow]).max_latency == 0.005
    assert baseline_candidate("resnet20-b", plan, FULL).max_latency is None


def test_another_dropout_is_no_other_design() -> None:
    own = Candidate(Identity(trial=1), NETWORK, FULL, None)
    assert are_one_design(own, with_dropout(own, 0.3))
    assert not are_one_design(own, replace(own, architecture=replace(NETWORK, in_channels=3)))
