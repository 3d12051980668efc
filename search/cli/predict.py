"""nas predict: classify unlabelled images with a trained network."""

import sys
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
from search.quantities import brief, plural


def predict(
    input: Annotated[Path, path_option("--input", "Folder of images, Parquet, .npz or CIFAR-style pickle.")],
    output: Annotated[Path, path_option("--output", "CSV file to write: id,label.")],
    header: Annotated[
        str, typer.Option("--header", help="Names of the two columns, as a competition wants them: ID,Labels.")
    ] = "id,label",
    ids: Annotated[
        Path | None, path_option("--ids", "CSV whose first column has the ids to write, in its order: a sample.")
    ] = None,
    trial: TrainedTrial = None,
    baseline: TrainedBaseline = None,
    recipe: TrainedRecipe = None,
    dropout: TrainedDropout = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The run whose weights are used.")] = 0,
    labels: LabelReading = None,
    tta: TestTimeAugmentation = None,
    device: Device = "auto",
    study: StudyName = None,
    studies: Studies = Path("studies"),
) -> None:
    """Classify unlabelled images with a retrained network and write id,label in their order.

    A label is the number of a class from 0; with --labels names, and where the files of the study's data say no more
    than a number, it is what the class is called there. An id is a file's name without its extension, an entry of an
    array or column of ids, or else the index from 0. With --ids the ids are those of a sample submission, in its order.
    """
    from search.data.matching import label_texts
    from search.data.submission import formula_among, parse_header, write_submission
    from search.run import evaluation
    from search.study.trained import of_seeds
    from search.trained_network import num_passes
    from search.writing import replacing

    reading, augmentation, columns = parse_labels(labels), parse_augmentation(tta), parse_header(header)
    for option, path in (("input", input), ("ids", ids)):
        if path is not None and output.exists() and path.exists() and output.samefile(path):
            raise InputError(f"output = {str(output)!r}: is the file of --{option}, which would be lost")
    _, plan, runs = find_trained_runs("predict", studies, study, trial, baseline, recipe, dropout, [seed])
    (run,) = of_seeds(runs, [seed])
    data = plan.question.data
    texts = label_texts(data.classes, data.are_named, reading, data.labels)
    with replacing(output) as path:  # fails before the work if the file cannot be written
        predictions = evaluation.predict(plan, run, input, parse_device(device), augmentation, ids)
        rows = [(id, texts[label]) for id, label in predictions]
        write_submission(path, columns, rows)
    if (formula := formula_among([*columns, *(text for row in rows for text in row)])) is not None:
        print(f"note: {brief(formula)!r} is written as it is; a spreadsheet takes it for a formula", file=sys.stderr)
    kind = "numbers of classes from 0" if texts == tuple(map(str, range(len(texts)))) else "names of classes"
    passes = num_passes(augmentation, run.network.mirrored)
    how = f", test-time augmentation by {passes} passes an image" if augmentation else ""
    images = plural(len(rows), "image")
    print_written("predictions", output, f" ({images}, labels are {kind}, {run.name} seed {seed}{how})")
