"""The best guess of a study, in the search's own order."""

import pytest

from search.errors import InputError
from search.space.guesses import guesses
from search.space.limits import Limits
from search.space.space import Task, load_space
from search.study.best_guess import best_guess, guess_trial, ranked_guesses
from search.study.view import at_dropout
from studies import make_trial

TASK = Task(32, 3, 10)
LIMITS = Limits(100_000)
FAMILY = guesses(load_space(), TASK, LIMITS)


def test_complete_trials_rank_by_merit_and_pruned_ones_after_them_by_their_last_value() -> None:
    trials = [
        make_trial(0, 0.9, "pruned", architecture=FAMILY["guess-1"]),
        make_trial(1, 0.95, "pruned", architecture=FAMILY["guess-1x4"]),
        make_trial(2, 0.6, architecture=FAMILY["guess-2"]),
        make_trial(3, 0.6, architecture=FAMILY["guess-3"]),
        make_trial(4, 0.99),
    ]
    # guess-3 is the smaller of two equal ones.
    assert ranked_guesses(FAMILY, trials) == ["guess-3", "guess-2", "guess-1x4", "guess-1"]
    assert best_guess(load_space(), TASK, LIMITS, trials) == "guess-3"
    assert guess_trial(FAMILY, trials) == 3
    assert guess_trial(FAMILY, trials[:2]) is None


@pytest.mark.parametrize(("value", "state"), [(None, "failed"), (None, "running"), (float("nan"), "pruned")])
def test_where_none_was_trained_the_first_that_a_search_would_try_is_the_best(value: float | None, state: str) -> None:
    trials = [
        make_trial(0, value, state, architecture=FAMILY["guess-3"], history=()),
        make_trial(1, 0.9, architecture=at_dropout(FAMILY["guess-2"], 0.1)),
    ]
    assert ranked_guesses(FAMILY, trials) == []
    assert best_guess(load_space(), TASK, LIMITS, trials) == "guess-1"


def test_there_is_no_best_guess_below_the_smallest() -> None:
    with pytest.raises(InputError) as caught:
        best_guess(load_space(), TASK, Limits(500))
    assert str(caught.value) == (
        "baseline = 'guess': no guess is within budget=500: the smallest has 19,954 parameters and 3,236,160 MACs"
    )


def test_guesses_that_were_too_slow_are_left_out() -> None:
    slow = [
        make_trial(number, None, "failed", architecture=FAMILY[name], too_slow=True)
        for number, name in enumerate(("guess-1", "guess-1x4", "guess-2", "guess-3"))
    ]
    assert best_guess(load_space(), TASK, LIMITS, slow[:1]) == "guess-1x4"
    with pytest.raises(InputError, match=r"^baseline = 'guess': all guesses that were tried missed the limit of lat"):
        best_guess(load_space(), TASK, LIMITS, slow)
