"""What test accuracy in how many seconds? Our recipes, the textbook loop and outside scripts, on the same images.

Each network is trained on the first training images of CIFAR-10 and tested on all test images, as it is: without
mirrored or shifted copies. Seconds are those of the training, the making of the network included, without the test.
Nothing is chosen by the test images. A recipe is named with the epochs that it gets: `full:40`; without, its own.

--script runs another's script, which is given

    - a working folder of its own, with images.npz (x_train and x_test, uint8 (N, H, W, C); y_train and y_test, int64),
      and the same as cifar10/train.pt and cifar10/test.pt: torch.load gives a dict of images, labels and classes;
    - the environment variable NAS_SEED: 0, 1, ...; it is run once for each of --seeds.

It prints a line such as 'accuracy = 0.9087, seconds = 4.81', the accuracy from 0 to 1. Without seconds, those of the
whole process count. --pattern reads other lines: a regular expression with groups named accuracy and seconds; each
match is a run of its own. So legacy/airbench95.py of https://github.com/KellerJordan/cifar10-airbench runs as it is, 25
times on a GPU:

    python benchmarks/beside.py --seeds 1 --script airbench95.py \\
        --pattern '\\|\\s+eval\\s+\\|[^|]*\\|[^|]*\\|\\s*(?P<accuracy>[\\d.]+)\\s*\\|[^|]*\\|\\s*(?P<seconds>[\\d.]+)'

(The column between the two is its accuracy with mirrored and shifted images, which is another number.)

`--size 16 --images 10000 --networks shallow --recipes full:40 --textbook 40` is for a CPU.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from images import Arrays, at_size, cifar, cifar_test
from measuring import Rows, interval, make_parser, pick_device, print_table, save_results, spread
from ours import auto_precision, begin_training, find_network
from textbook import accuracy_of, train

from models.architecture import Architecture, ArchitectureError
from models.count import count_macs, count_parameters
from search.errors import NasError, RecipeError
from search.quantities import plural
from search.recipe import Recipe, with_epochs
from search.recipes import load_recipe
from search.training.images import Images
from search.training.loop import evaluate

OURS = ["sprint", "fast", "full"]
PATTERN = r"accuracy = (?P<accuracy>[\d.]+)(, seconds = (?P<seconds>[\d.]+))?"
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
NUM_WORKERS = 2  # of the textbook's loader, on a GPU

Runs = list[tuple[float, float]]  # test accuracy and seconds of each


def train_ours(network: Architecture, recipe: Recipe, seeds: int, data: Images, test: Images) -> Runs:
    runs = []
    precision = auto_precision(data.device)
    for seed in range(seeds):
        started = time.perf_counter()
        training = begin_training(network, recipe, data, seed=seed, precision=precision)
        for _ in training.epochs():  # its end waits for the device
            pass
        seconds = time.perf_counter() - started
        runs.append((evaluate(training.network, test, training.normalise, precision).accuracy, seconds))
    return runs


def train_textbook(network: Architecture, epochs: int, seeds: int, data: Arrays, test: Arrays) -> Runs:
    runs = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        started = time.perf_counter()
        *_, (_, model) = train(network, *data, epochs, NUM_WORKERS if torch.cuda.is_available() else 0)
        seconds = time.perf_counter() - started
        runs.append((accuracy_of(model, *test, data[0]), seconds))
    return runs


def run_script(path: Path, pattern: str, seeds: int, data: Arrays, test: Arrays) -> Runs:
    """The runs of an outside script.

    Raises:
        SystemExit: it failed, or printed no line of the pattern.
    """
    runs: Runs = []
    with tempfile.TemporaryDirectory() as name:
        write_images(Path(name), data, test)
        for seed in range(seeds):
            started = time.perf_counter()
            command = [sys.executable, str(path.resolve())]
            environment = os.environ | {"NAS_SEED": str(seed)}
            done = subprocess.run(command, cwd=name, env=environment, stdout=subprocess.PIPE, text=True, check=False)
            seconds = time.perf_counter() - started
            found = list(re.finditer(pattern, done.stdout))
            if done.returncode != 0 or not found:
                end = "\n".join(done.stdout.splitlines()[-5:])
                sys.exit(f"{path}: exit status {done.returncode}, {len(found)} lines of the pattern\n{end}")
            for match in found:
                values = match.groupdict()
                runs.append((float(values["accuracy"]), float(values.get("seconds") or seconds / len(found))))
    return runs


def write_images(folder: Path, data: Arrays, test: Arrays) -> None:
    """Write the images for an outside script: images.npz, and cifar10/train.pt and test.pt as airbench keeps them."""
    np.savez(folder / "images.npz", x_train=data[0], y_train=data[1], x_test=test[0], y_test=test[1])
    (folder / "cifar10").mkdir()
    for name, (images, labels) in {"train": data, "test": test}.items():
        kept = {"images": torch.from_numpy(images), "labels": torch.from_numpy(labels), "classes": CLASSES}
        torch.save(kept, folder / "cifar10" / f"{name}.pt")


def make_recipes(names: Sequence[str], options: argparse.Namespace) -> dict[str, Recipe]:
    """Recipes, fitted to the data, by what they are called in the table.

    Raises:
        NasError: there is no such recipe, or it needs validation images.
    """
    recipes = {}
    for text in names:
        name, _, epochs = text.partition(":")
        if epochs and not epochs.isdecimal():
            raise RecipeError(f"recipe = {text!r}: must be a recipe, or a recipe and its epochs, as in full:40")
        recipe = with_epochs(load_recipe(name), int(epochs)) if epochs else load_recipe(name)
        if recipe.needs_validation:
            raise RecipeError(f"recipe = {text!r}: needs validation images, and here there are none")
        fitted = recipe.fit_to("cifar10", options.images, options.size, 3, on_gpu=options.device == "cuda")
        recipes[f"{name}, {plural(recipe.epochs, 'epoch')}"] = fitted
    return recipes


def measure(
    options: argparse.Namespace, networks: dict[str, Architecture], recipes: dict[str, Recipe]
) -> Iterator[dict[str, Any]]:
    """A row for each network and each way to train it, then one for each script."""
    images, labels = cifar(options.images)
    data, test = (at_size(images, options.size), labels), cifar_test(options.size)
    ours, ours_test = Images.from_arrays(*data, options.device), Images.from_arrays(*test, options.device)
    for name, network in networks.items():
        size = {"network": name, "params": count_parameters(network), "macs": count_macs(network, options.size)}
        for index, (recipe_name, recipe) in enumerate(recipes.items()):
            if index == 0:
                train_ours(network, with_epochs(recipe, 1), 1, ours, ours_test)  # warms up
            runs = train_ours(network, recipe, options.seeds, ours, ours_test)
            yield size | {"by": recipe_name, "runs": runs}
        for epochs in options.textbook:
            runs = train_textbook(network, epochs, options.seeds, data, test)
            yield size | {"by": f"textbook, {plural(epochs, 'epoch')}", "runs": runs}
    for path in options.script:
        runs = run_script(path, options.pattern, options.seeds, data, test)
        yield {"network": "its own", "params": None, "macs": None, "by": path.name, "runs": runs}


def shown(rows: Iterable[dict[str, Any]], kept: Rows, options: argparse.Namespace) -> Iterator[list[str]]:
    """The lines of the table. Each row is saved as soon as it is there."""
    for row in rows:
        kept.append(row)
        save_results(options.results, f"beside_{options.device}_{options.size}", kept)
        accuracies, seconds = zip(*row["runs"], strict=True)
        size = [f"{row['params']:,}", f"{row['macs'] / 1e6:.1f}"] if row["params"] else ["", ""]
        yield [row["network"], *size, row["by"], spread(seconds, 1), interval(accuracies), str(len(accuracies))]


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--networks", nargs="*", default=["modified-resnet", "resnet40"], metavar="NAME")
    parser.add_argument(
        "--architecture", nargs="*", default=[], metavar="FILE", help="JSON: of nas export, of the best of a search"
    )
    parser.add_argument("--recipes", nargs="*", default=OURS, metavar="NAME[:EPOCHS]", help="ours")
    parser.add_argument("--textbook", type=int, nargs="*", default=[8], metavar="EPOCHS")
    parser.add_argument("--script", type=Path, nargs="*", default=[], metavar="PATH", help="an outside script")
    parser.add_argument("--pattern", default=PATTERN, help="of the lines in which a script tells its accuracy")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--images", type=int, default=50_000, help="that are trained on")
    parser.add_argument("--size", type=int, choices=(16, 32), default=32, help="of an image, in pixels")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    options = parser.parse_args()
    options.device = pick_device(options.device)
    torch.backends.cudnn.benchmark = True  # as at full length
    try:
        networks = {name: find_network(name) for name in [*options.networks, *options.architecture]}
        recipes = make_recipes(options.recipes, options)
    except (NasError, ArchitectureError) as error:
        sys.exit(str(error))
    for path in options.script:
        if not path.is_file():
            sys.exit(f"--script {path}: no such file")
    header = ("network", "parameters", "M MACs", "trained by", "seconds", "test accuracy", "runs")
    print_table(header, shown(measure(options, networks, recipes), [], options))


if __name__ == "__main__":
    main()
