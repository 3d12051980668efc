"""What a trial costs beside its training steps and evaluations: the worker's part of it.

`python benchmarks/overhead.py`: milliseconds, median and range over designs that the process has not seen before, since
kernels are chosen or compiled anew for every new shape. Images are noise of the size and number of the data set's. The
rest of a trial's overhead, the coordinator's, is measured by trials.py.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from rates import print_table, spread
from runs import keep

from models.architecture import Architecture, Stage, Stem
from models.build import build
from models.count import count_parameters
from search.recipes import FAST
from search.training.certify import certify_built
from search.training.images import Images, Normalisation
from search.training.loop import Training

GOAL = 100.0  # milliseconds
STEPS = 8
# Number of training images, channels, pixels; blocks and first width of a design of three stages.
CASES = {
    "digits, 8x8, 3 blocks": ((1_150, 1, 8), (1, 8)),
    "CIFAR-10, 16x16, 6 blocks": ((45_000, 3, 16), (2, 12)),
    "CIFAR-10, 32x32, 6 blocks": ((45_000, 3, 32), (2, 16)),
    "CIFAR-10, 32x32, 27 blocks": ((45_000, 3, 32), (9, 8)),
}
PARTS = ("check", "build", "optimiser", "first step")


def milliseconds(action: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """What it takes until it is done on the device, and what it returns."""
    started = time.perf_counter()
    result = action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1e3 * (time.perf_counter() - started), result


def noise(num_images: int, channels: int, size: int, device: torch.device) -> Images:
    pixels = torch.randint(0, 256, (num_images, channels, size, size), dtype=torch.uint8)
    return Images(pixels.to(device), torch.randint(0, 10, (num_images,)).to(device))


def parts_of_one(design: Architecture, images: Images, normalise: Normalisation, precision: str) -> dict[str, float]:
    """Milliseconds of everything that a worker does once a trial. The first step's are what it takes longer."""
    device = images.device
    check, params = milliseconds(lambda: certify_built(design, None), device)
    assert params == count_parameters(design)
    built, model = milliseconds(lambda: build(design, zero_init_last_norm=True).to(device), device)
    name = "digits" if images.images.shape[1] == 1 else "cifar10"
    recipe = FAST.fit_to(name, len(images), images.images.shape[-1], images.images.shape[1])
    batch = images.take(torch.arange(recipe.sizes[0]).numpy())  # an epoch is one step
    begun, training = milliseconds(
        lambda: Training(model, recipe, batch, None, normalise, seed=0, precision=precision), device
    )
    epochs = training.epochs()
    first, *later = (milliseconds(lambda: next(epochs), device)[0] for _ in range(STEPS))
    return dict(zip(PARTS, (check, built, begun, first - median(later)), strict=True))


def measure(device: torch.device, precision: str, repeats: int) -> list[dict[str, Any]]:
    """One row a design: its case, and the milliseconds of every part."""
    rows: list[dict[str, Any]] = []
    for case, ((num_images, channels, size), (depth, width)) in CASES.items():
        images = noise(num_images, channels, size, device)
        survey, normalise = milliseconds(lambda images=images: Normalisation.of(FAST, images), device)  # type: ignore[misc]
        for number in range(repeats + 1):
            first = width + 2 * number
            stages = tuple(Stage("basic", depth, first * 2**stage) for stage in range(3))
            design = Architecture(Stem(first), stages, in_channels=channels)
            row = parts_of_one(design, images, normalise, precision)
            if number > 0:  # the first one warms the process up, once for all trials, as the survey of the images is
                rows.append({"case": case, "params": count_parameters(design), "once a worker": survey} | row)
    return rows


def tell(rows: list[dict[str, Any]]) -> None:
    table = []
    for case in CASES:
        own = [row for row in rows if row["case"] == case]
        totals = [sum(row[part] for part in PARTS) for row in own]
        cells = [spread([row[part] for row in own], 1) for part in PARTS]
        table.append([case, *cells, spread(totals, 1), f"{own[0]['once a worker']:.1f}"])
    print_table(("milliseconds a trial", *PARTS, "all", "images surveyed, once a worker"), table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", default="bf16")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.backends.cudnn.benchmark = True  # as a worker has it
    rows = measure(torch.device(asked.device), asked.precision, asked.repeats)
    keep(f"overhead_{asked.device}", rows)
    tell(rows)
    print(f"\nThe goal is {GOAL:.0f} ms, with the coordinator's part.")


if __name__ == "__main__":
    main()
