"""What a proposal costs, and what plain Optuna wastes. Nothing is trained.

Plain Optuna has no hard constraints. It is used in two ways: a trial whose network breaks a limit or a rule of the
space is pruned at once, or it is pruned and its excess is passed on as a constraint (`Trial.set_constraint`), which TPE
takes into account. All methods see the same space, budgets, seeds and objective, and go on until they have trained the
same number of networks. The objective is a function of the architecture that says nothing about accuracy; quality.py
compares the same methods by a surrogate of networks that were really trained.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

import numpy as np
import optuna
from fvcore.nn import parameter_count
from measuring import Rows, make_parser, print_table, save_results
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from models.architecture import Architecture, ArchitectureError
from models.build import build_on_meta
from models.count import count_parameters
from search.space.audit import audit
from search.space.draws import Draws, prepare
from search.space.limits import Limits
from search.space.sampler import BudgetSampler
from search.space.space import Space, Task, load_space

TASK = Task(32, 3, 10)
NUM_TRIALS = 100
MAX_ASKS = 1_000
BUDGETS = (5_000_000, 1_000_000, 300_000)
HISTORIES = (100, 1_000, 10_000)
NUM_TIMED = 20  # asks after a history

Objective = Callable[[Architecture], float]


def stand_in(architecture: Architecture) -> float:
    """Grows with the logarithm of the size, falls away from some 24 layers, and prefers some kinds of block."""
    stages = architecture.stages
    small = sum(stage.kernel == 3 for stage in stages) / len(stages)
    basic = sum(stage.block == "basic" for stage in stages) / len(stages)
    depth = -0.015 * abs(architecture.depth - 24)
    return float(np.log10(count_parameters(architecture))) + depth + 0.15 * small + 0.15 * basic


@dataclass
class Run:
    """What one method did: asks for a network, values and set of the networks trained, seconds of sampling."""

    asks: int = 0
    values: list[float] = field(default_factory=list)
    trained: set[Architecture] = field(default_factory=set)
    seconds: float = 0.0

    @property
    def wasted(self) -> int:
        """Asks that trained nothing new: over the budget, against a rule, or a repeat."""
        return self.asks - len(self.trained)


def plain(base: Callable[[int], BaseSampler], with_constraint: bool) -> Callable[..., Run]:
    """Optuna's own sampler; what does not fit is pruned, with its excess as a constraint where that is asked for."""

    def search(space: Space, budget: int, seed: int, objective: Objective) -> Run:
        study = optuna.create_study(direction="maximize", sampler=base(seed))
        run = Run()
        while len(run.trained) < NUM_TRIALS and run.asks < MAX_ASKS:
            started = time.process_time()
            trial = study.ask(fixed_distributions=space.distributions)
            run.seconds += time.process_time() - started
            run.asks += 1
            try:
                architecture = space.decode(trial.params, TASK)
                excess = count_parameters(architecture) / budget - 1
            except ArchitectureError:
                architecture, excess = None, 1.0
            if with_constraint:
                trial.set_constraint("budget", excess)
            if architecture is None or excess > 0:
                study.tell(trial, state=TrialState.PRUNED)
                continue
            run.trained.add(architecture)
            run.values.append(objective(architecture))
            study.tell(trial, run.values[-1])
        return run

    return search


def ours(base: Callable[[int], BaseSampler | None], fill: float = 0.0) -> Callable[..., Run]:
    """BudgetSampler around a sampler."""

    def search(space: Space, budget: int, seed: int, objective: Objective) -> Run:
        sampler = BudgetSampler(space, TASK, Limits(budget, fill=fill), base(seed), seed=seed)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        run = Run()
        while len(run.trained) < NUM_TRIALS and run.asks < MAX_ASKS:
            started = time.process_time()
            trial = study.ask(fixed_distributions=space.distributions)
            run.seconds += time.process_time() - started
            run.asks += 1
            architecture = space.decode(trial.params, TASK)
            if count_parameters(architecture) <= budget:
                run.trained.add(architecture)
            run.values.append(objective(architecture))
            study.tell(trial, run.values[-1])
        return run

    return search


def tpe(seed: int) -> TPESampler:
    return TPESampler(seed=seed)


METHODS: dict[str, Callable[..., Run]] = {
    "Optuna TPE, pruned": plain(tpe, with_constraint=False),
    "Optuna TPE, constraint": plain(tpe, with_constraint=True),
    "Optuna random, pruned": plain(lambda seed: RandomSampler(seed=seed), with_constraint=False),
    "nas TPE": ours(tpe),
    "nas TPE, fill 0.5": ours(tpe, 0.5),
    "nas TPE, fill 0.8": ours(tpe, 0.8),
    "nas random": ours(lambda seed: None),
    "nas random, fill 0.5": ours(lambda seed: None, 0.5),
    "nas random, fill 0.8": ours(lambda seed: None, 0.8),
}


def compare_methods(space: Space, num_seeds: int, objective: Objective = stand_in) -> Rows:
    """One row a budget and method: means over seeds, and every seed's best value."""
    results: Rows = []

    def lines() -> Iterator[list[str]]:
        for budget in BUDGETS:
            for name, method in METHODS.items():
                runs = [method(space, budget, seed, objective) for seed in range(num_seeds)]
                row: dict[str, Any] = {
                    "budget": budget,
                    "method": name,
                    "asks": mean(run.asks for run in runs),
                    "trained": mean(len(run.trained) for run in runs),
                    "wasted": mean(run.wasted for run in runs),
                    # A run that trained fewer networks than others is compared by what it has.
                    "best": [max(run.values[:NUM_TRIALS]) for run in runs if run.values],
                    "ms an ask": 1e3 * mean(run.seconds / run.asks for run in runs),
                }
                results.append(row)
                best = row["best"] or [float("nan")]
                deviation = stdev(best) if len(best) > 1 else 0.0
                yield [
                    f"{budget:,}",
                    name,
                    *(f"{row[count]:.0f}" for count in ("asks", "trained", "wasted")),
                    f"{row['asks'] / max(row['trained'], 1):.2f}",
                    f"{mean(best):.3f} ({deviation:.3f})",
                    f"{row['ms an ask']:.1f}",
                ]

    print(f"Until {NUM_TRIALS} networks are trained or {MAX_ASKS} asked for; means of {num_seeds} seeds.")
    columns = ("asks", "trained", "wasted", "asks a trained network", "best (sd)", "ms an ask")
    print_table(("budget", "method", *columns), lines())
    return results


def seconds_each(function: Callable[[], object], times: int) -> float:
    """Seconds of the processor that one call takes, the mean of some."""
    started = time.process_time()
    for _ in range(times):
        function()
    return (time.process_time() - started) / times


def time_arithmetic(space: Space) -> Rows:
    """Seconds of counts, draws and audits."""
    limits, rng = Limits(300_000), np.random.default_rng(0)
    tables = seconds_each(lambda: prepare.__wrapped__(space, TASK, limits, "weighed"), 3)
    draws, filled = Draws.weighed(space, TASK, limits), Draws.weighed(space, TASK, Limits(300_000, fill=0.9))
    designs = [draws.draw(rng) for _ in range(50)]
    count = seconds_each(lambda: [count_parameters(design) for design in designs], 20) / len(designs)
    built = seconds_each(lambda: [parameter_count(build_on_meta(design)) for design in designs], 1) / len(designs)
    draw, filled_draw = (seconds_each(lambda source=source: source.draw(rng), 500) for source in (draws, filled))  # type: ignore[misc]
    rows = [
        ("one count, by arithmetic", count, f"{1e6 * count:.1f} us"),
        ("one count, built and counted by fvcore", built, f"{1e6 * built:,.0f} us ({built / count:,.0f} times)"),
        ("tables for draws within 300,000", tables, f"{1e3 * tables:.0f} ms"),
        ("one random draw within 300,000", draw, f"{1e6 * draw:.0f} us"),
        ("one from 270,000 to 300,000", filled_draw, f"{1e6 * filled_draw:.0f} us"),
    ]
    for budget in BUDGETS:
        audited = seconds_each(lambda budget=budget: audit(space, TASK, Limits(budget)), 1)  # type: ignore[misc]
        rows.append((f"audit of the default space at {budget:,}", audited, f"{audited:.2f} s"))
    print_table(("what", "time"), [(name, cell) for name, _, cell in rows])
    return [{"what": name, "seconds": seconds} for name, seconds, _ in rows]


def time_histories(space: Space, objective: Objective = stand_in) -> Rows:
    """Milliseconds of an ask after so many trials, by Optuna's TPE and by ours."""
    limits, rng = Limits(1_000_000), np.random.default_rng(0)
    study = optuna.create_study(sampler=BudgetSampler(space, TASK, limits, None, seed=1))
    history: list[FrozenTrial] = []
    for _ in range(max(HISTORIES)):
        params = study.ask(fixed_distributions=space.distributions).params
        value = objective(space.decode(params, TASK)) + 0.01 * rng.standard_normal()
        history.append(create_trial(params=params, distributions=space.distributions, value=value))
    results: Rows = []

    def lines() -> Iterator[list[str]]:
        for number in HISTORIES:
            seen = [space.decode(trial.params, TASK) for trial in history[:number]]
            ours = BudgetSampler(space, TASK, limits, tpe(0), seen, seed=0)
            assert ours.vector_draws.upper_bound  # the tables are made once, before the first trial
            asks = [asking(space, sampler, history[:number]) for sampler in (tpe(0), ours)]
            theirs_ms, ours_ms = (1e3 * seconds_each(ask, NUM_TIMED) for ask in asks)
            results.append({"history": number, "ms an ask, Optuna TPE": theirs_ms, "ms an ask, nas TPE": ours_ms})
            yield [f"{number:,}", f"{theirs_ms:.1f}", f"{ours_ms:.1f}", f"{ours_ms / theirs_ms:.2f}"]

    print_table(("trials of history", "ms an ask, Optuna TPE", "ms an ask, nas TPE", "times Optuna TPE"), lines())
    return results


def asking(space: Space, sampler: BaseSampler, history: list[FrozenTrial]) -> Callable[[], None]:
    """A function that asks for one more trial after a history, and tells its value."""
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials(history)

    def ask_and_tell() -> None:
        study.tell(study.ask(fixed_distributions=space.distributions), 0.0)

    return ask_and_tell


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="searches of each method and budget")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = load_space()
    rows = compare_methods(space, options.seeds) + time_arithmetic(space) + time_histories(space)
    save_results(options.results, "proposals", rows)


if __name__ == "__main__":
    main()
