"""All that is to be known of training on this machine's GPU, in five minutes: one table, and results/gpu.json.

    --part tests     the tests marked `gpu`: captured steps beside uncaptured ones
    --part rates     images a second and share of the device's peak, beside the textbook loop and the tuned one
    --part accuracy  seconds and validation accuracy of one training by `full`
    --part search    `nas search` of 20 trials at 5M parameters, to its end, and where its time went

`make gpu` runs all. Ours trains in the precision and with the batches that `auto` stands for, the loops with batches of
128. Ratios are of this run. Without CIFAR-10 the rates are those of noise, and search and accuracy are left out.
`--device cpu --images 256 --networks resnet20-b --trials 1 --budget 20k` tries them out, all but the accuracy.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from statistics import median
from typing import Any

from measuring import Rows, make_parser, measure_rates, print_table, ratios, save_results, spread

ROOT = Path(__file__).parents[1]
NETWORKS = ("modified-resnet", "resnet20-b", "resnet40", "resnet102", "flexible-3")
LOOPS = ("modified-resnet", "resnet40")  # of which people's loops are tried too: those wait for Python on any network
NUM_IMAGES = {"textbook": 6_400, "tuned": 25_600}
REPEATS = 3
ACCURACY_NETWORK, ACCURACY_EPOCHS = "modified-resnet", 20


def run_tests(options: argparse.Namespace) -> Rows:
    """The last line of the tests marked gpu, and the first of each that failed."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests/search/training"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    print("\n".join(line for line in lines if line.startswith(("FAILED", "ERROR", "E  "))))
    result = lines[-1] if lines else done.stderr.strip()[-300:]
    log = "\n".join(lines) if done.returncode else ""  # of what failed, all that is known
    return [{"what": "marked gpu", "figure": result, "status": done.returncode, "log": log}]


def measure(options: argparse.Namespace) -> Rows:
    """Rates of training, ours and theirs."""
    import torch
    from images import cifar, noise
    from textbook import RECIPE, make_loader
    from training import most_workers, our_loop, their_loop

    from models.baselines import find_baseline
    from models.count import count_macs
    from search.errors import NasError
    from search.recipes import FULL
    from search.training.images import Images
    from search.training.speed import peak_flops

    device, precision = open_gpu(options)
    peak = peak_flops(device, precision)
    try:
        arrays = cifar(options.images)
    except NasError:
        data = noise(options.images, 3, 32)
        arrays = data.images.permute(0, 2, 3, 1).numpy(), data.labels.numpy()
    data = Images.from_arrays(*arrays, device)
    recipe = FULL.model_copy(update={"epochs": 1_000}).fit_to("cifar10", len(data), 32, 3, on_gpu=device.type == "cuda")
    how = f"{precision}, batches of {recipe.batch_size}; products of large matrices: {peak / 1e12:.4g} TFLOP/s"
    rows: Rows = [{"what": f"torch {torch.__version__}", "figure": how, "peak": peak}]
    for network in options.networks or NETWORKS:
        contenders = {"ours": our_loop(network, recipe, data, precision)}
        if network in LOOPS or options.networks:
            for loop, workers in (("textbook", 2), ("tuned", most_workers())):
                few = [array[: NUM_IMAGES[loop]] for array in arrays]
                loader = make_loader(
                    *few, RECIPE, num_workers=workers, pin_memory=loop == "tuned" and device.type == "cuda"
                )
                contenders[loop] = their_loop(network, RECIPE, loader, device, tuned=loop == "tuned")
        rates = measure_rates(contenders, REPEATS)
        for loop, measured in rates.items():
            share = 6 * count_macs(find_baseline(network), 32) * median(measured) / peak
            figure = f"{spread(measured)} images a second, {share:.1%} of the peak"
            if loop != "ours":
                figure += f"; ours is {spread(ratios(rates['ours'], measured), 1)} times as fast"
            rows.append({"what": f"{network}, {loop}", "figure": figure, "images a second": measured, "share": share})
    return rows


def search(options: argparse.Namespace) -> Rows:
    """A search to its end, as users run it, and its ledger of time."""
    from search.quantities import plural

    with tempfile.TemporaryDirectory() as studies:
        common = ["--studies", studies, "--study", "gpu"]
        started = time.perf_counter()
        size = ("--budget", options.budget, "--trials", str(options.trials))
        nas("search", "--data", "cifar10", *size, "--device", options.device, *common)
        seconds = time.perf_counter() - started
        trials = json.loads(nas("trials", "--format", "json", *common))
        nas("report", *common)
        ledger = find_ledger(Path(studies, "gpu"))
    figure = f"{plural(len(trials), 'trial')} in {seconds:.0f} s, start to end"
    rows: Rows = [{"what": f"of at most {options.budget} parameters", "figure": figure, "trials": trials}]
    for row in ledger:
        number = f"{row['count']:.0f}: " if row["count"] is not None else ""
        rows.append({"what": row["outcome"], "figure": f"{number}{row['seconds']:.0f} s, {row['share']:.0%}"})
    return rows


def find_ledger(folder: Path) -> list[dict[str, Any]]:
    """Where the device time of a study went."""
    from search.files import StudyFiles
    from search.report.time_ledger import time_ledger_frame
    from search.study.reading import read_view

    frame = time_ledger_frame(read_view(StudyFiles(folder.parent, folder.name), None))
    return json.loads(frame.round(3).to_json(orient="records"))  # type: ignore[no-any-return]


def nas(*arguments: str) -> str:
    """What a command prints; its lines are shown as it goes to stderr."""
    command = [sys.executable, "-c", "from search.cli import main; main()", *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    if arguments[0] == "search":
        print(done.stdout)
    return done.stdout


def train(options: argparse.Namespace) -> Rows:
    """One training by `full`, on the training split, and its validation accuracy."""
    from ours import begin_training

    from models.baselines import find_baseline
    from search.data.datasets import open_dataset
    from search.recipe import with_epochs
    from search.recipes import FULL
    from search.training.images import Splits

    device, precision = open_gpu(options)
    splits = Splits.load(open_dataset("cifar10"), 0, device)
    recipe = with_epochs(FULL, ACCURACY_EPOCHS)
    recipe = recipe.fit_to("cifar10", len(splits.train), 32, 3, on_gpu=device.type == "cuda")
    started = time.perf_counter()
    network = find_baseline(ACCURACY_NETWORK)
    training = begin_training(network, recipe, splits.train, seed=0, precision=precision, validation=splits.validation)
    *_, last = training.epochs()
    seconds = time.perf_counter() - started
    figure = f"{last.validation_accuracy:.2%} of the validation images after {seconds:.1f} s"
    what = f"{ACCURACY_NETWORK}, {recipe.name}, {recipe.epochs} epochs"
    return [{"what": what, "figure": figure, "seconds": seconds, "accuracy": last.validation_accuracy}]


def open_gpu(options: argparse.Namespace) -> tuple[Any, Any]:
    """The device, and the precision that `auto` stands for on it."""
    import torch
    from ours import auto_precision

    if options.device == "cuda":
        print(torch.cuda.get_device_name(0))
    device = torch.device("cuda:0" if options.device == "cuda" else "cpu")
    return device, auto_precision(device)


PARTS = {"tests": run_tests, "rates": measure, "accuracy": train, "search": search}  # the longest last


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--images", type=int, default=50_000, help="training images of an epoch, of --part rates")
    parser.add_argument("--networks", nargs="+", metavar="NAME", help="of --part rates")
    parser.add_argument("--trials", type=int, default=20, help="of --part search")
    parser.add_argument("--budget", default="5e6", help="of --part search")
    options = parser.parse_args()
    import torch

    from search.data.datasets import open_dataset
    from search.errors import NasError

    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("make gpu: there is no CUDA GPU on this machine")
    parts = list(options.part)
    try:
        open_dataset("cifar10")
    except NasError as error:
        print(f"search and accuracy are left out: {error}")
        parts = [part for part in parts if part in ("tests", "rates")]
    rows: Rows = []
    for part in parts:
        started = time.perf_counter()
        try:
            found = PARTS[part](options)
        except Exception as error:  # the other parts are worth having
            traceback.print_exc()
            found = [{"what": "failed", "figure": f"{type(error).__name__}: {error}", "status": 1}]
        found.append({"what": "all of it", "figure": f"{time.perf_counter() - started:.0f} s"})
        rows += [{"part": part} | row for row in found]
        save_results(options.results, "gpu", rows)
        print(f"({part}: {found[-1]['figure']})", flush=True)
    print_table(("part", "what", "figure"), [[row["part"], row["what"], row["figure"]] for row in rows])
    if any(row.get("status") for row in rows):
        sys.exit("a part has failed")


if __name__ == "__main__":
    main()
