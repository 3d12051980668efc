"""nas predict: classify unlabelled images with a trained network."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from search.cli.machine import Device, parse_device
from search.cli.output import print_written
from search.cli.paths import path_option
from search.cli.studies import Studies, StudyName
from search.cli.trained_runs import (
    LabelReading,
    TestTimeAugmentation,
    TrainedBaseline,
    TrainedDropout,
    TrainedRecipe,
    TrainedTrial,
    find_trained_runs,
    parse_augmentation,
    parse_labels,
)
from search.errors import InputError
from search.quantities import plural


def predict(
    input: Annotated[Path, path_option("--input", "Folder of images, Parquet, .npz or CIFAR-style pickle.")],
    output: Annotated[Path, path_option("--output", "CSV file to write: id,label.")],
    trial: TrainedTrial = None,
    baseline: TrainedBaseline = None,
    recipe: TrainedRecipe = None,
    dropout: TrainedDropout = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The run whose weights are used.")] = 0,
    labels: LabelReading = None,
    names: Annotated[bool, typer.Option("--names", help="As --labels names.")] = False,
    tta: TestTimeAugmentation = None,
    device: Device = "auto",
    study: StudyName = None,
    studies: Studies = Path("studies"),
) -> None:
    """Classify unlabelled images with a retrained network and write id,label in their order.

    A label is the number of a class from 0; with --labels names, and where the files of the study's data say no more
    than a number, it is what the class is called there. An id is a file's name without its extension, an entry of an
    array or column of ids, or else the index from 0.
    """
    from search.data.matching import label_texts
    from search.files import replacing
    from search.run import evaluation
    from search.study.trained import of_seeds
    from search.trained_network import num_passes

    reading, augmentation = parse_labels(labels), parse_augmentation(tta)
    if names and reading == "numbers":
        raise InputError("labels = 'numbers': --names asks for the names; give one of them")
    _, plan, runs = find_trained_runs("predict", studies, study, trial, baseline, recipe, dropout, [seed])
    (run,) = of_seeds(runs, [seed])
    data = plan.question.data
    texts = label_texts(data.classes, data.are_named, "names" if names else reading)
    with replacing(output) as path:  # fails before the work if the file cannot be written
        predictions = evaluation.predict(plan, run, input, parse_device(device), augmentation)
        _write(path, ((id, texts[label]) for id, label in predictions))
    passes = num_passes(augmentation, run.network.mirrored)
    how = f", test-time augmentation by {passes} passes an image" if augmentation else ""
    print_written("predictions", output, f" ({plural(len(predictions), 'image')}, {run.name} seed {seed}{how})")


def _write(path: Path, rows: Iterable[tuple[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("id", "label"))
        writer.writerows(rows)
