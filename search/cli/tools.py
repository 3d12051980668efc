"""nas lr-range and nas data show: what to look at before training."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.options import Device, Studies, StudyName, one_of, open_study, recipe_of, trial_architecture
from search.errors import InputError

if TYPE_CHECKING:
    from search.data.datasets import Dataset

Recipe = Annotated[str, typer.Option("--recipe", help="A name or YAML file.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Fixes all that is random.")]
DataName = Annotated[str | None, typer.Option("--data", help="Data set; without it, the study's.")]


def lr_range(
    trial: Annotated[int | None, typer.Option("--trial", help="Trial of the study.")] = None,
    baseline: Annotated[str | None, typer.Option("--baseline", help="Named baseline.")] = None,
    recipe: Recipe = "full",
    min_lr: Annotated[float, typer.Option("--min-lr", help="Where to begin.")] = 1e-4,
    max_lr: Annotated[float, typer.Option("--max-lr", help="Where to end.")] = 10.0,
    steps: Annotated[int, typer.Option("--steps", max=100_000, help="Steps from one to the other.")] = 200,
    output: Annotated[Path | None, typer.Option("--output", help="HTML file of the plot.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    data: DataName = None,
    study: StudyName = None,
    studies: Studies = Path("studies"),
) -> None:
    """Find the learning rates a network can be trained with: a short training whose rate grows at every step.

    It sees training images alone. Without --data it takes a study's.
    """
    from models.baselines import find_baseline
    from search.protocol import Ranged, RangeTest
    from search.report.lr_range import require_range, suggest, write_lr_range
    from search.run.plans import fit_recipe
    from search.workers.local import ask
    from search.workers.machine import Machine

    if (trial is None) == (baseline is None):
        raise InputError("lr-range: give one of --trial NUMBER and --baseline NAME")
    if trial is not None and data is not None:
        raise InputError("lr-range: a trial is tested on its study's data; leave out --data")
    require_range(min_lr, max_lr, steps)
    chosen = recipe_of(recipe, None)
    dataset, split_seed = _data(data, studies, study)
    if trial is not None:
        network, name = trial_architecture(studies, study, trial)[0], f"trial-{trial}"
    else:
        assert baseline is not None
        network, name = find_baseline(baseline, dataset.channels, len(dataset.classes)), baseline
    machine = Machine(one_of("device", device, ("auto", "cpu", "cuda")))
    task = RangeTest(network, fit_recipe(chosen, dataset), seed, min_lr, max_lr, steps)
    answer = ask(machine.setup(dataset, split_seed), task, Path(os.devnull))
    assert isinstance(answer, Ranged)
    suggestion = suggest(answer)
    path = output or Path(f"lr-range-{name}.html")
    write_lr_range(answer, suggestion, f"{name} on {dataset.name}, recipe {chosen.name}", path)
    ended = f"diverged at {answer.points[-1].lr:.3g}" if answer.diverged else f"did not diverge up to {max_lr:.3g}"
    print(
        f"learning rate: {suggestion.lowest:.2g} to {suggestion.highest:.2g} ({ended}; optimiser {chosen.optimizer}, "
        f"batch {task.recipe.batch_size})"
    )
    print(f"plot: {path.resolve()}")


def show_data(
    recipe: Recipe = "full",
    output: Annotated[Path | None, typer.Option("--output", help="PNG file.")] = None,
    seed: Seed = 0,
    data: DataName = None,
    study: StudyName = None,
    studies: Studies = Path("studies"),
) -> None:
    """Draw training images and what a recipe's augmentation makes of them: one image a row, itself at the left."""
    from search.protocol import ContactSheet
    from search.run.plans import fit_recipe
    from search.workers.local import ask
    from search.workers.machine import Machine

    chosen = recipe_of(recipe, None)
    dataset, split_seed = _data(data, studies, study)
    path = (output or Path(f"{dataset.name}-{chosen.name}.png")).absolute()
    task = ContactSheet(fit_recipe(chosen, dataset), seed, path)
    ask(Machine("cpu").setup(dataset, split_seed), task, Path(os.devnull))
    print(f"contact sheet: {path}")


def _data(data: str | None, studies: Path, study: str | None) -> "tuple[Dataset, int]":
    """A data set and the seed of its split."""
    from search.data.datasets import open_dataset
    from search.run.plans import open_study_data

    if data is not None:
        return open_dataset(data), 0
    _, plan = open_study(studies, study)
    return open_study_data(plan), plan.question.seed
