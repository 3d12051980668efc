"""What `--compile` costs and what it gains, and after how many epochs it pays.

`python benchmarks/compiled.py`: 32x32 pixels, batches of 128, SGD, crop and flip, bf16, the same training plain and
through torch.compile, epoch by epoch in turn. The compilation is what the first epoch takes more than a plain one: once
with an empty cache of torch, once with what that has left there, as for the next seed of the same network.
It is said to pay only where it was faster in every round.
"""

import argparse
import os
import sys
import tempfile
import time
from statistics import median

import torch
from rates import Epoch, measure, print_table, ratios, spread
from runs import cifar_arrays, keep
from textbook import RECIPE

from models.architecture import Architecture, Stage, Stem
from models.baselines import find_baseline
from models.build import build
from models.count import count_parameters
from search.training.compilation import INDUCTOR
from search.training.images import Images, Normalisation
from search.training.loop import Training

SMALL = Architecture(Stem(16), (Stage("basic", 1, 16), Stage("basic", 1, 32), Stage("basic", 1, 64)))
EPOCH = 50_000  # images, of an epoch of CIFAR-10


def make_epoch(network: Architecture, data: Images, compiler: str | None = None) -> Epoch:
    torch.manual_seed(0)
    model = build(network).to(data.device)
    normalise = Normalisation.of(RECIPE, data)
    training = Training(model, RECIPE, data, None, normalise, seed=0, precision="bf16", compiler=compiler)
    epochs = training.epochs()

    def epoch() -> int:
        next(epochs)
        return training.num_steps * RECIPE.sizes[0]

    return epoch


def seconds(epoch: Epoch) -> float:
    started = time.perf_counter()
    epoch()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cpu")
    parser.add_argument("--images", type=int, default=384, help="of a measured epoch; more on CUDA")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--networks", nargs="+", default=["small", "resnet56-b"], metavar="NAME")
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        sys.exit("device = cuda: torch finds no CUDA device here")
    torch.set_num_threads(asked.threads)
    torch.backends.cudnn.benchmark = True  # as a worker has it
    data = Images.from_arrays(*cifar_arrays(asked.images), torch.device(asked.device))
    kept, table = [], []
    for name in asked.networks:
        network = SMALL if name == "small" else find_baseline(name)
        plain, fast = make_epoch(network, data), make_epoch(network, data, INDUCTOR)
        plain()  # warms up
        with tempfile.TemporaryDirectory() as folder:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
            first = seconds(fast) - seconds(plain)
            rates = measure({"plain": plain, "compiled": fast}, asked.repeats)
            again = seconds(make_epoch(network, data, INDUCTOR)) - seconds(plain)
        gains = ratios(rates["compiled"], rates["plain"])
        epoch_seconds = EPOCH / median(rates["plain"])
        saved = epoch_seconds * (1 - 1 / median(gains))
        pays = f"{first / saved:,.1f}" if min(gains) > 1 else "not seen to"
        parameters = count_parameters(network)
        kept.append(
            {"network": name, "parameters": parameters, "seconds to compile": first, "again": again}
            | {"images a second": rates, "load": os.getloadavg()}
        )
        keep(f"compiled_{asked.device}", kept)
        table.append(
            [f"{name} ({parameters:,})", f"{first:.0f}", f"{again:.1f}"]
            + [f"{1_000 * RECIPE.sizes[0] / median(rate):,.0f}" for rate in rates.values()]
            + [spread(gains, 2), pays]
        )
    costs = ("seconds to compile", "again, from the cache", "ms a step", "compiled")
    print_table(("network (parameters)", *costs, "times as fast", f"pays after epochs of {EPOCH:,} images"), table)


if __name__ == "__main__":
    main()
