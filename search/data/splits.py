"""How data are divided into training, validation and test images: by the names of files, or else by a seeded draw."""

import numpy as np
from numpy.typing import NDArray

# What the test part of a data set is called, in the names of files and folders; the first that exists is taken.
TEST_NAMES = ("test", "val", "valid", "validation")
# Of every class, where the files have no test part.
TEST_FRACTION, TEST_SEED = 0.2, 0
FEW_IMAGES = 20_000


def split(labels: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorted indices (train, validation) of the training images, whose labels are (N,).

    Validation gets 10% of every class, or 20% if there are fewer than 20,000 images, drawn as by `set_aside`.
    """
    return set_aside(labels, 0.2 if len(labels) < FEW_IMAGES else 0.1, seed)


def set_aside(labels: NDArray[np.int64], fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorted indices (kept, set aside) of images with labels (N,): a stratified draw, fixed by the seed.

    The fraction of every class is set aside. A class of at least 2 images has at least one on either side; a single
    image is kept.
    """
    generator = np.random.default_rng(seed)
    is_aside = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        num_aside = min(max(round(fraction * len(members)), 1), len(members) - 1)
        is_aside[members[:num_aside]] = True
    return np.flatnonzero(~is_aside), np.flatnonzero(is_aside)
