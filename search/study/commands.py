"""The commands that ask a study's question again, from the plan and the results that it keeps."""

import shlex
from collections.abc import Iterable
from itertools import groupby

from search.errors import RecipeError
from search.recipe import Recipe
from search.recipes import RECIPES
from search.space.space import load_space
from search.study.plan import Data, Plan
from search.study.view import RunView, trial_of


def search_command(plan: Plan, name: str) -> str:
    """The `nas search` that begins this study anew, every option written out.

    A space or recipe that is no one's but the user's is named as the file to which the plan's part has to be copied.
    """
    question, circumstances = plan.question, plan.circumstances
    words = ["nas", "search", "--study", name, "--data", circumstances.source, "--budget", str(question.budget)]
    for limit in question.limits:
        words += ["--limit", limit]
    words += ["--fill", f"{question.fill:g}" if question.fill else "none"]
    if question.space != load_space():
        words += ["--space", "space.yaml"]
    words += ["--trials", str(circumstances.num_trials), "--recipe", _recipe(question.recipe, question.data)]
    words += ["--epochs", str(question.recipe.epochs), "--sampler", question.sampler, "--pruner", question.pruner]
    words += ["--seed", str(question.seed)]
    if question.recipe.halve_batch:
        words += ["--batch-size", "auto"]
    if question.control:
        words += ["--control", f"{question.control:g}"]
    if not question.warm_start:
        words.append("--no-warm-start")
    return shlex.join(words)


def retrain_commands(runs: Iterable[RunView], name: str) -> list[str]:
    """The `nas retrain` commands that trained the final runs, one for each recipe, length, number of seeds, and dropout
    where it is not the trials' own.

    How trials were chosen is not repeated: they are named.
    """
    final = sorted((run for run in runs if run.purpose == "final"), key=_training)
    commands = []
    for (recipe, epochs, holdout, dropout), group in groupby(final, key=_training):
        seeds: dict[str, int] = {}
        for run in group:
            seeds[run.label] = max(seeds.get(run.label, 0), run.seed + 1)
        for number in sorted(set(seeds.values())):
            words = ["nas", "retrain", "--study", name]
            for label in (label for label in seeds if seeds[label] == number):
                trial = trial_of(label)
                words += ["--trial", str(trial[0])] if trial else ["--baseline", label]
            words += [word for value in dropout for word in ("--dropout", str(value))]
            words += ["--seeds", str(number), "--recipe", recipe if recipe in RECIPES else f"{recipe}.yaml"]
            words += ["--epochs", str(epochs)] + (["--holdout"] if holdout else [])
            commands.append(shlex.join(words))
    return commands


def _training(run: RunView) -> tuple[str, int, bool, tuple[float, ...]]:
    """Of dropouts there is one at most: that which is not a trial's own."""
    _, dropout = trial_of(run.label) or (None, None)
    return run.recipe, run.epochs, run.holdout, () if dropout is None else (dropout,)


def _recipe(recipe: Recipe, data: Data) -> str:
    """The recipe's name if a named one, fitted to the data, says all of it but its length, else the name of a file."""
    known = RECIPES.get(recipe.name)
    if known is not None and recipe.batch_size != "auto":
        # A plan does not tell the number of images; this is one that has such a batch.
        num_train = 32 * recipe.batch_size
        try:
            fitted = known.fit_to(data.name, num_train, data.image_size, data.channels)
        except RecipeError:
            return f"{recipe.name}.yaml"
        if fitted.model_copy(update={"epochs": recipe.epochs, "halve_batch": recipe.halve_batch}) == recipe:
            return recipe.name
    return f"{recipe.name}.yaml"
