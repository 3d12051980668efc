"""What a proposal costs, and what plain Optuna wastes: `make bench` prints these tables.

Plain Optuna has no hard constraints. It is used in two ways: a trial whose network breaks a limit or a rule of the
space is pruned at once, or it is pruned and tells by how much (`Trial.set_constraint`), which TPE knows how to use. All
methods see the same space, budgets, seeds and objective, and go on until they have trained the same number of networks.
Nothing is trained here: the objective is a function of the architecture, by default a stand-in that says nothing about
accuracy. `main` takes another one, such as a surrogate fitted to networks that were really trained.

Ratios are of one run on one machine; they are printed, never asserted.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import mean, stdev

import numpy as np
import optuna
from fvcore.nn import parameter_count
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from models.architecture import Architecture, ArchitectureError
from models.build import build_on_meta
from models.count import count_parameters
from search.space.audit import audit
from search.space.draws import Draws
from search.space.limits import Limits
from search.space.sampler import BudgetSampler
from search.space.space import Space, Task, load_space

TASK = Task(32, 3, 10)
NUM_TRIALS = 100
MAX_ASKS = 1_000
BUDGETS = (5_000_000, 1_000_000, 300_000)
HISTORIES = (100, 1_000, 10_000)

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
    """What one method did: asks for a network, networks trained in order (with values), seconds of sampling."""

    asks: int = 0
    values: list[float] = field(default_factory=list)
    trained: set[Architecture] = field(default_factory=set)
    seconds: float = 0.0

    @property
    def wasted(self) -> int:
        """Asks that trained nothing new: over the budget, against a rule, or a repeat."""
        return self.asks - len(self.trained)


def plain(base: Callable[[int], BaseSampler], tells_how_much: bool) -> Callable[..., Run]:
    """Optuna's own sampler; what does not fit is pruned, with its excess as a constraint if `tells_how_much`."""

    def run(space: Space, budget: int, seed: int, objective: Objective) -> Run:
        study = optuna.create_study(direction="maximize", sampler=base(seed))
        done = Run()
        while len(done.trained) < NUM_TRIALS and done.asks < MAX_ASKS:
            started = time.process_time()
            trial = study.ask(fixed_distributions=space.distributions)
            done.seconds += time.process_time() - started
            done.asks += 1
            try:
                architecture = space.decode(trial.params, TASK)
                excess = count_parameters(architecture) / budget - 1
            except ArchitectureError:
                architecture, excess = None, 1.0
            if tells_how_much:
                trial.set_constraint("budget", excess)
            if architecture is None or excess > 0:
                study.tell(trial, state=TrialState.PRUNED)
                continue
            done.trained.add(architecture)
            done.values.append(objective(architecture))
            study.tell(trial, done.values[-1])
        return done

    return run


def ours(base: Callable[[int], BaseSampler | None], fill: float = 0.0) -> Callable[..., Run]:
    """BudgetSampler around a sampler."""

    def run(space: Space, budget: int, seed: int, objective: Objective) -> Run:
        sampler = BudgetSampler(space, TASK, Limits(budget, fill=fill), base(seed), seed=seed)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        done = Run()
        while len(done.trained) < NUM_TRIALS and done.asks < MAX_ASKS:
            started = time.process_time()
            trial = study.ask(fixed_distributions=space.distributions)
            done.seconds += time.process_time() - started
            done.asks += 1
            architecture = space.decode(trial.params, TASK)
            if count_parameters(architecture) <= budget:
                done.trained.add(architecture)
            done.values.append(objective(architecture))
            study.tell(trial, done.values[-1])
        return done

    return run


def tpe(seed: int) -> TPESampler:
    return TPESampler(seed=seed)


METHODS: dict[str, Callable[..., Run]] = {
    "Optuna TPE, pruned": plain(tpe, tells_how_much=False),
    "Optuna TPE, constraint": plain(tpe, tells_how_much=True),
    "Optuna random, pruned": plain(lambda seed: RandomSampler(seed=seed), tells_how_much=False),
    "nas TPE": ours(tpe),
    "nas TPE, fill 0.5": ours(tpe, 0.5),
    "nas TPE, fill 0.8": ours(tpe, 0.8),
    "nas random": ours(lambda seed: None),
    "nas random, fill 0.5": ours(lambda seed: None, 0.5),
    "nas random, fill 0.8": ours(lambda seed: None, 0.8),
}


def compare_methods(space: Space, num_seeds: int, objective: Objective) -> None:
    print(f"Until {NUM_TRIALS} networks are trained or {MAX_ASKS} are asked for; means of {num_seeds} seeds.\n")
    print("| budget | method | asks | trained | wasted | asks a trained | best (sd) | ms an ask |")
    print("| ---: | :--- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for budget in BUDGETS:
        for name, method in METHODS.items():
            runs = [method(space, budget, seed, objective) for seed in range(num_seeds)]
            asks, trained = mean(run.asks for run in runs), mean(len(run.trained) for run in runs)
            # At equal numbers of trained networks: a run that trained fewer is compared by what it has.
            best = [max(run.values[:NUM_TRIALS]) for run in runs if run.values] or [float("nan")]
            spread = stdev(best) if len(best) > 1 else 0.0
            print(
                f"| {budget:,} | {name} | {asks:.0f} | {trained:.0f} | {mean(run.wasted for run in runs):.0f} "
                f"| {asks / max(trained, 1):.2f} | {mean(best):.3f} ({spread:.3f}) "
                f"| {1e3 * mean(run.seconds / run.asks for run in runs):.1f} |",
                flush=True,
            )


def seconds_each(function: Callable[[], object], times: int) -> float:
    started = time.process_time()
    for _ in range(times):
        function()
    return (time.process_time() - started) / times


def time_arithmetic(space: Space) -> None:
    limits, rng = Limits(300_000), np.random.default_rng(0)
    made = seconds_each(lambda: Draws(space, TASK, limits), 3)
    draws, filled = Draws(space, TASK, limits), Draws(space, TASK, Limits(300_000, fill=0.9))
    designs = [draws.draw(rng) for _ in range(50)]
    count = seconds_each(lambda: [count_parameters(design) for design in designs], 20) / len(designs)
    built = seconds_each(lambda: [parameter_count(build_on_meta(design)) for design in designs], 1) / len(designs)
    print("\n| what | time |\n| :--- | ---: |")
    print(f"| one count, by arithmetic | {1e6 * count:.1f} us |")
    print(f"| one count, built and counted by fvcore | {1e6 * built:,.0f} us ({built / count:,.0f} times) |")
    print(f"| tables for draws within 300,000 | {1e3 * made:.0f} ms |")
    print(f"| one uniform draw within 300,000 | {1e6 * seconds_each(lambda: draws.draw(rng), 500):.0f} us |")
    print(f"| one from 270,000 to 300,000 | {1e6 * seconds_each(lambda: filled.draw(rng), 500):.0f} us |")
    for budget in BUDGETS:
        whole = seconds_each(lambda budget=budget: audit(space, TASK, Limits(budget)), 1)  # type: ignore[misc]
        print(f"| audit of the default space at {budget:,} | {whole:.2f} s |")


def time_histories(space: Space, objective: Objective) -> None:
    print("\n| trials of history | ms an ask, Optuna TPE | ms an ask, nas TPE |\n| ---: | ---: | ---: |")
    limits, rng = Limits(1_000_000), np.random.default_rng(0)
    source = BudgetSampler(space, TASK, limits, None, seed=1)
    study = optuna.create_study(sampler=source)
    history: list[FrozenTrial] = []
    for _ in range(max(HISTORIES)):
        params = study.ask(fixed_distributions=space.distributions).params
        value = objective(space.decode(params, TASK)) + 0.01 * rng.standard_normal()
        history.append(create_trial(params=params, distributions=space.distributions, value=value))
    for number in HISTORIES:
        seen = [space.decode(trial.params, TASK) for trial in history[:number]]
        own = BudgetSampler(space, TASK, limits, tpe(0), seen, seed=0)
        assert own.vector_draws.upper_bound  # the tables are made once, before the first trial
        times = []
        for sampler in (tpe(0), own):
            study = optuna.create_study(direction="maximize", sampler=sampler)
            study.add_trials(history[:number])

            def ask_and_tell(study: optuna.Study = study) -> None:
                study.tell(study.ask(fixed_distributions=space.distributions), 0.0)

            times.append(1e3 * seconds_each(ask_and_tell, 20))
        print(f"| {number:,} | {times[0]:.1f} | {times[1]:.1f} |")


def main(objective: Objective = stand_in) -> None:
    parser = argparse.ArgumentParser(description="What a proposal costs, and what plain Optuna wastes.")
    parser.add_argument("--seeds", type=int, default=3, help="searches of each method and budget")
    num_seeds = parser.parse_args().seeds
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = load_space()
    compare_methods(space, num_seeds, objective)
    time_arithmetic(space)
    time_histories(space, objective)


if __name__ == "__main__":
    main()
