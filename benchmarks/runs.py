"""What the training benchmarks share: small real images, one run of one design, and where a figure was measured."""

import json
import os
import platform
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.architecture import Architecture
from models.build import build
from search.data.datasets import open_dataset
from search.data.splits import split
from search.recipe import Recipe
from search.recipes import FAST
from search.training.images import Images, Normalisation
from search.training.loop import Training

RESULTS = Path(__file__).with_name("results")
NUM_IMAGES = 15_000
NUM_CLASSES = 10
# What `fast` was when recorded.json.gz was made.
RECORDED_RECIPE = FAST.model_copy(update={"name": "recorded", "lr": 0.2, "ema_window": 0.0})


def cifar_arrays(num_images: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The first training images of CIFAR-10, (N, 32, 32, 3), and their labels."""
    images, labels = open_dataset("cifar10").train()
    return np.array(images[:num_images]), np.array(labels[:num_images])


@cache
def small_cifar(num_images: int = NUM_IMAGES) -> tuple[Images, Images]:
    """The first training images of CIFAR-10, averaged to 16x16, split into training and validation as a study does."""
    images, labels = open_dataset("cifar10").train()
    pixels = torch.from_numpy(np.array(images[:num_images].transpose(0, 3, 1, 2), order="C")).float()
    small = torch.nn.functional.avg_pool2d(pixels, 2).round().to(torch.uint8)
    chosen = np.array(labels[:num_images])
    both = Images(small, torch.from_numpy(chosen))
    train, validation = split(chosen, 0)
    return both.take(train), both.take(validation)


def training(architecture: Architecture, recipe: Recipe, data: tuple[Images, Images | None], seed: int) -> Training:
    """A training of the design in bf16, as a worker would begin it."""
    train, validation = data
    torch.manual_seed(seed)
    model = build(architecture, zero_init_last_norm=recipe.zero_init_last_norm)
    fitted = recipe.fit_to("cifar10", len(train), train.images.shape[-1], train.images.shape[1])
    normalise = Normalisation.of(fitted, train)
    return Training(model, fitted, train, validation, normalise, seed=seed, precision="bf16")


def curve(run: Training) -> list[float]:
    """Validation accuracy after every epoch."""
    return [epoch.validation_accuracy or 0.0 for epoch in run.epochs()]


def provenance() -> dict[str, Any]:
    """Where a figure comes from."""
    hardware = next(
        (line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine()
    )
    return {
        "hardware": f"{hardware}, {len(os.sched_getaffinity(0))} cores allowed, {torch.get_num_threads()} threads",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "command": " ".join(["python", *sys.argv]),
    }


def keep(name: str, rows: list[dict[str, Any]]) -> None:
    """Write results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"measured on": provenance(), "rows": rows}, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n")


def kept(name: str) -> list[dict[str, Any]]:
    """The rows of results/NAME.json, if there is one."""
    path = RESULTS / f"{name}.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"] if path.is_file() else []
    return rows


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []
