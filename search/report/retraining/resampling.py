"""The interval of a comparison over other seeds and other test images, from what its runs recorded.

A run may have recorded which test images it got right, or only how many of each class.
"""

from collections.abc import Sequence

import numpy as np

from search.flags import unpack
from search.report.statistics.bootstrap import NUM_RESAMPLES, Counts, Flags, Interval, over_classes, over_images
from search.study.view import RunView


def resample(first: Sequence[RunView], second: Sequence[RunView], number: int = NUM_RESAMPLES) -> Interval | None:
    """The interval of the mean test accuracy of the first network minus that of the second, over `number` resamples.

    None if a network has but one run, or its test images are not known.
    """
    if min(len(first), len(second)) < 2:
        return None
    flags, others = flags_of(first), flags_of(second)
    if flags is not None and others is not None and flags.shape[1] == others.shape[1]:
        return over_images(flags, others, number)
    counts, other_counts = classes_of(first), classes_of(second)
    if counts is None or other_counts is None:
        return None
    return over_classes(counts, other_counts, number)


def flags_of(runs: Sequence[RunView]) -> Flags | None:
    """Whether each run was right on each test image, as bool (runs, images); None if it is not known of every run."""
    rows = []
    for run in runs:
        if not run.correct or not run.confusion:
            return None
        try:
            flags = unpack(run.correct, sum(map(sum, run.confusion)))
        except ValueError:
            return None
        if flags.sum() != sum(row[index] for index, row in enumerate(run.confusion)):
            return None  # damaged
        rows.append(flags)
    return np.stack(rows) if len({len(flags) for flags in rows}) == 1 else None


def classes_of(runs: Sequence[RunView]) -> tuple[Counts, Counts] | None:
    """Right answers (runs, classes) and images (classes,); None if they are not known of every run, or disagree."""
    matrices = [np.asarray(run.confusion) for run in runs if run.confusion is not None]
    if not matrices or len(matrices) < len(runs) or len({matrix.shape for matrix in matrices}) > 1:
        return None
    images = {tuple(matrix.sum(axis=1).tolist()) for matrix in matrices}
    if len(images) > 1 or not sum(next(iter(images))):
        return None
    return np.stack([matrix.diagonal() for matrix in matrices]), np.array(next(iter(images)))
