"""Where the time of a study goes. It is kept in the record as it passes, so that a kill forgets little."""

from collections.abc import Callable

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
        # Where earlier runs did not record it, the sum would be of a part of the study alone.
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
