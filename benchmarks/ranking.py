"""What `replay.py` replays: designs of the space under the short schedule at two lengths, and by `full` at full length.

Each run is a line of ranking.jsonl.gz as soon as it has ended; interrupted, the same command goes on. Images are
CIFAR-10's averaged to 16x16 pixels.
"""

import gzip
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import as_completed
from dataclasses import replace
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from images import cifar, cifar_test, halved
from measuring import Rows, make_parser, start_pool
from ours import begin_training

from models.architecture import Architecture
from search.data.splits import split
from search.recipe import Recipe, with_epochs
from search.recipes import FAST, FULL
from search.run.proposals import DEFAULT_FILL
from search.space.draws import Draws
from search.space.guesses import guesses
from search.space.limits import Limits, macs_by_rule
from search.space.space import Task, load_space
from search.space.weights import StageWeights, Weights
from search.study.way import recipe_digest
from search.training.images import Images
from search.training.loop import evaluate

RECORDED = Path(__file__).with_name("ranking.jsonl.gz")
NUM_IMAGES = 10_000
SIZE = 16
TASK = Task(SIZE, 3, 10)
SHORT, MIDDLE, LONG = 3, 9, 27  # epochs; the long one is by `full`
# Those of the default space when the record was begun, so that it goes on whatever the space draws by now.
WEIGHTS = Weights(num_stages="equal", least_macs=0.5, stage=StageWeights(depth="steep"))
NUM_DESIGNS = {100_000: 100, 300_000: 50}


def designs(budget: int) -> Iterator[tuple[str, Architecture]]:
    """The guesses of a budget, then draws as a search made them when the record was begun, each with its name."""
    space = load_space().model_copy(update={"weights": WEIGHTS})
    limits = Limits(budget, macs=macs_by_rule(budget, SIZE))
    found = {architecture: name for name, architecture in guesses(space, TASK, limits).items()}
    yield from ((name, architecture) for architecture, name in found.items())
    draws = Draws.weighed(space, TASK, replace(limits, fill=DEFAULT_FILL))
    rng = np.random.default_rng(0)
    while True:
        architecture = draws.draw(rng)
        if architecture not in found:
            found[architecture] = f"draw-{len(found)}"
            yield found[architecture], architecture


def wanted() -> list[dict[str, Any]]:
    """Every run of the record, design by design, the budgets in turn."""
    runs = []
    for budget, number in NUM_DESIGNS.items():
        for index, (name, architecture) in enumerate(islice(designs(budget), number)):
            for epochs in (LONG, MIDDLE, SHORT):
                row = {"budget": budget, "name": name, "epochs": epochs, "seed": 0, "recipe": digest(epochs)}
                runs.append((index / number, row | {"architecture": architecture.to_dict()}))
    return [row for _, row in sorted(runs, key=itemgetter(0))]


def recipe_of(epochs: int) -> Recipe:
    return with_epochs(FULL if epochs == LONG else FAST, epochs)


def digest(epochs: int) -> str:
    """Tells runs by today's recipe from those by an earlier one of its name."""
    return recipe_digest(recipe_of(epochs).model_dump(mode="json"))


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """What a run is known by, whatever the default space holds by now."""
    return row["budget"], json.dumps(row["architecture"], sort_keys=True), row["epochs"], row["seed"], row["recipe"]


def read(path: Path) -> Rows:
    """The recorded runs by today's recipes."""
    if not path.exists():
        return []
    with gzip.open(path, "rt") as file:
        rows = [json.loads(line) for line in file]
    return [row for row in rows if row["recipe"] == digest(row["epochs"])]


_images: dict[str, Any] = {}


def prepare() -> None:
    """Load the images of a process that trains."""
    torch.set_num_threads(1)
    images, labels = cifar(NUM_IMAGES)
    images = halved(images)
    training, validation = split(labels, 0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    _images["training"] = Images.from_arrays(images[training], labels[training], device)
    _images["validation"] = Images.from_arrays(images[validation], labels[validation], device)
    _images["test"] = Images.from_arrays(*cifar_test(SIZE), device)


def run(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the validation accuracy of every epoch, the last test accuracy, and the seconds that it took, by the
    clock and of its one thread."""
    recipe = recipe_of(row["epochs"])
    data = _images["training"]
    recipe = recipe.fit_to("cifar10", NUM_IMAGES, SIZE, 3, len(data))
    network = Architecture.from_dict(row["architecture"])
    training = begin_training(network, recipe, data, seed=row["seed"], validation=_images["validation"])
    started, begun = time.perf_counter(), time.process_time()
    curve = [epoch.validation_accuracy for epoch in training.epochs()]
    seconds, cpu = time.perf_counter() - started, time.process_time() - begun
    test = evaluate(training.network, _images["test"], training.normalise, "bf16")
    return row | {"curve": curve, "test": test.accuracy, "seconds": round(seconds, 2), "cpu": round(cpu, 2)}


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--table", type=Path, default=RECORDED, help="the record")
    parser.add_argument(
        "--budgets", type=int, nargs="+", default=list(NUM_DESIGNS), choices=NUM_DESIGNS, help="of which"
    )
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)), help="that train at once")
    options = parser.parse_args()
    done = {key(row) for row in read(options.table)}
    missing = [row for row in wanted() if row["budget"] in options.budgets and key(row) not in done]
    print(f"{len(done):,} runs are recorded, {len(missing):,} are missing", flush=True)
    with start_pool(options.processes, prepare) as pool:
        for ended in as_completed([pool.submit(run, row) for row in missing]):
            row = ended.result()
            # A member of its own for each run: what is written stays whole whatever comes after.
            with gzip.open(options.table, "at") as file:
                file.write(json.dumps(row) + "\n")
            print(
                row["budget"], row["name"], row["epochs"], f"{row['test']:.2%}", f"{row['seconds']:.0f} s", flush=True
            )


if __name__ == "__main__":
    main()
