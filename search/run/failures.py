"""When so many trials have failed that a search should end, and why they did."""

from collections import Counter
from collections.abc import Iterable, Sequence

from optuna.trial import FrozenTrial, TrialState

from search.errors import TrainingError
from search.quantities import plural, significant

MAX_FAILURES_IN_A_ROW = 5
MAX_TOO_SLOW_IN_A_ROW = 100


def too_slow(latency: float, limit: float | None) -> str:
    """Why a design was not trained, from seconds an image."""
    assert limit is not None
    waited = "with no other worker computing"
    return f"latency = {significant(1e3 * latency)} ms, {waited}: the limit is {significant(1e3 * limit)} ms"


class Failures:
    """Counts how trials end. A design that missed the limit of latency is not a failure of the training.

    Args:
        most: how many failures a study may have.

    Attributes:
        num_too_slow: how many designs missed the limit of latency.
    """

    def __init__(self, most: int) -> None:
        self.num_too_slow = 0
        self._most = most
        self._in_a_row = 0
        self._too_slow_in_a_row = 0
        self._reasons: Counter[str] | None = None  # of all failures so far, once they have been counted

    def note(self, trials: Sequence[FrozenTrial], number: int) -> None:
        """Look at the trial that has just ended, one of all these trials.

        Raises:
            TrainingError: it is the last of five failures in a row or of 100 designs in a row that were too slow, or
                it failed and the study now has more than `most` failures.
        """
        ended = trials[number]
        if "too_slow" in ended.user_attrs:
            self.num_too_slow += 1
            self._too_slow_in_a_row += 1
            if self._too_slow_in_a_row == MAX_TOO_SLOW_IN_A_ROW:
                reason = ended.user_attrs["reason"]
                raise TrainingError(f"{MAX_TOO_SLOW_IN_A_ROW} designs in a row were too slow; the last had {reason}")
            return
        self._too_slow_in_a_row = 0
        has_failed = ended.state == TrialState.FAIL
        self._in_a_row = self._in_a_row + 1 if has_failed else 0
        if self._reasons is None:  # those of earlier runs count as well
            self._reasons = reasons_of(trials)
        else:
            self._reasons += reasons_of([ended])
        # One that was trained ends no search, however many had failed before this run.
        if has_failed and (self._in_a_row >= MAX_FAILURES_IN_A_ROW or self._reasons.total() > self._most):
            commonest, times = self._reasons.most_common(1)[0]
            raise TrainingError(f"{plural(self._reasons.total(), 'trial')} failed, {times} of them with: {commonest}")


def reasons_of(trials: Iterable[FrozenTrial]) -> Counter[str]:
    """Why trials failed, and how often. Designs that were too slow do not count."""
    failed = (trial for trial in trials if trial.state == TrialState.FAIL and "too_slow" not in trial.user_attrs)
    return Counter(trial.user_attrs.get("reason", "unknown") for trial in failed)
