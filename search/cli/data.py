"""nas data show: the images that networks are trained on."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.machine import print_to_stderr
from search.cli.output import print_written
from search.cli.paths import path_option
from search.cli.recipe import RecipeName, fit_recipe, parse_recipe
from search.cli.studies import Studies, StudyName, open_study

if TYPE_CHECKING:
    from search.data.datasets import Dataset

DataName = Annotated[str | None, typer.Option("--data", help="Data set; by default, the study's.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Fixes everything that is random.")]


def show_data(
    recipe: RecipeName = "full",
    output: Annotated[Path | None, path_option("--output", "PNG file.")] = None,
    seed: Seed = 0,
    data: DataName = None,
    study: StudyName = None,
    studies: Studies = Path("studies"),
) -> None:
    """Draw training images and what a recipe's augmentation makes of them: one image per row, the original first."""
    from search.protocol import ContactSheet
    from search.workers.local import ask
    from search.workers.machine import Machine
    from search.writing import replacing

    chosen = parse_recipe(recipe)
    dataset, split_seed = open_data(data, studies, study)
    path = output or Path(f"{dataset.name}-{chosen.name}.png")
    with replacing(path) as temporary:  # here, for a worker has no part in what this process prints to
        task = ContactSheet(fit_recipe(chosen, dataset, holds_out=False), seed, temporary.absolute())
        ask(Machine("cpu").setup(dataset, split_seed), task, Path(os.devnull), print_to_stderr)
    print_written("contact sheet", path)


def open_data(data: str | None, studies: Path, study: str | None) -> "tuple[Dataset, int]":
    """The named data set, or that of a study, and the seed of its split.

    Raises:
        DataError: the data is not found, or is not what the study was begun with.
        StudyError: no data is named, and there is no such study.
    """
    from search.data.datasets import open_dataset
    from search.run.plans import open_study_data

    if data is not None:
        return open_dataset(data), 0
    _, plan = open_study(studies, study)
    return open_study_data(plan), plan.question.seed
