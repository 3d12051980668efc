"""What it costs in quality that TPE sees a part of a long history: `python benchmarks/thinning.py` prints this table.

The objective is the surrogate with the noise between seeds (quality.py). All searches have the same number of trials,
`--running` of them at a time, each told when as many later ones have been proposed. A search is judged by the true
values of what it chose by the noisy ones: its best, and the ten best; and by the mean of its second half. Differences
are paired by seed.
"""

import argparse
import multiprocessing
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from statistics import mean
from typing import Any

import optuna
from optuna.samplers import BaseSampler, TPESampler
from proposals import TASK
from quality import Noisy, interval
from runs import keep
from surrogate import make_surrogate, seed_noise

from search.space.limits import Limits
from search.space.sampler import BudgetSampler
from search.space.space import load_space
from search.space.thinning import ThinningSampler

BUDGET = 1_000_000
FILL = 0.5
FULL = "full history"
CAPS = {"500 and 100": (500, 100), "500 and 250": (500, 250), "1,000 and 500": (1_000, 500)}
TOP = 10


def sampler_of(method: str, seed: int) -> BaseSampler | None:
    if method == "uniform draws":
        return None
    base = TPESampler(seed=seed)
    return base if method == FULL else ThinningSampler(base, *CAPS[method])


def run(method: str, seed: int, num_trials: int, num_running: int) -> dict[str, Any]:
    """The true values of what one search chose, and what an ask cost."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space, objective = load_space(), Noisy(make_surrogate(BUDGET), seed_noise(), seed)
    sampler = BudgetSampler(space, TASK, Limits(BUDGET, fill=FILL), sampler_of(method, seed), seed=seed)
    study, running = optuna.create_study(direction="maximize", sampler=sampler), deque[optuna.Trial]()
    seconds = 0.0
    for index in range(num_trials):
        begun = time.process_time()
        running.append(study.ask(fixed_distributions=space.distributions))
        if index >= num_trials - 100:
            seconds += time.process_time() - begun
        while len(running) >= (num_running if index < num_trials - 1 else 1):
            trial = running.popleft()
            study.tell(trial, objective(space.decode(trial.params, TASK)))
    chosen = sorted(objective.pairs, reverse=True)[:TOP]
    late = [true for _, true in objective.pairs[num_trials // 2 :]]
    return {
        "method": method,
        "seed": seed,
        "best": chosen[0][1],
        "top": mean(true for _, true in chosen),
        "late": mean(late),
        "ms": 10 * seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What it costs that TPE sees a part of a long history.")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--trials", type=int, default=2_000)
    parser.add_argument("--running", type=int, default=1, help="trials at a time")
    parser.add_argument("--methods", nargs="*", default=[FULL, *CAPS, "uniform draws"])
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    cases = list(product(range(arguments.seeds), arguments.methods))
    with ProcessPoolExecutor(arguments.processes, multiprocessing.get_context("spawn")) as pool:
        jobs = [pool.submit(run, method, seed, arguments.trials, arguments.running) for seed, method in cases]
        rows = [job.result() for job in jobs]
    keep("thinning", rows)
    print(f"{arguments.trials:,} trials, {arguments.running:,} at a time, {arguments.seeds} seeds; percent and points")
    head = f"| shown: finished and running | ms an ask | best | {FULL} better by | top {TOP} | better by "
    print(f"\n{head}| second half | better by |")
    print("| :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    reference = [row for row in rows if row["method"] == FULL]
    for method in arguments.methods:
        own = [row for row in rows if row["method"] == method]
        cells = [f"{mean(row['ms'] for row in own):.0f}"]
        for figure in ("best", "top", "late"):
            pairs = zip(reference, own, strict=True)
            cells.append(f"{100 * mean(row[figure] for row in own):.2f}")
            cells.append("" if method == FULL else interval([full[figure] - part[figure] for full, part in pairs]))
        print(f"| {method} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
