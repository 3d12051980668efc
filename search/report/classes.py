"""Where networks err, class by class, from the confusion matrices of their tested runs."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from search.report.runs import final_runs, tested_runs
from search.study.networks import quoted
from search.study.view import StudyView

Counts = npt.NDArray[np.int64]


def confusion(view: StudyView, label: str) -> Counts | None:
    """Test images of class i (row) taken for class j (column), summed over the seeds of the label's network that is
    `quoted`; None if none is known."""
    network = quoted(tested_runs(view)).get(label)
    known = [run.confusion for run in network.runs if run.confusion] if network else []
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
