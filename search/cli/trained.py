"""nas evaluate, predict and export: trained networks at work."""

import csv
import sys
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.options import Device, OutputFormat, Studies, StudyName, one_of, open_study
from search.cli.output import Format, print_rows, print_values
from search.errors import InputError

if TYPE_CHECKING:
    from search.files import StudyFiles
    from search.run.evaluation import Evaluation
    from search.study.plan import Plan
    from search.study.trained import TrainedRun

Trial = Annotated[int | None, typer.Option("--trial", help="Retrained trial.")]
Baseline = Annotated[str | None, typer.Option("--baseline", help="Baseline that was trained in the study.")]
Dropout = Annotated[
    float | None, typer.Option("--dropout", help="With --trial: the dropout it was trained with; else the chosen one.")
]
RecipeName = Annotated[str | None, typer.Option("--recipe", help="The recipe it was trained by, if by several.")]
DEVICES = ("auto", "cpu", "cuda")


def evaluate(
    data: Annotated[str, typer.Option("--data", help="Labelled set: as for search, or without a training part.")],
    trial: Trial = None,
    baseline: Baseline = None,
    recipe: RecipeName = None,
    dropout: Dropout = None,
    seed: Annotated[list[int] | None, typer.Option("--seed", help="One run alone; may be given again.")] = None,
    device: Device = "auto",
    study: StudyName = None,
    studies: Studies = Path("studies"),
    format: OutputFormat = Format.TABLE,
) -> None:
    """Test a retrained network, every seed of it, on another labelled set with the same classes.

    The test part is taken, or the whole set if it has no training part or is not divided. Every opening of the set is a
    line in its test ledger.
    """
    from search.run.evaluation import evaluate as evaluate_runs
    from search.study.trained import of_seeds

    files, plan, runs = _trained("evaluate", studies, study, trial, baseline, recipe, dropout)
    runs = of_seeds(runs, seed) if seed else runs
    found = evaluate_runs(files, plan, runs, data, one_of("device", device, DEVICES))
    told = sys.stdout if format is Format.TABLE else sys.stderr
    mean, deviation = _spread(found.accuracies)
    spread = f" ± {100 * deviation:.2f} (mean and standard deviation" if deviation is not None else " (one run"
    seeds = ", ".join(f"seed {number} {result.accuracy:.2%}" for number, result in found.results)
    images = f"{found.num_images:,} images of {found.data}, fingerprint {found.fingerprint[:12]}"
    print(f"{runs[0].name} on {images}: accuracy {mean:.2%}{spread}: {seeds})", file=told)
    for warning in _warnings(found):
        print(f"careful: {warning}", file=told)
    print(f"test set openings are listed in {' and '.join(map(str, found.ledgers))}", file=told)
    if format is Format.JSON:
        print_values(_values(found, runs), format)
    else:
        print_rows(_classes(found), format)


def predict(
    input: Annotated[Path, typer.Option("--input", help="Folder of images, Parquet, .npz or CIFAR-style pickle.")],
    output: Annotated[Path, typer.Option("--output", help="CSV file to write: id,label.")],
    trial: Trial = None,
    baseline: Baseline = None,
    recipe: RecipeName = None,
    dropout: Dropout = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The run whose weights are used.")] = 0,
    names: Annotated[bool, typer.Option("--names", help="Write classes by name instead of by number.")] = False,
    device: Device = "auto",
    study: StudyName = None,
    studies: Studies = Path("studies"),
) -> None:
    """Classify unlabelled images with a retrained network and write id,label in their order.

    An id is a file's name without its ending, what an array of ids says, or else the index from 0.
    """
    from search.files import replacing
    from search.run.evaluation import predict as predict_images
    from search.study.trained import of_seeds

    _, plan, runs = _trained("predict", studies, study, trial, baseline, recipe, dropout)
    (run,) = of_seeds(runs, [seed])
    classes = plan.question.data.classes
    with replacing(output) as path:  # that it can be written is known before the work
        rows = predict_images(plan, run, input, one_of("device", device, DEVICES))
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("id", "label"))
            writer.writerows((id, classes[label] if names else label) for id, label in rows)
    print(f"predictions: {output.resolve()} ({len(rows):,} images, {run.name} seed {seed})")


def export(
    trial: Trial = None,
    baseline: Baseline = None,
    recipe: RecipeName = None,
    dropout: Dropout = None,
    output: Annotated[Path | None, typer.Option("--output", help="Folder; without it, in the study's.")] = None,
    study: StudyName = None,
    studies: Studies = Path("studies"),
) -> None:
    """Write a retrained network as model.py (torch alone), weights.safetensors, architecture.json and MODEL_CARD.md.

    Of several seeds the first is taken: picking the best of them would be picking by the test set.
    """
    from search.report.retraining.model_card import model_card
    from search.run.export import export as write_export

    files, plan, runs = _trained("export", studies, study, trial, baseline, recipe, dropout)
    folder = output or files.export(runs[0].view.identity)
    for path in write_export(files, plan, runs[0], model_card(files, plan, runs), folder):
        print(path.resolve())


def _trained(
    command: str,
    studies: Path,
    study: str | None,
    trial: int | None,
    baseline: str | None,
    recipe: str | None,
    dropout: float | None,
) -> "tuple[StudyFiles, Plan, list[TrainedRun]]":
    from search.study.trained import trained_runs

    if (trial is None) == (baseline is None):
        raise InputError(f"{command}: give one of --trial NUMBER and --baseline NAME")
    if trial is None and dropout is not None:
        raise InputError(f"dropout = {dropout:g}: is for --trial; baselines keep theirs")
    files, plan = open_study(studies, study)
    return files, plan, trained_runs(files, plan, trial, baseline, recipe, dropout)


def _warnings(found: "Evaluation") -> list[str]:
    """How far the set is none that the study has not seen."""
    if found.overlap is None:
        return ["the study's own images are no longer in the data cache, so these could not be compared with them"]
    training, test = found.overlap
    warnings = [f"{training:,} of these images are also among the study's training images"] if training else []
    if 0 < test < found.num_images:
        warnings.append(f"{test:,} of these images are also among the study's test images")
    return warnings


def _spread(values: tuple[float, ...]) -> tuple[float | None, float | None]:
    """Mean and standard deviation. A single value has no deviation, and no value has neither."""
    return fmean(values) if values else None, stdev(values) if len(values) > 1 else None


def _classes(found: "Evaluation") -> list[dict[str, Any]]:
    """A row a class."""
    rows: list[dict[str, Any]] = []
    for index, name in enumerate(found.classes):
        images, accuracies = found.of_class(index)
        mean, deviation = _spread(accuracies)
        rows.append({"class": name, "images": images, "accuracy": mean, "deviation": deviation})
    return rows


def _values(found: "Evaluation", runs: "list[TrainedRun]") -> dict[str, Any]:
    mean, deviation = _spread(found.accuracies)
    return {
        "label": runs[0].view.label,
        "data": found.data,
        "fingerprint": found.fingerprint,
        "images": found.num_images,
        "overlap": found.overlap._asdict() if found.overlap else None,
        "accuracy": mean,
        "deviation": deviation,
        "runs": [
            {"seed": seed, "accuracy": result.accuracy, "loss": result.loss, "confusion": result.confusion}
            for seed, result in found.results
        ],
        "classes": _classes(found),
    }
