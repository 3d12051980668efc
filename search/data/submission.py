"""Predictions as a competition takes them: a CSV of two columns, with the ids that its sample asks for.

Ids are text and stay as they are written: 007 is not 7.
"""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from search.data.folders import IMAGE_SUFFIXES
from search.data.pickles import require_file
from search.data.remarks import remark
from search.data.unlabelled import Unlabelled, require_different
from search.errors import DataError, InputError
from search.files import why
from search.quantities import brief, plural

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet runs


class Header(NamedTuple):
    """The names of the columns of ids and of labels."""

    ids: str = "id"
    labels: str = "label"


def parse_header(text: str) -> Header:
    """The two names in a line of CSV, as in ID,Labels.

    Raises:
        InputError: there are not two different ones, or they are not on one line.
    """
    rule = "must be the names of two columns, as in ID,Labels"
    if not text.isprintable():
        raise InputError(f"header = {brief(text)!r}: holds a line break or another control character; {rule}")
    try:
        (names,) = csv.reader([text], skipinitialspace=True, strict=True) if text else [[]]
    except csv.Error as error:
        raise InputError(f"header = {brief(text)!r}: {error}; {rule}") from error
    names = [name.strip() for name in names]
    if len(names) != 2 or not all(names):
        raise InputError(f"header = {brief(text)!r}: has {plural(sum(map(bool, names)), 'name')}; {rule}")
    if names[0] == names[1]:
        raise InputError(f"header = {brief(text)!r}: its names are the same; {rule}")
    return Header(*names)


def rows_of(images: Unlabelled, sample: Path | None) -> list[tuple[str, int]]:
    """The ids to be written in order, each with the index of its image.

    With a sample they are its ids in its order. Images that have ids are found by them, also where the sample writes
    the ending of their file; images that have none take the sample's one after the other.

    Raises:
        DataError: the sample cannot be read, has not as many ids as there are images, has one twice, or has another.
    """
    if sample is None:
        return [(id, index) for index, id in enumerate(images.ids)]
    where, ids = f"ids = {str(sample)!r}", read_sample(sample)
    if len(ids) != len(images.ids):
        have = f"has {plural(len(ids), 'id')} below its header, for {plural(len(images.ids), 'image')}"
        raise DataError(f"{where}: {have}; must have one for each")
    index_of = {id: index for index, id in enumerate(images.ids)}
    names = ids if all(id in index_of for id in ids) else tuple(map(_without_ending, ids))
    unknown = next((id for id, name in zip(ids, names, strict=True) if name not in index_of), None)
    if unknown is None:
        require_different(where, names)
        return [(id, index_of[name]) for id, name in zip(ids, names, strict=True)]
    if images.are_named:
        have = f"those of the images are {brief(', '.join(images.ids[:3]))}"
        raise DataError(f"{where}: no image has the id {brief(unknown)!r}; {have}{', ...' * (len(ids) > 3)}")
    remark(sample, "its ids are given to the images in order, for these have none", option="ids")
    return [(id, index) for index, id in enumerate(ids)]


def read_sample(path: Path) -> tuple[str, ...]:
    """The first column of a CSV file below its header, as text.

    Raises:
        DataError: the file cannot be read, has no rows, or one of them has no id, or two have the same, or commas do
            not divide its columns.
    """
    where = f"ids = {str(path)!r}"
    require_file(path, "ids")
    ids = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            names = next(lines, [])
            if len(names) == 1 and (mark := next((mark for mark in ";\t|" if mark in names[0]), None)):
                raise DataError(f"{where}: its columns are divided by {mark!r}; must be divided by commas")
            if len(names) > 1 and not names[0].strip():
                rule = "as an index of rows that pandas writes; the first column must hold the ids"
                raise DataError(f"{where}: its first column has no name, {rule}")
            for row in lines:
                if row and not row[0]:
                    raise DataError(f"{where}, line {lines.line_num}: has no id; every row must have one")
                ids += row[:1]
    except OSError as error:
        raise DataError(f"{where}: cannot be read: {why(error)}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{where}: cannot be read as CSV in UTF-8: {brief(error)}") from error
    if not ids:
        raise DataError(f"{where}: has no ids below its header; the first column must hold them")
    require_different(where, ids)
    return tuple(ids)


def write_submission(path: Path, header: Header, rows: Iterable[tuple[str, str]]) -> None:
    """Write the header and a row for each id and label, quoted where a comma, a quote or a line break is in them.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        plain, quoted = (
            csv.writer(file, lineterminator="\n", quoting=quoting) for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
        )
        for row in (header, *rows):
            # The csv module leaves alone a line break that is not its own.
            (quoted if "\r" in "".join(row) else plain).writerow(row)


def formula_among(texts: Sequence[str]) -> str | None:
    """The first of the texts that a spreadsheet would run as a formula; None if there is none."""
    return next((text for text in texts if text.startswith(_FORMULA) and not _is_number(text)), None)


def _is_number(text: str) -> bool:
    return text[0] in "+-" and text[1:].replace(".", "", 1).isdecimal()


def _without_ending(id: str) -> str:
    stem, dot, ending = id.rpartition(".")
    return stem if f"{dot}{ending}".lower() in IMAGE_SUFFIXES else id
