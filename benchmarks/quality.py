"""Which way of proposing designs finds the better ones. Nothing is trained.

    --part surrogate  how well the surrogate predicts designs that it was not fitted to
    --part methods    TPE and random draws, with and without a least share of the budget (fill), plain Optuna, and
                      evolution, after 50 and 100 trials
    --part thinning   what it costs that TPE sees a part of a long history: `--trials` trials, `--running` at a time

The objective is the surrogate of networks that were really trained (surrogate.py), with noise as large as that measured
between seeds. A search chooses by noisy values, and is judged by the values without noise of what it chose. All methods
have the same space, budgets, seeds, noise and number of trained networks; designs that plain Optuna wastes cost it
nothing here. Differences are paired by seed, in points, with Student's 95% intervals.
"""

import argparse
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import product
from statistics import mean
from typing import Any

import numpy as np
import optuna
from measuring import Rows, make_parser, paired_interval, print_table, save_results, start_pool
from optuna.samplers import BaseSampler, TPESampler
from proposals import BUDGETS, MAX_ASKS, METHODS, NUM_TRIALS, TASK, Objective, Run
from scipy.stats import spearmanr
from surrogate import left_out_predictions, make_surrogate, seed_noise

from models.architecture import Architecture, ArchitectureError
from search.space.draws import Draws
from search.space.limits import Limits
from search.space.sampler import BudgetSampler
from search.space.space import Space, load_space
from search.space.thinning import ThinningSampler


class Noisy:
    """An objective that notes, for every call, the value with noise and the one without."""

    def __init__(self, objective: Objective, noise: float, seed: int) -> None:
        self.objective = objective
        self.noise = noise
        self.rng = np.random.default_rng([seed, 7])
        self.pairs: list[tuple[float, float]] = []

    def __call__(self, architecture: Architecture) -> float:
        value = self.objective(architecture)
        self.pairs.append((value + self.noise * self.rng.standard_normal(), value))
        return self.pairs[-1][0]

    def choice(self, number: int) -> float | None:
        """The true value of the best of the first `number` networks by its noisy one; None if there are fewer."""
        return max(self.pairs[:number])[1] if len(self.pairs) >= number else None


# Methods.

NUM_COMPARED = (50, 100)
REFERENCE = "nas TPE, fill 0.5"  # the default of `nas search`
POPULATION = 20
SAMPLE = 5


def evolution(space: Space, budget: int, seed: int, objective: Objective) -> Run:
    """Regularised evolution (Real et al. 2019, https://arxiv.org/abs/1802.01548): of 5 drawn from the last 20 the best
    is changed in one place. Only new designs within the budget count."""
    rng, limits, run = np.random.default_rng(seed), Limits(budget), Run()
    draws, population = Draws(space, TASK, limits), deque[tuple[float, Architecture]](maxlen=POPULATION)
    while len(run.trained) < NUM_TRIALS:
        if len(population) < POPULATION:
            child = draws.draw(rng)
        else:
            candidates = [population[int(index)] for index in rng.choice(len(population), SAMPLE, replace=False)]
            child = mutated(space, limits, max(candidates, key=lambda pair: pair[0])[1], run.trained, rng)
        if child in run.trained:
            continue
        run.asks += 1
        run.trained.add(child)
        run.values.append(objective(child))
        population.append((run.values[-1], child))
    return run


def mutated(
    space: Space, limits: Limits, parent: Architecture, seen: set[Architecture], rng: np.random.Generator
) -> Architecture:
    """A new design within the limits, one choice away from the parent, or further where there is none so near."""
    vector = space.encode(parent)
    while True:
        slot = space.slots[int(rng.integers(len(space.slots)))]
        changed = vector | {slot.name: slot.value(int(rng.integers(len(slot.choices))))}
        try:
            child = space.decode(changed, TASK)
        except ArchitectureError:
            continue
        if limits.admits(child, TASK.image_size):
            if child not in seen:
                return child
            vector = changed


def compare_methods(options: argparse.Namespace) -> None:
    space, noise, num_seeds = load_space(), seed_noise(), options.seeds
    methods = {REFERENCE: METHODS[REFERENCE], **selected({**METHODS, "evolution": evolution}, options.methods)}
    results: Rows = []

    def lines() -> Iterator[list[str]]:
        for budget in BUDGETS:
            objective = make_surrogate(budget)
            references: list[Noisy] = []
            for name, method in methods.items():
                searches = [Noisy(objective, noise, seed) for seed in range(num_seeds)]
                for seed, search in enumerate(searches):
                    method(space, budget, seed, search)
                references = references or searches  # the first method is the reference
                cells = []
                for number in NUM_COMPARED:
                    choices = [search.choice(number) for search in searches]
                    results.append({"budget": budget, "method": name, "after": number, "accuracies": choices})
                    cells += compared([search.choice(number) for search in references], choices)
                save_results(options.results, "quality_methods", results)
                yield [f"{budget:,}", name, *cells]

    print(f"\nAccuracy of what a search chose, in percent; {num_seeds} seeds, noise {noise:.2%}.")
    print(f"Plain Optuna asks at most {MAX_ASKS:,} times.")
    columns = [column for number in NUM_COMPARED for column in (f"after {number}", f"{REFERENCE} better by")]
    print_table(("budget", "method", *columns), lines())


def compared(references: list[float | None], choices: list[float | None]) -> list[str]:
    """Two cells: the mean of the choices, and by how much the references are better. A search that has trained too few
    networks is left out."""
    pairs = [
        (reference, choice)
        for reference, choice in zip(references, choices, strict=True)
        if reference is not None and choice is not None
    ]
    if not pairs:
        return ["none has trained as many", ""]
    missing = f" ({len(pairs)} of {len(choices)} searches)" if len(pairs) < len(choices) else ""
    accuracy = f"{100 * mean(choice for _, choice in pairs):.2f}{missing}"
    return [accuracy, paired_interval([reference - choice for reference, choice in pairs])]


# Thinning.

BUDGET = 1_000_000
FILL = 0.5
TOP = 10
NUM_LAST = 100  # asks that are timed
FULL_HISTORY = "full history"
# How many finished trials, and how many running ones, TPE is shown.
HISTORIES: dict[str, tuple[int, int] | None] = {
    FULL_HISTORY: None,
    "500 and 100": (500, 100),
    "500 and 250": (500, 250),
    "1,000 and 500": (1_000, 500),
    "random draws": None,
}


def make_base_sampler(method: str, seed: int) -> BaseSampler | None:
    """None for random draws."""
    if method == "random draws":
        return None
    tpe, shown = TPESampler(seed=seed), HISTORIES[method]
    return ThinningSampler(tpe, *shown) if shown else tpe


def run_long_search(method: str, seed: int, num_trials: int, num_running: int) -> dict[str, Any]:
    """True values of what one search chose, and the milliseconds of an ask among its last ones. A trial ends when
    `num_running` - 1 later ones have been proposed."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space, objective = load_space(), Noisy(make_surrogate(BUDGET), seed_noise(), seed)
    sampler = BudgetSampler(space, TASK, Limits(BUDGET, fill=FILL), make_base_sampler(method, seed), seed=seed)
    study, running = optuna.create_study(direction="maximize", sampler=sampler), deque[optuna.Trial]()
    seconds = 0.0
    for index in range(num_trials):
        started = time.process_time()
        running.append(study.ask(fixed_distributions=space.distributions))
        if index >= num_trials - NUM_LAST:
            seconds += time.process_time() - started
        while len(running) >= (num_running if index < num_trials - 1 else 1):
            trial = running.popleft()
            study.tell(trial, objective(space.decode(trial.params, TASK)))
    best = sorted(objective.pairs, reverse=True)[:TOP]
    second_half = [value for _, value in objective.pairs[num_trials // 2 :]]
    return {
        "method": method,
        "seed": seed,
        "best": best[0][1],
        "top": mean(value for _, value in best),
        "late": mean(second_half),
        "ms": 1e3 * seconds / min(NUM_LAST, num_trials),
    }


def compare_histories(options: argparse.Namespace) -> None:
    methods = [FULL_HISTORY, *selected(dict.fromkeys(HISTORIES), options.methods)]
    cases = list(product(range(options.seeds), dict.fromkeys(methods)))
    with start_pool(options.processes) as pool:
        jobs = [pool.submit(run_long_search, method, seed, options.trials, options.running) for seed, method in cases]
        rows = [job.result() for job in jobs]
    save_results(options.results, "quality_thinning", rows)
    by_method = {method: [row for row in rows if row["method"] == method] for method in dict.fromkeys(methods)}
    table = []
    for method, method_rows in by_method.items():
        cells = [f"{mean(row['ms'] for row in method_rows):.0f}"]
        for figure in ("best", "top", "late"):
            pairs = zip(by_method[FULL_HISTORY], method_rows, strict=True)
            cells.append(f"{100 * mean(row[figure] for row in method_rows):.2f}")
            cells.append(paired_interval([full[figure] - thinned[figure] for full, thinned in pairs]))
        table.append([method, *cells])
    print(f"\n{options.trials:,} trials, {options.running:,} at a time, {options.seeds} seeds; percent and points.")
    better = f"{FULL_HISTORY} better by"
    head = ("shown: finished and running", f"ms an ask, the last {NUM_LAST}")
    print_table((*head, "best", better, f"top {TOP}", better, "second half", better), table)


def selected(methods: dict[str, Any], words: list[str]) -> dict[str, Any]:
    """The methods that have one of the words in their names; all of them where there are no words."""
    return {name: method for name, method in methods.items() if not words or any(word in name for word in words)}


# The surrogate.


def judge_surrogate(_: argparse.Namespace) -> None:
    predicted, recorded = left_out_predictions()
    errors = predicted - recorded
    explained = 1 - (errors**2).sum() / ((recorded - recorded.mean()) ** 2).sum()
    correlation = spearmanr(predicted, recorded).statistic
    print(f"{len(recorded)} designs, accuracies {recorded.min():.1%} to {recorded.max():.1%}; predicted when left out:")
    print(f"R2 {explained:.3f}, rank correlation {correlation:.3f}, error {np.sqrt((errors**2).mean()):.2%};")
    print(f"standard deviation between seeds {seed_noise():.2%}", flush=True)


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "surrogate": judge_surrogate,
    "methods": compare_methods,
    "thinning": compare_histories,
}


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=["surrogate", "methods"])
    parser.add_argument("--seeds", type=int, default=10, help="searches of each method and budget")
    parser.add_argument("--methods", nargs="+", default=[], metavar="WORDS", help="only those with WORDS in the name")
    parser.add_argument("--trials", type=int, default=2_000, help="of a search of --part thinning")
    parser.add_argument("--running", type=int, default=1, help="trials at a time, of --part thinning")
    parser.add_argument("--processes", type=int, default=1, help="searches at a time, of --part thinning")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for part in options.part:
        PARTS[part](options)


if __name__ == "__main__":
    main()
