"""Does one learning rate suit all designs? Six contrasting ones, each trained at several.

`python benchmarks/learning_rates.py`: 6 epochs of `fast` on 12,000 images of 16x16 pixels, validated on 3,000.
"""

import argparse

import numpy as np
import torch
from runs import NUM_IMAGES, curve, keep, kept, small_cifar, training

from models.architecture import Architecture, Stage, Stem
from models.count import count_macs, count_parameters
from search.recipe import with_epochs
from search.recipes import FAST

RATES = (0.1, 0.2, 0.4, 0.8, 1.6)
DESIGNS = {
    "shallow, narrow": Architecture(Stem(16), (Stage("basic", 1, 16), Stage("basic", 1, 32), Stage("basic", 1, 64))),
    "shallow, wide": Architecture(Stem(32), (Stage("basic", 1, 48), Stage("basic", 1, 112))),
    "deep, narrow": Architecture(Stem(16), (Stage("basic", 5, 12), Stage("basic", 5, 24), Stage("basic", 5, 32))),
    "deep, bottleneck": Architecture(
        Stem(16), (Stage("bottleneck", 5, 32), Stage("bottleneck", 5, 64), Stage("bottleneck", 5, 128))
    ),
    "shallow, wide, bottleneck": Architecture(
        Stem(32), (Stage("bottleneck", 1, 64), Stage("bottleneck", 1, 128), Stage("bottleneck", 1, 256))
    ),
    "four stages, kernel 5": Architecture(
        Stem(16), (Stage("basic", 1, 8, 5), Stage("basic", 1, 16, 5), Stage("basic", 1, 32, 5), Stage("basic", 1, 48))
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--images", type=int, default=NUM_IMAGES, help="training and validation images")
    parser.add_argument("--designs", nargs="+", default=list(DESIGNS), choices=list(DESIGNS), metavar="NAME")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    data = small_cifar(asked.images)
    rows = kept("learning_rates")  # what an earlier call measured is not measured again
    for name in asked.designs:
        design = DESIGNS[name]
        params, macs = count_parameters(design), count_macs(design, 16)
        for rate in RATES:
            setting = {"design": name, "lr": rate, "epochs": asked.epochs, "images": asked.images}
            if any(setting.items() <= row.items() for row in rows):
                continue
            recipe = with_epochs(FAST, asked.epochs).model_copy(update={"lr": rate})
            accuracies = [curve(training(design, recipe, data, seed))[-1] for seed in range(asked.seeds)]
            rows.append(setting | {"params": params, "macs": macs, "accuracies": accuracies})
            print(f"{name:26} {params:8,} lr {rate:<5} {100 * np.mean(accuracies):.2f}", flush=True)
            keep("learning_rates", rows)


if __name__ == "__main__":
    main()
