"""Seconds of an epoch on CUDA: ours against the textbook loop, as it stands and tuned.

`python benchmarks/on_gpu.py`: 50,000 training images of CIFAR-10, batches of 128, SGD, crop and flip (`--jitter` adds
colour jitter). The textbook loop is in float32 with 2 workers, the tuned one as `textbook.py` tells, with a worker on
all cores but one, at most 16. Ours is measured through torch.compile as well, without the time of the
compilation, which `compiled.py --device cuda` tells. What a loop achieves is 3 * 2 * MACs * images a second (a forward
pass, and a backward pass of twice its cost), also as a share of what bf16 matrix products reach on the same device.

`--to-accuracy` instead trains each network with `full` at each of `--epochs`, on all training images and with
`--seeds` seeds, and gives seconds and test accuracy after the last epoch, to stand beside cifar10-airbench run on the
same machine. Nothing is chosen by the test images.

This file has not been run on CUDA yet. `--device cpu --images 512 --networks resnet20-b` tries it out without one.
"""

import argparse
import os
import sys
import time
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rates import Epoch, measure, print_table, ratios, spread
from runs import cifar_arrays, keep
from textbook import RECIPE, RECIPE_WITH_JITTER, Loader, make_loader, make_optimizer, train_epoch, train_epoch_tuned

from models.baselines import BASELINES, find_baseline
from models.build import build
from models.count import count_macs
from search.data.datasets import open_dataset
from search.recipe import Recipe, with_epochs
from search.recipes import FULL
from search.training.compilation import INDUCTOR
from search.training.images import Images, Normalisation
from search.training.loop import MEMORY_FORMAT, Training, evaluate

NETWORKS = ("resnet20-b", "modified-resnet", "resnet40", "flexible-3")
MAX_WORKERS = 16
NUM_PRODUCTS = 20

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


def our_epoch(network: str, recipe: Recipe, data: Images, compiler: str | None = None) -> Epoch:
    torch.manual_seed(0)
    model = build(find_baseline(network)).to(data.device)
    normalise = Normalisation.of(recipe, data)
    training = Training(model, recipe, data, None, normalise, seed=0, precision="bf16", compiler=compiler)
    epochs = training.epochs()

    def epoch() -> int:
        torch.backends.cudnn.benchmark = True  # as a worker has it
        next(epochs)
        return training.num_steps * recipe.sizes[0]

    return epoch


def their_epoch(network: str, recipe: Recipe, loader: Loader, device: torch.device, tuned: bool) -> Epoch:
    torch.manual_seed(0)
    model = build(find_baseline(network)).to(device)
    if tuned:
        model = model.to(memory_format=MEMORY_FORMAT)
    optimizer, scheduler = make_optimizer(model, recipe, recipe.epochs * len(loader), fused=tuned)
    train = train_epoch_tuned if tuned else train_epoch

    def epoch() -> int:
        torch.backends.cudnn.benchmark = tuned
        train(model, loader, optimizer, scheduler, device)
        return len(loader) * recipe.sizes[0]

    return epoch


def ceiling(device: torch.device) -> float:
    """FLOP/s of bf16 products of square matrices: the median of several, after as many that warm up."""
    size = 8_192 if device.type == "cuda" else 1_024
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    times = []
    for _ in range(2 * NUM_PRODUCTS):
        started = time.perf_counter()
        (left @ right)[0, 0].item()  # waits for the device
        times.append(time.perf_counter() - started)
    return float(2 * size**3 / median(times[NUM_PRODUCTS:]))


def compare_loops(asked: argparse.Namespace, device: torch.device, arrays: Arrays) -> None:
    recipe = RECIPE_WITH_JITTER if asked.jitter else RECIPE
    num_workers = max(1, min(MAX_WORKERS, len(os.sched_getaffinity(0)) - 1))
    is_cuda = device.type == "cuda"
    plain_loader = make_loader(*arrays, recipe, num_workers=2)
    tuned_loader = make_loader(*arrays, recipe, num_workers=num_workers, pin_memory=is_cuda)
    data = Images.from_arrays(*arrays, device)
    most = ceiling(device)
    print(f"bf16 matrix products: {most / 1e12:.3g} TFLOP/s; the tuned loader has {num_workers} workers")
    kept: list[dict[str, Any]] = []
    table = []
    for network in asked.networks:
        contenders = {
            "ours": our_epoch(network, recipe, data),
            "ours, compiled": our_epoch(network, recipe, data, INDUCTOR),
            "textbook": their_epoch(network, recipe, plain_loader, device, tuned=False),
            "tuned": their_epoch(network, recipe, tuned_loader, device, tuned=True),
        }
        rates = measure(contenders, asked.repeats)
        flops = 3 * 2 * count_macs(find_baseline(network), arrays[0].shape[1])
        for each, measured in rates.items():
            kept.append({"network": network, "loop": each, "images a second": measured, "ceiling": most})
            seconds = spread([len(data) / rate for rate in measured], 2)
            achieved = flops * median(measured)
            share = f"{achieved / 1e12:.3g} ({100 * achieved / most:.0f}%)"
            table.append([network, each, seconds, share, spread(ratios(rates["ours"], measured), 2)])
        keep(f"on_{'gpu' if is_cuda else 'cpu'}{'_jitter' * asked.jitter}", kept)
    of_ceiling = "TFLOP/s (of what products reach)"
    print_table(("network", "loop", f"seconds for {len(data):,} images", of_ceiling, "ours is times as fast"), table)


def train_to_accuracy(asked: argparse.Namespace, device: torch.device, arrays: Arrays) -> None:
    data = Images.from_arrays(*arrays, device)
    test = Images.from_arrays(*open_dataset("cifar10").test(), device)
    kept: list[dict[str, Any]] = []
    table = []
    torch.backends.cudnn.benchmark = True
    for network in asked.networks:
        one_run(network, 1, 0, data, test)  # warms up
        for epochs in asked.epochs:
            runs = [one_run(network, epochs, seed, data, test) for seed in range(asked.seeds)]
            seconds, accuracies = ([run[index] for run in runs] for index in (0, 1))
            kept.append({"network": network, "epochs": epochs, "seconds": seconds, "accuracies": accuracies})
            keep(f"to_accuracy_{device.type}", kept)
            percent = [100 * accuracy for accuracy in accuracies]
            table.append([network, str(epochs), spread(seconds, 1), f"{mean(percent):.2f}", spread(percent, 2)])
    print_table(("network", "epochs", "seconds", "mean test accuracy, %", "median (range)"), table)


def one_run(network: str, epochs: int, seed: int, data: Images, test: Images) -> tuple[float, float]:
    """Seconds of a training, building the network included, and its test accuracy."""
    recipe = with_epochs(FULL, epochs).fit_to("cifar10", len(data), data.images.shape[-1], 3)
    started = time.perf_counter()
    torch.manual_seed(seed)
    model = build(find_baseline(network), zero_init_last_norm=recipe.zero_init_last_norm).to(data.device)
    normalise = Normalisation.of(recipe, data)
    training = Training(model, recipe, data, None, normalise, seed=seed, precision="bf16")
    for _ in training.epochs():
        pass
    seconds = time.perf_counter() - started
    return seconds, evaluate(training.network, test, normalise, "bf16").accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--images", type=int, default=50_000, help="of an epoch")
    parser.add_argument("--networks", nargs="+", choices=sorted(BASELINES), default=NETWORKS, metavar="NAME")
    parser.add_argument("--repeats", type=int, default=3, help="measured epochs of each loop")
    parser.add_argument("--jitter", action="store_true", help="train with colour jitter as well")
    parser.add_argument("--to-accuracy", action="store_true")
    parser.add_argument("--epochs", type=int, nargs="+", default=[16, 30, 60], help="with --to-accuracy")
    parser.add_argument("--seeds", type=int, default=3, help="with --to-accuracy")
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        sys.exit("device = cuda: torch finds no CUDA device here; try --device cpu --images 512 --networks resnet20-b")
    perform = train_to_accuracy if asked.to_accuracy else compare_loops
    perform(asked, torch.device(asked.device), cifar_arrays(asked.images))


if __name__ == "__main__":
    main()
