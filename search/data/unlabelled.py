"""Unlabelled images to be classified, and their ids.

They come as a folder of images, Parquet files, arrays in an .npz file, or a pickle as those of CIFAR and competitions.
"""

import re
from collections import Counter
from collections.abc import Container, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from search.data.arrays import (
    CLASS_NAMES,
    IDS,
    IMAGES,
    INPUTS,
    as_array,
    first_of,
    named_images,
    read_arrays,
    unused_values,
)
from search.data.decoding import Images, Shape
from search.data.folders import encoded_files, image_files
from search.data.parquet import (
    column_names,
    count_rows,
    files_of_test_part,
    image_column,
    image_rows,
    name_images,
    read_ids,
    unused_columns,
)
from search.data.pickles import is_text_or_numbers
from search.data.remarks import remark
from search.errors import DataError
from search.files import why
from search.quantities import brief

MAX_ID = 256  # characters
_RULE = f"ids must be whole numbers of 64 bits, or text of at most {MAX_ID} characters"


class Unlabelled(NamedTuple):
    """Images, and the id of each; without `are_named` it is the index of the image."""

    images: Images
    ids: tuple[str, ...]
    are_named: bool = True


def read_unlabelled(path: Path, shape: Shape) -> Unlabelled:
    """The images at a path and their ids, in order.

    In a folder, an id is a file's name without its suffix, and files are in natural order, 2 before 10. Elsewhere an id
    comes from an array or column of ids, or else is the index from 0.

    Raises:
        DataError: there are no images that can be read, or two have the same id.
    """
    where = f"data = {str(path)!r}"
    try:
        images, ids, are_named = _read(path, shape)
    except OSError as error:
        raise DataError(f"{where}: cannot be read: {why(error)}") from error
    if not ids:
        raise DataError(f"{where}: holds no images; must be {INPUTS}")
    ids = tuple(id.encode(errors="replace").decode() for id in ids)  # the bytes of a file's name need not be text
    require_different(where, ids)
    return Unlabelled(images, ids, are_named)


def require_different(where: str, ids: Sequence[str]) -> None:
    """
    Raises:
        DataError: two of the ids are the same.
    """
    if len(set(ids)) < len(ids):
        twice, _ = Counter(ids).most_common(1)[0]
        raise DataError(f"{where}: two images have the id {brief(twice)!r}; ids must differ")


def _read(path: Path, shape: Shape) -> Unlabelled:
    where = f"data = {str(path)!r}"
    if not path.exists():
        raise DataError(f"{where}: no such file or folder; must be {INPUTS}")
    if files := files_of_test_part(path, labelled=False):
        return _read_parquet(path, files)
    if path.is_dir():
        files = sorted((file for file in image_files(path) if file.is_file()), key=_natural)
        return Unlabelled(encoded_files(files), tuple(file.stem for file in files))
    values = read_arrays(path)
    images = named_images(values, where, shape)
    num_images = len(images.array)
    name = _id_name(values)
    remark(path, *unused_values(values, (first_of(values, IMAGES, where)[0], name, CLASS_NAMES)))
    if name is None:
        return Unlabelled(images, _indices(num_images), are_named=False)
    ids = as_array(values[name])
    if ids.shape == (num_images, 1):
        ids = ids[:, 0]
    if ids.shape != (num_images,):
        raise DataError(f"{where}, {name}: has shape {ids.shape}; must be ({num_images},), one for each image")
    if not is_text_or_numbers(ids):
        raise DataError(f"{where}, {name}: damaged; {_RULE}")
    texts = tuple(_id(f"{where}, {name}, index {index}", value) for index, value in enumerate(ids.tolist()))
    return Unlabelled(images, texts)


def _read_parquet(path: Path, files: Sequence[Path]) -> Unlabelled:
    images, column = image_rows(files), _id_name(column_names(files))
    ids = tuple(_id(*row) for row in read_ids(files, column)) if column else _indices(count_rows(files))
    if column is None and name_images(files):
        remark(path, "its images have names, which are not used: ids come from a column ids or id, or are the index")
    used = {column, *map(image_column, files)}
    remark(path, *unused_columns(files, used))
    return Unlabelled(images, ids, are_named=column is not None)


def _id_name(names: Container[str]) -> str | None:
    """The one of the names that is taken for ids."""
    return next((name for name in IDS if name in names), None)


def _id(where: str, value: Any) -> str:
    if isinstance(value, bytes) and len(value) <= 4 * MAX_ID:
        with suppress(UnicodeDecodeError):
            value = value.decode()
    if value == "":
        raise DataError(f"{where}: the id is empty; {_RULE}")
    is_text, is_whole = isinstance(value, str), isinstance(value, int) and not isinstance(value, bool)
    if not (len(value) <= MAX_ID if is_text else is_whole and abs(value) < 2**64):
        raise DataError(f"{where}: not an id; {_RULE}")
    return str(value)


def _indices(number: int) -> tuple[str, ...]:
    return tuple(map(str, range(number)))


def _natural(file: Path) -> list[str | int]:
    """Orders numbers in names by their value; text and numbers alternate."""
    return [int(part) if index % 2 else part for index, part in enumerate(re.split(r"([0-9]+)", file.name))]
