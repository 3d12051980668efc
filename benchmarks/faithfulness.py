"""Do bf16 and our fast path reach the accuracy of float32 and of the plain path? Five seeds of each, on real images.

`python benchmarks/faithfulness.py`: our loop in bf16 and in float32, and the textbook loop (float32; torchvision on PIL
images, a DataLoader, its own evaluation), from the same initial weights at each seed, with one recipe: SGD with
Nesterov momentum, a cosine by step, batches of 64, crop, and flip where images may be mirrored. One difference is
meant to be there: the border of our crops is the mean colour, and that of torchvision's is black unless told otherwise.
So the textbook loop is run with either; what ours is compared with has the mean colour.

Digits are 8x8 pixels, and CIFAR-10 is 4,000 images averaged to 16x16, validated on 3,000 others; the network has three
stages of one basic block, of 16, 32 and 64 channels. One thread. Differences come with 95% intervals (Welch).
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rates import print_table
from runs import curve, keep, small_cifar
from scipy.stats import ttest_ind
from textbook import RECIPE, accuracy, make_loader, make_optimizer, train_epoch

from models.architecture import Architecture, Stage, Stem
from models.blocks import ResNet
from models.build import build
from search.data.datasets import open_dataset
from search.recipe import Recipe, with_epochs
from search.training.images import Images, Normalisation, Splits
from search.training.loop import Training

NETWORK = Architecture(Stem(16), (Stage("basic", 1, 16), Stage("basic", 1, 32), Stage("basic", 1, 64)))
CPU = torch.device("cpu")
NUM_TRAIN = 4_000

Data = tuple[Images, Images]
TrainingPath = Callable[[ResNet, Recipe, Data, int], float]  # trains in place; validation accuracy after the last epoch


def ours(precision: str) -> TrainingPath:
    def train(model: ResNet, recipe: Recipe, data: Data, seed: int) -> float:
        images, validation = data
        normalise = Normalisation.of(recipe, images)
        return curve(Training(model, recipe, images, validation, normalise, seed=seed, precision=precision))[-1]

    return train


def textbook(mean_border: bool) -> TrainingPath:
    def train(model: ResNet, recipe: Recipe, data: Data, seed: int) -> float:
        torch.manual_seed(seed)
        loader = make_loader(*arrays(data[0]), recipe, num_workers=0, mean_border=mean_border)
        optimizer, scheduler = make_optimizer(model, recipe, recipe.epochs * len(loader))
        for _ in range(recipe.epochs):
            train_epoch(model, loader, optimizer, scheduler, CPU)
        return accuracy(model, make_loader(*arrays(data[1]), recipe, num_workers=0, augment=False), CPU)

    return train


PLAIN = "textbook, fp32"
PATHS: dict[str, TrainingPath] = {
    "ours, bf16": ours("bf16"),
    "ours, fp32": ours("fp32"),
    PLAIN: textbook(mean_border=True),
    "textbook, fp32, black border": textbook(mean_border=False),
}


def arrays(data: Images) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, H, W, 3), or (N, H, W) where they are grey, and labels (N,)."""
    images = data.images.permute(0, 2, 3, 1).numpy()
    return images[..., 0] if images.shape[3] == 1 else images, data.labels.numpy()


def digits() -> tuple[Data, Recipe]:
    splits = Splits.load(open_dataset("digits"), 0, CPU)
    return fitted("digits", (splits.train, splits.validation), epochs=20)


def cifar() -> tuple[Data, Recipe]:
    train, validation = small_cifar()
    return fitted("cifar10", (train.take(np.arange(NUM_TRAIN)), validation), epochs=8)


def fitted(name: str, data: Data, epochs: int) -> tuple[Data, Recipe]:
    """The data with the recipe for it, constants of normalisation included."""
    automatic = {"batch_size": 64, "crop_padding": "auto", "flip": "auto", "mean": None, "std": None}
    images = data[0].images
    recipe = with_epochs(RECIPE, epochs).model_copy(update=automatic)
    recipe = recipe.fit_to(name, len(images), images.shape[3], images.shape[1])
    constants = Normalisation.of(recipe, data[0])
    return data, recipe.model_copy(update={"mean": constants.mean, "std": constants.std})


def compare(name: str, data: Data, recipe: Recipe, num_seeds: int) -> list[dict[str, Any]]:
    """Every path with every seed: rows of validation accuracies and seconds."""
    network = replace(NETWORK, in_channels=data[0].images.shape[1])
    rows: list[dict[str, Any]] = [{"data": name, "path": path, "accuracies": [], "seconds": []} for path in PATHS]
    for seed in range(num_seeds):
        for row, path in zip(rows, PATHS.values(), strict=True):
            torch.manual_seed(seed)
            model = build(network)
            started = time.perf_counter()
            row["accuracies"].append(path(model, recipe, data, seed))
            row["seconds"].append(time.perf_counter() - started)
    return rows


def described(row: dict[str, Any], plain: dict[str, Any]) -> list[str]:
    """A line of the table: in percent and points, the difference from the plain path."""
    values, others = (100 * np.array(each["accuracies"]) for each in (row, plain))
    cells = [row["data"], row["path"], f"{mean(values):.2f}", f"{stdev(values):.2f}"]
    if row is plain:
        return [*cells, "", ""]
    interval = ttest_ind(values, others, equal_var=False).confidence_interval(0.95)
    difference = f"{mean(values) - mean(others):+.2f}"
    return [*cells, difference, f"{interval.low:+.2f} to {interval.high:+.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="2 at least")
    num_seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    kept, table = [], []
    for name, (data, recipe) in {"digits": digits(), "CIFAR-10, 16x16": cifar()}.items():
        rows = compare(name, data, recipe, num_seeds)
        kept += rows
        keep("faithfulness", kept)
        plain = next(row for row in rows if row["path"] == PLAIN)
        table += [described(row, plain) for row in rows]
    print_table(("data", "path", "validation accuracy, %", "sd", "less the textbook's", "95% interval"), table)


if __name__ == "__main__":
    main()
