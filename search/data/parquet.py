"""Parquet files as the Hugging Face hub serves them: a column of encoded images, a column of labels.

Rows are counted from 0 in each file. Class names come from the metadata of the schema, where the hub puts them.
"""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from search.data.decoding import CHUNK, EncodedImages, Part, Source, brief, check_labels, numbered
from search.errors import DataError

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("label", "labels", "fine_label")
MAX_ROWS = 100_000_000  # of one file; a run of equal labels takes no room in it, and 8 bytes each in memory
# What pyarrow raises for a damaged file.
_DAMAGED = (pa.ArrowException, OSError, UnicodeDecodeError)


def read_parquet(train: Sequence[Path], test: Sequence[Path], classes: tuple[str, ...] | None) -> Source:
    """Read the labels of all files. `classes` are used where the files do not name theirs.

    Raises:
        DataError: a file, a column or a label is not as it must be.
    """
    images = {file: _image_column(file) for file in (*train, *test)}
    columns = {file: _label_column(file) for file in images}
    named = columns[train[0]][1]
    for file, (_, names) in columns.items():
        if names is not None and named is not None and names != named:
            raise DataError(f"{_where(file)}: its class names differ from those of {train[0].name}; must be the same")
    labels = {file: _labels(file, columns[file][0]) for file in columns}
    classes = named or classes or numbered(np.concatenate([labels[file] for file in train]))
    for file in columns:
        check_labels(labels[file], len(classes), _where(file), "row")

    def part(files: Sequence[Path]) -> Part:
        encoded = EncodedImages(partial(_rows, [(file, images[file]) for file in files]))
        return Part(encoded, np.concatenate([labels[file] for file in files]))

    return Source(part(train), part(test), classes)


def _where(file: Path) -> str:
    return f"data = {str(file)!r}"


def image_rows(files: Sequence[Path]) -> EncodedImages:
    """The images of all files, whether they have labels or not.

    Raises:
        DataError: a file or its image column is not as it must be.
    """
    return EncodedImages(partial(_rows, [(file, _image_column(file)) for file in files]))


def count_rows(files: Sequence[Path]) -> int:
    return sum(pq.read_metadata(file).num_rows for file in files)


def _schema(file: Path) -> pa.Schema:
    try:
        return pq.read_schema(file)
    except _DAMAGED as error:
        raise DataError(f"{_where(file)}: cannot be read as Parquet: {brief(error)}") from error


def _find_column(file: Path, kind: str, names: Sequence[str]) -> pa.Field:
    schema = _schema(file)
    column = next((name for name in names if name in schema.names), None)
    if column is None:
        have = brief(schema.names)
        raise DataError(f"{_where(file)}: has columns {have}; {kind} column must be {' or '.join(names)}")
    return schema.field(column)


def _image_column(file: Path) -> str:
    field = _find_column(file, "an image", IMAGE_COLUMNS)
    type_ = field.type
    if pa.types.is_struct(type_) and type_.get_field_index("bytes") >= 0:
        type_ = type_.field("bytes").type
    if not (pa.types.is_binary(type_) or pa.types.is_large_binary(type_)):
        raise DataError(f"{_where(file)}: column {field.name} is {brief(type_)}; must be binary or a struct with bytes")
    return str(field.name)


def _label_column(file: Path) -> tuple[str, tuple[str, ...] | None]:
    """The label column and the class names (None where the file does not tell)."""
    field = _find_column(file, "a label", LABEL_COLUMNS)
    if not pa.types.is_integer(field.type):
        raise DataError(f"{_where(file)}: column {field.name} is {brief(field.type)}; must be whole numbers")
    try:
        names = json.loads((_schema(file).metadata or {})[b"huggingface"])["info"]["features"][field.name]["names"]
    except (KeyError, TypeError, ValueError):
        return field.name, None
    named = isinstance(names, list) and bool(names) and all(isinstance(name, str) for name in names)
    return field.name, tuple(names) if named else None


def _labels(file: Path, column: str) -> NDArray[np.int64]:
    try:
        parquet = pq.ParquetFile(file)
        if parquet.metadata.num_rows > MAX_ROWS:
            raise DataError(f"{_where(file)}: has {parquet.metadata.num_rows:,} rows; must have {MAX_ROWS:,} at most")
        values = parquet.read(columns=[column]).column(0)
        if values.null_count:
            row = values.is_null().to_pylist().index(True)
            raise DataError(f"{_where(file)}, row {row}: has no {column}; every row must have one")
        return np.asarray(values.cast(pa.int64()).to_numpy(), dtype=np.int64)
    except _DAMAGED as error:
        raise DataError(f"{_where(file)}: column {column} cannot be read: {brief(error)}") from error


def _rows(columns: Sequence[tuple[Path, str]]) -> Iterator[tuple[str, bytes | Path]]:
    """Every encoded image, and where it stands."""
    for file, column in columns:
        row = 0
        try:
            for batch in pq.ParquetFile(file).iter_batches(CHUNK, columns=[column]):
                values = batch.column(0)
                if pa.types.is_struct(values.type):
                    values = values.flatten()[values.type.get_field_index("bytes")]
                for encoded in values.to_pylist():
                    if encoded is None:
                        raise DataError(f"{_where(file)}, row {row}: has no image bytes; every row must have them")
                    yield f"{_where(file)}, row {row}", encoded
                    row += 1
        except _DAMAGED as error:
            raise DataError(f"{_where(file)}: cannot be read after row {row}: {brief(error)}") from error
