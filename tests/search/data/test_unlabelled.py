"""Unlabelled images of every layout are in the right order with their ids, and each fault is one line."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from image_sets import (
    COLOUR,
    GREY,
    IMAGES,
    LABELS,
    ROWS,
    png,
    write_folder,
    write_npz,
    write_parquet,
    write_pickle,
)
from numpy.typing import NDArray
from PIL import Image

from search.data.decoding import Shape, decode
from search.data.unlabelled import read_unlabelled
from search.errors import DataError, StorageError


def write_text(path: Path) -> Path:
    path.write_text("id,label\n")
    return path


UNLABELLED: dict[str, Callable[[Path], Path]] = {
    "folder": lambda path: write_folder(path / "images"),
    "npz x": lambda path: write_npz(path / "a.npz", x=IMAGES),
    "npz images": lambda path: write_npz(path / "a.npz", images=IMAGES),
    "npz test part": lambda path: write_npz(path / "a.npz", x_train=IMAGES[:2], x_test=IMAGES),
    "parquet file": lambda path: write_parquet(path / "a.parquet", labels=None),
    "parquet folder": lambda path: write_parquet(path / "a" / "b.parquet").parent,
    "rows of cifar": lambda path: write_pickle(path / "test_batch", data=ROWS, labels=LABELS.tolist()),
    "images of a competition": lambda path: write_pickle(path / "a.pkl", data=IMAGES),
}


@pytest.mark.parametrize("layout", UNLABELLED)
def test_images_of_every_layout_are_decoded_in_order(tmp_path: Path, layout: str) -> None:
    images, ids, _ = read_unlabelled(UNLABELLED[layout](tmp_path), COLOUR)
    assert ids == tuple(map(str, range(12)))
    decode(images, len(ids), COLOUR, tmp_path / "images.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), IMAGES)


def test_a_folder_is_read_in_natural_order_and_other_files_are_left_out(tmp_path: Path) -> None:
    names = [f"img{number}.PNG" for number in (10, 9, 100, 1, 2, 3, 20, 30, 5, 6, 7, 8)]
    folder = write_folder(tmp_path / "images", names)
    (folder / "readme.txt").write_text("no image")
    (folder / ".hidden.png").write_text("no image")
    images, ids, _ = read_unlabelled(folder, COLOUR)
    assert ids == tuple(f"img{number}" for number in (1, 2, 3, 5, 6, 7, 8, 9, 10, 20, 30, 100))
    decode(images, len(ids), COLOUR, tmp_path / "images.npy")
    order = [names.index(f"{id}.PNG") for id in ids]
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), IMAGES[order])


def test_names_with_decimals_of_other_scripts_are_in_an_order_too(tmp_path: Path) -> None:
    names = ["1a.png", "2a.png", "10a.png", *(f"{number}.png" for number in range(11, 18)), "٣10.png", "٣.png"]
    _, ids, _ = read_unlabelled(write_folder(tmp_path / "images", names), COLOUR)
    assert ids == (*(name.removesuffix(".png") for name in names[:10]), "٣10", "٣")


def test_a_file_name_that_is_not_text_makes_an_id_that_is(tmp_path: Path) -> None:
    names = [os.fsdecode(b"%d\xff.png" % number) for number in range(12)]
    _, ids, _ = read_unlabelled(write_folder(tmp_path / "images", names), COLOUR)
    assert ids == tuple(f"{number}?" for number in range(12))


@pytest.mark.parametrize("kind", ["numbers", "list", "bytes", "array of bytes", "array of text", "npz"])
def test_ids_of_the_source_are_kept(tmp_path: Path, kind: str) -> None:
    values: dict[str, Any] = {
        "array of bytes": np.array([str(number).encode() for number in range(100, 112)]),
        "array of text": np.array([str(number) for number in range(100, 112)]),
        "numbers": np.arange(100, 112),
        "list": list(range(100, 112)),
        "bytes": [str(number).encode() for number in range(100, 112)],
        "npz": np.array([str(number) for number in range(100, 112)]),
    }
    write = write_npz if kind == "npz" else write_pickle
    path = write(tmp_path / ("a.npz" if kind == "npz" else "a.pkl"), images=IMAGES, ids=values[kind])
    assert read_unlabelled(path, COLOUR)[1] == tuple(str(number) for number in range(100, 112))


def test_grey_images_of_a_colour_network_are_taken_as_colour(tmp_path: Path) -> None:
    images, ids, _ = read_unlabelled(write_npz(tmp_path / "a.npz", x=IMAGES[..., 0]), COLOUR)
    decode(images, len(ids), COLOUR, tmp_path / "images.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), IMAGES[..., :1].repeat(3, axis=3))


def empty_folder(path: Path) -> Path:
    (path / "empty").mkdir()
    return path / "empty"


def mixed_sizes(path: Path) -> Path:
    folder = write_folder(path / "mixed")
    (folder / "5.png").write_bytes(png(np.zeros((9, 9, 3), dtype=np.uint8)))
    return folder


def damaged(path: Path) -> Path:
    folder = write_folder(path / "damaged")
    (folder / "3.png").write_bytes(b"\x89PNG no more")
    return folder


def shared() -> list[Any]:
    """A few bytes in a pickle, and 2**20 zeros if written out."""
    items: list[Any] = [0, 0]
    for _ in range(19):
        items = [items, items]
    return items


def deep() -> list[Any]:
    items: list[Any] = []
    for _ in range(300):
        items = [items]
    return items


def not_characters(path: Path) -> Path:
    return write_npz(path / "a.npz", x=IMAGES, ids=np.full(48, 2**32 - 1, dtype="<u4").view("<U4"))


def no_pixels(path: Path) -> Path:
    """A file of a few hundred bytes that states 2**62 images."""
    with zipfile.ZipFile(path / "a.npz", "w") as archive, archive.open("x.npy", "w") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (2**62, 0, 0)}
        np.lib.format.write_array_header_1_0(file, header)
    return path / "a.npz"


NOT_AN_ID = "index 0: not an id; ids must be whole numbers of 64 bits, or text of at most 256 characters"
FAULTS: list[tuple[str, Callable[[Path], Path], Shape, str]] = [
    ("missing", lambda path: path / "nothing", COLOUR, "no such file or folder; must be a folder of images"),
    ("empty folder", empty_folder, COLOUR, "holds no images; must be a folder of images"),
    ("one image", lambda path: write_folder(path / "f") / "1.png", COLOUR, "one image; must be a folder of images"),
    ("mixed sizes", mixed_sizes, COLOUR, "5.png': 9x9 pixels; all images must have the size of the first, 8x8"),
    ("other size", lambda path: write_npz(path / "a.npz", x=IMAGES), Shape(32, 3), "image size = 8: the network takes"),
    ("in colour", lambda path: write_npz(path / "a.npz", x=IMAGES), GREY, "in colour; the network takes greyscale"),
    ("damaged", damaged, COLOUR, "3.png': damaged or not an image"),
    ("a table", lambda path: write_text(path / "a.csv"), COLOUR, "not a pickle; must be a batch as CIFAR's are, P"),
    ("no array", lambda path: write_npz(path / "a.npz", z=IMAGES), COLOUR, "holds z; must hold x_test or x or images"),
    ("floats", lambda path: write_npz(path / "a.npz", x=IMAGES / 255), COLOUR, "images must be uint8, 0 to 255"),
    ("list", lambda path: write_pickle(path / "a", data=[1, 2]), COLOUR, "data: not an array; images must be one"),
    ("rows", lambda path: write_npz(path / "a.npz", x=ROWS[:, 1:]), COLOUR, "rows of 191 values; must have 64 or 192"),
    ("no rows", lambda path: write_npz(path / "a.npz", x=IMAGES[:0]), COLOUR, "holds no images"),
    ("same ids", lambda path: write_npz(path / "a.npz", x=IMAGES, ids=LABELS), COLOUR, "two images have the id '0'"),
    ("few ids", lambda path: write_npz(path / "a.npz", x=IMAGES, ids=[1]), COLOUR, "ids: has shape (1,); must be"),
    ("huge id", lambda path: write_pickle(path / "a", data=IMAGES, ids=[10**5000] * 12), COLOUR, NOT_AN_ID),
    ("nested ids", lambda path: write_pickle(path / "a", data=IMAGES, ids=[shared()] * 12), COLOUR, NOT_AN_ID),
    ("deep ids", lambda path: write_pickle(path / "a", data=IMAGES, ids=[deep()] * 12), COLOUR, NOT_AN_ID),
    ("long ids", lambda path: write_pickle(path / "a", data=IMAGES, ids=["a" * 257] * 12), COLOUR, NOT_AN_ID),
    ("long bytes", lambda path: write_pickle(path / "a", data=IMAGES, ids=[b"a" * 257] * 12), COLOUR, NOT_AN_ID),
    ("floats for ids", lambda path: write_npz(path / "a.npz", x=IMAGES, ids=LABELS / 2), COLOUR, NOT_AN_ID),
    ("no characters", not_characters, COLOUR, "ids: damaged; ids must be whole numbers"),
    ("no pixels", no_pixels, COLOUR, f"has shape ({2**62}, 0, 0); images must have pixels"),
    ("one id", lambda path: write_npz(path / "a.npz", x=IMAGES, ids=np.array(1)), COLOUR, "ids: has shape (); must be"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("write", "shape", "message"),
    [fault[1:] for fault in FAULTS],
    ids=[fault[0] for fault in FAULTS],
)
def test_a_fault_is_one_line(tmp_path: Path, write: Callable[[Path], Path], shape: Shape, message: str) -> None:
    with pytest.raises(DataError) as caught:
        images, ids, _ = read_unlabelled(write(tmp_path), shape)
        decode(images, len(ids), shape, tmp_path / "images.npy")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    images, ids, _ = read_unlabelled(write_npz(tmp_path / "a.npz", x=IMAGES), COLOUR)
    with pytest.raises(StorageError, match="cannot write the data cache"):
        decode(images, len(ids), COLOUR, tmp_path / "a.npz" / "images.npy")


def write_ids(path: Path, ids: Any, name: str = "id") -> Path:
    path.parent.mkdir(exist_ok=True)
    images = pa.array([{"bytes": png(image)} for image in IMAGES[: len(ids)]])
    pq.write_table(pa.table({name: ids, "image": images, "label": np.zeros(len(ids), np.int64)}), path)
    return path


@pytest.mark.parametrize("name", ["id", "ids", "Id", "ID"])
@pytest.mark.parametrize(
    "ids",
    [
        pa.array(["00017", "00004", "x"]),
        pa.array(["00017", "00004", "x"]).dictionary_encode(),
        pa.array(["00017", "00004", "x"], pa.large_string()),
        pa.array(["00017", "00004", "x"], pa.string_view()),
        pa.array([17, 4, 2**64 - 1], pa.uint64()),
    ],
    ids=["text", "dictionary", "large text", "view of text", "numbers"],
)
def test_ids_of_a_parquet_column_are_kept_as_text(tmp_path: Path, ids: Any, name: str) -> None:
    found = read_unlabelled(write_ids(tmp_path / "a.parquet", ids, name), COLOUR)
    assert found.ids == tuple(map(str, ids.to_pylist()))


def test_ids_of_several_parquet_files_are_in_the_order_of_the_images(tmp_path: Path) -> None:
    write_ids(tmp_path / "set" / "b.parquet", ["3", "2"])
    write_ids(tmp_path / "set" / "a.parquet", ["9", "8", "7"])
    assert read_unlabelled(tmp_path / "set", COLOUR).ids == ("9", "8", "7", "3", "2")


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", None, "c"], "row 1: has no id; every row must have one"),
        ([1.0, 2.0, 3.0], "column id is double; ids must be text or whole numbers"),
        (["a", "b", "a"], "two images have the id 'a'; ids must differ"),
        (["a", "b" * 257, "c"], "row 1: not an id; ids must be whole numbers"),
    ],
)
def test_a_fault_of_a_column_of_ids_is_one_line(tmp_path: Path, ids: list[Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_unlabelled(write_ids(tmp_path / "a.parquet", ids), COLOUR)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_parquet_file_without_the_ids_that_others_have_is_refused(tmp_path: Path) -> None:
    write_ids(tmp_path / "set" / "a.parquet", ["9", "8", "7"])
    write_parquet(tmp_path / "set" / "b.parquet")
    with pytest.raises(DataError, match=r"b.parquet': has columns .*; an id column must be id"):
        read_unlabelled(tmp_path / "set", COLOUR)


def test_the_index_is_the_id_where_no_column_is_one_and_what_is_not_used_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = write_ids(tmp_path / "a.parquet", ["9", "8"], "name")
    assert read_unlabelled(table, COLOUR).ids == ("0", "1")
    path = write_npz(tmp_path / "a.npz", x=IMAGES, names=np.arange(12))
    read_unlabelled(path, COLOUR)
    assert caplog.messages == [
        f"data = {str(table)!r}: columns not used: name, label",
        f"data = {str(path)!r}: not used: names",
    ]


GREYS = np.random.default_rng(1).integers(0, 256, (12, 8, 8), dtype=np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA"])
def test_a_grey_picture_saved_in_colour_is_taken_by_a_grey_network(tmp_path: Path, mode: str) -> None:
    (tmp_path / "set").mkdir()
    for number, pixels in enumerate(GREYS):
        picture = Image.fromarray(pixels)
        if mode == "P":
            picture.putpalette([level for level in range(256) for _ in range(3)])
        else:
            picture = picture.convert(mode)
        picture.save(tmp_path / "set" / f"{number}.png")
    with Image.open(tmp_path / "set" / "0.png") as saved:
        assert saved.mode == mode
    images, ids, _ = read_unlabelled(tmp_path / "set", GREY)
    decode(images, len(ids), GREY, tmp_path / "images.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy")[..., 0], GREYS)


@pytest.mark.parametrize("format", ["JPEG", "GIF", "WEBP", "BMP"])
def test_a_grey_picture_of_any_format_is_taken_by_a_grey_network(tmp_path: Path, format: str) -> None:
    (tmp_path / "set").mkdir()
    Image.fromarray(GREYS[0]).convert("RGB").save(tmp_path / "set" / f"a.{format.lower()}", format, lossless=True)
    images, *_ = read_unlabelled(tmp_path / "set", GREY)
    decode(images, 1, GREY, tmp_path / "images.npy")
    assert np.load(tmp_path / "images.npy").shape == (1, 8, 8, 1)


@pytest.mark.parametrize("layout", ["npz", "rows", "parquet"])
def test_grey_arrays_of_three_channels_are_taken_by_a_grey_network_and_coloured_ones_are_named(
    tmp_path: Path, layout: str
) -> None:
    def write(images: NDArray[np.uint8]) -> Path:
        if layout == "parquet":
            pq.write_table(pa.table({"image": [{"bytes": png(image)} for image in images]}), tmp_path / "a.parquet")
            return tmp_path / "a.parquet"
        rows = images.transpose(0, 3, 1, 2).reshape(12, -1)
        return write_npz(tmp_path / "a.npz", x=images if layout == "npz" else rows)

    colours = GREYS[..., None].repeat(3, axis=3)
    images, ids, _ = read_unlabelled(write(colours), GREY)
    decode(images, len(ids), GREY, tmp_path / "images.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy")[..., 0], GREYS)
    colours[7, 3, 3, 2] ^= 1
    images, ids, _ = read_unlabelled(write(colours), GREY)
    with pytest.raises(DataError, match=r"(index|row) 7: in colour; the network takes greyscale images$"):
        decode(images, len(ids), GREY, tmp_path / "images.npy")


@pytest.mark.parametrize("path", ["17.png", None])
def test_names_of_images_that_are_not_used_as_ids_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, path: str | None
) -> None:
    table = pa.table({"image": [{"bytes": png(IMAGES[0]), "path": path}]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert read_unlabelled(tmp_path / "a.parquet", COLOUR).ids == ("0",)
    assert [text for text in caplog.messages if "its images have names, which are not used" in text] == caplog.messages
    assert len(caplog.messages) == (path is not None)


@pytest.mark.parametrize("name", ["id", "ids", "Id", "ID"])
def test_ids_of_arrays_have_the_names_that_columns_have(tmp_path: Path, name: str) -> None:
    path = write_npz(tmp_path / "a.npz", x=IMAGES[:2], **{name: np.array(["00017", "00004"])})
    assert read_unlabelled(path, COLOUR).ids == ("00017", "00004")
