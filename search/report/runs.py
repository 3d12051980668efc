"""Full-length training as frames: seeds, finalists, classes. Nothing here chooses by a test accuracy."""

import math
from dataclasses import replace
from itertools import groupby

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import stdtrit

from search.report.notation import exists
from search.study.view import RunPurpose, RunView, StudyView, trial_of

Counts = npt.NDArray[np.int64]

RUN_COLUMNS = [
    "label", "kind", "purpose", "seed", "recipe", "epochs", "holdout", "params", "macs", "train_accuracy",
    "validation_accuracy", "test_accuracy", "test_loss", "seconds", "device", "precision",
]  # fmt: skip
SUMMARY_COLUMNS = [
    "label", "kind", "recipe", "epochs", "holdout", "seeds", "mean", "deviation", "half_width", "params", "macs",
    "seconds", "over",
]  # fmt: skip
MAX_RUN_POINTS = 200
CONFIDENCE = 0.95


def kind(label: str) -> str:
    """Whether a label is a trial's or names a baseline."""
    return "trial" if trial_of(label) else "baseline"


def _order(run: RunView) -> tuple[bool, str, str, int, bool, int]:
    return (kind(run.label) == "baseline", run.label, run.recipe, run.epochs, run.holdout, run.seed)


def _way(run: RunView) -> tuple[str, str, int, bool]:
    """What runs have in common that differ in the seed alone."""
    return run.label, run.recipe, run.epochs, run.holdout


def final_runs(view: StudyView) -> list[RunView]:
    """Final runs, trials before baselines. A baseline that was trained by several recipes is labelled with each."""
    final = sorted((run for run in view.runs if run.purpose == "final"), key=_order)
    recipes = {label: {run.recipe for run in group} for label, group in groupby(final, key=lambda run: run.label)}
    return [
        replace(run, label=f"{run.label} by {run.recipe}")
        if kind(run.label) == "baseline" and len(recipes[run.label]) > 1
        else run
        for run in final
    ]


def finalist_runs(view: StudyView) -> list[RunView]:
    return [run for run in view.runs if run.purpose == "finalist"]


def runs_frame(view: StudyView) -> pd.DataFrame:
    """One row a full-length run, trials before baselines; accuracies are those of the last epoch."""
    rows = [
        (
            run.label, kind(run.label), run.purpose, run.seed, run.recipe, run.epochs, run.holdout,
            run.params, run.macs,
            run.history[-1].train_accuracy if run.history else None, last_validation(run),
            run.test_accuracy, run.test_loss, run.seconds, run.device, run.precision,
        )
        for run in sorted(view.runs, key=_order)
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=RUN_COLUMNS)
    numbers = ["train_accuracy", "validation_accuracy", "test_accuracy", "test_loss"]
    frame[numbers] = frame[numbers].astype(float)
    return frame


def last_validation(run: RunView) -> float | None:
    return run.history[-1].validation_accuracy if run.history else None


def half_width(deviation: float, number: int) -> float:
    """Half of Student's interval for a mean of `number` values; NaN for a single value, which has none."""
    if number < 2:
        return float("nan")
    return float(stdtrit(number - 1, (1 + CONFIDENCE) / 2)) * deviation / math.sqrt(number)


def final_summary(view: StudyView) -> pd.DataFrame:
    """Test accuracy over seeds, one row for each label, recipe, length and holdout; runs without a test value are left
    out.

    `holdout` marks runs that were asked to leave out the validation split, `over` a network over the budget, which can
    only be a reference. Where a label was trained in two ways, the
    way with most seeds comes last, so that it wins in a lookup by label.
    """
    tested = [run for run in final_runs(view) if exists(run.test_accuracy)]
    rows = []
    for (label, recipe, epochs, holdout), group in groupby(tested, key=_way):
        runs = list(group)
        values = pd.Series([run.test_accuracy for run in runs], dtype=float)
        deviation = float(values.std())
        half = half_width(deviation, len(runs))
        seconds = sum(run.seconds for run in runs) / len(runs)
        rows.append(
            (label, kind(label), recipe, epochs, holdout, len(runs), float(values.mean()), deviation, half,
             runs[0].params, runs[0].macs, seconds, runs[0].params > view.budget)
        )  # fmt: skip
    rows.sort(key=lambda row: (row[1] == "baseline", row[0], row[5]))
    return pd.DataFrame(rows, columns=SUMMARY_COLUMNS)


def finalists_frame(view: StudyView) -> pd.DataFrame:
    """The round that picks a winner, best first: label, seeds, mean and deviation of validation accuracy, params, macs.

    Means over more seeds come first: a finalist whose round is unfinished cannot win by one lucky seed. Other dropouts
    are tried with the winner; what was tried with a trial that has lost since is left out.
    """
    measured = [run for run in finalist_runs(view) if exists(last_validation(run))]
    rows = []
    for label, group in groupby(sorted(measured, key=_order), key=lambda run: run.label):
        runs = list(group)
        values = pd.Series([last_validation(run) for run in runs], dtype=float)
        rows.append((label, len(runs), float(values.mean()), float(values.std()), runs[0].params, runs[0].macs))
    rows.sort(key=lambda row: (-row[1], -row[2]))
    trials = [(trial_of(row[0]) or (row[0], None)) for row in rows]
    best = next((trial for trial, dropout in trials if dropout is None), None)
    rows = [row for row, (trial, dropout) in zip(rows, trials, strict=True) if dropout is None or trial == best]
    return pd.DataFrame(rows, columns=["label", "seeds", "mean", "deviation", "params", "macs"])


def run_curves_frame(view: StudyView, purpose: RunPurpose = "final") -> pd.DataFrame:
    """Runs by epoch: label, seed, split ('train' or 'validation'), epoch, accuracy; long runs thinned evenly."""
    rows = []
    for run in final_runs(view) if purpose == "final" else sorted(finalist_runs(view), key=_order):
        step = max(1, len(run.history) // MAX_RUN_POINTS)
        kept = [each for index, each in enumerate(run.history) if index % step == 0 or each is run.history[-1]]
        measured = [("train", each.epoch, each.train_accuracy) for each in kept]
        measured += [
            ("validation", each.epoch, each.validation_accuracy)
            for each in kept
            if each.validation_accuracy is not None
        ]
        rows += [(run.label, run.seed, *point) for point in measured if exists(point[-1])]
    return pd.DataFrame(rows, columns=["label", "seed", "split", "epoch", "accuracy"])


def confusion(view: StudyView, label: str) -> Counts | None:
    """Test images of class i (row) taken for class j (column), summed over the label's seeds; None if none is known."""
    known = [run.confusion for run in final_runs(view) if run.label == label and run.confusion]
    known = [each for each in known if len(each) == len(known[0])]
    total = np.array(known, dtype=np.int64).sum(axis=0) if known else None
    return total if total is not None and total.sum() > 0 else None


def num_test_images(view: StudyView) -> int | None:
    """How many images the test set has, where a confusion matrix tells."""
    for run in final_runs(view):
        if run.confusion:
            return sum(map(sum, run.confusion)) or None
    return None


def class_name(view: StudyView, index: int) -> str:
    return view.classes[index] if index < len(view.classes) else f"class {index}"


def classes_frame(view: StudyView) -> pd.DataFrame:
    """Accuracy of each class over all seeds of each final label: label, index, name, images, accuracy."""
    rows = []
    for label in dict.fromkeys(run.label for run in final_runs(view)):
        matrix = confusion(view, label)
        if matrix is None:
            continue
        for index, images in enumerate(matrix.sum(axis=1).tolist()):
            accuracy = float(matrix[index, index]) / images if images else float("nan")
            rows.append((label, index, class_name(view, index), images, accuracy))
    return pd.DataFrame(rows, columns=["label", "index", "name", "images", "accuracy"])


def confused_pairs(view: StudyView, label: str, size: int = 10) -> pd.DataFrame:
    """The mistakes made most often: truth, taken_for, images (over all seeds), share of the true class."""
    columns = ["truth", "taken_for", "images", "share"]
    matrix = confusion(view, label)
    if matrix is None:
        return pd.DataFrame(columns=columns)
    totals = matrix.sum(axis=1)
    mistakes = [(int(matrix[i, j]), int(i), int(j)) for i, j in np.argwhere(matrix) if i != j]
    worst = sorted(mistakes, key=lambda each: (-each[0], each[1], each[2]))[:size]
    rows = [(class_name(view, i), class_name(view, j), times, times / float(totals[i])) for times, i, j in worst]
    return pd.DataFrame(rows, columns=columns)
