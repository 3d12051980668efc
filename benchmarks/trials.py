"""Trials per hour of real searches on real images, with and without pruning, by one worker or two; and their memory.

`python benchmarks/trials.py`: CIFAR-10 averaged to 16x16 pixels, designs of at most 30,000 parameters drawn at random,
so that all searches of a round train the same ones. The cores are divided among the workers. Rates do not hold what
comes before the first trial, which is told apart: starting processes, reading images, timing three designs.

A trial's overhead is the time its worker had for it less what its epochs took. Of searches by one worker it is told in
two parts: within the worker's job, and between jobs, where the coordinator records, proposes and sends.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean
from sysconfig import get_path
from typing import Any

import numpy as np
import yaml
from rates import print_table, ratios, spread
from runs import keep, small_cifar

from search.files import StudyFiles
from search.recipes import FAST
from search.study.reading import read_view
from search.study.storage import read_study

NAS = Path(get_path("scripts")) / "nas"
SPACE = {
    "stem": {"width": [8, 12, 16]},
    "num_stages": [2, 3],
    "stage": {"block": ["basic", "bottleneck"], "depth": [1, 2], "width": [8, 12, 16, 24, 32]},
    "shortcut": ["A", "B"],
}
# Name: workers, and what the command is told of pruning; without a word it is the default.
WAYS: dict[str, tuple[int, list[str]]] = {
    "1 worker": (1, ["--pruner", "none"]),
    "1 worker, pruned": (1, []),
    "2 workers": (2, ["--pruner", "none"]),
    "2 workers, pruned": (2, []),
}


def write_images(path: Path, num_images: int) -> None:
    """An .npz of so many images; what must be called test images is never opened by a search."""
    train, validation = small_cifar(num_images)
    images, labels = (np.concatenate([getattr(part, name).numpy() for part in (train, validation)]) for name in
                      ("images", "labels"))  # fmt: skip
    images = images.transpose(0, 2, 3, 1)
    np.savez(path, x_train=images, y_train=labels, x_test=images[:100], y_test=labels[:100])


def memory_of(process: int) -> dict[int, float]:
    """Peak resident memory so far of a process and of its children, in MB."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            values = dict(line.split(":\t", 1) for line in path.read_text().splitlines() if ":\t" in line)
        except OSError:
            continue  # it has ended
        if process in (int(values["Pid"]), int(values["PPid"])) and "VmHWM" in values:
            found[int(values["Pid"])] = int(values["VmHWM"].split()[0]) / 1e3
    return found


def search(folder: Path, study: str, way: str, seed: int, num_trials: int) -> dict[str, Any]:
    """One search by the command line, watched from outside, and what its record says of it."""
    num_workers, pruning = WAYS[way]
    command = [NAS, "search", "--data", "images.npz", "--space", "space.yaml", "--recipe", "recipe.yaml"]
    command += ["--budget", "30k", "--fill", "none", "--no-warm-start", "--sampler", "random", *pruning]
    command += ["--seed", seed, "--trials", num_trials, "--workers", num_workers, "--study", study, "--device", "cpu"]
    begun, memory = time.time(), dict[int, float]()
    with (folder / f"{study}.log").open("w") as log:
        process = subprocess.Popen(list(map(str, command)), cwd=folder, stdout=log, stderr=log)
        while process.poll() is None:
            for pid, peak in memory_of(process.pid).items():
                memory[pid] = max(peak, memory.get(pid, 0.0))
            time.sleep(0.2)
    if process.returncode != 0:
        sys.exit((folder / f"{study}.log").read_text())
    files = StudyFiles(folder / "studies", study)
    view, (trials, _) = read_view(files), read_study(files, None)
    first = min(trial.datetime_start.timestamp() for trial in trials if trial.datetime_start)
    last = max(trial.datetime_complete.timestamp() for trial in trials if trial.datetime_complete)
    epochs = [sum(epoch.seconds for epoch in trial.history) for trial in view.trials]
    return {
        "way": way,
        "seed": seed,
        "trials": len(trials),
        "pruned": sum(trial.state == "pruned" for trial in view.trials),
        "epochs": sum(len(trial.history) for trial in view.trials),
        "trials an hour": 3600 * len(trials) / (last - first),
        "seconds before the first trial": first - begun,
        "ms within a job": 1e3 * fmean(trial.seconds - took for trial, took in zip(view.trials, epochs, strict=True)),
        "ms between jobs": 1e3
        * (num_workers * (last - first) - sum(each.seconds for each in view.trials))
        / len(trials),
        "MB coordinator": memory.pop(process.pid),
        "MB worker": max(memory.values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--precision", default="bf16", choices=("fp32", "bf16"))
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder / "images.npz", asked.images)
        os.environ["NAS_CACHE"] = str(folder / "cache")
        recipe = FAST.model_copy(update={"name": "trials", "epochs": asked.epochs, "precision": asked.precision})
        (folder / "space.yaml").write_text(yaml.safe_dump(SPACE))
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
        for seed in range(asked.repeats):
            for number, way in enumerate(WAYS):
                rows.append(search(folder, f"search-{number}-{seed}", way, seed, asked.trials))
                print(rows[-1], flush=True)
    keep("trials", rows)
    tell(rows)


def tell(rows: list[dict[str, Any]]) -> None:
    by_way = {way: [row for row in rows if row["way"] == way] for way in WAYS}
    rates = {way: [row["trials an hour"] for row in own] for way, own in by_way.items()}
    table = []
    for way, own in by_way.items():
        trained = f"{fmean(row['pruned'] for row in own):.1f}", f"{fmean(row['epochs'] for row in own):.0f}"
        faster = spread(ratios(rates[way], rates["1 worker"]), 2)
        before = spread([row["seconds before the first trial"] for row in own], 1)
        table.append([way, spread(rates[way]), faster, *trained, before])
    header = "trials an hour", "times 1 worker", "pruned", "epochs in all", "seconds before"
    print_table(("search", *header), table)
    alone = by_way["1 worker"]
    costs = [[name, spread([row[f"ms {name}"] for row in alone], 1)] for name in ("within a job", "between jobs")]
    print_table(("overhead of a trial, 1 worker", "milliseconds"), costs)
    memory = [[way, *(spread([row[f"MB {who}"] for row in own]) for who in ("coordinator", "worker"))]
              for way, own in by_way.items()]  # fmt: skip
    print_table(("peak resident memory, MB", "coordinator", "largest worker"), memory)


if __name__ == "__main__":
    main()
