"""Options that several commands take, and what they stand for."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.errors import InputError, StudyError
from search.files import StudyFiles
from search.output import Format

if TYPE_CHECKING:
    from models.architecture import Architecture
    from search.recipe import Recipe
    from search.space.space import Task
    from search.study.plan import Plan
    from search.study.view import RunView

Studies = Annotated[Path, typer.Option("--studies", envvar="NAS_STUDIES", help="Folder of studies.")]
StudyName = Annotated[str | None, typer.Option("--study", help="Name of the study; without it, the one used last.")]
OutputFormat = Annotated[Format, typer.Option("--format", help="How to print.")]
SpaceFile = Annotated[Path | None, typer.Option("--space", help="Search space; without it, the default space.yaml.")]
LimitTexts = Annotated[
    list[str] | None,
    typer.Option("--limit", help="Further limit: macs=6e8, bytes=300KB@int8, activations=1MiB or latency=5ms."),
]
Fill = Annotated[str | None, typer.Option("--fill", help="Least share of the budget to use, as 0.8.")]
LogName = Annotated[str | None, typer.Option("--log", help="Also log every epoch: tensorboard.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]


def recipe_of(name: str, epochs: int | None) -> "Recipe":
    from search.recipe import with_epochs
    from search.recipes import load_recipe

    recipe = load_recipe(name)
    return recipe if epochs is None else with_epochs(recipe, epochs)


def one_of(name: str, value: str, choices: tuple[str, ...]) -> Any:
    if value not in choices:
        raise InputError(f"{name} = {value!r}: must be one of {', '.join(choices)}")
    return value


def open_study(studies: Path, name: str | None) -> "tuple[StudyFiles, Plan]":
    """The named study, or the one used last, which is then said."""
    from search.study.plan import Plan

    if name is None:
        last = studies / ".last-study"
        if not last.is_file():
            raise StudyError(f"study: none has been used in {studies}; name one with --study")
        name = last.read_text(encoding="utf-8").strip()
        print(f"study: {name}", file=sys.stderr)
    files = StudyFiles(studies, name)
    return files, Plan.load(files)


def task_of(data: str | None) -> "Task":
    from search.space.space import Task
    from search.study.plan import Data

    if data is None:
        return Task(image_size=32, in_channels=3, num_classes=10)
    from search.datasets import open_dataset

    return Data.of(open_dataset(data)).task


def designed(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its architecture on one line, for people."""
    from models.architecture import Architecture
    from search.report.notation import design

    return row | {"architecture": design(Architecture.from_dict(row["architecture"]))}


def trial_architecture(studies: Path, study: str | None, number: int) -> "tuple[Architecture, int]":
    from search.study.reading import read_view

    files, _ = open_study(studies, study)
    view = read_view(files)
    found = [each.architecture for each in view.trials if each.number == number]
    if not found:
        raise StudyError(f"trial = {number}: no such trial in study {files.name!r}")
    return found[0], view.image_size


def print_runs(files: StudyFiles, plan: "Plan", runs: "list[RunView]") -> None:
    """What final runs came to, and where they are."""
    from search.report.notation import duration

    budget = plan.question.budget
    for run in runs:
        is_trial = run.label.isdigit()
        folder = (
            files.retrained(int(run.label), run.seed) if is_trial else files.baseline(run.label, run.recipe, run.seed)
        )
        name = f"trial {int(run.label)}" if is_trial else f"{run.label} by {run.recipe}"
        within = f"budget {budget:,}" if run.params <= budget else f"a reference, over the budget of {budget:,}"
        kept = f" with the weights of epoch {run.kept_epoch}" if run.kept_epoch is not None else ""
        print(
            f"{name} seed {run.seed}: test accuracy {run.test_accuracy:.2%}{kept}, {run.params:,} parameters "
            f"({within}), {run.macs:,} MACs, {duration(run.seconds)}; weights in {folder}"
        )
    print(f"test set openings are listed in {files.ledger(plan.question.data.ledger_name)}")
