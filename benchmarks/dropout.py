"""Do short runs favour no dropout, and what do long ones favour? `python benchmarks/dropout.py`.

The network and the images of full_recipe.py, with each dropout that space.yaml offers: 8 epochs of `fast`, as a search
trains, 8 of `full`, and all 60 of it, as finalists are trained. Every value has the same seeds; gains are paired
differences to no dropout, with Student's 95% intervals.
"""

import argparse
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from full_recipe import few_images, interval, last_accuracy
from learning_rates import DESIGNS
from runs import keep

from models.architecture import Architecture
from search.recipe import with_epochs
from search.recipes import FAST, FULL
from search.space.space import load_space

DESIGN = DESIGNS["shallow, wide"]
RECIPES = {"fast, 8 epochs": FAST, "full, 8 epochs": with_epochs(FULL, FAST.epochs), "full, 60 epochs": FULL}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    num_seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    data = few_images()
    values = load_space().dropout
    rows: list[dict[str, Any]] = []
    for seed in range(num_seeds):  # so that all values have met the same hours of the machine
        for recipe in RECIPES:
            for dropout in values:
                accuracy = last_accuracy(with_dropout(dropout), RECIPES[recipe], data, seed)
                rows.append({"recipe": recipe, "dropout": dropout, "seed": seed, "accuracy": accuracy})
                keep("dropout", rows)
                print(f"{recipe:16} dropout {dropout:g} seed {seed}: {accuracy:.2%}", flush=True)
    print_table(rows, values)


def with_dropout(dropout: float) -> Architecture:
    stages = tuple(replace(stage, dropout=dropout) for stage in DESIGN.stages)
    return replace(DESIGN, stages=stages)


def print_table(rows: list[dict[str, Any]], values: tuple[float, ...]) -> None:
    print("| recipe | dropout | accuracy | gain in points | 95% interval |\n| --- | ---: | ---: | ---: | --- |")
    for recipe in RECIPES:
        found = {
            value: np.array(
                [100 * row["accuracy"] for row in rows if (row["recipe"], row["dropout"]) == (recipe, value)]
            )
            for value in values
        }
        for value, accuracies in found.items():
            gain = accuracies - found[values[0]]
            print(f"| {recipe} | {value:g} | {accuracies.mean():.2f} | {gain.mean():+.2f} | {interval(gain)} |")


if __name__ == "__main__":
    main()
