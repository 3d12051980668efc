"""Images per second from storage to a normalised batch: ours against torchvision, PIL and a DataLoader, on the CPU.

`python benchmarks/input_pipeline.py`: training images of CIFAR-10, crop and flip, and the same with colour jitter. Ours
runs in the process that trains, on one thread or two; a DataLoader with 0 workers does so too, and with 2 workers it
has two processes. Epochs are whole, and a DataLoader keeps its workers between them.
"""

import argparse

import torch
from rates import Epoch, measure, print_table, ratios, spread
from runs import cifar_arrays, keep
from textbook import RECIPE, RECIPE_WITH_JITTER, Loader, make_loader

from search.recipe import Recipe
from search.training.images import Images, Normalisation
from search.training.pipeline import Pipeline

SECONDS = 1.0
RECIPES = {"crop, flip": RECIPE, "crop, flip, colour jitter": RECIPE_WITH_JITTER}
# What is like what: of the rates below, ours and the other.
PAIRS = (("ours, 1 thread", "DataLoader, 0 workers"), ("ours, 2 threads", "DataLoader, 2 workers"))


def our_epoch(recipe: Recipe, data: Images, num_threads: int) -> Epoch:
    generator, coins = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
    pipeline = Pipeline(recipe, Normalisation.of(recipe, data), generator, coins)
    batch_size, _, _ = recipe.sizes

    def epoch() -> int:
        torch.set_num_threads(num_threads)
        return sum(len(pipeline(*batch).labels) for batch in data.batches(batch_size, generator))

    return epoch


def their_epoch(loader: Loader) -> Epoch:
    def epoch() -> int:
        torch.set_num_threads(2)
        return sum(len(labels) for _, labels in loader)

    return epoch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000, help="of an epoch")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    images, labels = cifar_arrays(asked.images)
    data = Images.from_arrays(images, labels, "cpu")
    kept, table = [], []
    for name, recipe in RECIPES.items():
        contenders = {
            "ours, 1 thread": our_epoch(recipe, data, 1),
            "ours, 2 threads": our_epoch(recipe, data, 2),
            "DataLoader, 0 workers": their_epoch(make_loader(images, labels, recipe, num_workers=0)),
            "DataLoader, 2 workers": their_epoch(make_loader(images, labels, recipe, num_workers=2)),
        }
        rates = measure(contenders, asked.repeats, SECONDS)
        kept += [{"augmentation": name, "contender": each, "images a second": rates[each]} for each in rates]
        for ours, theirs in PAIRS:
            faster = ratios(rates[ours], rates[theirs])
            table.append([name, ours, spread(rates[ours]), theirs, spread(rates[theirs]), spread(faster, 1)])
    keep("input_pipeline", kept)
    print_table(("augmentation", "ours", "images a second", "theirs", "images a second", "times as fast"), table)


if __name__ == "__main__":
    main()
