"""Which way of proposing designs finds the better ones: `python benchmarks/quality.py` prints this table.

The objective is the surrogate of networks that were really trained (surrogate.py), with noise as large as that measured
between seeds. A search chooses by the noisy value, and is judged by the value without noise of what it chose. All
methods have the same space, budgets, seeds, noise and number of trained networks; what Optuna alone wastes costs it
nothing here.
"""

import argparse
from collections import deque
from statistics import mean, stdev

import numpy as np
import optuna
from proposals import BUDGETS, MAX_ASKS, METHODS, NUM_TRIALS, TASK, Objective, Run
from scipy.stats import t
from surrogate import make_surrogate, seed_noise

from models.architecture import Architecture, ArchitectureError
from search.space.draws import Draws
from search.space.limits import Limits
from search.space.space import Space, load_space

NUM_COMPARED = (50, 100)
REFERENCE = "nas TPE, fill 0.5"  # what `nas search` does unless told otherwise
POPULATION = 20
SAMPLE = 5


class Noisy:
    """An objective that notes, for every call, the value with noise, and the one without."""

    def __init__(self, objective: Objective, noise: float, seed: int) -> None:
        self.objective = objective
        self.noise = noise
        self.rng = np.random.default_rng([seed, 7])
        self.pairs: list[tuple[float, float]] = []

    def __call__(self, architecture: Architecture) -> float:
        value = self.objective(architecture)
        self.pairs.append((value + self.noise * self.rng.standard_normal(), value))
        return self.pairs[-1][0]

    def found(self, number: int) -> float | None:
        """The true value of the best of the first `number` networks by its noisy one; None if there are fewer."""
        return max(self.pairs[:number])[1] if len(self.pairs) >= number else None


def evolution(space: Space, budget: int, seed: int, objective: Objective) -> Run:
    """Regularised evolution (Real et al. 2019, https://arxiv.org/abs/1802.01548): of 5 drawn from the last 20 the best
    is changed in one place. Only new designs within the budget count."""
    rng, limits, done = np.random.default_rng(seed), Limits(budget), Run()
    draws, alive = Draws(space, TASK, limits), deque[tuple[float, Architecture]](maxlen=POPULATION)
    while len(done.trained) < NUM_TRIALS:
        if len(alive) < POPULATION:
            child = draws.draw(rng)
        else:
            chosen = [alive[int(index)] for index in rng.choice(len(alive), SAMPLE, replace=False)]
            child = mutated(space, limits, max(chosen, key=lambda pair: pair[0])[1], done.trained, rng)
        if child in done.trained:
            continue
        done.asks += 1
        done.trained.add(child)
        done.values.append(objective(child))
        alive.append((done.values[-1], child))
    return done


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


def interval(differences: list[float]) -> str:
    """Mean of paired differences in points, with its 95% interval."""
    centre, number = mean(differences), len(differences)
    half = float(t.ppf(0.975, number - 1)) * stdev(differences) / number**0.5 if number > 1 else float("nan")
    return f"{100 * centre:+.2f} ({100 * (centre - half):+.2f} to {100 * (centre + half):+.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description="Which way of proposing designs finds the better ones.")
    parser.add_argument("--seeds", type=int, default=10, help="searches of each method and budget")
    parser.add_argument("--methods", default="", help="only those with one of these, separated by commas, in the name")
    arguments = parser.parse_args()
    num_seeds, wanted = arguments.seeds, arguments.methods.split(",")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space, noise = load_space(), seed_noise()
    others = {**METHODS, "evolution": evolution}
    methods = {REFERENCE: others.pop(REFERENCE)}
    methods |= {name: method for name, method in others.items() if any(word in name for word in wanted)}
    print(f"Accuracy of what a search chose, in percent, and paired differences of {REFERENCE} to it, in points, with")
    print(f"95% intervals over {num_seeds} seeds. Noise {noise:.2%}. Optuna alone asks {MAX_ASKS:,} times at most.\n")
    print(f"| budget | method | after 50 | {REFERENCE} better by | after 100 | better by |")
    print("| ---: | :--- | ---: | ---: | ---: | ---: |")
    for budget in BUDGETS:
        objective = make_surrogate(budget)
        reference: list[Noisy] = []
        for name, method in methods.items():
            searches = [Noisy(objective, noise, seed) for seed in range(num_seeds)]
            for seed, search in enumerate(searches):
                method(space, budget, seed, search)
            reference = searches if name == REFERENCE else reference
            cells = []
            for number in NUM_COMPARED:
                pairs = [
                    (own, theirs)
                    for ref, other in zip(reference, searches, strict=True)
                    if (own := ref.found(number)) is not None and (theirs := other.found(number)) is not None
                ]
                missing = f" ({len(pairs)} of {num_seeds} searches got so far)" if len(pairs) < num_seeds else ""
                cells.append(
                    f"{100 * mean(theirs for _, theirs in pairs):.2f}{missing}" if pairs else "none got so far"
                )
                cells.append(interval([own - theirs for own, theirs in pairs]) if len(pairs) > 1 else "")
            print(f"| {budget:,} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
