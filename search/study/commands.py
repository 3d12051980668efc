"""The commands that would repeat a study, from the plan and the results that it keeps."""

import shlex
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from search.errors import RecipeError
from search.identity import Identity
from search.recipe import FULL_BATCH, Recipe
from search.recipes import RECIPES
from search.space.space import load_space
from search.study.plan import Data, Plan
from search.study.view import RunView
from search.study.way import Way
from search.teaching import SHARE, TEMPERATURE, Teaching


def study_commands(plan: Plan, runs: Iterable[RunView], name: str) -> list[str]:
    """The commands that would repeat a study: its search, and what was trained at full length. A study that
    `nas baseline train` began has no search."""
    data, circumstances = plan.question.data, plan.circumstances
    if circumstances.num_trials != 0 or circumstances.time is not None:
        return [search_command(plan, name), *retrain_commands(runs, data, name)]
    runs = list(runs)
    plain = [run for run in runs if run.purpose == "final" and not run.holdout and run.teaching is None]
    # `nas baseline train` knows neither teachers nor a holdout; `nas retrain` does, once the study is there.
    others = [run for run in runs if run not in plain]
    return [*baseline_commands(plan, plain, name), *retrain_commands(others, data, name)]


def search_command(plan: Plan, name: str) -> str:
    """The `nas search` that begins this study anew, every option written out.

    A space or recipe of the user's own is named as the file to which that part of the plan must be copied.
    """
    question, circumstances = plan.question, plan.circumstances
    words = ["nas", "search", "--study", name, "--data", circumstances.source, "--budget", str(question.budget)]
    for limit in question.limits if question.all_limits.macs is not None else ("macs=none", *question.limits):
        words += ["--limit", limit]
    words += ["--fill", f"{Decimal(str(question.fill)):f}" if question.fill else "none"]
    if question.space != load_space():
        words += ["--space", "space.yaml"]
    if circumstances.num_trials:  # a search by time may have ended without any
        words += ["--trials", str(circumstances.num_trials)]
    else:
        words += ["--time", f"{circumstances.time:.0f}s"]
    words += [*_recipe(question.recipe, question.data)]
    words += ["--sampler", question.sampler, "--pruner", question.pruner, "--seed", str(question.seed)]
    if not question.warm_start:
        words.append("--no-warm-start")
    return shlex.join(words)


def retrain_commands(runs: Iterable[RunView], data: Data, name: str) -> list[str]:
    """The `nas retrain` commands that trained the final runs, one for each way of training, number of seeds, and
    dropout where it is not the trials' own.

    They name the trials; how these were chosen is not repeated.
    """
    groups: dict[tuple[tuple[float, ...], Way], list[RunView]] = defaultdict(list)
    for run in sorted((run for run in runs if run.purpose == "final"), key=_order):
        groups[_dropout(run), run.way].append(run)
    commands = []
    # In the order in which they were trained.
    for (dropout, way), group in sorted(groups.items(), key=lambda item: max(run.time for run in item[1])):
        options = _retraining(group, data) + (["--holdout"] if group[0].holdout else [])
        options += _teacher(group[0].teaching)
        options += ["--taught-only"] if way.teaching and (dropout, way._replace(teaching="")) not in groups else []
        for number, identities in _by_seeds(group):
            words = ["nas", "retrain", "--study", name]
            for identity in identities:
                words += ["--baseline", identity.name] if identity.baseline else ["--trial", str(identity.trial)]
            words += [word for value in dropout for word in ("--dropout", str(value))]
            commands.append(shlex.join([*words, "--seeds", str(number), *options]))
    return list(dict.fromkeys(commands))  # other precisions or devices are the same commands


def baseline_commands(plan: Plan, runs: Iterable[RunView], name: str) -> list[str]:
    """The `nas baseline train` commands that begin a study and trained these final runs of its baselines, one for each
    way of training and number of seeds."""
    question = plan.question
    study = ["--data", plan.circumstances.source, "--budget", str(question.budget), "--seed", str(question.seed)]
    groups: dict[Way, list[RunView]] = defaultdict(list)
    for run in sorted(runs, key=_order):
        groups[run.way].append(run)
    commands = []
    for group in sorted(groups.values(), key=lambda group: max(run.time for run in group)):
        options = [*_retraining(group, question.data), *study, "--study", name]
        for number, identities in _by_seeds(group):
            names = [identity.name for identity in identities]
            commands.append(shlex.join(["nas", "baseline", "train", *names, "--seeds", str(number), *options]))
    return list(dict.fromkeys(commands))  # as above


def _by_seeds(runs: Iterable[RunView]) -> list[tuple[int, list[Identity]]]:
    """The networks of runs that were trained in one way, by how many seeds they have, fewest first."""
    seeds: dict[Identity, int] = {}
    for run in runs:
        seeds[run.identity] = max(seeds.get(run.identity, 0), run.seed + 1)
    numbers = sorted(set(seeds.values()))
    return [(number, [identity for identity in seeds if seeds[identity] == number]) for number in numbers]


def _order(run: RunView) -> tuple[str, int, bool, tuple[float, ...]]:
    return run.recipe, run.epochs, run.holdout, _dropout(run)


def _teacher(teaching: Teaching | None) -> list[str]:
    """The options that asked for a teacher, if there was one."""
    if teaching is None:
        return []
    words = ["--teacher", teaching.source]
    if teaching.temperature != TEMPERATURE:
        words += ["--temperature", f"{Decimal(str(teaching.temperature)):f}"]
    if teaching.share != SHARE:
        words += ["--teacher-share", f"{Decimal(str(teaching.share)):f}"]
    return words


def _dropout(run: RunView) -> tuple[float, ...]:
    """The dropout that is not the trial's own, if there is one."""
    return () if run.identity.dropout is None else (run.identity.dropout,)


def _retraining(runs: list[RunView], data: Data) -> list[str]:
    """The options that chose the recipe of runs that were trained in one way."""
    run = runs[0]
    try:
        return _recipe(Recipe.model_validate(run.recipe_values), data)
    except ValidationError:  # of a result that does not hold its recipe as it is understood today
        epochs = str(max(run.epochs for run in runs))
        return ["--recipe", run.recipe if run.recipe in RECIPES else f"{run.recipe}.yaml", "--epochs", epochs]


def _recipe(recipe: Recipe, data: Data) -> list[str]:
    """The options that choose a recipe: a named one, fitted to the data, if that says all of it, else a file's."""
    epochs = ["--epochs", str(recipe.epochs)]
    known = RECIPES.get(recipe.name)
    choices: list[tuple[dict[str, Any], list[str]]] = [
        ({}, []),
        ({"halve_batch": True}, ["--batch-size", "auto"]),
        ({"batch_size": recipe.batch_size}, ["--batch-size", str(recipe.batch_size)]),
    ]
    for changes, words in choices:
        if (
            known is not None
            and _fitted(known.model_copy(update={"epochs": recipe.epochs} | changes), recipe, data) == recipe
        ):
            return ["--recipe", recipe.name, *epochs, *words]
    return ["--recipe", f"{recipe.name}.yaml", *epochs]


def _fitted(asked: Recipe, recipe: Recipe, data: Data) -> Recipe | None:
    if recipe.batch_size == "auto":
        return None
    # Neither plan nor result holds the number of images; this is one that has such a batch.
    num_train = 32 * recipe.batch_size if recipe.batch_size >= 16 else recipe.batch_size
    try:
        on_gpu = recipe.batch_size > FULL_BATCH
        return asked.fit_to(data.name, num_train, data.image_size, data.channels, on_gpu=on_gpu)
    except RecipeError:
        return None
