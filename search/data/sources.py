"""Where a data set is read from: Parquet files, folders of images, an .npz file, or scikit-learn.

Finding the layout of a path costs no more than listing its files, so a data set that was decoded before opens at once.
Its `read` reads the labels and leaves the images encoded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from search.data.arrays import read_npz
from search.data.classes import Classes
from search.data.decoding import ArrayImages, Part, Source
from search.data.folders import (
    class_folders,
    count_unused,
    is_divided,
    read_class_folders,
    remark_unused,
    visible,
    visible_folders,
)
from search.data.parquet import choose_test_part, read_parquet
from search.data.remarks import remark
from search.data.shards import by_part, parquet_files, remark_unused_files, require_whole
from search.data.splits import TEST_FRACTION, TEST_NAMES, TEST_SEED, set_aside
from search.errors import DataError
from search.files import why
from search.quantities import brief


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
        if path.exists() and not path.is_dir():
            raise DataError(f"data = {str(path)!r}: a pipe or a device; must be a folder or an .npz file")
        return _parquet_layout(path, classes) or _folder_layout(path)
    except OSError as error:
        where = error.filename or str(path)  # a folder inside may be what cannot be read
        raise DataError(f"data = {where!r}: cannot be read: {why(error)}") from error


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
    files = parquet_files(path)
    parts = by_part(files)
    if not files:
        return None
    if "train" not in parts or parts.keys().isdisjoint(TEST_NAMES):
        missing = "test-*.parquet (or validation-*.parquet)" if "train" in parts else "train-*.parquet"
        folder = str(files[0].parent)
        raise DataError(f"data = {folder!r}: holds Parquet files but no {missing}; both parts are needed")
    train, test = parts["train"], parts[choose_test_part(path, parts)]
    require_whole(train)
    require_whole(test)
    remark_unused_files(path, files, (*train, *test))
    return Layout(train + test, partial(read_parquet, train, test, classes))


def _folder_layout(path: Path) -> Layout:
    if not is_divided(path):
        undivided = class_folders(path)
        return Layout(tuple(file for file, _ in undivided), partial(read_class_folders, undivided, None))
    tests = [path / name for name in TEST_NAMES if (path / name).is_dir()]
    if not any(map(visible_folders, tests)):
        lacks = "no class folders in it" if tests else f"no {', '.join(TEST_NAMES)} beside it"
        part = tests[0].name if tests else "train"
        advice = f"pass {str(path / 'train')!r} to have a fifth of it set aside as test images"
        raise DataError(f"data = {str(path)!r}: has {part} but {lacks}; {advice}")
    train_files = class_folders(path / "train")
    classes = {name for _, name in train_files}
    # Images that are to be predicted lie in no class folder, or in one that is no class.
    test = next((test for test in tests if any(folder.name in classes for folder in visible_folders(test))), tests[0])
    for other in tests[: tests.index(test)]:
        remark(path, f"its part {other.name} is not labelled, and is not used; {test.name} is")
    test_files = class_folders(test)
    test_classes = {name for _, name in test_files}
    if unknown := sorted(test_classes - classes):
        raise DataError(f"data = {str(test / unknown[0])!r}: not a class of {str(path / 'train')!r}; must be one")
    if absent := sorted(classes - test_classes):
        remark(test, f"holds no images of {brief(', '.join(map(ascii, absent)))}")
    remark_unused(path, count_unused([entry for entry in visible(path) if entry not in (path / "train", test)]))
    files = tuple(file for file, _ in (*train_files, *test_files))
    return Layout(files, partial(read_class_folders, train_files, test_files))
