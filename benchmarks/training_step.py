"""Images per second of whole training steps on the CPU: ours against the textbook loop.

`python benchmarks/training_step.py`: from stored images to the optimiser's step, 32x32 pixels, batches of 128, SGD,
crop and flip (`--jitter` adds colour jitter), the same network and 2 threads for all. Ours is measured in float32 as
well: what it gains there over the textbook is the input pipeline's and the memory format's, and the rest is bf16's.
"""

import argparse

import numpy as np
import torch
from numpy.typing import NDArray
from rates import Epoch, measure, print_table, ratios, spread
from runs import cifar_arrays, keep
from textbook import RECIPE, RECIPE_WITH_JITTER, make_loader, make_optimizer, train_epoch

from models.baselines import BASELINES, find_baseline
from models.build import build
from search.recipe import Recipe
from search.training.images import Images, Normalisation
from search.training.loop import Training

NETWORKS = ("resnet20-b", "modified-resnet")
THREADS = 2
CPU = torch.device("cpu")


def our_epoch(network: str, recipe: Recipe, data: Images, precision: str) -> Epoch:
    torch.manual_seed(0)
    model = build(find_baseline(network))
    training = Training(model, recipe, data, None, Normalisation.of(recipe, data), seed=0, precision=precision)
    epochs = training.epochs()

    def epoch() -> int:
        next(epochs)
        return training.num_steps * recipe.sizes[0]

    return epoch


def their_epoch(
    network: str, recipe: Recipe, images: NDArray[np.uint8], labels: NDArray[np.int64], num_workers: int
) -> Epoch:
    torch.manual_seed(0)
    model = build(find_baseline(network))
    loader = make_loader(images, labels, recipe, num_workers=num_workers)
    optimizer, scheduler = make_optimizer(model, recipe, recipe.epochs * len(loader))

    def epoch() -> int:
        train_epoch(model, loader, optimizer, scheduler, CPU)
        return len(loader) * recipe.sizes[0]

    return epoch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=384, help="of an epoch")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--jitter", action="store_true", help="train with colour jitter as well")
    parser.add_argument("--networks", nargs="+", choices=sorted(BASELINES), default=NETWORKS, metavar="NAME")
    asked = parser.parse_args()
    torch.set_num_threads(THREADS)
    recipe = RECIPE_WITH_JITTER if asked.jitter else RECIPE
    images, labels = cifar_arrays(asked.images)
    data = Images.from_arrays(images, labels, CPU)
    kept, table = [], []
    for network in asked.networks:
        contenders = {
            "ours, bf16": our_epoch(network, recipe, data, "bf16"),
            "ours, fp32": our_epoch(network, recipe, data, "fp32"),
            "textbook, 0 workers": their_epoch(network, recipe, images, labels, 0),
            "textbook, 2 workers": their_epoch(network, recipe, images, labels, 2),
        }
        rates = measure(contenders, asked.repeats)
        kept += [{"network": network, "contender": each, "images a second": rates[each]} for each in rates]
        ours = rates["ours, bf16"]
        table += [[network, each, spread(rates[each]), spread(ratios(ours, rates[each]), 2)] for each in rates]
    keep("training_step_jitter" if asked.jitter else "training_step", kept)
    print_table(("network", "loop", "images a second", "ours in bf16 is times as fast"), table)


if __name__ == "__main__":
    main()
