"""What a proposal costs, and what plain Optuna wastes: `make bench` prints this table.

Plain Optuna has no hard constraints, so the usual way is to prune a trial whose network is over the budget. Both sides
see the same space, the same budget and the same objective, which trains nothing: a smooth function of size and shape
that only has to give TPE something to model. Ratios are of one run on one machine; they are printed, never asserted.
"""

import time
from statistics import median

import optuna
from fvcore.nn import parameter_count
from optuna.samplers import TPESampler

from models.architecture import Architecture, ArchitectureError
from models.build import build_on_meta
from models.count import count_parameters
from search.space.sampler import BudgetSampler
from search.space.space import Space, Task, load_space
from search.space.tally import Tally

TASK = Task(32, 3, 10)
NUM_TRIALS = 100
SEEDS = range(3)
BUDGETS = (5_000_000, 1_000_000, 300_000)


def objective(architecture: Architecture) -> float:
    """A stand-in for accuracy: grows with the logarithm of the size, falls with depth beyond forty layers."""
    return count_parameters(architecture) ** 0.1 - 0.002 * max(0, architecture.depth - 40)


def plain_optuna(space: Space, budget: int, seed: int) -> tuple[int, float]:
    """Trials wasted on networks that do not fit, and seconds of sampling, of Optuna's own TPE."""
    study = optuna.create_study(direction="maximize", sampler=TPESampler(seed=seed))
    wasted, started = 0, time.perf_counter()
    for _ in range(NUM_TRIALS):
        trial = study.ask(fixed_distributions=space.distributions)
        try:
            architecture = space.decode(trial.params, TASK)
            fits = count_parameters(architecture) <= budget
        except ArchitectureError:
            fits = False
        if fits:
            study.tell(trial, objective(architecture))
        else:
            wasted += 1
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    return wasted, time.perf_counter() - started


def ours(space: Space, budget: int, seed: int) -> tuple[int, int, float]:
    """Trials wasted (over budget or a repeat), vectors drawn, and seconds of sampling, of BudgetSampler around TPE."""
    sampler = BudgetSampler(space, TASK, budget, TPESampler(seed=seed), seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    seen, started = set(), time.perf_counter()
    for _ in range(NUM_TRIALS):
        trial = study.ask(fixed_distributions=space.distributions)
        architecture = space.decode(trial.params, TASK)
        if count_parameters(architecture) <= budget:
            seen.add(architecture)
        study.tell(trial, objective(architecture))
    return NUM_TRIALS - len(seen), sampler.draws, time.perf_counter() - started


def seconds_each(function: object, times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        function()  # type: ignore[operator]
    return (time.perf_counter() - started) / times


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = load_space()
    print(f"{NUM_TRIALS} trials of TPE in the default space, median of {len(SEEDS)} seeds\n")
    print("| budget | wasted, plain Optuna | wasted, nas | draws, nas | ms a trial, plain | ms a trial, nas |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for budget in BUDGETS:
        theirs = [plain_optuna(space, budget, seed) for seed in SEEDS]
        own = [ours(space, budget, seed) for seed in SEEDS]
        print(
            f"| {budget:,} | {median(wasted for wasted, _ in theirs):.0f} | {median(w for w, _, _ in own):.0f} "
            f"| {median(draws for _, draws, _ in own):.0f} "
            f"| {1e3 * median(seconds for _, seconds in theirs) / NUM_TRIALS:.1f} "
            f"| {1e3 * median(seconds for _, _, seconds in own) / NUM_TRIALS:.1f} |"
        )

    import numpy as np

    tally, rng = Tally(space, TASK, 300_000, "vectors"), np.random.default_rng(0)
    audit = seconds_each(lambda: Tally(space, TASK, 5_000_000).count(), 1)
    tally.count()
    designs = [tally.draw(rng) for _ in range(50)]
    count = seconds_each(lambda: [count_parameters(design) for design in designs], 20) / len(designs)
    built = seconds_each(lambda: [parameter_count(build_on_meta(design)) for design in designs], 1) / len(designs)
    print(
        f"\none count: {1e6 * count:.1f} us by arithmetic, {1e6 * built:,.0f} us built and counted by fvcore ", end=""
    )
    print(f"({built / count:,.0f} times)")
    print(f"one exact uniform feasible draw at 300,000: {1e3 * seconds_each(lambda: tally.draw(rng), 200):.2f} ms")
    print(f"exact audit of the default space at 5,000,000: {audit:.2f} s")


if __name__ == "__main__":
    main()
