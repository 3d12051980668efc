"""What trials cost: trials an hour of real searches, how workers should share the cores, and a trial's overhead.

    --part searches  random searches on 2,000 images of CIFAR-10 at 16x16 pixels, with and without pruning, by one
                     worker and by two; trials an hour from the first trial's start to the last one's end, the overhead
                     of a trial, and peak memory (CPU, Linux)
    --part workers   training steps a second of one process with a thread a core and of a process a core, alone and
                     beside a busy process, by how long waiting threads spin, and with glibc's own way with large blocks
                     of memory (CPU)
    --part overhead  milliseconds of all that a worker does once a trial beside its steps and evaluations, for designs
                     that its process has not seen before

Searches of a round train the same designs, of at most 30,000 parameters; the cores are divided among the workers. The
overhead of a trial is the time its worker had for it less the time of its epochs. It has two parts: within the worker's
job, and between two jobs, when the coordinator records, proposes and sends.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean, median
from sysconfig import get_path
from typing import Any

import numpy as np
import torch
import yaml
from images import cifar, halved, noise
from measuring import Rows, make_parser, pick_device, print_table, ratios, save_results, spread, start_pool

from models.architecture import Architecture, Stage, Stem
from models.build import build
from models.count import count_parameters
from search.files import StudyFiles
from search.recipes import FAST
from search.study.reading import read_view
from search.study.storage import read_study
from search.training.certify import certify_built
from search.training.images import Images, Normalisation
from search.training.loop import Training
from search.workers.local import FASTER


def basic_stages(depth: int, *widths: int) -> tuple[Stage, ...]:
    return tuple(Stage("basic", depth, width) for width in widths)


# Searches.

NAS = Path(get_path("scripts")) / "nas"
SPACE = {
    "stem": {"width": [8, 12, 16]},
    "num_stages": [2, 3],
    "stage": {"block": ["basic", "bottleneck"], "depth": [1, 2], "width": [8, 12, 16, 24, 32]},
    "shortcut": ["A", "B"],
}
# Name: number of workers, and the options of pruning; without one it is the default.
SEARCHES: dict[str, tuple[int, list[str]]] = {
    "1 worker": (1, ["--pruner", "none"]),
    "1 worker, pruned": (1, []),
    "2 workers": (2, ["--pruner", "none"]),
    "2 workers, pruned": (2, []),
}


def compare_searches(options: argparse.Namespace) -> None:
    rows: Rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder / "images.npz", options.images)
        os.environ["NAS_CACHE"] = str(folder / "cache")
        recipe = FAST.model_copy(update={"name": "trials", "epochs": options.epochs, "precision": options.precision})
        (folder / "space.yaml").write_text(yaml.safe_dump(SPACE))
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
        for seed in range(options.repeats):
            for number, way in enumerate(SEARCHES):
                rows.append(run_search(folder, f"search-{number}-{seed}", way, seed, options.trials))
                print(rows[-1], flush=True)
    save_results(options.results, "trials_searches", rows)
    print_searches(rows)


def write_images(path: Path, num_images: int) -> None:
    """Write an .npz of the images; its 100 test images are never opened by a search."""
    images, labels = cifar(num_images)
    images = halved(images)
    np.savez(path, x_train=images, y_train=labels, x_test=images[:100], y_test=labels[:100])


def run_search(folder: Path, study: str, way: str, seed: int, num_trials: int) -> dict[str, Any]:
    """Figures of one search by the command line, from its record and from watching its processes."""
    num_workers, pruning = SEARCHES[way]
    command = [NAS, "search", "--data", "images.npz", "--space", "space.yaml", "--recipe", "recipe.yaml"]
    command += ["--budget", "30k", "--fill", "none", "--limit", "macs=none", "--no-warm-start", "--sampler", "random"]
    command += ["--seed", seed, "--trials", num_trials, "--workers", num_workers, "--study", study, *pruning]
    command += ["--device", "cpu"]
    started, peaks = time.time(), dict[int, float]()
    with (folder / f"{study}.log").open("w") as log:
        process = subprocess.Popen(list(map(str, command)), cwd=folder, stdout=log, stderr=log)
        while process.poll() is None:
            for pid, peak in peak_memory(process.pid).items():
                peaks[pid] = max(peak, peaks.get(pid, 0.0))
            time.sleep(0.2)
    if process.returncode != 0:
        sys.exit((folder / f"{study}.log").read_text())
    files = StudyFiles(folder / "studies", study)
    view, (trials, _) = read_view(files), read_study(files, None)
    first = min(trial.datetime_start.timestamp() for trial in trials if trial.datetime_start)
    last = max(trial.datetime_complete.timestamp() for trial in trials if trial.datetime_complete)
    epoch_seconds = [sum(epoch.seconds for epoch in trial.history) for trial in view.trials]
    job_seconds = [trial.seconds for trial in view.trials]
    overheads = [job - epochs for job, epochs in zip(job_seconds, epoch_seconds, strict=True)]
    return {
        "way": way,
        "seed": seed,
        "trials": len(trials),
        "pruned": sum(trial.state == "pruned" for trial in view.trials),
        "epochs": sum(len(trial.history) for trial in view.trials),
        "trials an hour": 3600 * len(trials) / (last - first),
        "seconds before the first trial": first - started,
        "ms within a job": 1e3 * fmean(overheads),
        "ms between jobs": 1e3 * (num_workers * (last - first) - sum(job_seconds)) / len(trials),
        "MB coordinator": peaks.pop(process.pid),
        "MB worker": max(peaks.values()),
    }


def peak_memory(process: int) -> dict[int, float]:
    """Peak resident memory so far of a process and of its children, in MB."""
    peaks = {}
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            status = dict(line.split(":\t", 1) for line in path.read_text().splitlines() if ":\t" in line)
        except OSError:
            continue  # the process has ended
        if process in (int(status["Pid"]), int(status["PPid"])) and "VmHWM" in status:
            peaks[int(status["Pid"])] = int(status["VmHWM"].split()[0]) / 1e3
    return peaks


def print_searches(rows: Rows) -> None:
    by_way = {way: [row for row in rows if row["way"] == way] for way in SEARCHES}
    rates = {way: [row["trials an hour"] for row in way_rows] for way, way_rows in by_way.items()}
    table = []
    for way, way_rows in by_way.items():
        times = spread(ratios(rates[way], rates["1 worker"]), 2)
        pruned, epochs = (f"{fmean(row[name] for row in way_rows):.1f}" for name in ("pruned", "epochs"))
        before = spread([row["seconds before the first trial"] for row in way_rows], 1)
        table.append([way, spread(rates[way]), times, pruned, epochs, before])
    print_table(("search", "trials an hour", "times 1 worker", "pruned", "epochs in all", "seconds before"), table)
    alone = by_way["1 worker"]
    costs = [[name, spread([row[f"ms {name}"] for row in alone], 1)] for name in ("within a job", "between jobs")]
    print_table(("overhead of a trial, 1 worker", "milliseconds"), costs)
    memory = [
        [way, *(spread([row[f"MB {process}"] for row in way_rows]) for process in ("coordinator", "worker"))]
        for way, way_rows in by_way.items()
    ]
    print_table(("peak resident memory, MB", "coordinator", "largest worker"), memory)


# Workers and threads.

BATCH = 128
WARM_UP = 4.0  # seconds in which a network is built and takes its first steps
START = 8.0  # seconds in which all processes import torch
# A process that never rests, and ends with its parent, however that ends.
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))"
NETWORKS = {  # with the size of their images
    "8x8, 2 blocks": (Architecture(Stem(8), basic_stages(1, 8, 16), in_channels=1), 8),
    "16x16, 3 blocks": (Architecture(Stem(8), basic_stages(1, 8, 16, 32)), 16),
    "32x32, 6 blocks": (Architecture(Stem(16), basic_stages(2, 16, 32, 64)), 32),
    "32x32, 6 wide blocks": (Architecture(Stem(32), basic_stages(2, 64, 128, 256)), 32),
}
SPINNING = {"GOMP_SPINCOUNT": FASTER["GOMP_SPINCOUNT"]}
MEMORY = {name: value for name, value in FASTER.items() if name not in SPINNING}
WAITING: dict[str, dict[str, str]] = {
    "libgomp's": MEMORY,
    "a worker's": FASTER,
    "none": MEMORY | {"OMP_WAIT_POLICY": "passive"},
}
GLIBC = "a worker's, memory by glibc's defaults"


def compare_workers(options: argparse.Namespace) -> None:
    cores = len(os.sched_getaffinity(0))
    ways = {f"{cores} x 1": (cores, 1), f"1 x {cores}": (1, cores), "1 x 1": (1, 1)}
    rows: Rows = []

    def add(way: str, waiting: str, beside: str) -> None:
        rates = steps_a_second(*ways[way], options.seconds, SPINNING if waiting == GLIBC else WAITING[waiting])
        for network, rate in rates.items():
            row = {"network": network, "processes x threads": way, "waiting": waiting, "beside": beside}
            rows.append(row | {"steps a second": rate})
        print(way, waiting, beside, rates, flush=True)

    for _ in range(options.repeats):
        for way in ways:
            add(way, "a worker's", "nothing")
        add("1 x 1", GLIBC, "nothing")
        for waiting in ("libgomp's", "none"):
            add(f"1 x {cores}", waiting, "nothing")
        busy = subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True)
        try:
            for waiting in WAITING:
                add(f"1 x {cores}", waiting, "a busy process")
        finally:
            busy.kill()
            busy.wait()
    save_results(options.results, "trials_workers", rows)
    print_workers(rows, cores)


def steps_a_second(
    num_processes: int, num_threads: int, seconds: float, variables: Mapping[str, str]
) -> dict[str, float]:
    """Steps a second of every network, of all processes together, which train it at the same time."""
    variables = {**variables, "OMP_NUM_THREADS": str(num_threads)}
    before = dict(os.environ)
    os.environ.update(variables)  # torch reads them where it is imported, in the new processes
    try:
        with start_pool(num_processes) as pool:
            begin = time.time() + START
            totals = dict.fromkeys(NETWORKS, 0.0)
            for jobs in [pool.submit(train_all, begin, seconds) for _ in range(num_processes)]:
                for network, rate in jobs.result().items():
                    totals[network] += rate
    finally:
        os.environ.clear()
        os.environ.update(before)
    return totals


def train_all(begin: float, seconds: float) -> dict[str, float]:
    """Steps a second of every network, one after the other in slots of time that all processes share."""
    slots = {network: begin + number * (seconds + WARM_UP) for number, network in enumerate(NETWORKS)}
    return {network: train_one(network, slot, seconds) for network, slot in slots.items()}


def train_one(network: str, begin: float, seconds: float) -> float:
    """Steps a second from the time `begin` on."""
    design, size = NETWORKS[network]
    data = noise(BATCH, design.in_channels, size)  # an epoch is one step
    recipe = FAST.model_copy(update={"batch_size": BATCH, "epochs": 10_000}).fit_to("cifar10", BATCH, size, 1)
    training = Training(build(design), recipe, data, None, Normalisation.of(recipe, data), seed=0, precision="bf16")
    epochs = training.epochs()
    next(epochs)
    while time.time() < begin:
        next(epochs)
    started, num_steps = time.perf_counter(), 0
    while time.perf_counter() < started + seconds:
        next(epochs)
        num_steps += 1
    return num_steps / (time.perf_counter() - started)


def print_workers(rows: Rows, cores: int) -> None:
    def rates(network: str, way: str, waiting: str = "a worker's", beside: str = "nothing") -> list[float]:
        wanted = {"network": network, "processes x threads": way, "waiting": waiting, "beside": beside}
        return [row["steps a second"] for row in rows if wanted.items() <= row.items()]

    together, alone, divided = f"1 x {cores}", "1 x 1", f"{cores} x 1"
    table = []
    for network, (design, _) in NETWORKS.items():
        cells = [spread(rates(network, way), 1) for way in (together, alone, divided)]
        gain = spread(ratios(rates(network, divided), rates(network, together)), 2)
        table.append([network, f"{count_parameters(design):,}", *cells, gain])
    print("\nSteps a second, processes x threads:")
    print_table(("network", "parameters", together, alone, divided, f"{divided}, times {together}"), table)
    print("\nSteps a second of one process with one thread, by how it keeps large blocks of memory:")
    table = []
    for network in NETWORKS:
        ours, glibcs = rates(network, alone), rates(network, alone, GLIBC)
        table.append([network, spread(ours, 1), spread(glibcs, 1), spread(ratios(ours, glibcs), 2)])
    print_table(("network", "a worker's", "glibc's", "times glibc's"), table)
    for beside in ("nothing", "a busy process"):
        print(f"\nSteps a second of one process with {cores} threads, beside {beside}:")
        table = [
            [network, *(spread(rates(network, together, waiting, beside), 1) for waiting in WAITING)]
            for network in NETWORKS
        ]
        print_table(("network", *(f"spinning: {waiting}" for waiting in WAITING)), table)


# Overhead within a job.

GOAL = 100.0  # milliseconds, with the coordinator's part
NUM_STEPS = 8
OVERHEAD_PARTS = ("check", "build", "optimiser", "first step")
# Number of training images, channels, pixels; depth and first width of a design of three stages.
CASES = {
    "digits, 8x8, 3 blocks": ((1_150, 1, 8), (1, 8)),
    "CIFAR-10, 16x16, 6 blocks": ((45_000, 3, 16), (2, 12)),
    "CIFAR-10, 32x32, 6 blocks": ((45_000, 3, 32), (2, 16)),
    "CIFAR-10, 32x32, 27 blocks": ((45_000, 3, 32), (9, 8)),
}


def measure_overhead(options: argparse.Namespace) -> None:
    device = torch.device(pick_device(options.device))
    torch.set_num_threads(options.threads)
    torch.backends.cudnn.benchmark = True  # as in a worker
    rows: Rows = []
    table = []
    for case, ((num_images, channels, size), (depth, width)) in CASES.items():
        images = noise(num_images, channels, size, device)
        survey, normalise = milliseconds(lambda images=images: Normalisation.of(FAST, images), device)  # type: ignore[misc]
        case_rows: Rows = []
        for number in range(options.repeats + 1):
            first = width + 2 * number
            design = Architecture(Stem(first), basic_stages(depth, first, 2 * first, 4 * first), in_channels=channels)
            costs = overhead_of(design, images, normalise, options.precision)
            if number > 0:  # the first one warms the process up
                case_rows.append({"case": case, "params": count_parameters(design), "once a worker": survey} | costs)
        rows += case_rows
        totals = spread([sum(row[part] for part in OVERHEAD_PARTS) for row in case_rows], 1)
        cells = [spread([row[part] for row in case_rows], 1) for part in OVERHEAD_PARTS]
        table.append([case, *cells, totals, f"{survey:.1f}"])
    save_results(options.results, f"trials_overhead_{device.type}", rows)
    print_table(("milliseconds a trial", *OVERHEAD_PARTS, "all", "images surveyed, once a worker"), table)
    print(f"\nThe goal is {GOAL:.0f} ms, with the coordinator's part.")


def overhead_of(design: Architecture, images: Images, normalise: Normalisation, precision: str) -> dict[str, float]:
    """Milliseconds of everything that a worker does once a trial; of the first step, those that later ones do not
    take."""
    device = images.device
    check, params = milliseconds(lambda: certify_built(design, None), device)
    assert params == count_parameters(design)
    building, model = milliseconds(lambda: build(design, zero_init_last_norm=True).to(device), device)
    name = "digits" if images.images.shape[1] == 1 else "cifar10"
    recipe = FAST.fit_to(name, len(images), images.images.shape[-1], images.images.shape[1])
    batch = images.take(torch.arange(recipe.sizes[0]).numpy())  # an epoch is one step
    beginning, training = milliseconds(
        lambda: Training(model, recipe, batch, None, normalise, seed=0, precision=precision), device
    )
    epochs = training.epochs()
    first, *later = (milliseconds(lambda: next(epochs), device)[0] for _ in range(NUM_STEPS))
    return dict(zip(OVERHEAD_PARTS, (check, building, beginning, first - median(later)), strict=True))


def milliseconds(action: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """The time of an action until it is done on the device, and what it returns."""
    started = time.perf_counter()
    result = action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1e3 * (time.perf_counter() - started), result


PARTS = {"searches": compare_searches, "workers": compare_workers, "overhead": measure_overhead}


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=["searches"])
    parser.add_argument("--repeats", type=int, default=2, help="rounds; of overhead, designs")
    parser.add_argument("--precision", default="bf16", choices=("fp32", "bf16"), help="of searches and overhead")
    parser.add_argument("--images", type=int, default=2_000, help="of searches")
    parser.add_argument("--trials", type=int, default=24, help="of searches")
    parser.add_argument("--epochs", type=int, default=4, help="of searches")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a measurement of workers")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="of overhead")
    parser.add_argument("--threads", type=int, default=1, help="of overhead")
    options = parser.parse_args()
    for part in options.part:
        PARTS[part](options)


if __name__ == "__main__":
    main()
