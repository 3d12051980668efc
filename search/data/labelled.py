"""Labelled images to test a network on: data sets without a training part.

More layouts are read here than for data to search with: single Parquet files, undivided class folders, arrays named x
and y, and CIFAR-style pickles.
"""

from pathlib import Path
from typing import NamedTuple

from search.data.arrays import (
    CLASS_NAMES,
    IMAGES,
    LABELS,
    as_array,
    class_names,
    first_of,
    labels_of,
    load_arrays,
    named_images,
    read_arrays,
    unused_values,
)
from search.data.cache import write_array, writing
from search.data.classes import Classes
from search.data.datasets import fingerprint
from search.data.decoding import Part, Shape, decode
from search.data.folders import (
    class_folders,
    count_unused,
    is_divided,
    read_class_folders,
    remark_unused,
    visible,
    visible_folders,
)
from search.data.parquet import files_of_test_part, read_parquet
from search.data.remarks import remark
from search.data.shards import parquet_files, part_of
from search.data.splits import TEST_NAMES
from search.errors import DataError
from search.files import why


def has_both_parts(path: Path) -> bool:
    """Whether a path holds a training and a test part, as `search.data.datasets.open_dataset` takes them.

    Raises:
        DataError: the path cannot be read.
    """
    try:
        if path.is_file():
            return path.suffix.lower() == ".npz" and bool(load_arrays(path, ("y_train",))[0])
        if files := parquet_files(path):
            parts = {part_of(file) for file in files}
            return "train" in parts and not parts.isdisjoint(TEST_NAMES)
        return is_divided(path)
    except OSError as error:
        raise DataError(f"data = {str(path)!r}: cannot be read: {why(error)}") from error


class Labelled(NamedTuple):
    """Images with labels that are indices of `classes`."""

    part: Part
    classes: Classes


def read_labelled(path: Path, shape: Shape) -> Labelled:
    """The labelled images at a path, at least one.

    Raises:
        DataError: there are no labelled images that can be read.
    """
    try:
        labelled = _read(path, shape)
    except OSError as error:
        raise DataError(f"data = {str(path)!r}: cannot be read: {why(error)}") from error
    if not len(labelled.part.labels):
        raise DataError(f"data = {str(path)!r}: 0 images; there must be at least one")
    return labelled


def decode_labelled(part: Part, classes: tuple[str, ...], shape: Shape, images: Path, labels: Path) -> str:
    """The fingerprint of the decoded images and labels, as `search.data.datasets.Dataset` has it. They are written to
    two .npy files in the cache, labels as int64 (N,).

    Raises:
        DataError, StorageError: as `search.data.decoding.decode`.
    """
    values = part.labels.astype("<i8")
    with writing(labels.parent):
        label_hash = write_array(labels, values.shape, values.dtype, [values])
    hashes = {"test-images": decode(part.images, len(values), shape, images), "test-labels": label_hash}
    return fingerprint(classes, *shape, hashes)


def _read(path: Path, shape: Shape) -> Labelled:
    if files := files_of_test_part(path, labelled=True):
        source = read_parquet(files, files, None)
        remark(path, *source.notes)
        return Labelled(source.test, source.classes)
    if path.is_dir():
        tests = [path / name for name in TEST_NAMES if (path / name).is_dir()]
        test = next(filter(visible_folders, tests), tests[0] if tests else path)  # others hold no classes
        image_files = class_folders(test)
        if test != path:
            remark_unused(path, count_unused([entry for entry in visible(path) if entry != test]))
        source = read_class_folders(image_files, image_files)
        return Labelled(source.test, source.classes)
    where, values = f"data = {str(path)!r}", read_arrays(path)
    array_images = named_images(values, where, shape)
    name, value = first_of(values, LABELS, where)
    labels = labels_of(f"{where}, {name}", as_array(value), len(array_images.array))
    classes = Classes.of(f"{where}, {name}", labels, class_names(where, values))
    used = (first_of(values, IMAGES, where)[0], name, CLASS_NAMES)
    part = Part(array_images, classes.indices(labels, f"{where}, {name}", "index"))
    remark(path, *unused_values(values, used))
    return Labelled(part, classes)
