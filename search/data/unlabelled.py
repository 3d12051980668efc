"""Unlabelled images to be classified, and their ids.

They come as a folder of images, Parquet files, arrays in an .npz file, or a pickle as those of CIFAR and competitions.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from search.data.arrays import IDS, INPUTS, as_array, first_of, named_images, read_arrays
from search.data.decoding import Images, Shape, brief
from search.data.folders import encoded_files, image_files
from search.data.parquet import count_rows, files_of_test_part, image_rows
from search.data.pickles import is_text_or_numbers
from search.errors import DataError

MAX_ID = 256  # characters


def read_unlabelled(path: Path, shape: Shape) -> tuple[Images, tuple[str, ...]]:
    """The images at a path and their ids, in order.

    In a folder, an id is a file's name without its suffix, and files are in natural order, 2 before 10. Elsewhere an id
    comes from an array of ids, or else is the index from 0.

    Raises:
        DataError: there are no images that can be read, or two have the same id.
    """
    where = f"data = {str(path)!r}"
    try:
        images, ids = _read(path, shape)
    except OSError as error:
        raise DataError(f"{where}: cannot be read: {error.strerror or error}") from error
    if not ids:
        raise DataError(f"{where}: holds no images; must be {INPUTS}")
    ids = tuple(id.encode(errors="replace").decode() for id in ids)  # the bytes of a file's name need not be text
    if len(set(ids)) < len(ids):
        twice, _ = Counter(ids).most_common(1)[0]
        raise DataError(f"{where}: two images have the id {brief(twice)!r}; ids must differ")
    return images, ids


def _read(path: Path, shape: Shape) -> tuple[Images, tuple[str, ...]]:
    where = f"data = {str(path)!r}"
    if not path.exists():
        raise DataError(f"{where}: no such file or folder; must be {INPUTS}")
    if files := files_of_test_part(path, labelled=False):
        return image_rows(files), _indices(count_rows(files))
    if path.is_dir():
        files = sorted((file for file in image_files(path) if file.is_file()), key=_natural)
        return encoded_files(files), tuple(file.stem for file in files)
    values = read_arrays(path)
    images = named_images(values, where, shape)
    num_images = len(images.array)
    if not any(name in values for name in IDS):
        return images, _indices(num_images)
    name, value = first_of(values, IDS, where)
    ids = as_array(value)
    if ids.shape != (num_images,):
        raise DataError(f"{where}, {name}: has shape {ids.shape}; must be ({num_images},), one for each image")
    return images, _ids(f"{where}, {name}", ids)


def _ids(where: str, values: NDArray[Any]) -> tuple[str, ...]:
    rule = f"ids must be whole numbers of 64 bits, or text of at most {MAX_ID} characters"
    if not is_text_or_numbers(values):
        raise DataError(f"{where}: damaged; {rule}")
    ids: list[Any] = values.tolist()
    for index, value in enumerate(ids):
        if isinstance(value, bytes) and len(value) <= 4 * MAX_ID:
            ids[index] = value = value.decode(errors="replace")
        if not (len(value) <= MAX_ID if isinstance(value, str) else isinstance(value, int) and abs(value) < 2**64):
            raise DataError(f"{where}, index {index}: not an id; {rule}")
    return tuple(map(str, ids))


def _indices(number: int) -> tuple[str, ...]:
    return tuple(map(str, range(number)))


def _natural(file: Path) -> list[str | int]:
    """Orders numbers in names by their value; text and numbers alternate."""
    return [int(part) if index % 2 else part for index, part in enumerate(re.split(r"([0-9]+)", file.name))]
