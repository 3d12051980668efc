"""Parquet files as the Hugging Face hub serves them: a column of encoded images, a column of labels.

Rows are counted from 0 in each file. Class names come from the metadata of the schema, where the hub puts them.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from search.data.classes import Classes
from search.data.decoding import CHUNK, EncodedImages, Part, Source
from search.data.remarks import remark
from search.data.shards import by_part, parquet_files, remark_unused_files, require_whole
from search.data.splits import TEST_NAMES
from search.errors import DataError
from search.quantities import brief

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("label", "labels", "fine_label")
MAX_ROWS = 100_000_000  # of one file: equal labels take no room in it, but 8 bytes each in memory
_IDS = (pa.types.is_integer, pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
# What pyarrow raises for a damaged file.
_DAMAGED = (pa.ArrowException, OSError, UnicodeDecodeError)


def read_parquet(train: Sequence[Path], test: Sequence[Path], classes: tuple[str, ...] | None) -> Source:
    """The data set of training and test files. Their labels are read; `classes` names them where the files do not.

    Raises:
        DataError: a file is damaged, a column is missing or of another type, or a label is not a class.
    """
    images = {file: image_column(file) for file in (*train, *test)}
    columns = {file: _label_column(file) for file in images}
    first, named = next(((file, names) for file, (_, names) in columns.items() if names), (train[0], None))
    for file, (_, names) in columns.items():
        if names is not None and names != named:
            raise DataError(f"{_where(file)}: its class names differ from those of {first.name}; must be the same")
    labels = {file: _labels(file, columns[file][0]) for file in columns}
    for part_files in (train, test):
        if all(len(labels[file]) and (labels[file] == -1).all() for file in part_files):
            beside = "" if part_files is train else ", or stand beside a labelled validation-*.parquet"
            rule = f"must be labelled{beside}"
            raise DataError(f"{_where(part_files[0])}: every label is -1, so that it is an unlabelled part; {rule}")
    found = Classes.of(_where(first), np.concatenate([labels[file] for file in train]), named or classes)

    def part(files: Sequence[Path]) -> Part:
        encoded = EncodedImages(partial(_rows, [(file, images[file]) for file in files]))
        return Part(encoded, np.concatenate([found.indices(labels[file], _where(file), "row") for file in files]))

    used = {name for file in columns for name in (images[file], columns[file][0])}
    return Source(part(train), part(test), found, unused_columns(tuple(columns), used))


def files_of_test_part(path: Path, labelled: bool) -> list[Path]:
    """Those Parquet files at a path that are called a test part, or all if none is; none if there are no Parquet files.

    Args:
        labelled: pass over a test part without labels where there is one with labels.

    Raises:
        DataError: there are several data sets, a shard is missing, or a file cannot be read.
        OSError: a folder cannot be read.
    """
    files = parquet_files(path)
    parts = by_part(files)
    chosen = (
        list(parts[choose_test_part(path, parts, labelled)]) if any(name in parts for name in TEST_NAMES) else files
    )
    if path.is_dir():  # a single file is what was asked for
        require_whole(chosen)
    remark_unused_files(path, files, chosen)
    return chosen


def choose_test_part(path: Path, parts: Mapping[str, Sequence[Path]], labelled: bool = True) -> str:
    """The name of the test part among the parts, of which one must be: the first that is labelled, if it must be and
    any is.

    Raises:
        DataError: a file cannot be read.
    """
    names = [name for name in TEST_NAMES if name in parts]
    unlabelled = list(takewhile(lambda name: not _is_labelled(parts[name]), names if labelled and names[1:] else []))
    if unlabelled == names:
        return names[0]
    chosen = names[len(unlabelled)]
    for name in unlabelled:
        remark(path, f"its part {name} is not labelled, and is not used; {chosen} is")
    return chosen


def _where(file: Path) -> str:
    return f"data = {str(file)!r}"


def column_names(files: Sequence[Path]) -> tuple[str, ...]:
    """The columns that any of the files has.

    Raises:
        DataError: a file is damaged.
    """
    return tuple(dict.fromkeys(name for file in files for name in _schema(file).names))


def image_rows(files: Sequence[Path]) -> EncodedImages:
    """The images of all files, which need not have labels.

    Raises:
        DataError: a file is damaged, or has no column of images.
    """
    return EncodedImages(partial(_rows, [(file, image_column(file)) for file in files]))


def name_images(files: Sequence[Path]) -> bool:
    """Whether the files name their images, as the hub does beside the bytes.

    Raises:
        DataError: a file is damaged, or has no column of images.
    """
    for file in files:
        column = image_column(file)
        type_ = _schema(file).field(column).type
        if not pa.types.is_struct(type_) or type_.get_field_index("path") < 0:
            continue
        try:
            paths = pq.ParquetFile(file).iter_batches(columns=[f"{column}.path"])
            if any(batch.column(0).flatten()[0].null_count < len(batch) for batch in paths):
                return True
        except _DAMAGED as error:
            raise DataError(f"{_where(file)}: column {column} cannot be read: {brief(error)}") from error
    return False


def count_rows(files: Sequence[Path]) -> int:
    """The rows of all files.

    Raises:
        DataError: one cannot be read.
    """
    return sum(_metadata(file).num_rows for file in files)


def _metadata(file: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(file)
    except _DAMAGED as error:
        raise DataError(f"{_where(file)}: cannot be read as Parquet: {brief(error)}") from error


def _is_labelled(files: Sequence[Path]) -> bool:
    """Whether any row has a label: the hub gives rows without one the label -1, or none."""
    for file in files:
        column = next((name for name in LABEL_COLUMNS if name in _schema(file).names), None)
        if column is None:
            continue
        try:
            for batch in pq.ParquetFile(file).iter_batches(columns=[column]):
                if any(label is not None and label != -1 for label in batch.column(0).unique().to_pylist()):
                    return True
        except _DAMAGED as error:
            raise DataError(f"{_where(file)}: column {column} cannot be read: {brief(error)}") from error
    return False


def unused_columns(files: Sequence[Path], used: Collection[str | None]) -> tuple[str, ...]:
    """A note of the columns of all files that are not used; none if all are.

    Raises:
        DataError: a file is damaged.
    """
    unused = tuple(name for name in column_names(files) if name not in used)
    return (f"columns not used: {brief(', '.join(unused))}",) if unused else ()


def read_ids(files: Sequence[Path], column: str) -> Iterator[tuple[str, int | str]]:
    """The value of every row of a column, and where it is.

    Raises:
        DataError: a file is damaged, does not have the column, or has neither text nor whole numbers in it.
    """
    for file in files:
        kind = _find_column(file, "an id", (column,)).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not any(is_kind(kind) for is_kind in _IDS):
            raise DataError(f"{_where(file)}: column {column} is {brief(kind)}; ids must be text or whole numbers")
        row = 0
        try:
            for batch in pq.ParquetFile(file).iter_batches(CHUNK, columns=[column]):
                for value in batch.column(0).to_pylist():
                    if value is None:
                        raise DataError(f"{_where(file)}, row {row}: has no {column}; every row must have one")
                    yield f"{_where(file)}, row {row}", value
                    row += 1
        except _DAMAGED as error:
            raise DataError(f"{_where(file)}: cannot be read after row {row}: {brief(error)}") from error


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
    if schema.names.count(column) > 1:
        raise DataError(f"{_where(file)}: has several columns {column}; must have one")
    return schema.field(column)


def image_column(file: Path) -> str:
    """The name of the column of images.

    Raises:
        DataError: the file is damaged, has none, or has something else there.
    """
    field = _find_column(file, "an image", IMAGE_COLUMNS)
    type_ = field.type
    if pa.types.is_struct(type_) and type_.get_field_index("bytes") >= 0:
        type_ = type_.field("bytes").type
    if not any(is_kind(type_) for is_kind in _BYTES):
        raise DataError(f"{_where(file)}: column {field.name} is {brief(type_)}; must be binary or a struct with bytes")
    return str(field.name)


def _label_column(file: Path) -> tuple[str, tuple[str, ...] | None]:
    """The label column, and the class names if the file has them."""
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
    """Every encoded image, and where it is."""
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
