"""What may be trained at full length: trials of a study, baselines beside them, and a sample of trials to audit."""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from optuna.trial import FrozenTrial, TrialState

from models.architecture import Architecture
from models.count import count_macs
from search.errors import InputError, StudyError
from search.identity import Identity
from search.quantities import plural
from search.recipe import Recipe
from search.space.guesses import find_hand_made, is_guess
from search.study.plan import Plan
from search.study.storage import architecture_of, is_whole
from search.study.view import TrialView, at_dropout, design, merit

MIN_AUDITED = 3  # two trials have but two orders


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture and how to train it at full length.

    Attributes:
        max_params: the most parameters it may have, by all limits of the search; None for a baseline of a report, which
            may be over them as a reference.
        max_latency: the most seconds an image that it may take, by the search's limit; None where there is none, for a
            reference, and for what has met the limit in the search.
    """

    identity: Identity
    architecture: Architecture
    recipe: Recipe
    max_params: int | None
    max_latency: float | None = None


def candidate_of(trials: Iterable[FrozenTrial], number: int, plan: Plan, recipe: Recipe) -> Candidate:
    """A trained trial, to be trained at full length by the recipe and certified against the limits of the search.

    Raises:
        StudyError: there is no such trial, or it has no result or no design.
    """
    by_number = {trial.number: trial for trial in trials}
    if number not in by_number:
        several = f"there are {len(by_number):,}, from 0" if len(by_number) > 1 else "there is 0 alone"
        known = several if by_number else "there is none yet"
        raise StudyError(f"trial = {number}: no such trial in this study; {known}")
    trial = by_number[number]
    if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
        state = "is running or was interrupted" if trial.state == TrialState.RUNNING else "failed"
        raise StudyError(f"trial = {number}: it {state}, so there is nothing to retrain")
    if not is_whole(trial):
        raise StudyError(f"trial = {number}: it was recorded without its design, so there is nothing to retrain")
    return Candidate(Identity(trial=number), architecture_of(trial), recipe, plan.question.all_limits.max_params)


def with_dropout(candidate: Candidate, dropout: float) -> Candidate:
    """The candidate with this dropout in all its stages and in its identity; unchanged if it has that dropout already.

    It has as many parameters and multiply-accumulates as before.

    Raises:
        ArchitectureError: the dropout is out of range.
    """
    architecture = candidate.architecture
    changed = at_dropout(architecture, dropout)
    if changed == architecture:
        return candidate
    return replace(candidate, identity=replace(candidate.identity, dropout=dropout), architecture=changed)


def baseline_candidate(name: str, plan: Plan, recipe: Recipe, trials: Iterable[TrialView] = ()) -> Candidate:
    """A named baseline for the study's data: a guess within the study's limits, or a network of a report, which may be
    over them and serve as a reference.

    Args:
        trials: of the study; a guess that was trained as one of them has met the limit of latency.

    Raises:
        ArchitectureError: there is no such baseline, or it cannot take the study's images.
    """
    question = plan.question
    architecture = find_hand_made(name, question.space, plan.task, question.all_limits)
    count_macs(architecture, plan.task.image_size)
    candidate = Candidate(Identity(baseline=name), architecture, recipe, None)
    if not is_guess(name):
        return candidate
    limits = question.all_limits
    has_met = any(is_trained(trial) and are_one_design(trial, candidate) for trial in trials)
    return replace(candidate, max_params=limits.max_params, max_latency=None if has_met else limits.latency)


class Design(Protocol):
    """Whatever has an architecture."""

    @property
    def architecture(self) -> Architecture: ...


def are_one_design(first: Design, second: Design) -> bool:
    """Whether two networks differ in their dropout at most."""
    return design(first.architecture) == design(second.architecture)


def best_trials(trials: Iterable[FrozenTrial], num: int) -> list[int]:
    """The numbers of the best completed trials by validation accuracy, in the order of `merit`.

    Raises:
        StudyError: there are fewer than `num`.
    """
    completed = best_first(trials)
    if len(completed) < num:
        raise StudyError(f"top = {num}: this study has only {plural(len(completed), 'trial')} trained to the end")
    return [trial.number for trial in completed[:num]]


def best_within(trials: Iterable[FrozenTrial], max_params: int) -> int:
    """The number of the best completed trial of at most `max_params` parameters, in the order of `merit`.

    Raises:
        StudyError: there is none.
    """
    within = [trial.number for trial in best_first(trials) if trial.user_attrs["params"] <= max_params]
    if not within:
        raise StudyError(f"per-budget = {max_params:,}: no trial of so few parameters was trained to the end")
    return within[0]


def best_first(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that were trained to the end, without those that another program wrote without a design."""
    completed = [trial for trial in trials if trial.state == TrialState.COMPLETE and trial.value is not None]
    whole = [trial for trial in completed if "params" in trial.user_attrs and is_whole(trial)]
    return sorted(whole, key=lambda trial: merit(trial.value or 0.0, trial.user_attrs["params"], trial.number))


def stratified_sample(trials: Iterable[TrialView], num: int, seed: int) -> list[TrialView]:
    """Trials that stand for all that were trained, in the order of their numbers.

    They are trained again at full length, to see whether the short schedule of the search orders designs as it does.
    Complete and pruned trials are drawn in proportion, at least one of each kind there is; a pruned trial counts with
    the last value that it measured. Within each kind the trials, sorted by value, are cut into as many equal strata as
    are to be drawn, and one is drawn from each. The same trials and seed give the same sample.

    Raises:
        InputError: `num` is too small for an audit, or there are fewer trained trials.
    """
    trained = sorted((trial for trial in trials if is_trained(trial)), key=lambda trial: (trial.value, trial.number))
    pruned = [trial for trial in trained if trial.state == "pruned"]
    complete = [trial for trial in trained if trial.state == "complete"]
    if num < MIN_AUDITED:
        raise InputError(f"trials = {num}: must be {MIN_AUDITED} or more, to compare their orders")
    if not trained:
        raise InputError(f"trials = {num}: this study has no trained trial yet; run nas search first")
    if num > len(trained):
        which = f"{len(complete)} complete and {len(pruned)} pruned"
        raise InputError(f"trials = {num}: this study has only {plural(len(trained), 'trained trial')}, {which}")
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
