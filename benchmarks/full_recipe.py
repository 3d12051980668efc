"""What each choice of `full` gains: its variants, trained with several seeds: `python benchmarks/full_recipe.py`.

A network of 205,770 parameters learns 4,000 images of 16x16 pixels for 60 epochs and is measured on 11,000 others:
about 50 parameters an image, half of what 5 million have on all of CIFAR-10, so that it overfits in the same way.
Every variant has the same seeds; gains are paired differences to the first, with Student's 95% intervals.
"""

import argparse
from typing import Any

import numpy as np
import torch
from learning_rates import DESIGNS
from runs import curve, keep, small_cifar, training
from scipy.stats import ttest_1samp

from search.recipe import Recipe
from search.recipes import FULL
from search.training.data import Images

NUM_TRAIN = 4_000
BASE: dict[str, Any] = {"lr": 0.2, "cutout": 4, "cutmix": 0.0, "mixup": 0.0, "ema_decay": 0.0, "mix_probability": 0.5}
VARIANTS: dict[str, dict[str, Any]] = {
    "one-cycle, cutout": {},
    "without cutout": {"cutout": 0},
    "CutMix on half of the batches": {"cutout": 0, "cutmix": 1.0},
    "MixUp on half of the batches": {"cutout": 0, "mixup": 0.2},
    "with EMA of 0.99": {"ema_decay": 0.99},
    "lr 0.4": {"lr": 0.4},
    "lr 0.8": {"lr": 0.8},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    data = few_images()
    rows: list[dict[str, Any]] = []
    for seed in range(asked.seeds):  # so that all variants have met the same hours of the machine
        for name, changes in VARIANTS.items():
            recipe = Recipe.model_validate(FULL.model_dump() | BASE | changes | {"name": "variant"})
            accuracies = curve(training(DESIGNS["shallow, wide"], recipe, data, seed))
            rows.append({"variant": name, "seed": seed, "accuracy": accuracies[-1], "changes": changes})
            keep("full_recipe", rows)
            print(f"{name:32} seed {seed}: {accuracies[-1]:.2%}", flush=True)
    print_table(rows)


def few_images() -> tuple[Images, Images]:
    train, validation = small_cifar()
    learnt = Images(train.images[:NUM_TRAIN], train.labels[:NUM_TRAIN])
    images = torch.cat((train.images[NUM_TRAIN:], validation.images))
    return learnt, Images(images, torch.cat((train.labels[NUM_TRAIN:], validation.labels)))


def print_table(rows: list[dict[str, Any]]) -> None:
    found = {name: np.array([100 * row["accuracy"] for row in rows if row["variant"] == name]) for name in VARIANTS}
    first = next(iter(found.values()))
    print("| variant | accuracy | gain in points | 95% interval |\n| --- | ---: | ---: | --- |")
    for name, values in found.items():
        gain = values - first
        interval = ""
        if gain.any() and len(gain) > 1:
            low, high = ttest_1samp(gain, 0).confidence_interval()
            interval = f"{low:+.2f} to {high:+.2f}"
        print(f"| {name} | {values.mean():.2f} | {gain.mean():+.2f} | {interval} |")


if __name__ == "__main__":
    main()
