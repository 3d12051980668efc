import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.errors import TrainingError
from search.run.failures import Failures

GOOD = create_trial(value=0.5)


def failed(reason: str, **attributes: bool) -> FrozenTrial:
    return create_trial(state=TrialState.FAIL, user_attrs={"reason": reason, **attributes})


def test_failures_of_earlier_runs_count_and_each_counts_once() -> None:
    trials, failures = [failed("a"), GOOD, failed("b")], Failures(3)
    for trial in (GOOD, failed("b"), GOOD):
        trials.append(trial)
        failures.note(trials, len(trials) - 1)
    trials.append(failed("b"))
    with pytest.raises(TrainingError, match=r"^4 trials failed, 3 of them with: b$"):
        failures.note(trials, len(trials) - 1)


def test_a_trial_that_was_trained_ends_no_search_however_many_failed_before() -> None:
    trials, failures = [failed("a"), failed("b"), failed("b"), GOOD], Failures(1)
    failures.note(trials, 3)
    trials.append(failed("b"))
    with pytest.raises(TrainingError, match=r"^4 trials failed, 3 of them with: b$"):
        failures.note(trials, 4)


def test_a_design_that_was_too_slow_is_no_failure() -> None:
    trials, failures = [failed("a"), failed("slow", too_slow=True)], Failures(1)
    failures.note(trials, 1)
    trials.append(GOOD)
    failures.note(trials, 2)
    assert failures.num_too_slow == 1
    trials.append(failed("a"))
    with pytest.raises(TrainingError, match=r"^2 trials failed, 2 of them with: a$"):
        failures.note(trials, 3)
