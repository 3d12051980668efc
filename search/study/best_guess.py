"""The best guess of a study: what a search must beat to have been worth its time. No test accuracy chooses it."""

from collections.abc import Iterable, Mapping
from math import isfinite

from models.architecture import Architecture
from search.errors import InputError
from search.space.guesses import BEST_GUESS, first_guesses, guesses, no_guess
from search.space.limits import Limits
from search.space.space import Space, Task
from search.study.view import TrialView, merit


def ranked_guesses(family: Mapping[str, Architecture], trials: Iterable[TrialView]) -> list[str]:
    """The guesses that are among the trained trials, best first: complete trials in the order of `merit`, then pruned
    ones in that of their last value."""
    names = {architecture: name for name, architecture in family.items()}
    return [names[trial.architecture.canonical()] for trial in _ranked_trials(family, trials)]


def guess_trial(family: Mapping[str, Architecture], trials: Iterable[TrialView]) -> int | None:
    """The number of the best trial of a guess that was trained to the end; None if there is none."""
    return next((trial.number for trial in _ranked_trials(family, trials) if trial.state == "complete"), None)


def _ranked_trials(family: Mapping[str, Architecture], trials: Iterable[TrialView]) -> list[TrialView]:
    networks, places = set(family.values()), []
    for trial in trials:
        is_trained = trial.state in ("complete", "pruned") and trial.value is not None and isfinite(trial.value)
        if is_trained and trial.architecture.canonical() in networks:
            place = trial.state == "pruned", merit(trial.value or 0.0, trial.params, trial.number)
            places.append((place, trial))
    return [trial for _, trial in sorted(places, key=lambda item: item[0])]


def best_guess(space: Space, task: Task, limits: Limits, trials: Iterable[TrialView] = ()) -> str:
    """The name of the guess that ranks best in a search or, where none was trained in it, of the first that a search
    would try and that has not missed the limit of latency.

    Raises:
        InputError: no guess is within the limits.
    """
    trials, family = list(trials), guesses(space, task, limits)
    if not family:
        raise InputError(f"baseline = {BEST_GUESS!r}: {no_guess(space, task, limits)}")
    too_slow = {trial.architecture.canonical() for trial in trials if trial.too_slow}
    first = [name for name, network in first_guesses(family, task, limits).items() if network not in too_slow]
    best = next(iter([*ranked_guesses(family, trials), *first]), None)
    if best is None:
        raise InputError(f"baseline = {BEST_GUESS!r}: all guesses that were tried missed the limit of latency")
    return best
