"""How fast a network is trained, beside the loops that people write: images a second, on the CPU or on CUDA.

    --part input     from stored images to normalised batches, beside torchvision's transforms in a DataLoader
    --part step      whole training steps on few images, in bf16 and fp32, beside the textbook loop
    --part epochs    epochs of all of CIFAR-10 beside the textbook loop and the tuned one, and the share of the device's
                     peak that they reach: 3 * 2 * MACs * images a second (the backward pass costs twice the forward
                     one), over what bf16 matrix products reach in the same process

Everything is at 32x32 pixels, with batches of 128, SGD, crop and flip (`--jitter` adds colour jitter). The loops are in
textbook.py; what accuracy trainings reach is beside.py's question. `--device cpu --images 512 --networks resnet20-b`
tries a part out.
"""

import argparse
import os
from statistics import median

import torch
from images import cifar
from measuring import (
    Epoch,
    Rows,
    make_parser,
    measure_rates,
    pick_device,
    print_table,
    ratios,
    save_results,
    spread,
)
from ours import begin_training
from textbook import RECIPE, RECIPE_WITH_JITTER, Loader, make_loader, make_optimizer, train_epoch, train_epoch_tuned

from models.baselines import BASELINES, find_baseline
from models.build import build
from models.count import count_macs
from search.recipe import Recipe
from search.training.images import Images, Normalisation
from search.training.mixed_precision import MEMORY_FORMAT
from search.training.pipeline import Pipeline
from search.training.speed import peak_flops

NUM_IMAGES = {"input": 20_000, "step": 384, "epochs": 50_000}
NUM_IMAGES_STEP_CUDA = 12_800
SMALL_NETWORKS = ("resnet20-b", "modified-resnet")
NETWORKS = (*SMALL_NETWORKS, "resnet40", "flexible-3")
INPUT_SECONDS = 1.0  # of a measurement
MAX_WORKERS = 16


# Input: from stored images to batches.


def our_input(recipe: Recipe, data: Images, num_threads: int) -> Epoch:
    generator, coins = torch.Generator(data.device).manual_seed(0), torch.Generator().manual_seed(1)
    pipeline = Pipeline(recipe, Normalisation.of(recipe, data), generator, coins)

    def epoch() -> int:
        torch.set_num_threads(num_threads)
        num_images = sum(len(batch.labels) for batch in pipeline.epoch(data, 1))
        wait_for(data.device)
        return num_images

    return epoch


def their_input(loader: Loader, device: torch.device) -> Epoch:
    def epoch() -> int:
        torch.set_num_threads(2)
        num_images = 0
        for images, labels in loader:
            images.to(device)
            num_images += len(labels)
        wait_for(device)
        return num_images

    return epoch


def compare_input(options: argparse.Namespace, device: torch.device) -> None:
    """Ours runs in the process that trains, as a DataLoader of 0 workers does; two threads of ours stand beside the
    workers of theirs."""
    arrays = cifar(options.images or NUM_IMAGES["input"])
    data = Images.from_arrays(*arrays, device)
    recipes = {"crop, flip": RECIPE, "crop, flip, colour jitter": RECIPE_WITH_JITTER}
    num_workers = 2 if device.type == "cpu" else most_workers()
    pairs = {"ours, 1 thread": "DataLoader, 0 workers", "ours, 2 threads": f"DataLoader, {num_workers} workers"}
    results: Rows = []
    table = []
    for augmentation, recipe in recipes.items():
        our_epochs = {name: our_input(recipe, data, threads) for threads, name in enumerate(pairs, 1)}
        loaders = [make_loader(*arrays, recipe, num_workers=workers) for workers in (0, num_workers)]
        their_epochs = {name: their_input(loader, device) for name, loader in zip(pairs.values(), loaders, strict=True)}
        rates = measure_rates(our_epochs | their_epochs, options.repeats, INPUT_SECONDS)
        results += [{"augmentation": augmentation, "contender": name, "images a second": rates[name]} for name in rates]
        save_results(options.results, f"training_input_{device.type}", results)
        for ours, theirs in pairs.items():
            times = spread(ratios(rates[ours], rates[theirs]), 1)
            table.append([augmentation, ours, spread(rates[ours]), theirs, spread(rates[theirs]), times])
    print_table(("augmentation", "ours", "images a second", "theirs", "images a second", "times as fast"), table)


# Loops: from stored images to the optimiser's step.


def our_loop(network: str, recipe: Recipe, data: Images, precision: str = "bf16") -> Epoch:
    training = begin_training(find_baseline(network), recipe, data, seed=0, precision=precision)
    epochs = training.epochs()

    def epoch() -> int:
        torch.backends.cudnn.benchmark = False  # as in a trial
        next(epochs)
        return training.num_steps * recipe.sizes[0]

    return epoch


def their_loop(network: str, recipe: Recipe, loader: Loader, device: torch.device, tuned: bool = False) -> Epoch:
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


def compare_steps(options: argparse.Namespace, device: torch.device) -> None:
    """In float32 as well: what ours gains there is the input's and the memory format's, the rest is bf16's."""
    recipe = RECIPE_WITH_JITTER if options.jitter else RECIPE
    default = NUM_IMAGES["step"] if device.type == "cpu" else NUM_IMAGES_STEP_CUDA
    arrays = cifar(options.images or default)
    data = Images.from_arrays(*arrays, device)
    torch.set_num_threads(2)
    results: Rows = []
    table = []
    for network in options.networks or SMALL_NETWORKS:
        contenders = {
            f"ours, {precision}": our_loop(network, recipe, data, precision) for precision in ("bf16", "fp32")
        }
        for num_workers in (0, 2):
            loader = make_loader(*arrays, recipe, num_workers=num_workers)
            contenders[f"textbook, {num_workers} workers"] = their_loop(network, recipe, loader, device)
        rates = measure_rates(contenders, options.repeats)
        results += [{"network": network, "contender": name, "images a second": rates[name]} for name in rates]
        save_results(options.results, f"training_step_{device.type}{'_jitter' * options.jitter}", results)
        ours = rates["ours, bf16"]
        table += [[network, name, spread(rates[name]), spread(ratios(ours, rates[name]), 2)] for name in rates]
    print_table(("network", "loop", "images a second", "ours in bf16 is times as fast"), table)


def compare_epochs(options: argparse.Namespace, device: torch.device) -> None:
    recipe = RECIPE_WITH_JITTER if options.jitter else RECIPE
    arrays = cifar(options.images or NUM_IMAGES["epochs"])
    data = Images.from_arrays(*arrays, device)
    plain_loader = make_loader(*arrays, recipe, num_workers=2)
    tuned_loader = make_loader(*arrays, recipe, num_workers=most_workers(), pin_memory=device.type == "cuda")
    peak = peak_flops(device, "bf16")
    print(f"bf16 matrix products: {peak / 1e12:.3g} TFLOP/s; the tuned loader has {most_workers()} workers")
    results: Rows = []
    table = []
    for network in options.networks or NETWORKS:
        contenders = {
            "ours": our_loop(network, recipe, data),
            "textbook": their_loop(network, recipe, plain_loader, device),
            "tuned": their_loop(network, recipe, tuned_loader, device, tuned=True),
        }
        rates = measure_rates(contenders, options.repeats)
        flops_an_image = 3 * 2 * count_macs(find_baseline(network), arrays[0].shape[1])
        for name, measured in rates.items():
            results.append({"network": network, "loop": name, "images a second": measured, "peak": peak})
            seconds = spread([len(data) / rate for rate in measured], 2)
            achieved = flops_an_image * median(measured)
            share = f"{achieved / 1e12:.3g} ({100 * achieved / peak:.0f}%)"
            table.append([network, name, seconds, share, spread(ratios(rates["ours"], measured), 2)])
        save_results(options.results, f"training_epochs_{device.type}{'_jitter' * options.jitter}", results)
    of_peak = "TFLOP/s (share of the peak)"
    print_table(("network", "loop", f"seconds for {len(data):,} images", of_peak, "ours is times as fast"), table)


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def most_workers() -> int:
    """Workers of a loader that has the machine to itself: all cores but one, at most 16."""
    return max(1, min(MAX_WORKERS, len(os.sched_getaffinity(0)) - 1))


PARTS = {"input": compare_input, "step": compare_steps, "epochs": compare_epochs}


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=["input", "step"])
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--images", type=int, help="training images of an epoch")
    parser.add_argument("--networks", nargs="+", choices=sorted(BASELINES), metavar="NAME")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of measurements")
    parser.add_argument("--jitter", action="store_true", help="add colour jitter to step and epochs")
    options = parser.parse_args()
    device = torch.device(pick_device(options.device))
    for part in options.part:
        PARTS[part](options, device)


if __name__ == "__main__":
    main()
