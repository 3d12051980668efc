"""nas lr-range: which learning rates a network can be trained with."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from search.cli.choices import require_trial_or_baseline
from search.cli.data import DataName, Seed
from search.cli.hand_made import GuessBudget, hand_made_of_study, hand_made_within, known_baseline
from search.cli.machine import Device, parse_device, print_to_stderr
from search.cli.output import print_written, words_about
from search.cli.paths import path_option
from search.cli.recipe import RecipeName, fit_recipe, parse_recipe
from search.cli.studies import Studies, StudyName, open_study, read_architecture_of_trial
from search.errors import InputError

if TYPE_CHECKING:
    from search.protocol import Ranged
    from search.recipe import Recipe
    from search.report.lr_range import Suggestion


def lr_range(
    trial: Annotated[int | None, typer.Option("--trial", help="Trial of the study.")] = None,
    baseline: Annotated[str | None, typer.Option("--baseline", help="Named baseline.")] = None,
    recipe: RecipeName = "full",
    min_lr: Annotated[float, typer.Option("--min-lr", help="lr in the recipe at the first step.")] = 1e-4,
    max_lr: Annotated[float, typer.Option("--max-lr", help="lr in the recipe at the last step.")] = 10.0,
    steps: Annotated[int, typer.Option("--steps", max=100_000, help="Steps from one to the other.")] = 200,
    output: Annotated[Path | None, path_option("--output", "HTML file of the plot.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    data: DataName = None,
    budget: GuessBudget = None,
    study: StudyName = None,
    studies: Studies = Path("studies"),
) -> None:
    """Find the learning rates a network can be trained with: a short training whose rate grows at every step.

    Learning rates are as the recipe's file has them; with batch_size auto they are not those of the batch that is
    trained. A muon_lr grows with the lr. Only training images are used, without --data those of a study.
    """
    from search.data.datasets import open_dataset
    from search.protocol import Ranged, RangeTest
    from search.report.lr_range import in_recipe, require_range, suggest, write_lr_range
    from search.run.plans import open_study_data
    from search.study.plan import Data
    from search.workers.local import ask
    from search.workers.machine import Machine

    require_trial_or_baseline("lr-range", trial, baseline)
    if trial is not None and data is not None:
        raise InputError("lr-range: a trial is tested on its study's data; leave out --data")
    if budget is not None and (baseline is None or data is None):
        raise InputError(f"budget = {budget}: is for a --baseline with --data")
    require_range(min_lr, max_lr, steps)
    chosen = parse_recipe(recipe)
    if data is not None:
        assert baseline is not None
        dataset, split_seed, name = open_dataset(data), 0, baseline
        network = hand_made_within(baseline, Data.of(dataset).task, budget)
    else:
        files, plan = open_study(studies, study)
        dataset, split_seed = open_study_data(plan), plan.question.seed
        if trial is not None:
            network, name = read_architecture_of_trial(studies, files.name, trial)[0], f"trial-{trial}"
        else:
            assert baseline is not None
            name = known_baseline(baseline, files, plan)
            network = hand_made_of_study(name, files, plan)
    machine = Machine(parse_device(device))
    fitted = fit_recipe(chosen, dataset, on_gpu=machine.has_gpu)
    share = fitted.lr / chosen.lr
    test = RangeTest(network, fitted, seed, min_lr * share, max_lr * share, steps)
    ranged = ask(machine.setup(dataset, split_seed), test, Path(os.devnull), print_to_stderr)
    assert isinstance(ranged, Ranged)
    ranged = in_recipe(ranged, share)
    suggestion = suggest(ranged)
    path = output or Path(f"lr-range-{name}-{chosen.name}.html")
    title = f"{name} on {dataset.name}, recipe {chosen.name}, batch {fitted.batch_size}"
    write_lr_range(ranged, suggestion, title, path)
    print_lr_range(ranged, suggestion, chosen, fitted.sizes[0], max_lr, words_about(path))
    print_written("plot", path)


def print_lr_range(
    ranged: "Ranged", suggestion: "Suggestion", recipe: "Recipe", batch_size: int, max_lr: float, words: TextIO
) -> None:
    """What to write in the recipe, at which batch that was measured, and where the training diverged.

    Args:
        recipe: as its file has it, not fitted to the data.
    """
    end = f"diverged at {ranged.points[-1].lr:.3g}" if ranged.diverged else f"did not diverge up to {max_lr:.3g}"
    lowest, highest = suggestion.lowest, suggestion.highest
    rates = f"lr {lowest:.2g} to {highest:.2g}"
    if recipe.optimizer == "muon":
        ratio = recipe.muon_lr / recipe.lr
        rates += f" and with it muon_lr {ratio * lowest:.2g} to {ratio * highest:.2g}"
    print(
        f"learning rate: {rates}, in a recipe of optimizer {recipe.optimizer} and batch_size {recipe.batch_size} "
        f"(measured at batch {batch_size}; {end})",
        file=words,
    )
