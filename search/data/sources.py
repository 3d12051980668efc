"""Where a data set is read from: Parquet files, folders of images, an .npz file, or scikit-learn.

Finding the layout of a path costs no more than listing its files, so a data set that was decoded before opens at once.
Its `read` reads the labels and leaves the images encoded.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from search.data.arrays import read_npz
from search.data.classes import Classes
from search.data.decoding import ArrayImages, Part, Source
from search.data.folders import class_folders, read_class_folders
from search.data.parquet import read_parquet, visible_parquet
from search.data.splits import TEST_FRACTION, TEST_NAMES, TEST_SEED, set_aside
from search.errors import DataError


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of a data set, and `read`, which reads them and raises DataError."""

    files: tuple[Path, ...]
    read: Callable[[], Source]


def find_layout(path: Path, classes: tuple[str, ...] | None = None) -> Layout:
    """The layout of the data set at a path. `classes` are used where the files do not name theirs.

    Raises:
        DataError: there is no data set that can be read.
    """
    try:
        if path.is_file():
            if path.suffix.lower() == ".npz":
                return Layout((path,), partial(read_npz, path, classes))
            raise DataError(f"data = {str(path)!r}: must be a folder or an .npz file")
        return _parquet_layout(path, classes) or _folder_layout(path)
    except OSError as error:
        raise DataError(f"data = {str(path)!r}: cannot be read: {error.strerror or error}") from error


def read_digits() -> Source:
    """The 1,797 greyscale digits of 8x8 pixels that come with scikit-learn; a fifth is the test set."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int64)
    parts = set_aside(labels, TEST_FRACTION, TEST_SEED)
    train, test = (Part(ArrayImages("digits", images[part]), labels[part]) for part in parts)
    return Source(train, test, Classes.named(tuple(str(name) for name in digits.target_names)))


def _parquet_layout(path: Path, classes: tuple[str, ...] | None) -> Layout | None:
    """None if there are no Parquet files."""
    for folder in (path, path / "data"):
        files = visible_parquet(folder)
        parts = {
            name: tuple(file for file in files if re.fullmatch(rf"{name}(-.*)?\.parquet", file.name))
            for name in ("train", *TEST_NAMES)
        }
        test = next((parts[name] for name in TEST_NAMES if parts[name]), ())
        if parts["train"] and test:
            return Layout(parts["train"] + test, partial(read_parquet, parts["train"], test, classes))
        if files:
            missing = "test-*.parquet (or validation-*.parquet)" if parts["train"] else "train-*.parquet"
            raise DataError(f"data = {str(folder)!r}: holds Parquet files but no {missing}; both parts are needed")
    return None


def _folder_layout(path: Path) -> Layout:
    if not (path / "train").is_dir():
        undivided = class_folders(path)
        return Layout(tuple(file for file, _ in undivided), partial(read_class_folders, undivided, None))
    test = next((path / name for name in TEST_NAMES if (path / name).is_dir()), None)
    if test is None:
        advice = f"pass {str(path / 'train')!r} to have a fifth of it set aside as test images"
        raise DataError(f"data = {str(path)!r}: has train but no {', '.join(TEST_NAMES)} beside it; {advice}")
    train_files, test_files = class_folders(path / "train"), class_folders(test)
    unknown = sorted({name for _, name in test_files} - {name for _, name in train_files})
    if unknown:
        raise DataError(f"data = {str(test / unknown[0])!r}: not a class of {str(path / 'train')!r}; must be one")
    files = tuple(file for file, _ in (*train_files, *test_files))
    return Layout(files, partial(read_class_folders, train_files, test_files))
