"""Images that came after training: unlabelled ones to be classified, and labelled ones to test on alone.

They need no training part, so more layouts are understood here than for data to search with: single Parquet files,
arrays x and y, and pickles as those of CIFAR and of competitions. Rows (N, values) are images of the network's shape.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from search.data.cache import write_array, writing
from search.data.datasets import fingerprint
from search.data.decoding import ArrayImages, ColourFound, Images, Part, brief, check_labels
from search.data.parquet import count_rows, image_rows, read_parquet
from search.data.pickles import is_text_or_numbers, read_pickle
from search.data.sources import (
    IMAGE_SUFFIXES,
    TEST_NAMES,
    array_images,
    array_labels,
    class_folders,
    encoded_files,
    load_arrays,
    read_class_folders,
)
from search.errors import DataError

# What arrays are called; the first that is there is meant.
IMAGES = ("x_test", "x", "images", "data")
LABELS = ("y_test", "y", "labels", "fine_labels")
IDS = ("ids", "id")
MAX_ID = 256  # characters
INPUTS = "a folder of images, Parquet, an .npz with x or images, or a CIFAR-style pickle with data"


class Shape(NamedTuple):
    """What a network takes: images of `size` x `size` pixels and 1 or 3 `channels`."""

    size: int
    channels: int


def has_both_parts(path: Path) -> bool:
    """Whether a training and a test part lie at a path, as `open_dataset` takes them.

    Raises:
        DataError: what lies there cannot be read.
    """
    try:
        if path.is_file():
            return path.suffix.lower() == ".npz" and bool(load_arrays(path, ("y_train",)))
        if files := _all_parquet(path):
            parts = {re.split(r"[-.]", file.name)[0] for file in files}
            return "train" in parts and not parts.isdisjoint(TEST_NAMES)
        return (path / "train").is_dir()
    except OSError as error:
        raise DataError(f"data = {str(path)!r}: cannot be read: {error.strerror or error}") from error


def read_labelled(path: Path, shape: Shape, num_classes: int) -> tuple[Part, tuple[str, ...]]:
    """The images of a set without a training part, and its classes: where it does not name them, the numbers from 0 of
    `num_classes`, of which some may have no image.

    Raises:
        DataError: no labelled images that can be read lie there, or one of no such class.
    """
    try:
        part, classes = _read_labelled(path, shape, _indices(num_classes))
    except OSError as error:
        raise DataError(f"data = {str(path)!r}: cannot be read: {error.strerror or error}") from error
    if not len(part.labels):
        raise DataError(f"data = {str(path)!r}: 0 images; there must be at least one")
    return part, classes


def read_unlabelled(path: Path, shape: Shape) -> tuple[Images, tuple[str, ...]]:
    """Images to be classified and their ids, in order.

    In a folder an id is a file's name without its ending, and files are in natural order, 2 before 10; elsewhere it is
    what an array of ids says, or else the index from 0.

    Raises:
        DataError: no images that can be read lie there, or two have the same id.
    """
    where = f"data = {str(path)!r}"
    try:
        images, ids = _read_unlabelled(path, shape)
    except OSError as error:
        raise DataError(f"{where}: cannot be read: {error.strerror or error}") from error
    if not ids:
        raise DataError(f"{where}: holds no images; must be {INPUTS}")
    ids = tuple(id.encode(errors="replace").decode() for id in ids)  # a file's name may be no text
    if len(set(ids)) < len(ids):
        twice, _ = Counter(ids).most_common(1)[0]
        raise DataError(f"{where}: two images have the id {brief(twice)!r}; ids must differ")
    return images, ids


def decode(images: Images, num_images: int, shape: Shape, path: Path) -> str:
    """Write images as a .npy file of uint8 (N, size, size, channels) in the cache. Returns the SHA-256 of its content.

    Raises:
        DataError: an image cannot be read, or is none that the network takes.
        StorageError: the file cannot be written.
    """
    size, channels = shape
    found = images.image_size()
    if found != size:
        raise DataError(f"image size = {found}: the network takes images of {size}x{size} pixels; none is resized")
    try:
        with writing(path.parent):
            full_shape = (num_images, size, size, channels)
            return write_array(path, full_shape, np.dtype(np.uint8), images.chunks(size, channels))
    except ColourFound:
        raise DataError("images: in colour; the network takes greyscale images") from None


def decode_labelled(part: Part, classes: tuple[str, ...], shape: Shape, images: Path, labels: Path) -> str:
    """Write images and labels (N,) as two .npy files in the cache. Returns the fingerprint, as `Dataset` has it.

    Raises:
        DataError, StorageError: as `decode`.
    """
    values = part.labels.astype("<i8")
    with writing(labels.parent):
        label_hash = write_array(labels, values.shape, values.dtype, [values])
    hashes = {"test-images": decode(part.images, len(values), shape, images), "test-labels": label_hash}
    return fingerprint(classes, *shape, hashes)


def _read_labelled(path: Path, shape: Shape, numbers: tuple[str, ...]) -> tuple[Part, tuple[str, ...]]:
    if files := _parquet_files(path):
        source = read_parquet(files, files, numbers)
        return source.test, source.classes
    if path.is_dir():
        test = next((path / name for name in TEST_NAMES if (path / name).is_dir()), path)
        images = class_folders(test)
        source = read_class_folders(images, images)
        return source.test, source.classes
    where, arrays = f"data = {str(path)!r}", _arrays(path)
    found, number = _images(arrays, where, shape)
    name, values = _named(arrays, LABELS, where)
    labels = array_labels(f"{where}, {name}", _array(values), number)
    check_labels(labels, len(numbers), f"{where}, {name}", "index")
    return Part(found, labels), numbers


def _read_unlabelled(path: Path, shape: Shape) -> tuple[Images, tuple[str, ...]]:
    where = f"data = {str(path)!r}"
    if not path.exists():
        raise DataError(f"{where}: no such file or folder; must be {INPUTS}")
    if files := _parquet_files(path):
        return image_rows(files), _indices(count_rows(files))
    if path.is_dir():
        visible = [file for file in path.iterdir() if file.is_file() and not file.name.startswith(".")]
        found = sorted((file for file in visible if file.suffix.lower() in IMAGE_SUFFIXES), key=_natural)
        return encoded_files(found), tuple(file.stem for file in found)
    arrays = _arrays(path)
    images, number = _images(arrays, where, shape)
    if not any(name in arrays for name in IDS):
        return images, _indices(number)
    name, values = _named(arrays, IDS, where)
    values = _array(values)
    if values.shape != (number,):
        raise DataError(f"{where}, {name}: has shape {values.shape}; must be ({number},), one for each image")
    return images, _ids(f"{where}, {name}", values)


def _ids(where: str, values: NDArray[Any]) -> tuple[str, ...]:
    rule = f"ids must be whole numbers of 64 bits, or text of at most {MAX_ID} characters"
    if not is_text_or_numbers(values):
        raise DataError(f"{where}: damaged; {rule}")
    ids: list[Any] = values.tolist()
    for index, value in enumerate(ids):
        if isinstance(value, bytes) and len(value) <= 4 * MAX_ID:
            ids[index] = value = value.decode(errors="replace")
        if not (len(value) <= MAX_ID if isinstance(value, str) else isinstance(value, int) and abs(value) < 2**64):
            raise DataError(f"{where}, index {index}: is no id; {rule}")
    return tuple(map(str, ids))


def _parquet_files(path: Path) -> list[Path]:
    """The Parquet files of a test part at a path, or else all."""
    files = _all_parquet(path)
    for name in TEST_NAMES:
        if part := [file for file in files if re.fullmatch(rf"{name}(-.*)?\.parquet", file.name)]:
            return part
    return files


def _all_parquet(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".parquet" else []
    found = (sorted(folder.glob("*.parquet")) for folder in (path, path / "data"))
    return next((visible for files in found if (visible := [f for f in files if not f.name.startswith(".")])), [])


def _arrays(path: Path) -> dict[str, Any]:
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise DataError(f"data = {str(path)!r}: one image; must be {INPUTS}")
    if path.suffix.lower() == ".npz":
        return dict(load_arrays(path, (*IMAGES, *LABELS, *IDS)))
    return read_pickle(path)


def _named(arrays: dict[str, Any], names: Sequence[str], where: str) -> tuple[str, Any]:
    name = next((name for name in names if name in arrays), None)
    if name is None:
        raise DataError(f"{where}: holds {brief(', '.join(arrays) or 'nothing')}; must hold {' or '.join(names)}")
    return name, arrays[name]


def _images(arrays: dict[str, Any], where: str, shape: Shape) -> tuple[ArrayImages, int]:
    name, array = _named(arrays, IMAGES, where)
    where = f"{where}, {name}"
    if not isinstance(array, np.ndarray):
        raise DataError(f"{where}: is no array; images must be one of uint8")
    if array.ndim == 2:  # rows of CIFAR: all of one channel after another
        size, channels = shape
        if array.shape[1] != channels * size**2:
            raise DataError(f"{where}: rows of {array.shape[1]} values; must have {channels * size**2} as the network")
        array = array.reshape(-1, channels, size, size).transpose(0, 2, 3, 1)
    images, number = array_images(where, array), len(array)
    if number and not array.size:  # a small file can say this of more images than memory holds
        raise DataError(f"{where}: has shape {array.shape}; images must have pixels")
    return images, number


def _array(values: Any) -> NDArray[Any]:
    """An array as it is; the list of a pickle as an array, of objects if they are not all whole numbers."""
    if isinstance(values, np.ndarray):
        return values
    items = values if isinstance(values, list) else [values]
    are_whole = all(isinstance(item, int) and abs(item) < 2**63 for item in items)
    return np.fromiter(items, dtype=np.int64 if are_whole else object, count=len(items))


def _indices(number: int) -> tuple[str, ...]:
    return tuple(map(str, range(number)))


def _natural(file: Path) -> list[str | int]:
    """Orders numbers in names by their value; text and numbers alternate."""
    return [int(part) if at % 2 else part for at, part in enumerate(re.split(r"([0-9]+)", file.name))]
