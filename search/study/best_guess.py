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
    places = {}
    for trial in trials:
        name = names.get(trial.architecture.canonical())
        if name and trial.state in ("complete", "pruned") and trial.value is not None and isfinite(trial.value):
            places[name] = (trial.state == "pruned", merit(trial.value, trial.params, trial.number))
    return sorted(places, key=places.__getitem__)


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
    first = [name for name, network in first_guesses(family, limits).items() if network not in too_slow]
    best = next(iter([*ranked_guesses(family, trials), *first]), None)
    if best is None:
        raise InputError(f"baseline = {BEST_GUESS!r}: all guesses that were tried missed the limit of latency")
    return best
