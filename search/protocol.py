"""What the coordinator and its workers say to each other.

A worker owns a device and a copy of the data. It takes one task at a time. It answers a job with one Measurement per
epoch, with Opening if the job is a final one, and then with Finished; or with TooSlow or Failed. It answers any other
task with that task's own answer or with Failed, and says Working in a long one. What people should know of beside that
is Noted, at any time. Nothing here knows how a worker is reached or how a network is trained.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.architecture import Architecture
from search.recipe import Recipe
from search.teaching import Lesson
from search.trained_network import (
    Evaluate,
    Evaluated,
    OnnxExport,
    Precision,
    Predict,
    Predicted,
    Robustness,
    TestResult,
    Verified,
    Verify,
    WriteOnnx,
)

Purpose = Literal["search", "finalist", "proxy", "final", "teacher"]

STOP = "stop"  # end the job at once: nobody wants the rest
PAUSE = "pause"  # end it after the epoch it is in, with a checkpoint: somebody will go on with it
OPEN = "open"  # open the test set: the ledger says so


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker needs before its first task.

    Attributes:
        data: the data's cache folder. A worker without data can do nothing but Evaluate, Predict, WriteOnnx and Verify.
        split_seed: the seed of the validation split.
        device: 'cpu', or a GPU as torch names it: 'cuda:1', or 'cuda' for the first that the worker sees.
        num_threads: how many threads of the processor to use.
    """

    data: Path | None
    split_seed: int
    device: str
    num_threads: int


@dataclass(frozen=True, slots=True)
class Job:
    """Train one architecture once.

    A 'search', 'finalist', 'proxy' or 'teacher' job trains on the training split and measures the validation split
    after every epoch. A 'final' job trains on both and measures the training data alone, unless it has a `holdout` or
    its recipe needs the validation split while it trains. After its last epoch it says Opening and waits for OPEN; then
    it opens the test set, once.

    Attributes:
        label: names the run in messages.
        max_params: a hard limit, which the worker checks with fvcore before the first step.
        keep: the folder for the weights; None if nobody wants them.
        max_latency: seconds an image; a hard limit, which the worker measures before the first step.
        checkpoints: a folder. The job goes on from the newest checkpoint of an earlier attempt, after it has repeated
            the measurements up to there, and writes its own as those of `attempt`.
        captured: whether its steps are captured where the device can do that.
        key: tells it apart from trainings in other ways that have the same label.
        robust: whether it measures the validation split under corruptions too, in the end.
        lesson: what teachers teach it; None without a teacher.
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
    captured: bool = True
    key: str = ""
    robust: bool = False
    lesson: Lesson | None = None


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


Assignment = Job | Timing | RangeTest | ContactSheet | Evaluate | Predict | WriteOnnx | Verify


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker has its device and its data.

    Attributes:
        device: names the hardware.
        precision: what 'auto' stands for on it.
        versions: of the packages that the worker runs.
        num_train: images of the training split.
        peak: FLOP/s of a GPU's products of large matrices in this precision; None on a CPU.
    """

    device: str
    precision: Precision
    versions: dict[str, str]
    num_train: int = 0
    peak: float | None = None

    @property
    def is_gpu(self) -> bool:
        return self.peak is not None


@dataclass(frozen=True, slots=True)
class Measurement:
    """One epoch of one run. Losses are mean cross-entropy in nats, accuracies fractions of one, seconds wall clock.

    Training values are means over the epoch's augmented batches, each under the weights of its step. Validation values
    are None in a final run that trains on all images.

    Attributes:
        lr: the learning rate of the epoch's last step.
        first_loss: the loss of the very first batch, before any step; None after the first epoch.
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
    """A final job has trained and wants to open the test set. It waits for OPEN."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A job ended: after its last epoch, or when it was asked to stop.

    Attributes:
        seconds: all that it took.
        mean: what images were normalised by, per channel on the scale 0 to 1; and so `std`.
        kept_epoch: the epoch whose weights the network has, where the recipe keeps the best.
        batch_size: that of the recipe, or half of it where a whole batch did not fit into memory.
    """

    seconds: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    test: TestResult | None = None
    kept_epoch: int | None = None
    batch_size: int | None = None
    robustness: Robustness | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A task ended without a result.

    Attributes:
        reason: one line.
        blame: where the cause lies: in the task itself; in the worker's process, which must be replaced; in too little
            memory, after which it must be replaced as well; or in the disk.
    """

    reason: str
    blame: Literal["trial", "worker", "memory", "disk"] = "trial"


@dataclass(frozen=True, slots=True)
class Resumed:
    """A job goes on after `epoch`, or begins again if that is 0; `refused` has a line for each damaged checkpoint."""

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
    """Seconds per epoch of each architecture, on the training split and with its validation, and the median of what
    they take before the first."""

    seconds_per_epoch: tuple[float, ...]
    setup: float = 0.0


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
class Working:
    """A task goes on: its worker is alive."""


@dataclass(frozen=True, slots=True)
class Noted:
    """A line for people that belongs to no task: of a file that was put aside, say."""

    text: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker is gone; `reason` is one line. If its whole node went with it, its task is not to blame."""

    reason: str
    with_node: bool = False


Answer = Finished | Paused | TooSlow | Failed | Timed | Ranged | Drawn | Evaluated | Predicted | OnnxExport | Verified
Message = Ready | Resumed | Measurement | Opening | Working | Noted | Lost | Answer
