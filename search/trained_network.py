"""A trained network at work: what a worker is asked to do with it, and what it answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.architecture import Architecture

Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A network on disk.

    Attributes:
        weights: a safetensors file.
        mean: what its images were normalised by, per channel on the scale 0 to 1; and so `std`. Of a teacher both may
            be empty: it sees images as its student does.
        precision: what it was measured in.
    """

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


@dataclass(frozen=True, slots=True)
class TestResult:
    """A test set under a network's final weights.

    Attributes:
        confusion: `confusion[i][j]` counts images of class i taken for class j.
        correct: whether each image was classified correctly, as `search.flags.pack` writes it.
    """

    loss: float
    accuracy: float
    confusion: tuple[tuple[int, ...], ...]
    correct: str | None = None


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The result of each network, in the order of the task."""

    results: tuple[TestResult, ...]


@dataclass(frozen=True, slots=True)
class Predicted:
    """The class of every image."""

    labels: tuple[int, ...]
