"""nas evaluate: test a trained network on another labelled set."""

import sys
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.machine import Device, parse_device
from search.cli.output import Format, OutputFormat, print_rows, print_values
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
from search.quantities import plural

if TYPE_CHECKING:
    from search.run.evaluation import Evaluation
    from search.study.trained import TrainedRun


def evaluate(
    data: Annotated[str, typer.Option("--data", help="Labelled set: as for search, or without a training part.")],
    trial: TrainedTrial = None,
    baseline: TrainedBaseline = None,
    recipe: TrainedRecipe = None,
    dropout: TrainedDropout = None,
    seed: Annotated[list[int] | None, typer.Option("--seed", help="Only this run; may be repeated.")] = None,
    labels: LabelReading = None,
    tta: TestTimeAugmentation = None,
    device: Device = "auto",
    study: StudyName = None,
    studies: Studies = Path("studies"),
    format: OutputFormat = Format.TABLE,
) -> None:
    """Test a retrained network, every seed of it, on another labelled set with the same classes.

    It uses the test part, or the whole set if that has no training part or is not divided. Every opening of the set is
    recorded in its test ledger. Classes are matched by name where both sides name them. With --tta the accuracy with
    test-time augmentation stands beside the plain one.
    """
    from search.run import evaluation
    from search.study.trained import of_seeds

    reading, augmentation = parse_labels(labels), parse_augmentation(tta)
    files, plan, runs = find_trained_runs("evaluate", studies, study, trial, baseline, recipe, dropout, seed)
    runs = of_seeds(runs, seed) if seed else runs
    result = evaluation.evaluate(files, plan, runs, data, parse_device(device), reading, augmentation)
    print_evaluation(result, runs, format)


def print_evaluation(evaluation: "Evaluation", runs: "list[TrainedRun]", format: Format) -> None:
    """What was measured, in words and a row per class, or as values. Words go to stderr where stdout is for values."""
    words = sys.stdout if format is Format.TABLE else sys.stderr
    print(_summary(evaluation, runs[0].name), file=words)
    if evaluation.augmented:
        print(augmented_sentence(evaluation), file=words)
    for warning in overlap_warnings(evaluation):
        print(f"warning: {warning}", file=words)
    print(f"test set openings are listed in {' and '.join(map(str, evaluation.ledgers))}", file=words)
    if format is Format.JSON:
        print_values(evaluation_values(evaluation, runs[0].view.label), format)
    else:
        print_rows(class_rows(evaluation), format)


def _summary(evaluation: "Evaluation", name: str) -> str:
    images = f"{plural(evaluation.num_images, 'image')} of {evaluation.data}, fingerprint {evaluation.fingerprint[:12]}"
    return f"{name} on {images}: accuracy {over_seeds(evaluation, evaluation.accuracies)}"


def augmented_sentence(evaluation: "Evaluation") -> str:
    """The accuracy with test-time augmentation, named as such, and what it costs."""
    first = evaluation.augmented[0]
    accuracy = over_seeds(evaluation, tuple(result.accuracy for result in evaluation.augmented))
    how = f"{first.augmentation}: logits averaged over {first.passes} forward passes an image"
    return f"with test-time augmentation ({how}): accuracy {accuracy}"


def over_seeds(evaluation: "Evaluation", values: tuple[float, ...]) -> str:
    """The mean of accuracies, one a seed, their deviation, and each of them."""
    mean, deviation = mean_and_deviation(values)
    spread = f" ± {100 * deviation:.2f} (mean and standard deviation" if deviation is not None else " (one run"
    of_seeds = zip((seed for seed, _ in evaluation.results), values, strict=True)
    return f"{mean:.2%}{spread}: {', '.join(f'seed {seed} {value:.2%}' for seed, value in of_seeds)})"


def overlap_warnings(evaluation: "Evaluation") -> list[str]:
    """How many of the images the study has seen before, if any."""
    if evaluation.overlap is None:
        return ["the study's own images are no longer in the data cache, so these could not be compared with them"]
    training, test = evaluation.overlap
    warnings = [f"{training:,} of these images are also among the study's training images"] if training else []
    if 0 < test < evaluation.num_images:
        warnings.append(f"{test:,} of these images are also among the study's test images")
    return warnings


def mean_and_deviation(values: tuple[float, ...]) -> tuple[float | None, float | None]:
    """Mean and standard deviation. A single value has no deviation, and no value has neither."""
    return fmean(values) if values else None, stdev(values) if len(values) > 1 else None


def class_rows(evaluation: "Evaluation") -> list[dict[str, Any]]:
    """One row per class: its images, and their accuracy over seeds."""
    rows: list[dict[str, Any]] = []
    for index, name in enumerate(evaluation.classes):
        images, accuracies = evaluation.of_class(index)
        mean, deviation = mean_and_deviation(accuracies)
        rows.append({"class": name, "images": images, "accuracy": mean, "deviation": deviation})
    return rows


def evaluation_values(evaluation: "Evaluation", label: str) -> dict[str, Any]:
    """All that was measured, as JSON has it."""
    mean, deviation = mean_and_deviation(evaluation.accuracies)
    return {
        "label": label,
        "data": evaluation.data,
        "fingerprint": evaluation.fingerprint,
        "images": evaluation.num_images,
        "overlap": evaluation.overlap._asdict() if evaluation.overlap else None,
        "accuracy": mean,
        "deviation": deviation,
        "augmented": augmented_values(evaluation),
        "runs": [
            {"seed": seed, "accuracy": result.accuracy, "loss": result.loss, "confusion": result.confusion}
            for seed, result in evaluation.results
        ],
        "classes": class_rows(evaluation),
    }


def augmented_values(evaluation: "Evaluation") -> dict[str, Any] | None:
    """The accuracies with test-time augmentation, apart from the plain ones; None without."""
    results = evaluation.augmented
    if not results:
        return None
    mean, deviation = mean_and_deviation(tuple(result.accuracy for result in results))
    runs = [
        {"seed": seed, "accuracy": one.accuracy} for (seed, _), one in zip(evaluation.results, results, strict=True)
    ]
    how = {"tta": results[0].augmentation, "passes": results[0].passes}
    return how | {"accuracy": mean, "deviation": deviation, "runs": runs}
