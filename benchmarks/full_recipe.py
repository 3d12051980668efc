"""What each choice of `full` gains: its variants, trained with several seeds: `python benchmarks/full_recipe.py`.

A network of 205,770 parameters learns 4,000 images of 16x16 pixels for 60 epochs and is measured on 11,000 others:
about 50 parameters an image, half of what 5 million have on all of CIFAR-10, so that it overfits in the same way.
(`--design` trains another one.) Every variant has the same seeds; gains are paired differences to the first, with
Student's 95% intervals. Rates are for batches of 128; here batches are of 64, and have half of them. Runs that
results/full_recipe.json holds already are not repeated.
"""

import argparse
from typing import Any

import numpy as np
import torch
from learning_rates import DESIGNS
from numpy.typing import NDArray
from runs import keep, kept, small_cifar, training
from scipy.stats import ttest_1samp

from models.architecture import Architecture
from search.recipe import Recipe
from search.recipes import FULL
from search.training.images import Images
from search.training.loop import evaluate

NUM_TRAIN = 4_000
BASE: dict[str, Any] = {"lr": 0.4, "cutout": 4, "cutmix": 0.0, "mixup": 0.0, "ema_window": 0.0, "mix_probability": 0.5}
VARIANTS: dict[str, dict[str, Any]] = {
    "one-cycle, cutout": {},
    "without cutout": {"cutout": 0},
    "CutMix on half of the batches": {"cutout": 0, "cutmix": 1.0},
    "MixUp on half of the batches": {"cutout": 0, "mixup": 0.2},
    "lr 0.2": {"lr": 0.2},
    "lr 0.8": {"lr": 0.8},
    "averaged weights (window 9%)": {"ema_window": 0.09},
    "lr 0.8, CutMix": {"lr": 0.8, "cutout": 0, "cutmix": 1.0},
    "lr 0.8, MixUp": {"lr": 0.8, "cutout": 0, "mixup": 0.2},
    "lr 0.8, averaged weights": {"lr": 0.8, "ema_window": 0.09},
    "lr 1.6": {"lr": 1.6},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--design", choices=DESIGNS, default="shallow, wide")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    data = few_images()
    rows = kept("full_recipe")
    done = {(row["design"], row["variant"], row["seed"]) for row in rows}
    for seed in range(asked.seeds):  # so that all variants have met the same hours of the machine
        for name in asked.variants:
            if (asked.design, name, seed) in done:
                continue
            changes = VARIANTS[name]
            recipe = Recipe.model_validate(FULL.model_dump() | BASE | changes | {"name": "variant"})
            accuracy = last_accuracy(DESIGNS[asked.design], recipe, data, seed)
            run = {"design": asked.design, "variant": name, "seed": seed, "accuracy": accuracy, "changes": changes}
            rows.append(run)
            keep("full_recipe", rows)
            print(f"{name:32} seed {seed}: {accuracy:.2%}", flush=True)
    print_table([row for row in rows if row["design"] == asked.design])


def last_accuracy(design: Architecture, recipe: Recipe, data: tuple[Images, Images], seed: int) -> float:
    """Of one training, measured at its end alone."""
    learnt, others = data
    run = training(design, recipe, (learnt, None), seed)
    for _ in run.epochs():
        pass
    return evaluate(run.network, others, run.normalise, run.precision).accuracy


def few_images() -> tuple[Images, Images]:
    train, validation = small_cifar()
    learnt = Images(train.images[:NUM_TRAIN], train.labels[:NUM_TRAIN])
    images = torch.cat((train.images[NUM_TRAIN:], validation.images))
    return learnt, Images(images, torch.cat((train.labels[NUM_TRAIN:], validation.labels)))


def print_table(rows: list[dict[str, Any]]) -> None:
    found = {(row["variant"], row["seed"]): 100 * row["accuracy"] for row in rows}
    first = next(iter(VARIANTS))
    print("| variant | seeds | accuracy | gain in points | 95% interval |\n| --- | ---: | ---: | ---: | --- |")
    for name in VARIANTS:
        seeds = [seed for variant, seed in found if variant == name and (first, seed) in found]
        if not seeds:
            continue
        values = np.array([found[name, seed] for seed in seeds])
        gain = values - np.array([found[first, seed] for seed in seeds])
        print(f"| {name} | {len(seeds)} | {values.mean():.2f} | {gain.mean():+.2f} | {interval(gain)} |")


def interval(gain: NDArray[np.float64]) -> str:
    """Student's 95% interval of the mean; empty for one seed, and for the reference itself."""
    if not gain.any() or len(gain) < 2:
        return ""
    low, high = ttest_1samp(gain, 0).confidence_interval()
    return f"{low:+.2f} to {high:+.2f}"


if __name__ == "__main__":
    main()
