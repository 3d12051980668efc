"""Where a data set is read from: Parquet files, folders of images, an .npz file, or scikit-learn.

`find` only looks at file names, so that a data set that was decoded before costs no more than that. What it returns
reads the labels and hands out the images, still encoded.
"""

import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.data.decoding import ArrayImages, EncodedImages, Part, Source, brief, check_labels, numbered
from search.data.parquet import read_parquet
from search.errors import DataError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif")
TEST_NAMES = ("test", "val", "valid", "validation")
TEST_FRACTION, TEST_SEED = 0.2, 0
LAYOUTS = "train-*.parquet and test-*.parquet, or train/<class>/* and test/<class>/*, or <class>/* of images"


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of a data set, and how they are read. `read` raises DataError."""

    files: tuple[Path, ...]
    read: Callable[[], Source]


def find(path: Path, classes: tuple[str, ...] | None = None) -> Layout:
    """Recognise what lies at a path. `classes` are used where the files do not name theirs.

    Raises:
        DataError: nothing that can be read lies there.
    """
    try:
        if path.is_file():
            if path.suffix.lower() == ".npz":
                return Layout((path,), partial(read_npz, path, classes))
            raise DataError(f"data = {str(path)!r}: must be a folder or an .npz file")
        return _find_parquet(path, classes) or _find_images(path)
    except OSError as error:
        raise DataError(f"data = {str(path)!r}: cannot be read: {error.strerror or error}") from error


def set_aside(labels: NDArray[np.int64], fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorted indices (kept, set aside): the fraction of every class, drawn by a generator seeded with `seed`.

    A class with at least 2 images has at least one on either side; of a single image none is set aside.
    """
    generator = np.random.default_rng(seed)
    aside = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        num_aside = min(max(round(fraction * len(members)), 1), len(members) - 1)
        aside[members[:num_aside]] = True
    return np.flatnonzero(~aside), np.flatnonzero(aside)


def read_digits() -> Source:
    """The 1,797 greyscale digits of 8x8 pixels that come with scikit-learn; a fifth is the test set."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int64)
    parts = set_aside(labels, TEST_FRACTION, TEST_SEED)
    train, test = (Part(ArrayImages("digits", images[part]), labels[part]) for part in parts)
    return Source(train, test, tuple(str(name) for name in digits.target_names))


def read_npz(path: Path, classes: tuple[str, ...] | None = None) -> Source:
    """A file with x_train and x_test of shape (N, H, W), (N, H, W, 1) or (N, H, W, 3), and y_train and y_test (N,).

    Raises:
        DataError: the file or an array in it is not so.
    """
    where, names = f"data = {str(path)!r}", ("x_train", "y_train", "x_test", "y_test")
    arrays = load_arrays(path, names)
    missing = [name for name in names if name not in arrays]
    if missing:
        raise DataError(f"{where}: has no {', '.join(missing)}; must hold {', '.join(names)}")
    images = {name: array_images(f"{where}, {name}", arrays[name]) for name in ("x_train", "x_test")}
    y_train = array_labels(f"{where}, y_train", arrays["y_train"], len(arrays["x_train"]))
    y_test = array_labels(f"{where}, y_test", arrays["y_test"], len(arrays["x_test"]))
    classes = classes or numbered(y_train)
    for name, labels in (("y_train", y_train), ("y_test", y_test)):
        check_labels(labels, len(classes), f"{where}, {name}", "index")
    return Source(Part(images["x_train"], y_train), Part(images["x_test"], y_test), classes)


def load_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Those of the named arrays that an .npz file holds.

    Raises:
        DataError: the file is damaged, holds Python objects, or more than fits into memory.
    """
    where = f"data = {str(path)!r}"
    try:
        with zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as file:
            # What is said here is the most that will be read: an archive of some kilobytes may say terabytes.
            size = sum(each.file_size for each in archive.infolist() if each.filename.removesuffix(".npy") in names)
            if size > memory():
                most = f"{memory() / 1e9:.3g} GB of memory that this machine has"
                raise DataError(f"{where}: its arrays need {size / 1e9:.3g} GB; must fit into the {most}")
            return {name: file[name] for name in names if name in file}
    except DataError:
        raise
    # RuntimeError: encrypted. MemoryError: a header that claims an absurd shape.
    except (OSError, ValueError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{where}: cannot be read as .npz without Python objects: {brief(error)}") from error


def array_images(where: str, array: NDArray[Any]) -> ArrayImages:
    """Images from an array (N, H, W), (N, H, W, 1) or (N, H, W, 3) of uint8.

    Raises:
        DataError: it is another array.
    """
    if array.dtype != np.uint8:
        raise DataError(f"{where}: has type {array.dtype}; images must be uint8, 0 to 255")
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3)):
        rule = "must be (N, H, W), (N, H, W, 1) or (N, H, W, 3)"
        raise DataError(f"{where}: has shape {array.shape}; {rule}")
    return ArrayImages(where, array[..., None] if array.ndim == 3 else array)


def array_labels(where: str, array: NDArray[Any], num_images: int) -> NDArray[np.int64]:
    """Labels (N,) from whole numbers (N,) or (N, 1).

    Raises:
        DataError: it is another array.
    """
    if array.dtype.kind not in "iu" or array.shape not in ((num_images,), (num_images, 1)):
        rule = f"must be whole numbers of shape ({num_images},)"
        raise DataError(f"{where}: has type {array.dtype} and shape {array.shape}; {rule}")
    return array.ravel().astype(np.int64)


def memory() -> int:
    """Bytes of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _find_parquet(path: Path, classes: tuple[str, ...] | None) -> Layout | None:
    for folder in (path, path / "data"):
        files = sorted(f for f in folder.glob("*.parquet") if not f.name.startswith(".")) if folder.is_dir() else []
        parts = {
            name: tuple(f for f in files if re.fullmatch(rf"{name}(-.*)?\.parquet", f.name))
            for name in ("train", *TEST_NAMES)
        }
        test = next((parts[name] for name in TEST_NAMES if parts[name]), ())
        if parts["train"] and test:
            return Layout(parts["train"] + test, partial(read_parquet, parts["train"], test, classes))
        if files:
            missing = "test-*.parquet (or validation-*.parquet)" if parts["train"] else "train-*.parquet"
            raise DataError(f"data = {str(folder)!r}: holds Parquet files but no {missing}; both parts are needed")
    return None


def _find_images(path: Path) -> Layout:
    if not (path / "train").is_dir():
        files = class_folders(path)
        return Layout(tuple(file for file, _ in files), partial(read_class_folders, files, None))
    test = next((path / name for name in TEST_NAMES if (path / name).is_dir()), None)
    if test is None:
        advice = f"pass {str(path / 'train')!r} to have a fifth of it set aside as test images"
        raise DataError(f"data = {str(path)!r}: has train but no {', '.join(TEST_NAMES)} beside it; {advice}")
    parts = class_folders(path / "train"), class_folders(test)
    unknown = sorted({name for _, name in parts[1]} - {name for _, name in parts[0]})
    if unknown:
        raise DataError(f"data = {str(test / unknown[0])!r}: is no class of {str(path / 'train')!r}; must be one")
    return Layout(tuple(file for files in parts for file, _ in files), partial(read_class_folders, *parts))


def class_folders(folder: Path) -> list[tuple[Path, str]]:
    """Every image below the class folders of a folder, with its class."""
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise DataError(f"data = {str(folder)!r}: holds nothing that can be read; must be laid out as {LAYOUTS}")
    files: list[tuple[Path, str]] = []
    for entry in classes:
        visible = (file for file in sorted(entry.iterdir()) if not file.name.startswith("."))
        images = [file for file in visible if file.suffix.lower() in IMAGE_SUFFIXES]
        if not images:
            suffixes = " ".join(IMAGE_SUFFIXES)
            raise DataError(f"data = {str(entry)!r}: holds no images ({suffixes}); the layout must be {LAYOUTS}")
        files += [(image, entry.name) for image in images]
    return files


def read_class_folders(train: Sequence[tuple[Path, str]], test: Sequence[tuple[Path, str]] | None) -> Source:
    """Training and test images with their classes; without test images a fifth of each class is set aside for it."""
    classes = tuple(sorted({name for _, name in train}))
    number = {name: label for label, name in enumerate(classes)}
    if test is None:
        kept, aside = set_aside(np.array([number[name] for _, name in train]), TEST_FRACTION, TEST_SEED)
        train, test = [train[i] for i in kept], [train[i] for i in aside]

    def part(files: Sequence[tuple[Path, str]]) -> Part:
        labels = np.array([number[name] for _, name in files], dtype=np.int64)
        return Part(encoded_files([file for file, _ in files]), labels)

    return Source(part(train), part(test), classes)


def encoded_files(files: Sequence[Path]) -> EncodedImages:
    def items() -> Iterator[tuple[str, bytes | Path]]:
        return ((f"data = {str(file)!r}", file) for file in files)

    return EncodedImages(items)
