"""The audit of the proxy: does a trial's value after its short schedule order designs as their full length does?

A sample of the trials is trained again at full length, on the training split alone, and measured on the validation
split. The test set stays closed. What the audit says is computed in `search.report.proxy_audit`.
"""

import math
import random
from collections.abc import Iterable, Sequence

from search.errors import InputError
from search.identity import Identity
from search.recipe import Recipe
from search.run.candidates import Candidate
from search.study.plan import Plan
from search.study.view import TrialView

MIN_TRIALS = 3  # two trials have but two orders


def stratified_sample(trials: Iterable[TrialView], num: int, seed: int) -> list[TrialView]:
    """Draw trials that stand for all that were trained, in the order of their numbers.

    Complete and pruned trials are drawn in proportion, at least one of each kind there is: a pruned trial counts with
    the last value that it measured. Within each kind the trials, sorted by value, are cut into as many equal strata as
    are to be drawn, and one is drawn from each. The same trials and seed give the same sample.

    Raises:
        InputError: `num` is too small for an audit, or there are not so many trained trials.
    """
    trained = sorted((trial for trial in trials if is_trained(trial)), key=lambda each: (each.value, each.number))
    pruned = [trial for trial in trained if trial.state == "pruned"]
    complete = [trial for trial in trained if trial.state == "complete"]
    if num < MIN_TRIALS:
        raise InputError(f"trials = {num}: must be {MIN_TRIALS} or more, to compare their orders")
    if not trained:
        raise InputError(f"trials = {num}: this study has no trained trial yet; run nas search first")
    if num > len(trained):
        which = f"{len(complete)} complete and {len(pruned)} pruned"
        raise InputError(f"trials = {num}: this study has only {len(trained)} trained trials, {which}")
    num_pruned = math.floor(num * len(pruned) / len(trained) + 0.5)
    if pruned and complete:
        num_pruned = min(max(num_pruned, 1), num - 1)
    chance = random.Random(seed)
    drawn = [*_one_of_each(complete, num - num_pruned, chance), *_one_of_each(pruned, num_pruned, chance)]
    return sorted(drawn, key=lambda trial: trial.number)


def is_trained(trial: TrialView) -> bool:
    """Whether the trial was trained, to the end or until it was pruned, and has a value."""
    return trial.state in ("complete", "pruned") and trial.value is not None and math.isfinite(trial.value)


def _one_of_each(trials: Sequence[TrialView], num: int, chance: random.Random) -> list[TrialView]:
    ends = [stratum * len(trials) // num for stratum in range(num + 1)] if num else []
    return [trials[chance.randrange(ends[stratum], ends[stratum + 1])] for stratum in range(num)]


def audit_candidates(sample: Iterable[TrialView], recipe: Recipe, plan: Plan) -> list[Candidate]:
    """The sampled trials, to be trained at full length by the recipe."""
    max_params = plan.question.all_limits.max_params
    return [Candidate(Identity(trial=trial.number), trial.architecture, recipe, max_params) for trial in sample]
