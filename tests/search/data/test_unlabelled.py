"""Images that came after training: every layout, in the right order, and each fault as one line."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from search.data.datasets import open_dataset
from search.data.decoding import Shape, decode
from search.data.labelled import decode_labelled, has_both_parts, read_labelled
from search.data.unlabelled import read_unlabelled
from search.errors import DataError, StorageError

GREY, COLOUR = Shape(8, 1), Shape(8, 3)
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(12) % 3


def png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def write_parquet(path: Path, labels: NDArray[np.int64] | None = LABELS, names: list[str] | None = None) -> Path:
    columns: dict[str, Any] = {"image": pa.array([{"bytes": png(image)} for image in IMAGES])}
    if labels is not None:
        columns["label"] = pa.array(labels)
    table = pa.table(columns)
    if names:
        features = {"info": {"features": {"label": {"names": names}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table, path)
    return path


def write_folder(folder: Path, names: list[str] | None = None) -> Path:
    folder.mkdir(parents=True)
    for number, image in enumerate(IMAGES):
        (folder / (names[number] if names else f"{number}.png")).write_bytes(png(image))
    return folder


def write_classes(folder: Path) -> Path:
    for number, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True)):
        (folder / "abc"[label]).mkdir(parents=True, exist_ok=True)
        (folder / "abc"[label] / f"{number:02}.png").write_bytes(png(image))
    return folder


def write_npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def write_pickle(path: Path, **values: Any) -> Path:
    path.write_bytes(pickle.dumps({name.encode(): value for name, value in values.items()}))
    return path


ROWS = IMAGES.transpose(0, 3, 1, 2).reshape(12, -1)
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
    images, ids = read_unlabelled(UNLABELLED[layout](tmp_path), COLOUR)
    assert ids == tuple(map(str, range(12)))
    decode(images, len(ids), COLOUR, tmp_path / "images.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), IMAGES)


LABELLED: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "class folders": (lambda path: write_classes(path / "set"), tuple("abc")),
    "test part of a folder": (lambda path: write_classes(path / "set" / "test").parent, tuple("abc")),
    "npz x y": (lambda path: write_npz(path / "a.npz", x=IMAGES, y=LABELS), tuple("012")),
    "npz test": (lambda path: write_npz(path / "a.npz", x_test=IMAGES, y_test=LABELS[:, None]), tuple("012")),
    "parquet": (lambda path: write_parquet(path / "a.parquet"), tuple("012")),
    "parquet of one part": (lambda path: write_parquet(path / "a" / "train-0.parquet").parent, tuple("012")),
    "parquet with names": (lambda path: write_parquet(path / "a.parquet", names=["x", "y", "z"]), tuple("xyz")),
    "pickle": (lambda path: write_pickle(path / "a.pkl", data=ROWS, labels=LABELS.tolist()), tuple("012")),
    "pickle of cifar100": (
        lambda path: write_pickle(path / "test", data=ROWS, fine_labels=LABELS.tolist()),
        ("0", "1", "2"),
    ),
}


@pytest.mark.parametrize("layout", LABELLED)
def test_labels_of_every_layout_belong_to_their_images(tmp_path: Path, layout: str) -> None:
    write, names = LABELLED[layout]
    path = write(tmp_path)
    assert not has_both_parts(path)
    part, classes = read_labelled(path, COLOUR, 3)
    assert classes == names
    decode_labelled(part, classes, COLOUR, tmp_path / "images.npy", tmp_path / "labels.npy")
    images, labels = np.load(tmp_path / "images.npy"), np.load(tmp_path / "labels.npy")
    # Class folders come class by class, so images are looked up.
    expected = {image.tobytes(): label for image, label in zip(IMAGES, LABELS, strict=True)}
    assert [expected[image.tobytes()] for image in images] == labels.tolist()
    assert len(images) == 12


def test_a_set_may_lack_images_of_the_last_classes(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", x=IMAGES, y=LABELS)
    write_parquet(tmp_path / "a.parquet")
    for name in ("a.npz", "a.parquet"):
        part, classes = read_labelled(tmp_path / name, COLOUR, 5)
        assert (part.labels.tolist(), classes) == (LABELS.tolist(), tuple("01234"))


def test_the_fingerprint_tells_images_labels_and_classes_apart(tmp_path: Path) -> None:
    def fingerprint(images: NDArray[np.uint8], labels: NDArray[np.int64], classes: str = "012") -> str:
        part, _ = read_labelled(write_npz(tmp_path / "a.npz", x=images, y=labels), COLOUR, 3)
        return decode_labelled(part, tuple(classes), COLOUR, tmp_path / "images.npy", tmp_path / "labels.npy")

    prints = [fingerprint(IMAGES, LABELS), fingerprint(IMAGES[::-1], LABELS), fingerprint(IMAGES, LABELS[::-1])]
    prints.append(fingerprint(IMAGES, LABELS, "abc"))
    assert len(set(prints)) == 4 and fingerprint(IMAGES, LABELS) == prints[0]
    assert all(len(each) == 64 for each in prints)


def test_sets_with_a_training_part_are_told_apart(tmp_path: Path) -> None:
    both = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS}
    assert has_both_parts(write_npz(tmp_path / "a.npz", **both))
    write_parquet(tmp_path / "p" / "train-0.parquet")
    write_parquet(tmp_path / "p" / "test.parquet")
    assert has_both_parts(tmp_path / "p")
    write_classes(tmp_path / "c" / "train")
    assert has_both_parts(tmp_path / "c") and not has_both_parts(tmp_path / "c" / "train")


def test_a_folder_is_read_in_natural_order_and_other_files_are_left_out(tmp_path: Path) -> None:
    names = [f"img{number}.PNG" for number in (10, 9, 100, 1, 2, 3, 20, 30, 5, 6, 7, 8)]
    folder = write_folder(tmp_path / "images", names)
    (folder / "readme.txt").write_text("no image")
    (folder / ".hidden.png").write_text("no image")
    images, ids = read_unlabelled(folder, COLOUR)
    assert ids == tuple(f"img{number}" for number in (1, 2, 3, 5, 6, 7, 8, 9, 10, 20, 30, 100))
    decode(images, len(ids), COLOUR, tmp_path / "images.npy")
    order = [names.index(f"{each}.PNG") for each in ids]
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), IMAGES[order])


def test_names_with_decimals_of_other_scripts_are_in_an_order_too(tmp_path: Path) -> None:
    names = ["1a.png", "2a.png", "10a.png", *(f"{number}.png" for number in range(11, 18)), "٣10.png", "٣.png"]
    _, ids = read_unlabelled(write_folder(tmp_path / "images", names), COLOUR)
    assert ids == (*(name.removesuffix(".png") for name in names[:10]), "٣10", "٣")


def test_a_file_name_that_is_no_text_makes_an_id_that_is(tmp_path: Path) -> None:
    names = [os.fsdecode(b"%d\xff.png" % number) for number in range(12)]
    _, ids = read_unlabelled(write_folder(tmp_path / "images", names), COLOUR)
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
    images, ids = read_unlabelled(write_npz(tmp_path / "a.npz", x=IMAGES[..., 0]), COLOUR)
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
    """Some bytes in a pickle, and 2**20 zeros for whoever writes them out."""
    items: list[Any] = [0, 0]
    for _ in range(19):
        items = [items, items]
    return items


def deep() -> list[Any]:
    items: list[Any] = []
    for _ in range(300):
        items = [items]
    return items


def no_characters(path: Path) -> Path:
    return write_npz(path / "a.npz", x=IMAGES, ids=np.full(48, 2**32 - 1, dtype="<u4").view("<U4"))


def no_pixels(path: Path) -> Path:
    """A file of some hundred bytes that says it holds 2**62 images."""
    with zipfile.ZipFile(path / "a.npz", "w") as archive, archive.open("x.npy", "w") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (2**62, 0, 0)}
        np.lib.format.write_array_header_1_0(file, header)
    return path / "a.npz"


NO_ID = "index 0: not an id; ids must be whole numbers of 64 bits, or text of at most 256 characters"
FAULTS: list[tuple[str, Callable[[Path], Path], Shape, str]] = [
    ("missing", lambda path: path / "nothing", COLOUR, "no such file or folder; must be a folder of images"),
    ("empty folder", empty_folder, COLOUR, "holds no images; must be a folder of images"),
    ("one image", lambda path: write_folder(path / "f") / "1.png", COLOUR, "one image; must be a folder of images"),
    ("mixed sizes", mixed_sizes, COLOUR, "5.png': 9x9 pixels; all images must have the size of the first, 8x8"),
    ("other size", lambda path: write_npz(path / "a.npz", x=IMAGES), Shape(32, 3), "image size = 8: the network takes"),
    ("in colour", lambda path: write_npz(path / "a.npz", x=IMAGES), GREY, "in colour; the network takes greyscale"),
    ("damaged", damaged, COLOUR, "3.png': damaged or not an image"),
    ("no array", lambda path: write_npz(path / "a.npz", z=IMAGES), COLOUR, "must hold x_test or x or images or data"),
    ("floats", lambda path: write_npz(path / "a.npz", x=IMAGES / 255), COLOUR, "images must be uint8, 0 to 255"),
    ("list", lambda path: write_pickle(path / "a", data=[1, 2]), COLOUR, "data: not an array; images must be one"),
    ("rows", lambda path: write_npz(path / "a.npz", x=ROWS[:, 1:]), COLOUR, "rows of 191 values; must have 192"),
    ("no rows", lambda path: write_npz(path / "a.npz", x=IMAGES[:0]), COLOUR, "holds no images"),
    ("same ids", lambda path: write_npz(path / "a.npz", x=IMAGES, ids=LABELS), COLOUR, "two images have the id '0'"),
    ("few ids", lambda path: write_npz(path / "a.npz", x=IMAGES, ids=[1]), COLOUR, "ids: has shape (1,); must be"),
    ("huge id", lambda path: write_pickle(path / "a", data=IMAGES, ids=[10**5000] * 12), COLOUR, NO_ID),
    ("nested ids", lambda path: write_pickle(path / "a", data=IMAGES, ids=[shared()] * 12), COLOUR, NO_ID),
    ("deep ids", lambda path: write_pickle(path / "a", data=IMAGES, ids=[deep()] * 12), COLOUR, NO_ID),
    ("long ids", lambda path: write_pickle(path / "a", data=IMAGES, ids=["a" * 257] * 12), COLOUR, NO_ID),
    ("long bytes", lambda path: write_pickle(path / "a", data=IMAGES, ids=[b"a" * 257] * 12), COLOUR, NO_ID),
    ("floats for ids", lambda path: write_npz(path / "a.npz", x=IMAGES, ids=LABELS / 2), COLOUR, NO_ID),
    ("no characters", no_characters, COLOUR, "ids: damaged; ids must be whole numbers"),
    ("no pixels", no_pixels, COLOUR, f"has shape ({2**62}, 0, 0); images must have pixels"),
    ("one id", lambda path: write_npz(path / "a.npz", x=IMAGES, ids=np.array(1)), COLOUR, "ids: has shape (); must be"),
]  # fmt: skip


@pytest.mark.parametrize(("write", "shape", "message"), [each[1:] for each in FAULTS], ids=[each[0] for each in FAULTS])
def test_a_fault_is_one_line(tmp_path: Path, write: Callable[[Path], Path], shape: Shape, message: str) -> None:
    with pytest.raises(DataError) as caught:
        images, ids = read_unlabelled(write(tmp_path), shape)
        decode(images, len(ids), shape, tmp_path / "images.npy")
    assert message in str(caught.value) and "\n" not in str(caught.value)


UNLABELLABLE: list[tuple[str, Callable[[Path], Path], str]] = [
    ("flat folder", lambda path: write_folder(path / "f"), "holds nothing that can be read; must be laid out as"),
    ("no labels", lambda path: write_npz(path / "a.npz", x=IMAGES), "must hold y_test or y or labels"),
    ("few labels", lambda path: write_npz(path / "a.npz", x=IMAGES, y=LABELS[1:]), "must be whole numbers of shape"),
    ("no class", lambda path: write_npz(path / "a.npz", x=IMAGES, y=LABELS + 1), "index 2: label = 3; labels must be"),
    ("no class of parquet", lambda path: write_parquet(path / "a.parquet", labels=LABELS + 1), "row 2: label = 3;"),
    ("negative", lambda path: write_npz(path / "a.npz", x=IMAGES, y=LABELS - 1), "index 0: label = -1; labels must be"),
    ("no label column", lambda path: write_parquet(path / "a.parquet", labels=None), "label column must be label"),
    ("none", lambda path: write_npz(path / "a.npz", x=IMAGES[:0], y=LABELS[:0]), "0 images; there must be"),
    ("ragged", lambda path: write_pickle(path / "a", data=IMAGES, labels=[[1], [2]]), "labels: has type object"),
    ("huge", lambda path: write_pickle(path / "a", data=IMAGES, labels=[2**70] * 12), "labels: has type object"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("write", "message"), [each[1:] for each in UNLABELLABLE], ids=[each[0] for each in UNLABELLABLE]
)
def test_a_fault_of_labels_is_one_line(tmp_path: Path, write: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_labelled(write(tmp_path), COLOUR, 3)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    images, ids = read_unlabelled(write_npz(tmp_path / "a.npz", x=IMAGES), COLOUR)
    with pytest.raises(StorageError, match="cannot write the data cache"):
        decode(images, len(ids), COLOUR, tmp_path / "a.npz" / "images.npy")


def test_the_same_test_part_has_the_bytes_that_the_cache_of_a_whole_set_has(tmp_path: Path) -> None:
    whole = open_dataset("digits")
    images, labels = whole.test()
    part, classes = read_labelled(write_npz(tmp_path / "a.npz", x=images, y=labels), GREY, 10)
    decode_labelled(part, classes, GREY, tmp_path / "images.npy", tmp_path / "labels.npy")
    for name in ("images", "labels"):
        assert (tmp_path / f"{name}.npy").read_bytes() == (whole.folder / f"test-{name}.npy").read_bytes()
