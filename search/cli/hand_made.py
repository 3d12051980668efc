"""Networks that are named rather than found: the guesses, and those of reports. A guess depends on what it must fit."""

from typing import TYPE_CHECKING, Annotated

import typer

from search.errors import InputError
from search.files import StudyFiles

if TYPE_CHECKING:
    from models.architecture import Architecture
    from search.space.space import Task
    from search.study.plan import Plan

DEFAULT_BUDGET = "5M"
GuessBudget = Annotated[
    str | None,
    typer.Option("--budget", help=f"Most parameters of a guess that no study limits; by default, {DEFAULT_BUDGET}."),
]


def known_baseline(name: str, files: StudyFiles, plan: "Plan") -> str:
    """The name under which a study's results know a baseline: that of its best guess for `guess`, guess-2 for
    guess-2x3, any other as it is.

    Raises:
        InputError: there is no best guess, because none is within the limits.
    """
    from search.space.guesses import BEST_GUESS, usual_name
    from search.study.best_guess import best_guess
    from search.study.reading import trial_views
    from search.study.storage import read_study

    if name != BEST_GUESS:
        return usual_name(name)
    question = plan.question
    trials, _ = read_study(files, plan.circumstances.storage)
    return best_guess(question.space, plan.task, question.all_limits, trial_views(trials, plan))


def hand_made_of_study(name: str, files: StudyFiles, plan: "Plan") -> "Architecture":
    """The network of a name for a study's images, and of a guess within its space and limits.

    Raises:
        InputError: there is none of this name.
    """
    from search.space.guesses import find_hand_made

    question = plan.question
    return find_hand_made(known_baseline(name, files, plan), question.space, plan.task, question.all_limits)


def hand_made_within(name: str, task: "Task", budget: str | None) -> "Architecture":
    """The network of a name for such images, and of a guess within the default space and a budget.

    Raises:
        InputError: there is none of this name, or the budget does not parse or is of no use.
    """
    from search.space.guesses import BEST_GUESS, find_hand_made, is_guess
    from search.space.limits import Limits, parse_count
    from search.space.space import load_space
    from search.study.best_guess import best_guess

    space, limits = load_space(), Limits(parse_count(budget or DEFAULT_BUDGET))
    if name == BEST_GUESS:
        name = best_guess(space, task, limits)
    network = find_hand_made(name, space, task, limits)
    if budget is not None and not is_guess(name):
        raise InputError(f"budget = {budget}: is for guesses; {name} is the same within every budget")
    return network
