"""Where the time goes: what a study has cost so far, and what a trial has cost before it is over.

Times are kept in the record as they pass, so that a kill forgets little. A trial that ends has the seconds that its
training took; what a kill or a crash took from it, and had to be trained again, is kept apart.
"""

from collections.abc import Callable
from typing import Any

from search.study.storage import Record

SECONDS_BETWEEN_NOTES = 10.0


class StudyClock:
    """Adds the time of one run of the coordinator to what the study's earlier runs took.

    Kept with the study are `seconds`, the coordinator's wall clock, and `worker_seconds`, summed over the workers that
    were there: the device time there was to be used. Begin it with the run.

    Args:
        num_workers: how many workers are there now.
        clock: seconds that only ever grow.
    """

    def __init__(self, record: Record, num_workers: Callable[[], int], clock: Callable[[], float]) -> None:
        self._record = record
        self._num_workers = num_workers
        self._clock = clock
        self._counted = self._kept = clock()
        self._seconds = record.attribute("seconds", 0.0)
        # Of a study whose earlier runs did not record it, it would tell a part alone.
        is_known = not record.trials or record.attribute("worker_seconds", None) is not None
        self._worker_seconds = record.attribute("worker_seconds", 0.0) if is_known else None

    def note(self) -> None:
        """Count the time so far, and keep it if that was not done in the last `SECONDS_BETWEEN_NOTES`."""
        self._count()
        if self._counted - self._kept >= SECONDS_BETWEEN_NOTES:
            self.keep()

    def keep(self) -> None:
        """Keep the time so far.

        Raises:
            StorageError: it cannot be written.
        """
        self._count()
        self._kept = self._counted
        self._record.set_attribute("seconds", self._seconds)
        if self._worker_seconds is not None:
            self._record.set_attribute("worker_seconds", self._worker_seconds)

    def _count(self) -> None:
        now = self._clock()
        passed, self._counted = now - self._counted, now
        self._seconds += passed
        if self._worker_seconds is not None:
            self._worker_seconds += self._num_workers() * passed


class TrialClock:
    """The device time of one trial, from the moment a worker takes it; what earlier runs spent on it is added.

    Until the trial is over, it is kept as the trial's `spent_seconds`.

    Attributes:
        is_repeated: whether the trial was begun before, by this run or an earlier one.
    """

    def __init__(self, record: Record, number: int, is_repeated: bool) -> None:
        self.is_repeated = is_repeated
        self._record = record
        self._number = number
        earlier = record.trial(number).user_attrs
        self._earlier = earlier.get("spent_seconds", 0.0)
        self._noted = 0.0

    def note(self, seconds: float) -> None:
        """Keep the trial's time so far, of which `seconds` in this run, if it was not kept lately."""
        if seconds - self._noted >= SECONDS_BETWEEN_NOTES:
            self.keep(seconds)

    def keep(self, seconds: float) -> None:
        """Keep the trial's time so far, of which `seconds` in this run.

        Raises:
            StorageError: it cannot be written.
        """
        self._noted = seconds
        self._record.note(self._number, "spent_seconds", self._earlier + seconds)

    def spent(self, seconds: float) -> dict[str, Any]:
        """What is recorded of a trial that failed after `seconds` in this run: all it took."""
        return {"seconds": self._earlier + seconds}

    def trained(self, seconds: float, useful: float) -> dict[str, Any]:
        """What is recorded of a trial that was trained, with `seconds` in this run.

        Of these and of those of earlier runs, `useful` seconds led to its last epoch. The rest was lost where the trial
        was begun more than once; else it is what messages took.
        """
        lost = self._earlier + seconds - useful if self.is_repeated else 0.0
        return {"seconds": useful} | ({"lost_seconds": lost} if lost > 0 else {})
