"""What the coordinator and its workers say to each other.

A worker owns a device and a copy of the data. It takes one task at a time: a job is answered by one Measurement per
epoch, then Finished or Failed; a timing by Timed or Failed. Nothing here knows how a worker is reached or how a network
is trained.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from models.architecture import Architecture
from search.recipe import Recipe

Purpose = Literal["search", "finalist", "final"]

STOP = "stop"  # the one message to a worker that is not a task


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker needs before its first task: the data's cache folder, the seed of its split, the device and how
    many threads of the processor to use."""

    data: Path
    split_seed: int
    device: str
    num_threads: int


@dataclass(frozen=True, slots=True)
class Job:
    """Train one architecture once.

    A 'search' or 'finalist' job trains on the training split and measures the validation split after every epoch. A
    'final' job trains on both, measures the training data alone, and opens the test set once, after the last epoch.
    `max_params` is the hard limit that the worker checks with fvcore before the first step. Weights go to the folder
    `keep`, if one is given. `label` names the run in messages.
    """

    label: str
    architecture: Architecture
    recipe: Recipe
    seed: int
    purpose: Purpose
    max_params: int | None
    keep: Path | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """Time a few training steps of each architecture."""

    architectures: tuple[Architecture, ...]
    recipe: Recipe


Assignment = Job | Timing


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker has its device and its data. `device` names the hardware; `precision` is what 'auto' stands for there;
    `versions` are of what it runs."""

    device: str
    precision: Literal["fp32", "bf16", "fp16"]
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One epoch of one run. Losses are mean cross-entropy in nats, accuracies fractions of one, seconds wall clock.

    Training values are means over the epoch's augmented batches, under the weights of their time. Validation values
    are None in a final run, which has no validation split. `lr` is the learning rate of the epoch's last step.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    lr: float
    seconds: float


@dataclass(frozen=True, slots=True)
class TestResult:
    """The test set under the final weights. `confusion[i][j]` counts images of class i taken for class j."""

    loss: float
    accuracy: float
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """A job ended: after its last epoch, or after the epoch at which it was told to stop.

    `seconds` is all it took; `mean` and `std` are what images were normalised by, per channel on the scale 0 to 1.
    """

    seconds: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    test: TestResult | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A task ended without a result; `reason` is one line."""

    reason: str


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds per training epoch of each architecture, on the training split."""

    seconds_per_epoch: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker is gone; `reason` is one line."""

    reason: str


Message = Ready | Timed | Measurement | Finished | Failed | Lost


class Worker(Protocol):
    """The handle of one worker, wherever it runs."""

    def start(self, task: Assignment) -> None:
        """Hand over a task. The worker must be idle."""

    def stop(self) -> None:
        """Ask the worker to end its job after the epoch it is in."""


class Fleet(Protocol):
    """All the workers of one coordinator. Every worker says Ready once, before its first task."""

    @property
    def workers(self) -> list[Worker]:
        """The workers that are there."""

    def receive(self, timeout: float) -> tuple[Worker, Message] | None:
        """The next message of any worker, or None after `timeout` seconds."""

    def replace(self, worker: Worker) -> None:
        """Put a new worker in the place of one that is lost or must be ended."""

    def close(self) -> None:
        """End all workers, whatever they are doing."""
