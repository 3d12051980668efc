"""What may be trained at full length: trials of a study, and baselines beside them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from optuna.trial import FrozenTrial, TrialState

from models.architecture import Architecture
from models.baselines import find_baseline
from models.count import count_macs
from search.errors import StudyError
from search.identity import Identity
from search.recipe import Recipe
from search.study.plan import Plan
from search.study.storage import architecture_of, is_whole
from search.study.view import at_dropout, merit


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture and how to train it at full length.

    Attributes:
        max_params: the most parameters it may have, by all limits of the search; None for a baseline, which may be over
            them as a reference.
    """

    identity: Identity
    architecture: Architecture
    recipe: Recipe
    max_params: int | None


def candidate_of(trials: Iterable[FrozenTrial], number: int, plan: Plan, recipe: Recipe) -> Candidate:
    """A trained trial, to be trained at full length by the recipe and certified against the limits of the search.

    Raises:
        StudyError: there is no such trial, or it has no result or no design.
    """
    by_number = {trial.number: trial for trial in trials}
    if number not in by_number:
        known = f"there are {len(by_number)}, from 0" if by_number else "there is none yet"
        raise StudyError(f"trial = {number}: no such trial in this study; {known}")
    trial = by_number[number]
    if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
        state = "is running or was interrupted" if trial.state == TrialState.RUNNING else "failed"
        raise StudyError(f"trial = {number}: it {state}, so there is nothing to retrain")
    if not is_whole(trial):
        raise StudyError(f"trial = {number}: it was recorded without its design, so there is nothing to retrain")
    return Candidate(Identity(trial=number), architecture_of(trial), recipe, plan.question.all_limits.max_params)


def with_dropout(candidate: Candidate, dropout: float) -> Candidate:
    """A trial with this dropout in all its stages, which its identity then says; as it is, if it has it anyway.

    It has as many parameters and multiply-accumulates as the trial.

    Raises:
        ArchitectureError: the dropout is out of range.
    """
    architecture = candidate.architecture
    changed = at_dropout(architecture, dropout)
    if changed == architecture:
        return candidate
    return replace(candidate, identity=replace(candidate.identity, dropout=dropout), architecture=changed)


def baseline_candidate(name: str, plan: Plan, recipe: Recipe) -> Candidate:
    """A named baseline for the study's data. One that is over the study's budget may only serve as a reference.

    Raises:
        ArchitectureError: there is no such baseline, or it cannot take the study's images.
    """
    task = plan.task
    architecture = find_baseline(name, task.in_channels, task.num_classes)
    count_macs(architecture, task.image_size)
    return Candidate(Identity(baseline=name), architecture, recipe, None)


def best_trials(trials: Iterable[FrozenTrial], num: int) -> list[int]:
    """The numbers of the best completed trials by validation accuracy, in the order of `merit`.

    Raises:
        StudyError: there are fewer than `num`.
    """
    completed = _best_first(trials)
    if len(completed) < num:
        raise StudyError(f"top = {num}: only {len(completed)} trials of this study were trained to the end")
    return [trial.number for trial in completed[:num]]


def best_within(trials: Iterable[FrozenTrial], max_params: int) -> int:
    """The number of the best completed trial of at most `max_params` parameters, in the order of `merit`.

    Raises:
        StudyError: there is none.
    """
    within = [trial.number for trial in _best_first(trials) if trial.user_attrs["params"] <= max_params]
    if not within:
        raise StudyError(f"per-budget = {max_params:,}: no trial of so few parameters was trained to the end")
    return within[0]


def _best_first(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that were trained to the end, without those that another program wrote without a design."""
    completed = [trial for trial in trials if trial.state == TrialState.COMPLETE and trial.value is not None]
    whole = [trial for trial in completed if "params" in trial.user_attrs and is_whole(trial)]
    return sorted(whole, key=lambda trial: merit(trial.value or 0.0, trial.user_attrs["params"], trial.number))
