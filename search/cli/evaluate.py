"""nas evaluate: test a trained network on another labelled set."""

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.choices import one_of
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
from search.errors import InputError
from search.quantities import plural

if TYPE_CHECKING:
    from search.run.evaluation import Evaluation
    from search.study.trained import TrainedRun
    from search.trained_network import Robustness, Split


def evaluate(
    data: Annotated[
        str | None, typer.Option("--data", help="Labelled set: as for search, or without a training part.")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Instead of --data: the study's own images, test or validation.")
    ] = None,
    trial: TrainedTrial = None,
    baseline: TrainedBaseline = None,
    recipe: TrainedRecipe = None,
    dropout: TrainedDropout = None,
    seed: Annotated[list[int] | None, typer.Option("--seed", help="Only this run; may be repeated.")] = None,
    labels: LabelReading = None,
    tta: TestTimeAugmentation = None,
    corrupted: Annotated[
        bool, typer.Option("--corrupted", help="Under 7 corruptions too; without --data, on the study's test images.")
    ] = False,
    device: Device = "auto",
    study: StudyName = None,
    studies: Studies = Path("studies"),
    format: OutputFormat = Format.TABLE,
) -> None:
    """Test a retrained network, every seed of it, on another labelled set with the same classes.

    It uses the test part, or the whole set if that has no training part or is not divided. Every opening of the set is
    recorded in its test ledger. Classes are matched by name where both sides name them. With --tta the accuracy with
    test-time augmentation stands beside the plain one.

    --split test is the study's own test set, opened once more; --split validation opens none. With --corrupted the
    network is tested under noise, blur, brightness, contrast, pixelation and JPEG too, each in three strengths, always
    in the same way, and the report shows how far its accuracy on the study's own images falls.
    """
    from search.run import evaluation
    from search.study.trained import of_seeds

    part = parse_images(data, split, corrupted, tta)
    if data is None and labels is not None:
        raise InputError(f"labels = {labels!r}: is for --data; the study's own images have its classes")
    reading, augmentation = parse_labels(labels), parse_augmentation(tta)
    files, plan, runs = find_trained_runs("evaluate", studies, study, trial, baseline, recipe, dropout, seed)
    runs = of_seeds(runs, seed) if seed else runs
    result = evaluation.evaluate(files, plan, runs, data, parse_device(device), reading, augmentation, corrupted, part)
    print_evaluation(result, runs, format)


def parse_images(data: str | None, split: str | None, corrupted: bool, tta: str | None) -> "Split":
    """The split of the study's own images that is meant where no other set is given.

    Raises:
        InputError: no images are given, or two sets of them, or two ways of testing that do not go together.
    """
    if data is not None and split is not None:
        raise InputError(f"split = {split}: is of the study's own images; leave out --data or --split")
    if data is None and split is None and not corrupted:
        raise InputError("evaluate: give --data, or --split test or validation for the study's own images")
    if corrupted and tta is not None:
        raise InputError(f"tta = {tta}: corrupted images are tested without; leave out --tta or --corrupted")
    part: Split = one_of("split", split or "test", ("test", "validation"))
    return part


def print_evaluation(evaluation: "Evaluation", runs: "list[TrainedRun]", format: Format) -> None:
    """What was measured, in words and a row per class, or as values. Words go to stderr where stdout is for values."""
    words = sys.stdout if format is Format.TABLE else sys.stderr
    print(_summary(evaluation, runs[0].name), file=words)
    if evaluation.augmented:
        print(augmented_sentence(evaluation), file=words)
    for warning in overlap_warnings(evaluation):
        print(f"warning: {warning}", file=words)
    if evaluation.ledgers:
        print(f"test set openings are listed in {' and '.join(map(str, evaluation.ledgers))}", file=words)
    if evaluation.robustness:
        print(fall_sentence(evaluation.robustness), file=words)
    if format is Format.JSON:
        print_values(evaluation_values(evaluation, runs[0].view.label), format)
    else:
        print_rows(corruption_rows(evaluation.robustness) or class_rows(evaluation), format)


def _summary(evaluation: "Evaluation", name: str) -> str:
    kind = "validation image" if evaluation.split == "validation" else "image"
    images = f"{plural(evaluation.num_images, kind)} of {evaluation.data}, fingerprint {evaluation.fingerprint[:12]}"
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
    if evaluation.split == "validation":
        advice = "`nas retrain --holdout` keeps them out"
        return [f"the network was trained on these images, so its accuracies are too high; {advice}"] * evaluation.seen
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
        "split": evaluation.split,
        "augmented": augmented_values(evaluation),
        "corrupted": corrupted_values(evaluation),
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


def fall_sentence(of_seeds: "Sequence[Robustness]") -> str:
    """How far the accuracy falls under corruptions, in the mean of these, their strengths and the seeds."""
    number, fall = len(of_seeds[0].corrupted), fmean(one.fall for one in of_seeds)
    mean = fmean(one.mean for one in of_seeds)
    return (
        f"corrupted images: accuracy {mean:.2%} in the mean of {number} "
        f"({plural(len(of_seeds[0].corruptions), 'corruption')}), {100 * fall:.2f} points below the clean ones"
    )


def corruption_rows(of_seeds: "Sequence[Robustness]") -> list[dict[str, Any]]:
    """One row per corruption, and one for all of them: the accuracy at each strength, the mean and how far it is below
    that on clean images, all in the mean over seeds; none without seeds."""
    if not of_seeds:
        return []
    clean = fmean(one.clean for one in of_seeds)
    accuracies = {
        name: [fmean(values) for values in zip(*(one.under(name) for one in of_seeds), strict=True)]
        for name in of_seeds[0].corruptions
    }
    accuracies["all"] = [fmean(values) for values in zip(*accuracies.values(), strict=True)]
    return [
        {"corruption": name}
        | {f"strength_{strength}": value for strength, value in enumerate(values, start=1)}
        | {"mean": fmean(values), "fall": clean - fmean(values)}
        for name, values in accuracies.items()
    ]


def corrupted_values(evaluation: "Evaluation") -> dict[str, Any] | None:
    """What corrupted images did, as JSON has it; None where they were not asked for."""
    of_seeds = evaluation.robustness
    if not of_seeds:
        return None
    runs = [
        {"seed": seed, "clean": one.clean, "mean": one.mean, "fall": one.fall}
        | {"corruptions": {name: one.under(name) for name in one.corruptions}}
        for (seed, _), one in zip(evaluation.results, of_seeds, strict=True)
    ]
    means = {name: fmean(getattr(one, name) for one in of_seeds) for name in ("clean", "mean", "fall")}
    return means | {"corruptions": corruption_rows(of_seeds), "runs": runs}
