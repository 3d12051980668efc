"""What the coordinator and its workers say to each other.

A worker owns a device and a copy of the data. It takes one task at a time: a job is answered by one Measurement per
epoch, by Opening if it is a final one, and then by Finished; or by TooSlow, or Failed; anything else by its own answer
or Failed. Nothing here knows how a worker is reached or how a network is trained.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from models.architecture import Architecture
from search.recipe import Recipe

Precision = Literal["fp32", "bf16", "fp16"]
Purpose = Literal["search", "finalist", "proxy", "final"]

STOP = "stop"  # end the job at once: nobody wants the rest
PAUSE = "pause"  # end it after the epoch it is in, with a checkpoint: somebody will go on with it
OPEN = "open"  # open the test set: the ledger says so


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker needs before its first task: the data's cache folder, the seed of its split, the device and how
    many threads of the processor to use. A worker without data can do nothing but Evaluate and Predict."""

    data: Path | None
    split_seed: int
    device: str
    num_threads: int


@dataclass(frozen=True, slots=True)
class Job:
    """Train one architecture once.

    A 'search', 'finalist' or 'proxy' job trains on the training split and measures the validation split after every
    epoch. A 'final' job trains on both and measures the training data alone, unless it has a `holdout` or its recipe
    needs the validation split while it trains. After the last epoch it says Opening and waits to be told; then it opens
    the test set, once.
    `max_params` and `max_latency` (seconds an image) are hard limits that the worker checks before the first step, the
    one with fvcore, the other with a clock. Weights go to the folder `keep`, if one is given. `label` names the run in
    messages.

    With `checkpoints`, a folder, the job goes on from the newest checkpoint of an earlier attempt, after it has
    repeated the measurements up to there, and writes its own as those of `attempt`.
    """

    label: str
    architecture: Architecture
    recipe: Recipe
    seed: int
    purpose: Purpose
    max_params: int | None
    keep: Path | None = None
    max_latency: float | None = None
    checkpoints: Path | None = None
    attempt: int = 1
    holdout: bool = False


@dataclass(frozen=True, slots=True)
class Timing:
    """Time a few training steps of each architecture."""

    architectures: tuple[Architecture, ...]
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class RangeTest:
    """Train one architecture for `num_steps` steps while the learning rate grows from `lowest` to `highest`."""

    architecture: Architecture
    recipe: Recipe
    seed: int
    lowest: float
    highest: float
    num_steps: int


@dataclass(frozen=True, slots=True)
class ContactSheet:
    """Draw augmented training images, one a row, into the PNG file `path`."""

    recipe: Recipe
    seed: int
    path: Path


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A network on disk: its weights (safetensors), what its images were normalised by, per channel on the scale 0 to
    1, and the precision that it was measured in."""

    architecture: Architecture
    weights: Path
    mean: tuple[float, ...]
    std: tuple[float, ...]
    precision: Precision


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Test trained networks on the same images: .npy files of uint8 (N, H, W, C) and of labels (N,)."""

    networks: tuple[TrainedNetwork, ...]
    images: Path
    labels: Path


@dataclass(frozen=True, slots=True)
class Predict:
    """Classify the images of a .npy file, uint8 (N, H, W, C)."""

    network: TrainedNetwork
    images: Path


Assignment = Job | Timing | RangeTest | ContactSheet | Evaluate | Predict


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker has its device and its data. `device` names the hardware; `precision` is what 'auto' stands for there;
    `versions` are of what it runs."""

    device: str
    precision: Precision
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One epoch of one run. Losses are mean cross-entropy in nats, accuracies fractions of one, seconds wall clock.

    Training values are means over the epoch's augmented batches, under the weights of their time. Validation values
    are None in a final run that trains on all there is. `lr` is the learning rate of the epoch's last step;
    `first_loss` the loss of the very first batch, before any step, and None after the first epoch.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    lr: float
    seconds: float
    first_loss: float | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """A final job has trained and wants to open the test set. It waits until it is told to."""


@dataclass(frozen=True, slots=True)
class TestResult:
    """The test set under the final weights. `confusion[i][j]` counts images of class i taken for class j; `correct`
    tells of each image whether it was taken for its own class, as `search.flags.pack` writes it."""

    loss: float
    accuracy: float
    confusion: tuple[tuple[int, ...], ...]
    correct: str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """A job ended: after its last epoch, or when it was told to stop.

    `seconds` is all it took; `mean` and `std` are what images were normalised by, per channel on the scale 0 to 1;
    `kept_epoch` is the epoch whose weights the network has, where the recipe keeps the best; `batch_size` is that of
    the recipe, or half of it where a whole batch did not fit into memory.
    """

    seconds: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    test: TestResult | None = None
    kept_epoch: int | None = None
    batch_size: int | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A task ended without a result; `reason` is one line.

    The cause is the `blame` of the trial itself, of the worker's process, which must be replaced, of too little memory,
    after which it must be replaced as well, or of the disk.
    """

    reason: str
    blame: Literal["trial", "worker", "memory", "disk"] = "trial"


@dataclass(frozen=True, slots=True)
class Resumed:
    """A job goes on after `epoch`, or begins again if that is 0; `refused` tells of each damaged checkpoint."""

    epoch: int
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Paused:
    """A job was ended with its checkpoint written."""


@dataclass(frozen=True, slots=True)
class TooSlow:
    """A job was not begun: its network takes `latency` seconds an image, more than its limit."""

    latency: float


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds per training epoch of each architecture, on the training split."""

    seconds_per_epoch: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class RangePoint:
    """One step of a range test: its learning rate, and loss in nats and accuracy on its batch before the step."""

    lr: float
    loss: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Ranged:
    """A range test ended, early if the loss diverged."""

    points: tuple[RangePoint, ...]
    diverged: bool


@dataclass(frozen=True, slots=True)
class Drawn:
    """A contact sheet is written."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What each network came to, in the order of the task."""

    results: tuple[TestResult, ...]


@dataclass(frozen=True, slots=True)
class Predicted:
    """The class of every image."""

    labels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker is gone; `reason` is one line. Where its whole node is gone, that is no fault of what it did."""

    reason: str
    with_node: bool = False


Answer = Finished | Paused | TooSlow | Failed | Timed | Ranged | Drawn | Evaluated | Predicted
Message = Ready | Resumed | Measurement | Opening | Lost | Answer


class Worker(Protocol):
    """The handle of one worker, wherever it runs."""

    def start(self, task: Assignment) -> None:
        """Hand over a task. The worker must be idle."""

    def stop(self) -> None:
        """Ask the worker to end its job; the epoch it is in may or may not be measured."""

    def pause(self) -> None:
        """Ask the worker to end its job after the epoch it is in, with a checkpoint."""

    def open(self) -> None:
        """Let the worker's job, which has said Opening, open the test set."""


class Fleet(Protocol):
    """All the workers of one coordinator. Every worker says Ready once, before its first task."""

    @property
    def workers(self) -> list[Worker]:
        """The workers that are there."""

    def receive(self, timeout: float) -> tuple[Worker, Message] | None:
        """The next message of any worker, or None after `timeout` seconds."""

    def replace(self, worker: Worker) -> None:
        """Put a new worker in the place of one that is lost or must be ended."""

    def dismiss(self, worker: Worker, reason: str) -> None:
        """End a worker that cannot start, as others before it, and leave its place empty for now."""

    def close(self) -> None:
        """End all workers, whatever they are doing."""
