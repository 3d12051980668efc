"""nas predict: classify unlabelled images with a trained network."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from search.cli.machine import Device, parse_device
from search.cli.studies import Studies, StudyName
from search.cli.trained_runs import TrainedBaseline, TrainedDropout, TrainedRecipe, TrainedTrial, find_trained_runs
from search.quantities import plural


def predict(
    input: Annotated[Path, typer.Option("--input", help="Folder of images, Parquet, .npz or CIFAR-style pickle.")],
    output: Annotated[Path, typer.Option("--output", help="CSV file to write: id,label.")],
    trial: TrainedTrial = None,
    baseline: TrainedBaseline = None,
    recipe: TrainedRecipe = None,
    dropout: TrainedDropout = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The run whose weights are used.")] = 0,
    names: Annotated[bool, typer.Option("--names", help="Write classes by name instead of by number.")] = False,
    device: Device = "auto",
    study: StudyName = None,
    studies: Studies = Path("studies"),
) -> None:
    """Classify unlabelled images with a retrained network and write id,label in their order.

    An id is a file's name without its extension, an entry of an array of ids, or else the index from 0.
    """
    from search.files import replacing
    from search.run import evaluation
    from search.study.trained import of_seeds

    _, plan, runs = find_trained_runs("predict", studies, study, trial, baseline, recipe, dropout)
    (run,) = of_seeds(runs, [seed])
    classes = plan.question.data.classes
    with replacing(output) as path:  # fails before the work if the file cannot be written
        predictions = evaluation.predict(plan, run, input, parse_device(device))
        _write(path, ((id, classes[label] if names else label) for id, label in predictions))
    print(f"predictions: {output.resolve()} ({plural(len(predictions), 'image')}, {run.name} seed {seed})")


def _write(path: Path, rows: Iterable[tuple[str, str | int]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("id", "label"))
        writer.writerows(rows)
