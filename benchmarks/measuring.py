"""What the benchmarks share: rates measured in turn, ratios, intervals, tables, and results kept with their origin.

Torch is imported where it is needed: scale.py measures the memory of a process that has none.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context, parent_process
from pathlib import Path
from statistics import mean, median, stdev
from threading import Thread
from typing import Any

from scipy.stats import t

RESULTS = Path(__file__).with_name("results")

Rows = list[dict[str, Any]]
Epoch = Callable[[], int]  # does one epoch, to its end on the device; the number of images it took


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with what every benchmark takes: --results FOLDER."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the JSON is written")
    return parser


def start_pool(
    num_processes: int,
    initializer: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
    max_tasks: int | None = None,
) -> ProcessPoolExecutor:
    """New processes, each for so many tasks, that end with this one, however it is killed."""
    return ProcessPoolExecutor(
        num_processes, get_context("spawn"), _begin, (initializer, arguments), max_tasks_per_child=max_tasks
    )


def _begin(initializer: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    parent = parent_process()

    def end_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=end_with_parent, daemon=True).start()
    if initializer is not None:
        initializer(*arguments)


def pick_device(name: str) -> str:
    """'cuda' or 'cpu'; 'auto' is CUDA where there is one."""
    import torch

    has_cuda = torch.cuda.is_available()
    if name == "cuda" and not has_cuda:
        sys.exit("device = cuda: torch finds no CUDA device here")
    return "cuda" if has_cuda and name != "cpu" else "cpu"


def measure_rates(
    contenders: Mapping[str, Epoch], repeats: int, seconds: float = 0.0, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Images a second (of the clock) of every contender, one figure a round.

    Contenders take turns, so that a change of the machine meets all of them; before the first round each warms up for
    one epoch. A figure covers whole epochs: as many as `seconds` take, at least one.
    """
    for epoch in contenders.values():
        epoch()
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, epoch in contenders.items():
            started, num_images, elapsed = clock(), 0, 0.0
            while num_images == 0 or elapsed < seconds:
                num_images += epoch()
                elapsed = clock() - started
            rates[name].append(num_images / elapsed)
    return rates


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """How many times as fast, round by round."""
    return [our_rate / their_rate for our_rate, their_rate in zip(ours, theirs, strict=True)]


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median, smallest and largest: '2.15 (1.94 to 2.35)'."""
    middle, low, high = (f"{value:,.{digits}f}" for value in (median(values), min(values), max(values)))
    return f"{middle} ({low} to {high})"


def paired_interval(differences: Sequence[float]) -> str:
    """Mean of paired differences in points with Student's 95% interval: '+1.36 (+0.38 to +2.34)'."""
    return interval(differences, "+.2f")


def interval(values: Sequence[float], form: str = ".2f") -> str:
    """Mean in percent with Student's 95% interval, of one value without: '73.52 (72.80 to 74.24)'."""
    centre, number = 100 * mean(values), len(values)
    if number < 2:
        return format(centre, form)
    half = 100 * float(t.ppf(0.975, number - 1)) * stdev(values) / number**0.5
    return f"{centre:{form}} ({centre - half:{form}} to {centre + half:{form}})"


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table in Markdown, each row as soon as it is there; the first column to the left, the others right."""
    print("\n| " + " | ".join(header) + " |")
    print("| :--- |" + " ---: |" * (len(header) - 1), flush=True)
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


def save_results(folder: Path, name: str, rows: Rows) -> None:
    """Write FOLDER/NAME.json: the rows, and where, when and how they were measured."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"measured on": provenance(), "rows": rows}, indent=1)
    (folder / f"{name}.json").write_text(text + "\n")


class Kept:
    """Results by what they depend on, in a file that has one a line, so that an interrupted command can go on.

    A last line that a killed process left unfinished is removed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        *lines, unfinished = path.read_text().split("\n") if path.exists() else [""]
        if unfinished:
            path.write_text("".join(f"{line}\n" for line in lines))
        self._rows = {_text(row["key"]): row for row in map(json.loads, lines)}

    def find(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        return self._rows.get(_text(key))

    def add(self, key: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        self._rows[_text(key)] = {**row, "key": key}
        with self._path.open("a") as file:
            file.write(json.dumps(self._rows[_text(key)]) + "\n")


def _text(key: Mapping[str, Any]) -> str:
    return json.dumps(key, sort_keys=True)


def provenance() -> dict[str, str]:
    """Machine, versions, date and command of a measurement."""
    import torch

    cores = f"{len(os.sched_getaffinity(0))} cores allowed, {torch.get_num_threads()} threads"
    return {
        "hardware": f"{processor()}, {cores}",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": datetime.now(UTC).date().isoformat(),
        "command": " ".join(["python", *sys.argv]),
    }


def processor() -> str:
    """The processor's name, as Linux has it, or else its architecture."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
