"""What ending trials early saves and what it loses: `python benchmarks/pruning.py` prints these tables.

Searches are replayed on recorded learning curves by virtual time, in random orders. A search chooses by its last
accuracies, and is judged by the expected accuracy of its choice over seeds (curves.py). What matters is that of the
choice after the same seconds of the device: who ends trials early tries more designs.

Every order is one of a bootstrap sample of the designs, and all methods are given the same ones. So intervals cover
other designs and seeds of the same kind, as well as other orders; those over the orders alone would be far too narrow,
for a handful of best designs decides.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from curves import EPOCHS, Record, Schedules, load_record, load_schedules
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from replays import AskedOptuna, Run, Rungs, replay, replay_rungs, rule_of
from runs import RESULTS, keep
from scipy.stats import spearmanr

from search.run.proposals import make_pruner

STUDY = "pruning"
NUM_TOP = 3
PARTS = (6, 3)  # seconds are those that these parts of the designs take without pruning
MIN_DESIGNS = 30
NUM_RESAMPLED = 300
FACTORS = (2, 3, 4)

Search = Callable[[Sequence[int], int], list[Run]]  # trains designs in an order, by so many workers

# Epochs are of the six recorded. 'keep 75%' ends what is below the lowest quarter of the completed trials.
PRUNERS: dict[str, BasePruner] = {
    "none": NopPruner(),
    "nas --pruner median": make_pruner("median", EPOCHS),
    "nas --pruner asha": make_pruner("asha", EPOCHS),
    **{f"median from epoch {first}, after 5": MedianPruner(5, first) for first in (1, 2, 3, 4)},
    "median from epoch 3, after 10": MedianPruner(10, 3),
    **{
        f"keep {share}% from epoch {first}, after 5": PercentilePruner(float(share), 5, first)
        for first in (2, 3)
        for share in (25, 67, 75)
    },
    **{
        f"ASHA from epoch {first}, 1/{factor}": SuccessiveHalvingPruner(first, factor)
        for first in (1, 2, 3)
        for factor in FACTORS
    },
    **{f"Hyperband from epoch 1, 1/{factor}": HyperbandPruner(1, EPOCHS, factor) for factor in (2, 3)},
}


def searches(record: Record, names: Sequence[str] = tuple(PRUNERS)) -> dict[str, Search]:
    def search(pruner: BasePruner, order: Sequence[int], workers: int) -> list[Run]:
        return replay(rule_of(pruner, EPOCHS, STUDY), record.curves, record.costs, order, workers)

    return {name: partial(search, PRUNERS[name]) for name in names}


def check(record: Record) -> None:
    """
    Raises:
        AssertionError: a rule has ended other trials than Optuna's own pruner.
    """
    rng = np.random.default_rng(1)
    for name, search in searches(record).items():
        for workers in (1, 4):
            order = rng.permutation(len(record.curves)).tolist()
            asked = replay(AskedOptuna(PRUNERS[name], STUDY), record.curves, record.costs, order, workers)
            assert asked == search(order, workers), f"{name}, {workers} workers"


def schedule_searches(record: Record, schedules: Schedules) -> dict[str, Search]:
    """Searches with rungs of two epochs that are annealed to zero, whose best have the recorded schedule from scratch
    or go on; and pruners that look at averaged weights."""
    found: dict[str, Search] = {}

    def add(name: str, short: Mapping[int, Sequence[float]], long: Mapping[int, Sequence[float]], more: int) -> None:
        values = [
            {design: curve[place] for design, curve in curves.items()} for curves, place in ((short, 1), (long, -1))
        ]
        for factor in FACTORS:
            rungs = Rungs(values[0], values[1], (2, more), factor)
            found[name.format(factor)] = partial(replay_rungs, rungs, record.costs)

    add("annealed 2, then 1/{} anew for 6", schedules.short, dict(enumerate(record.curves)), EPOCHS)
    if schedules.resumed:
        add("annealed 2, then 1/{} on for 4", schedules.resumed, schedules.resumed, 4)
    if schedules.averaged:
        curves = [schedules.averaged.get(design, ()) for design in range(len(record.curves))]
        names = [
            name for name in PRUNERS if name == "none" or name.startswith(("ASHA from epoch 2", "ASHA from epoch 3"))
        ]
        averaged = searches(replace(record, curves=curves), names)
        found |= {f"{name}, averaged weights": search for name, search in averaged.items()}
    return found


def chosen(runs: Sequence[Run], until: float = float("inf")) -> int:
    """The design with the best last accuracy of those that have had all epochs by then."""
    return max(
        (run for run in runs if run.value is not None and run.ended <= until), key=lambda run: run.value or 0
    ).design


def judge(record: Record, search: Search, order: Sequence[int], workers: int) -> list[float]:
    """Of one search through half of the order: shares of epochs and of seconds saved, whether the best design was
    pruned, share of the top three pruned, recorded and expected accuracy of the choice. Then the expected accuracy of
    the choice after as many seconds as each of `PARTS` of the order takes without pruning."""
    half = order[: len(order) // 2]
    runs = search(half, workers)
    kept = {run.design for run in runs if run.value is not None}
    top = sorted(set(half), key=lambda design: -record.truth[design])[:NUM_TOP]
    best = chosen(runs)
    whole = search(order, workers)
    seconds = EPOCHS * sum(record.costs[design] for design in order) / workers
    return [
        1 - sum(run.epochs for run in runs) / (EPOCHS * len(half)),
        1 - sum(run.seconds for run in runs) / (EPOCHS * sum(record.costs[design] for design in half)),
        float(top[0] not in kept),
        sum(design not in kept for design in top) / NUM_TOP,
        record.curves[best][-1],
        record.truth[best],
        *(record.truth[chosen(whole, seconds / part)] for part in PARTS),
    ]


class Comparison:
    """Judges all methods on the same orders, prints tables and keeps their rows."""

    def __init__(self, samples: int, orders: int, reference: str) -> None:
        self.samples, self.orders, self.reference = samples, orders, reference
        self.rows: list[dict[str, Any]] = []

    def table(self, record: Record, methods: Mapping[str, Search], pool: Sequence[int], workers: int) -> None:
        rng = np.random.default_rng(0)
        drawn = [
            [rng.permutation(sample).tolist() for _ in range(self.orders)]
            for sample in (rng.choice(pool, len(pool)) for _ in range(self.samples))
        ]
        found = {
            name: np.array([[judge(record, search, order, workers) for order in each] for each in drawn])
            for name, search in methods.items()
        }
        numbers = [f"choice after {len(pool) // part} designs' seconds" for part in PARTS]
        header = ["epochs saved", "seconds saved", "best pruned", f"top {NUM_TOP} pruned"]
        header += [f"choice of {len(pool) // 2}, recorded", f"choice of {len(pool) // 2}", *numbers]
        print(f"| method | {' | '.join(header)} |\n| :---{' | ---:' * len(header)} |")
        for name, values in found.items():
            mean = values.mean(axis=(0, 1))
            points = 100 * (values - found[self.reference])[..., 4:].mean(axis=1)
            centre, (low, high) = points.mean(axis=0), np.quantile(points, (0.025, 0.975), axis=0)
            cells = [f"{share:.0%}" for share in mean[:4].clip(0)] + [f"{centre[0]:+.2f}"]
            cells += [f"{c:+.2f} ({a:+.2f} to {b:+.2f})" for c, a, b in zip(centre, low, high, strict=True)][1:]
            if name == self.reference:
                cells[4:] = [f"{100 * value:.2f}" for value in mean[4:]]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
            row = {"method": name, "reference": self.reference, "workers": workers, "designs": len(pool)}
            row |= {key: round(float(value), 5) for key, value in zip(header, mean, strict=True)}
            self.rows.append(row | {"points better": np.stack([centre, low, high], axis=1).round(3).tolist()})
        print()


def print_correlations(record: Record, pool: Sequence[int], schedules: Schedules | None = None) -> None:
    """Rank correlations of early accuracies with the recorded last one and with the expected one, with 95% intervals
    over bootstrap samples of the designs."""
    columns = {f"epoch {epoch + 1}": [record.curves[design][epoch] for design in pool] for epoch in range(EPOCHS)}
    for name, curves in schedules.all.items() if schedules else ():
        for epoch in range(len(curves[pool[0]])):
            columns[f"{name}, epoch {epoch + 1}"] = [curves[design][epoch] for design in pool]
    targets = [[record.curves[design][-1] for design in pool], record.truth[pool]]
    samples = np.random.default_rng(0).choice(len(pool), (NUM_RESAMPLED, len(pool)))
    print(f"| rank correlation, {len(pool)} designs | last accuracy | expected accuracy |\n| :--- | ---: | ---: |")
    for name, values in columns.items():
        cells = []
        for pair in (np.array([values, target]) for target in targets):
            low, high = np.quantile([spearmanr(*pair[:, sample]).statistic for sample in samples], (0.025, 0.975))
            cells.append(f"{spearmanr(*pair).statistic:.2f} ({low:.2f} to {high:.2f})")
        print(f"| {name} | {' | '.join(cells)} |")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description="What ending trials early saves and what it loses.")
    parser.add_argument("--samples", type=int, default=200, help="bootstrap samples of the designs")
    parser.add_argument("--orders", type=int, default=4, help="random orders of each sample")
    parser.add_argument("--reference", choices=PRUNERS, default="none", help="what the others are compared with")
    parser.add_argument("--rungs", type=Path, default=RESULTS / "rungs.json", help="what rungs.py has recorded")
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    record = load_record()
    check(record)
    print(f"Accuracies in percent; differences to '{asked.reference}' in points, with 95% intervals over")
    print(f"{asked.samples} bootstrap samples of the designs, {asked.orders} orders each.\n")
    comparison = Comparison(asked.samples, asked.orders, asked.reference)
    everything = list(range(len(record.curves)))
    larger = np.argsort(-record.params, kind="stable")[: len(everything) // 2].tolist()
    for title, pool, workers in (
        ("All designs", everything, 1),
        ("All designs, four workers", everything, 4),
        ("The larger half of the designs", larger, 1),
    ):
        print(f"**{title}** ({len(pool)})\n")
        if workers == 1:
            print_correlations(record, pool)
        comparison.table(record, searches(record), pool, workers)
    schedules = load_schedules(asked.rungs)
    if len(schedules.designs) < MIN_DESIGNS:
        print(f"{asked.rungs} holds {len(schedules.designs)} designs in all its schedules; rungs need {MIN_DESIGNS}.")
    else:
        judged = schedules.judged(record)
        print("**Rungs that are annealed to zero**\n")
        print_correlations(judged, schedules.designs, schedules)
        near = [name for name in PRUNERS if name.startswith(("none", "nas", "ASHA from epoch 2", "ASHA from epoch 3"))]
        methods = searches(judged, [*near, asked.reference]) | schedule_searches(judged, schedules)
        comparison.table(judged, methods, schedules.designs, 1)
    keep("pruning", comparison.rows)


if __name__ == "__main__":
    main()
