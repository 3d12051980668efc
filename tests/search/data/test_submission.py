"""Submissions have the header, the ids and the order that are asked for, and each fault is one line."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_sets import COLOUR, IMAGES, write_folder, write_npz, write_pickle

from search.data.decoding import ArrayImages
from search.data.submission import formula_among, parse_header, read_sample, rows_of, write_submission
from search.data.unlabelled import Unlabelled, read_unlabelled
from search.errors import DataError, InputError


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("ID,Labels", ("ID", "Labels")),
        ("ID, Labels ", ("ID", "Labels")),
        ('"id, of the image",label', ("id, of the image", "label")),
        ('id,"the ""label"""', ("id", 'the "label"')),
        ("größe,ラベル", ("größe", "ラベル")),
    ],
)
def test_a_header_is_a_line_of_csv(text: str, header: tuple[str, str], tmp_path: Path) -> None:
    assert parse_header(text) == header
    write_submission(tmp_path / "s.csv", parse_header(text), [("7", "1")])
    with (tmp_path / "s.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [list(header), ["7", "1"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "header = '': has 0 names; must be"),
        ("ID", "header = 'ID': has 1 name; must be the names of two columns, as in ID,Labels"),
        ("ID,", "has 1 name"),
        (",Labels", "has 1 name"),
        ("a,b,c", "has 3 names"),
        ("ID;Labels", "has 1 name"),
        ("ID,ID", "its names are the same"),
        ("ID,\nLabels", "holds a line break or another control character"),
        ("ID,\rLabels", "holds a line break"),
        ("ID,\0Labels", "control character"),
        ('"ID,Labels', "unexpected end of data"),
        ('"ID"x,Labels', "expected after"),
    ],
)
def test_another_header_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_header(text)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_what_stands_in_a_row_is_read_back_as_it_was(tmp_path: Path) -> None:
    rows = [("007", "dog, wild"), ('a"b', "cat"), ("c\nd", "x"), ("e\rf", "y"), (" g ", "z"), ("=1+2", "-3")]
    write_submission(tmp_path / "s.csv", parse_header("ID,Labels"), rows)
    with (tmp_path / "s.csv").open(encoding="utf-8", newline="") as file:
        assert list(map(tuple, csv.reader(file))) == [("ID", "Labels"), *rows]


def test_only_what_a_spreadsheet_would_run_is_taken_for_a_formula() -> None:
    assert formula_among(["7", "-7", "+7.5", "a=b", ""]) is None
    for text in ("=1", "=1+2", "@SUM(A1)", "-2+3", "+cmd|' /C calc'!A0", "\t=1"):
        assert formula_among(["7", text]) == text


def sample(folder: Path, *ids: str, start: str = "ID,Labels\n") -> Path:
    path = folder / "sample.csv"
    path.write_text(start + "".join(f"{id},0\n" for id in ids), encoding="utf-8")
    return path


def of(*ids: str, are_named: bool = True) -> Unlabelled:
    return Unlabelled(ArrayImages("images", IMAGES[: len(ids)]), ids, are_named)


def test_a_sample_says_the_ids_as_text_and_their_order(tmp_path: Path) -> None:
    assert rows_of(of("1", "2"), None) == [("1", 0), ("2", 1)]
    assert rows_of(of("007", "7", "1"), sample(tmp_path, "7", "1", "007")) == [("7", 1), ("1", 2), ("007", 0)]
    assert rows_of(of("a", "b"), sample(tmp_path, "b.jpg", "a.PNG")) == [("b.jpg", 1), ("a.PNG", 0)]
    assert rows_of(of("0", "1", are_named=False), sample(tmp_path, "1", "0")) == [("1", 1), ("0", 0)]


def test_images_without_ids_take_those_of_the_sample_in_order_and_that_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = sample(tmp_path, "007", "x")
    assert rows_of(of("0", "1", are_named=False), path) == [("007", 0), ("x", 1)]
    assert caplog.messages == [f"ids = {str(path)!r}: its ids are given to the images in order, for these have none"]


def test_a_sample_is_read_however_it_was_saved(tmp_path: Path) -> None:
    assert read_sample(sample(tmp_path, "1", '"2, x"', "é", start="\ufeffid,label\n\n")) == ("1", "2, x", "é")
    (tmp_path / "a.csv").write_bytes(b"id\r\n007\r\n08\r\n")
    assert read_sample(tmp_path / "a.csv") == ("007", "08")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: sample(path, "1"), "has 1 id below its header, for 2 images; must have one for each"),
        (lambda path: sample(path, "1", "2", "3"), "has 3 ids below its header, for 2 images"),
        (lambda path: sample(path, "1", "9"), "no image has the id '9'; those of the images are 1, 2"),
        (lambda path: sample(path, "1", "1"), "two images have the id '1'; ids must differ"),
        (lambda path: sample(path, "1.png", "1.jpg"), "two images have the id '1'"),
        (lambda path: sample(path, "1", ""), "line 3: has no id"),
        (lambda path: sample(path), "has no ids below its header"),
        (lambda path: sample(path, start=""), "has no ids below its header"),
        (lambda path: sample(path, '"1', "2"), "cannot be read as CSV in UTF-8: unexpected end of data"),
        (lambda path: path / "nothing.csv", "cannot be read: No such file"),
        (lambda path: path, "a pipe, a device or a folder; must be a file"),
        (lambda path: sample(path, "1", "2", start=",id\n"), "its first column has no name, as an index of rows"),
        (lambda path: sample(path, "1;7", "2;9", start="id;label\n"), "its columns are divided by ';'; must be"),
        (lambda path: sample(path, "1\t7", "2\t9", start="id\tlabel\n"), "its columns are divided by '\\t'"),
    ],
)
def test_a_fault_of_a_sample_is_one_line(tmp_path: Path, write: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(DataError) as caught:
        rows_of(of("1", "2"), write(tmp_path))
    assert str(caught.value).startswith("ids = ") and message in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"id\n\xff\n")
    with pytest.raises(DataError, match="cannot be read as CSV in UTF-8"):
        read_sample(tmp_path / "a.csv")


@pytest.mark.parametrize("images", [IMAGES, IMAGES.transpose(0, 3, 1, 2).reshape(12, -1)], ids=["images", "rows"])
@pytest.mark.parametrize("ids", [np.arange(12)[:, None], tuple(range(12)), [f"{i:03}" for i in range(12)]], ids=type)
def test_a_pickle_of_a_competition_has_images_or_rows_and_ids(tmp_path: Path, images: Any, ids: Any) -> None:
    found = read_unlabelled(write_pickle(tmp_path / "a.pkl", data=images, ids=ids), COLOUR)
    assert found.ids == tuple(str(id) for id in np.ravel(ids))
    np.testing.assert_array_equal(next(iter(found.images.chunks(8, 3))), IMAGES)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([True, False, *range(2, 12)], "index 0: not an id"),
        ([None] * 12, "index 0: not an id"),
        ([b"\xff%d" % number for number in range(12)], "index 0: not an id"),
        ([float(number) for number in range(12)], "index 0: not an id"),
        (["a", "", *"cdefghijkl"], "index 1: the id is empty"),
        (list(range(11)), "has shape (11,); must be (12,), one for each image"),
    ],
    ids=["truth", "none", "bytes", "floats", "empty", "too few"],
)
def test_what_is_no_id_is_refused(tmp_path: Path, ids: list[Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_unlabelled(write_pickle(tmp_path / "a.pkl", data=IMAGES, ids=ids), COLOUR)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_ids_of_a_folder_and_of_arrays_are_told_from_indices(tmp_path: Path) -> None:
    assert read_unlabelled(write_folder(tmp_path / "f"), COLOUR).are_named
    assert read_unlabelled(write_npz(tmp_path / "a.npz", x=IMAGES, ids=np.arange(12)), COLOUR).are_named
    assert not read_unlabelled(write_npz(tmp_path / "b.npz", x=IMAGES), COLOUR).are_named
