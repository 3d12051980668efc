"""Does stronger augmentation in `full` lessen the fall on corrupted images, at equal clean accuracy?

A guess of 100,000 parameters is trained by `full` and by `full` with one more augmentation each, every variant with the
same seeds, on CIFAR-10's images averaged to 16x16 pixels, and tested on the first test images as they are and under
the corruptions of `nas evaluate --corrupted`. Differences are paired by seed. A training that pays has a smaller fall
and a clean accuracy that is no lower.

Each run is a line of --record as soon as it has ended; interrupted, the same command goes on. All that decides a run
is in its line, so that other settings begin rows of their own.
"""

import argparse
import json
import os
import time
from concurrent.futures import as_completed
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from images import cifar, halved
from measuring import Rows, interval, make_parser, paired_interval, pick_device, print_table, save_results, start_pool

from search.data.datasets import open_dataset
from search.recipe import Recipe
from search.recipes import FULL
from search.space.guesses import guesses
from search.space.limits import Limits, macs_by_rule
from search.space.space import Task, load_space
from search.training.corruptions import evaluate_corrupted
from search.training.graph import capture_on
from search.training.images import Images, Normalisation
from search.training.loop import Training, evaluate
from search.training.network import begin
from search.writing import append_line

TASK = Task(16, 3, 10)
BUDGET = 100_000
REFERENCE = "full"
JITTER = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
VARIANTS: dict[str, dict[str, Any]] = {
    REFERENCE: {},
    "trivial augment": {"trivial_augment": True},
    "rand augment": {"rand_augment": {"operations": 2, "magnitude": 9}},
    "random erasing": {"random_erasing": 0.25},
    "color jitter": {"color_jitter": JITTER},
}

_data: dict[str, Any] = {}


def prepare(num_images: int, num_test: int, device: str) -> None:
    """Load the images of a process that trains."""
    torch.set_num_threads(1)
    images, labels = cifar(num_images)
    test_images, test_labels = (np.array(array[:num_test]) for array in open_dataset("cifar10").test())
    _data["training"] = Images.from_arrays(halved(images), labels, device)
    _data["test"] = Images.from_arrays(halved(test_images), test_labels, device)


def run(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the accuracy on clean images, the mean on corrupted ones, that of each corruption, and seconds."""
    data = _data["training"]
    changes = {"name": "shift", "epochs": row["epochs"]} | row["changes"]
    recipe = Recipe.model_validate(FULL.model_dump() | changes)
    recipe = recipe.fit_to("cifar10", len(data), TASK.image_size, TASK.in_channels, None, data.device.type == "cuda")
    torch.manual_seed(row["seed"])
    network = guesses(load_space(), TASK, Limits(BUDGET, macs=macs_by_rule(BUDGET, TASK.image_size)))[row["network"]]
    normalise, precision = Normalisation.of(recipe, data), "bf16"
    training = Training(
        begin(network, recipe).to(data.device),
        recipe,
        data,
        None,
        normalise,
        seed=row["seed"],
        precision=precision,
        capture=capture_on(data.device),
    )
    started = time.perf_counter()
    for _ in training.epochs():
        pass
    seconds = time.perf_counter() - started
    clean = evaluate(training.network, _data["test"], normalise, precision).accuracy
    results = evaluate_corrupted(training.network, _data["test"], normalise, precision)
    names = dict.fromkeys(result.corruption for result in results)
    under = {name: fmean(one.accuracy for one in results if one.corruption == name) for name in names}
    corrupted = fmean(result.accuracy for result in results)
    return row | {"clean": clean, "corrupted": corrupted, "under": under, "seconds": round(seconds, 1)}


def wanted(options: argparse.Namespace) -> Rows:
    """Every run, seed by seed, so that an interrupted benchmark has pairs."""
    settings = {name: getattr(options, name) for name in ("network", "epochs", "images", "test_images")}
    return [
        {"variant": variant, "changes": VARIANTS[variant], "seed": seed} | settings
        for seed in range(options.seeds)
        for variant in options.variants
    ]


def read(record: Path) -> Rows:
    """The ended runs; a line that was cut off is of none."""
    rows: Rows = []
    for line in record.read_text().splitlines() if record.exists() else ():
        with suppress(ValueError):
            rows.append(json.loads(line))
    return rows


def is_of(row: dict[str, Any], asked: dict[str, Any]) -> bool:
    return asked.items() <= row.items()


def print_results(rows: Rows) -> None:
    by_variant: dict[str, dict[int, dict[str, Any]]] = {}
    for row in rows:
        by_variant.setdefault(row["variant"], {})[row["seed"]] = row
    reference = by_variant.get(REFERENCE, {})
    header = [
        "variant",
        "seeds",
        "clean",
        "corrupted",
        "fall",
        "clean, higher by",
        "corrupted, higher by",
        "fall, less by",
    ]
    names = list(rows[0]["under"]) if rows else []
    table = []
    for variant, own in by_variant.items():
        pairs = [(own[seed], reference[seed]) for seed in own if seed in reference] if variant != REFERENCE else []
        differences = [
            [mine["clean"] - other["clean"] for mine, other in pairs],
            [mine["corrupted"] - other["corrupted"] for mine, other in pairs],
            [(other["clean"] - other["corrupted"]) - (mine["clean"] - mine["corrupted"]) for mine, other in pairs],
        ]
        runs = list(own.values())
        table.append(
            [
                variant,
                str(len(runs)),
                interval([row["clean"] for row in runs]),
                interval([row["corrupted"] for row in runs]),
                interval([row["clean"] - row["corrupted"] for row in runs]),
                *(paired_interval(each) if each else "" for each in differences),
                *(f"{100 * fmean(row['under'][name] for row in runs):.2f}" for name in names),
                f"{fmean(row['seconds'] for row in runs):.0f}",
            ]
        )
    print(
        "\nTest accuracy in percent, with 95% intervals over seeds; differences from `full` in points, paired by seed"
    )
    print_table([*header, *names, "seconds"], table)


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--network", default="guess-1", help=f"a guess of {BUDGET:,} parameters")
    parser.add_argument("--images", type=int, default=10_000, help="for training")
    parser.add_argument("--test-images", type=int, default=2_000)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)), help="each of one thread")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--record", type=Path, help="the JSONL of ended runs; shift.jsonl beside the results")
    options = parser.parse_args()
    record = options.record or options.results / "shift.jsonl"
    rows = read(record)
    asked = wanted(options)
    missing = [each for each in asked if not any(is_of(row, each) for row in rows)]
    print(f"{len(asked) - len(missing)} of {len(asked)} runs are recorded in {record}", flush=True)
    start = (options.images, options.test_images, pick_device(options.device))
    with start_pool(options.processes, prepare, start) as pool:
        for ended in as_completed([pool.submit(run, each) for each in missing]):
            rows.append(ended.result())
            append_line(record, rows[-1])
            print({name: value for name, value in rows[-1].items() if name not in ("changes", "under")}, flush=True)
    chosen = [row for each in asked for row in rows if is_of(row, each)]
    save_results(options.results, "shift", chosen)
    print_results(chosen)


if __name__ == "__main__":
    main()
