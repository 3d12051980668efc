"""A trained network at work: what a worker is asked to do with it, and what it answers."""

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Literal

from models.architecture import Architecture

Precision = Literal["fp32", "bf16", "fp16"]
Augmentation = Literal["mirror", "shifts"]  # at test time; see `search.training.views`
Split = Literal["validation", "test"]
NUM_STRENGTHS = 3  # of each corruption
FLOAT_FILE, INT8_FILE = "model.onnx", "model.int8.onnx"


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A network on disk.

    Attributes:
        weights: a safetensors file.
        mean: what its images were normalised by, per channel on the scale 0 to 1; and so `std`. Of a teacher both may
            be empty: it sees images as its student does.
        precision: what it was measured in.
        mirrored: whether it was trained on mirrored images, so that it may be tested on them too.
    """

    architecture: Architecture
    weights: Path
    mean: tuple[float, ...]
    std: tuple[float, ...]
    precision: Precision
    mirrored: bool = False


def augmentations(mirrored: bool) -> tuple[Augmentation, ...]:
    """Those that give other views of an image than itself, where mirrored ones are among them or not."""
    return ("mirror", "shifts") if mirrored else ("shifts",)


def num_passes(augmentation: Augmentation | None, mirrored: bool) -> int:
    """How many forward passes an image takes with test-time augmentation, with mirrored images or without."""
    return (3 if augmentation == "shifts" else 1) * (2 if augmentation is not None and mirrored else 1)


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Test trained networks on the same images: .npy files of uint8 (N, H, W, C) and of labels (N,).

    Attributes:
        augmentation: with which they are tested as well.
        corrupted: whether they are also tested on the images under every corruption.
    """

    networks: tuple[TrainedNetwork, ...]
    images: Path
    labels: Path
    augmentation: Augmentation | None = None
    corrupted: bool = False


@dataclass(frozen=True, slots=True)
class Predict:
    """Classify the images of a .npy file, uint8 (N, H, W, C), with test-time augmentation or without."""

    network: TrainedNetwork
    images: Path
    augmentation: Augmentation | None = None


@dataclass(frozen=True, slots=True)
class WriteOnnx:
    """Write a trained network into a folder as `FLOAT_FILE` and, if there is `calibration`, as `INT8_FILE`, and measure
    both on images: .npy files as in Evaluate.

    Attributes:
        calibration: a .npy file of training images, from which the int8 file takes the ranges of feature maps.
    """

    network: TrainedNetwork
    folder: Path
    images: Path
    labels: Path
    calibration: Path | None = None


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """A written file.

    Attributes:
        num_bytes: of the whole file.
        number_bytes: those of its numbers: weights, biases, scales and zero points. The rest is its graph.
        accuracy: in onnxruntime, on the images that both files were measured on.
    """

    name: str
    num_bytes: int
    number_bytes: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class OnnxExport:
    """What was written of a network and measured of it.

    Attributes:
        files: the float file and, where it was asked for, the int8 file.
        difference: the largest of any logit of the float file from torch's, on the same images.
        producer: what wrote the graph.
        num_calibration: training images from which the ranges of the int8 file were taken; 0 without one.
        split: which of the study's own images it was measured on.
        seen: whether the network was trained on these images.
    """

    files: tuple[OnnxFile, ...]
    difference: float
    num_images: int
    opset: int
    producer: str
    num_calibration: int = 0
    split: Split = "validation"
    seen: bool = False


@dataclass(frozen=True, slots=True)
class Verify:
    """Build a network from its architecture and compare its files with it, on one fixed batch of images. No file is
    trusted but a program, which is run.

    Attributes:
        weights: a safetensors file; None if there is none to load.
        mean: what images are normalised by, per channel on the scale 0 to 1; and so `std`. Both are empty where that is
            not known.
        image_size: in pixels.
        program: an exported model.py beside its weights; None if none may be run.
        graphs: ONNX files.
    """

    architecture: Architecture
    weights: Path | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int
    program: Path | None = None
    graphs: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was compared.

    Attributes:
        file: its name.
        found: a number or words; why, where the check was left out.
        expected: what it has to be; None where there is nothing to say beside `found`.
    """

    file: str
    what: str
    found: int | float | str
    expected: int | float | str | None
    outcome: Literal["agrees", "differs", "left out"]


@dataclass(frozen=True, slots=True)
class AugmentedResult:
    """An accuracy with test-time augmentation, which takes `passes` forward passes an image. It is never compared with
    one without."""

    augmentation: Augmentation
    passes: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class CorruptedResult:
    """An accuracy on images under a corruption, as `search.training.corruptions` has them; `strength` is 1 to 3."""

    corruption: str
    strength: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class Robustness:
    """The accuracy of a network on the images of a split, and on the same under every corruption, at least one.

    Attributes:
        seen: whether it was trained on these images.
    """

    split: Split
    clean: float
    corrupted: tuple[CorruptedResult, ...]
    seen: bool = False

    @property
    def mean(self) -> float:
        """Of the accuracies on corrupted images."""
        return fmean(result.accuracy for result in self.corrupted)

    @property
    def fall(self) -> float:
        return self.clean - self.mean

    def under(self, corruption: str) -> tuple[float, ...]:
        """The accuracies under one corruption, the weakest strength first."""
        return tuple(result.accuracy for result in self.corrupted if result.corruption == corruption)

    @property
    def corruptions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(result.corruption for result in self.corrupted))


@dataclass(frozen=True, slots=True)
class TestResult:
    """A test set under a network's final weights.

    Attributes:
        confusion: `confusion[i][j]` counts images of class i taken for class j.
        correct: whether each image was classified correctly, as `search.flags.pack` writes it.
        augmented: the same images with test-time augmentation, where that was asked for.
        corrupted: the same images under every corruption, where that was asked for.
    """

    loss: float
    accuracy: float
    confusion: tuple[tuple[int, ...], ...]
    correct: str | None = None
    augmented: tuple[AugmentedResult, ...] = ()
    corrupted: tuple[CorruptedResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The result of each network, in the order of the task."""

    results: tuple[TestResult, ...]


@dataclass(frozen=True, slots=True)
class Verified:
    """All that was compared, in order."""

    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Predicted:
    """The class of every image."""

    labels: tuple[int, ...]
