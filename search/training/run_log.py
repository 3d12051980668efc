"""The log of a run: its measurements, which its checkpoints keep beside the training's state."""

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict
from typing import Any

import torch

from search.protocol import Finished, Job, Measurement, Message, Resumed
from search.trained_network import Robustness, TestResult
from search.training.checkpoint import Checkpoints
from search.training.loop import Training

SECONDS_BETWEEN_CHECKPOINTS = 30.0
STATE = 2  # the form of what checkpoints keep of a training: an older one is of no use


class RunLog:
    """The measurements and checkpoints of one run of a job.

    Args:
        training: the training, before its first epoch.
        job: what is trained, and the folder of its checkpoints.
        precision: in which it is trained. A checkpoint of another job, precision or device is rejected.
    """

    def __init__(self, training: Training, job: Job, precision: str) -> None:
        self.training = training
        self.job = job
        self.measurements: list[Measurement] = []
        trained = f"{job.architecture.to_json()} {job.recipe.model_dump_json()} {job.seed} {job.purpose}"
        key = f"{trained} {precision} {training.device.type} {STATE}"
        if job.lesson is not None:
            key += f" {job.lesson.digest}"
        self._checkpoints = Checkpoints(job.checkpoints, job.attempt, key) if job.checkpoints is not None else None
        self._earlier_seconds = 0.0
        self._begun = self._written = time.monotonic()

    def resume(self, send: Callable[[Message], None], device: torch.device) -> list[Measurement]:
        """The measurements up to the newest checkpoint, from which the training goes on; none without a checkpoint."""
        if self._checkpoints is None:
            return []
        state, refused = self._checkpoints.newest(device, self._restore)
        if state is not None or refused:
            send(Resumed(len(self.measurements), tuple(refused)))
        return self.measurements.copy()

    def _restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint.

        Raises:
            ValueError: it is intact, but another version wrote other things into it; nothing has changed.
        """
        before = deepcopy(self.training.state())
        try:
            self.training.restore(state["training"])
            measurements = [Measurement(**values) for values in state["measurements"]]
            seconds = float(state["seconds"])
        except Exception as error:  # of any class: what is missing may be a key, a tensor or an argument
            self.training.restore(before)
            raise ValueError("another version of nas wrote it") from error
        self.measurements, self._earlier_seconds = measurements, seconds

    def add(self, measurement: Measurement) -> None:
        """Log an epoch."""
        self.measurements.append(measurement)

    def wants_checkpoint(self, at_once: bool) -> bool:
        """Whether a checkpoint is due, `at_once` or since the last is old. Without a folder for them none ever is."""
        due = time.monotonic() - self._written >= SECONDS_BETWEEN_CHECKPOINTS
        return self._checkpoints is not None and (at_once or due)

    def write(self) -> None:
        """Write a checkpoint.

        Raises:
            StorageError: it cannot be written.
        """
        assert self._checkpoints is not None
        state = {
            "training": self.training.state(),
            "measurements": [asdict(measurement) for measurement in self.measurements],
            "seconds": self._earlier_seconds + time.monotonic() - self._begun,
        }
        self._checkpoints.write(self.training.epoch, state)
        self._written = time.monotonic()

    def finished(
        self, seconds: float, test: TestResult | None = None, robustness: Robustness | None = None
    ) -> Finished:
        """The job's last message; `seconds` is what this attempt took."""
        normalise = self.training.normalise
        kept_epoch = self.training.best.epoch if self.job.recipe.keep_best else None
        batch_size, _, _ = self.training.recipe.sizes
        seconds += self._earlier_seconds
        return Finished(seconds, normalise.mean, normalise.std, test, kept_epoch, batch_size, robustness)
