"""Data sets that are arrays already: .npz files, and the named values of CIFAR-style pickles.

Images are uint8 of shape (N, H, W), (N, H, W, 1) or (N, H, W, 3), or rows (N, values) as CIFAR's in pickles; labels
are whole numbers (N,) or (N, 1).
"""

import os
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.data.classes import Classes
from search.data.decoding import ArrayImages, Part, Shape, Source
from search.data.folders import IMAGE_SUFFIXES
from search.data.pickles import is_text_or_numbers, read_pickle, require_file
from search.errors import DataError
from search.quantities import brief, significant

# Names in files without a training part; the first that exists is taken.
IMAGES = ("x_test", "x", "images", "data")
LABELS = ("y_test", "y", "labels", "fine_labels")
IDS = ("ids", "id", "Ids", "Id", "IDS", "ID")
CLASS_NAMES = "class_names"
INPUTS = "a folder of images, Parquet, an .npz with x or images, or a CIFAR-style pickle with data"


def read_npz(path: Path, classes: tuple[str, ...] | None = None) -> Source:
    """The data set in an .npz file with x_train and x_test (images) and y_train and y_test (labels).

    If the file has no class_names, `classes` names the labels; without it, they are named by their numbers.

    Raises:
        DataError: the file is damaged, or lacks an array, or an array has another type or shape.
    """
    where, names = f"data = {str(path)!r}", ("x_train", "y_train", "x_test", "y_test")
    arrays, others = load_arrays(path, (*names, CLASS_NAMES))
    missing = [name for name in names if name not in arrays]
    if missing:
        holds = brief(", ".join((*arrays, *others)) or "nothing")
        raise DataError(f"{where}: has no {', '.join(missing)}, but {holds}; must hold {', '.join(names)}")
    images = {name: images_of(f"{where}, {name}", arrays[name]) for name in ("x_train", "x_test")}
    y_train = labels_of(f"{where}, y_train", arrays["y_train"], len(arrays["x_train"]))
    y_test = labels_of(f"{where}, y_test", arrays["y_test"], len(arrays["x_test"]))
    found = Classes.of(f"{where}, y_train", y_train, class_names(where, arrays) or classes)
    return Source(
        Part(images["x_train"], found.indices(y_train, f"{where}, y_train", "index")),
        Part(images["x_test"], found.indices(y_test, f"{where}, y_test", "index")),
        found,
        unused_values(others, ()),
    )


def load_arrays(path: Path, names: Sequence[str]) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """Those of the named arrays that an .npz file holds, by name, and the names of the others.

    Raises:
        DataError: the file is damaged, holds Python objects, or needs more memory than this machine has.
    """
    where = f"data = {str(path)!r}"
    try:
        with zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as file:
            # The sizes stated here are the most that will be read: kilobytes may be compressed terabytes.
            members = [member for member in archive.infolist() if member.filename.removesuffix(".npy") in names]
            others = tuple(name for name in dict.fromkeys(file.files) if name not in names)
            size = sum(member.file_size for member in members)
            if size > memory():
                most = f"{significant(memory() / 1e9)} GB of memory that this machine has"
                raise DataError(f"{where}: its arrays need {significant(size / 1e9)} GB; must fit into the {most}")
            return {name: file[name] for name in names if name in file.files}, others
    except DataError:
        raise
    # RuntimeError: encrypted. MemoryError: a header that states an absurd shape.
    except (OSError, ValueError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{where}: cannot be read as .npz without Python objects: {brief(error)}") from error


def read_arrays(path: Path) -> dict[str, Any]:
    """The values of a file without a training part: all that a pickle holds, or arrays under `IMAGES`, `LABELS`, `IDS`
    and `CLASS_NAMES` of an .npz file, with None for each that has another name.

    Raises:
        DataError: the file cannot be read, or is an image, or is no file.
    """
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise DataError(f"data = {str(path)!r}: one image; must be {INPUTS}")
    require_file(path)
    if path.suffix.lower() == ".npz":
        arrays, others = load_arrays(path, (*IMAGES, *LABELS, *IDS, CLASS_NAMES))
        return arrays | dict.fromkeys(others)
    return read_pickle(path)


def unused_values(names: Iterable[str], used: Sequence[str | None]) -> tuple[str, ...]:
    """A note of the names in an .npz file or pickle of what is not used; none if all is."""
    unused = tuple(name for name in names if name not in used)
    return (f"not used: {brief(', '.join(unused))}",) if unused else ()


def memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def images_of(where: str, array: NDArray[Any]) -> ArrayImages:
    """The array as images; `where` names it in errors.

    Raises:
        DataError: its type or shape is not that of images.
    """
    if array.dtype != np.uint8:
        raise DataError(f"{where}: has type {array.dtype}; images must be uint8, 0 to 255")
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3)):
        rule = "must be (N, H, W), (N, H, W, 1) or (N, H, W, 3)"
        raise DataError(f"{where}: has shape {array.shape}; {rule}")
    return ArrayImages(where, array[..., None] if array.ndim == 3 else array)


def named_images(values: dict[str, Any], where: str, shape: Shape) -> ArrayImages:
    """The images among the named values of the file `where`. Rows become images of the size of `shape`, in greyscale or
    colour: they hold one channel after the other.

    Raises:
        DataError: there are none, or their type or shape is not that of images.
    """
    name, array = first_of(values, IMAGES, where)
    where = f"{where}, {name}"
    if not isinstance(array, np.ndarray):
        raise DataError(f"{where}: not an array; images must be one of uint8")
    if array.ndim == 2:
        size, channels = shape.size, array.shape[1] // shape.size**2
        if array.shape[1] not in (size**2, 3 * size**2):
            needed = f"{size**2} or {3 * size**2}, for the {size}x{size} pixels that the network takes"
            raise DataError(f"{where}: rows of {array.shape[1]} values; must have {needed}")
        array = array.reshape(-1, channels, size, size).transpose(0, 2, 3, 1)
    images = images_of(where, array)
    if len(array) and not array.size:  # a small file may state more such images than memory holds
        raise DataError(f"{where}: has shape {array.shape}; images must have pixels")
    return images


def labels_of(where: str, array: NDArray[Any], num_images: int) -> NDArray[np.int64]:
    """The array as labels (num_images,); `where` names it in errors.

    Raises:
        DataError: it is not of whole numbers, or has another shape.
    """
    if array.dtype.kind not in "iu" or array.shape not in ((num_images,), (num_images, 1)):
        rule = f"must be whole numbers of shape ({num_images},)"
        raise DataError(f"{where}: has type {array.dtype} and shape {array.shape}; {rule}")
    if array.size and array.max() > np.iinfo(np.int64).max:
        raise DataError(f"{where}: label = {array.max()}; labels must be whole numbers of 64 bits with a sign")
    return array.ravel().astype(np.int64)


def class_names(where: str, values: dict[str, Any]) -> tuple[str, ...] | None:
    """The names of labels from 0 on among the named values of the file `where`; None if there are none.

    Raises:
        DataError: they are not text.
    """
    if CLASS_NAMES not in values:
        return None
    names: list[Any] = np.atleast_1d(array := as_array(values[CLASS_NAMES])).tolist()
    names = [name.decode(errors="replace") if isinstance(name, bytes) else name for name in names]
    if not is_text_or_numbers(array) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{where}, {CLASS_NAMES}: must be text of shape (classes,)")
    return tuple(names)


def first_of(values: dict[str, Any], names: Sequence[str], where: str) -> tuple[str, Any]:
    """The first of the names that stands in a file, and its value.

    Raises:
        DataError: none of them does.
    """
    name = next((name for name in names if name in values), None)
    if name is None:
        raise DataError(f"{where}: holds {brief(', '.join(values) or 'nothing')}; must hold {' or '.join(names)}")
    return name, values[name]


def as_array(value: Any) -> NDArray[Any]:
    """An array as it is; a list, a tuple or a single value of a pickle as an array (N,), of objects unless all are
    whole numbers of 64 bits."""
    if isinstance(value, np.ndarray):
        return value
    items = value if isinstance(value, list | tuple) else [value]
    are_whole = all(isinstance(item, int) and not isinstance(item, bool) and abs(item) < 2**63 for item in items)
    return np.fromiter(items, dtype=np.int64 if are_whole else object, count=len(items))
