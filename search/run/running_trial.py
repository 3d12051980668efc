"""A running trial of a search: the one owner of all that is known of it until it ends."""

from typing import Any

from optuna.trial import TrialState

from search.protocol import Finished, Measurement
from search.run.accounting import SECONDS_BETWEEN_NOTES
from search.study.storage import TrialRecord


class RunningTrial:
    """A trial from the moment a worker is given it to its end: its record, its value, its time.

    Seconds that are handed in are those that the trial has had a worker in this run; what earlier runs spent on it is
    added. Until the trial is over they are kept as its `spent_seconds`, so that a kill forgets little. What a kill or a
    crash took from it, and had to be trained again, is kept apart from what led to its last epoch.

    Args:
        is_repeated: whether the trial was begun before, by an earlier run.

    Attributes:
        value: the last epoch's validation accuracy; None before the first.
        is_pruned: whether its worker was asked to stop.
        repeated_epochs: how many of its epochs its worker only repeats, from the checkpoint it goes on from.
    """

    def __init__(self, record: TrialRecord, is_repeated: bool) -> None:
        self.number = record.number
        self.value: float | None = None
        self.is_pruned = False
        self.repeated_epochs = 0
        self._record = record
        self._is_repeated = is_repeated
        self._earlier: float = record.trial.user_attrs.get("spent_seconds", 0.0)
        self._kept = 0.0

    def measured(self, measurement: Measurement) -> bool:
        """Record an epoch. Returns whether the pruner would end the trial here."""
        self.value = measurement.validation_accuracy
        return self._record.report(measurement)

    def restarted(self, seconds: float) -> None:
        """Begin anew after a lost worker. A pruned trial keeps its history: what is repeated of it is not looked at."""
        if not self.is_pruned:
            self._record.restart()
        self._is_repeated = True
        self.repeated_epochs = 0  # unless the new worker finds a checkpoint, and says so
        self.keep(seconds)

    def note(self, seconds: float) -> None:
        """Keep the time so far, if that was not done in the last `SECONDS_BETWEEN_NOTES`."""
        if seconds - self._kept >= SECONDS_BETWEEN_NOTES:
            self.keep(seconds)

    def keep(self, seconds: float) -> None:
        """Keep the time so far.

        Raises:
            StorageError: it cannot be written.
        """
        self._kept = seconds
        self._record.note("spent_seconds", self._earlier + seconds)

    def finished(self, message: Finished, seconds: float) -> TrialState:
        """Record that the trial was trained, to its last epoch or until it was pruned.

        Of all its seconds, `message.seconds` led to its last epoch. The rest was lost where the trial was begun more
        than once; else it is what messages took.
        """
        lost = self._earlier + seconds - message.seconds if self._is_repeated else 0.0
        attributes = {"seconds": message.seconds} | ({"lost_seconds": lost} if lost > 0 else {})
        state = TrialState.PRUNED if self.is_pruned else TrialState.COMPLETE
        self._record.finish(state, attributes | {"batch_size": message.batch_size})
        return state

    def failed(self, reason: str, seconds: float, **attributes: Any) -> TrialState:
        """Record that the trial failed, with all the seconds it took."""
        self._record.finish(TrialState.FAIL, {"seconds": self._earlier + seconds, "reason": reason} | attributes)
        return TrialState.FAIL
