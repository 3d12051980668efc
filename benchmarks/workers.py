"""How trials had better share the cores: one training with all of them, or one a core; and beside a busy process.

`python benchmarks/workers.py` (8 minutes): training steps a second, in bf16, of processes that train the same network
at the same time, as workers do. First every way to divide the cores on an otherwise quiet machine. Then one training
with a thread a core beside one process that never rests, where threads that wait spin as long as libgomp has them by
default, as long as a worker has them (`search.workers.local.SPINS`), or not at all.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from typing import Any

import torch
from rates import print_table, spread
from runs import keep

from models.architecture import Architecture, Stage, Stem
from models.build import build
from models.count import count_parameters
from search.recipes import FAST
from search.training.images import Images, Normalisation
from search.training.loop import Training
from search.workers.local import SPINS

BATCH = 128
WARM_UP = 4.0  # seconds in which a network is built and takes its first steps
START = 8.0  # seconds for all processes to import torch


def stages(depth: int, *widths: int) -> tuple[Stage, ...]:
    return tuple(Stage("basic", depth, width) for width in widths)


# The network, and the pixels of its images.
NETWORKS = {
    "8x8, 2 blocks": (Architecture(Stem(8), stages(1, 8, 16), in_channels=1), 8),
    "16x16, 3 blocks": (Architecture(Stem(8), stages(1, 8, 16, 32)), 16),
    "32x32, 6 blocks": (Architecture(Stem(16), stages(2, 16, 32, 64)), 32),
    "32x32, 6 wide blocks": (Architecture(Stem(32), stages(2, 64, 128, 256)), 32),
}
BUSY = "while True: pass"
WAITING = {"libgomp's": {}, "a worker's": {"GOMP_SPINCOUNT": SPINS}, "none": {"OMP_WAIT_POLICY": "passive"}}


def train(network: str, begin: float, seconds: float) -> float:
    """Steps a second from the time `begin` on, when all processes do so."""
    design, size = NETWORKS[network]
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (BATCH, design.in_channels, size, size), dtype=torch.uint8, generator=generator)
    data = Images(pixels, torch.randint(0, 10, (BATCH,), generator=generator))  # an epoch is one step
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


def rates(num_processes: int, num_threads: int, seconds: float, spins: dict[str, str]) -> dict[str, float]:
    """Steps a second of every network, of all processes together."""
    environment = os.environ | spins | {"OMP_NUM_THREADS": str(num_threads)}
    command = [sys.executable, __file__, "--child", str(time.time() + START), "--seconds", str(seconds)]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
        for _ in range(num_processes)
    ]
    said = [json.loads(process.communicate()[0]) for process in processes]
    return {network: sum(each[network] for each in said) for network in NETWORKS}


def child(begin: float, seconds: float) -> None:
    slots = {network: begin + number * (seconds + WARM_UP) for number, network in enumerate(NETWORKS)}
    print(json.dumps({network: train(network, at, seconds) for network, at in slots.items()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--child", type=float, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child is not None:
        child(asked.child, asked.seconds)
        return
    cores = len(os.sched_getaffinity(0))
    ways = {f"{cores} x 1": (cores, 1), f"1 x {cores}": (1, cores), "1 x 1": (1, 1)}
    rows: list[dict[str, Any]] = []

    def add(way: str, waiting: str, beside: str) -> None:
        measured = rates(*ways[way], asked.seconds, WAITING[waiting])
        for network, rate in measured.items():
            row = {"network": network, "processes x threads": way, "waiting": waiting, "beside": beside}
            rows.append(row | {"steps a second": rate})
        print(way, waiting, beside, measured, flush=True)

    for _ in range(asked.repeats):
        for way in ways:
            add(way, "a worker's", "nothing")
        for waiting in ("libgomp's", "none"):
            add(f"1 x {cores}", waiting, "nothing")
        busy = subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True)
        try:
            for waiting in WAITING:
                add(f"1 x {cores}", waiting, "a busy process")
        finally:
            busy.kill()
            busy.wait()
    keep("workers", rows)
    tell(rows, cores)


def tell(rows: list[dict[str, Any]], cores: int) -> None:
    def found(network: str, way: str, waiting: str = "a worker's", beside: str = "nothing") -> list[float]:
        wanted = (network, way, waiting, beside)
        names = ("network", "processes x threads", "waiting", "beside")
        return [row["steps a second"] for row in rows if tuple(row[name] for name in names) == wanted]

    ways = (f"1 x {cores}", "1 x 1", f"{cores} x 1")
    table = []
    for network, (design, _) in NETWORKS.items():
        alone, _, divided = (found(network, way) for way in ways)
        gain = [many / one for many, one in zip(divided, alone, strict=True)]
        cells = [spread(found(network, way), 1) for way in ways]
        table.append([network, f"{count_parameters(design):,}", *cells, spread(gain, 2)])
    print("\nSteps a second, processes x threads:")
    print_table(("network", "parameters", *ways, f"{cores} x 1 to 1 x {cores}"), table)
    for beside in ("nothing", "a busy process"):
        cells = [[network, *(spread(found(network, ways[0], waiting, beside), 1) for waiting in WAITING)]
                 for network in NETWORKS]  # fmt: skip
        print(f"\nSteps a second of one process with {cores} threads, beside {beside}:")
        print_table(("network", *(f"spinning: {waiting}" for waiting in WAITING)), cells)


if __name__ == "__main__":
    main()
