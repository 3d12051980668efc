"""Labelled images of every layout belong to their labels, and each fault is one line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from image_sets import (
    COLOUR,
    GREY,
    IMAGES,
    LABELS,
    ROWS,
    write_classes,
    write_folder,
    write_npz,
    write_parquet,
    write_pickle,
)
from numpy.typing import NDArray

from search.data.datasets import open_dataset
from search.data.labelled import decode_labelled, has_both_parts, read_labelled
from search.errors import DataError

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


def test_other_images_labels_or_classes_have_another_fingerprint(tmp_path: Path) -> None:
    def fingerprint(images: NDArray[np.uint8], labels: NDArray[np.int64], classes: str = "012") -> str:
        part, _ = read_labelled(write_npz(tmp_path / "a.npz", x=images, y=labels), COLOUR, 3)
        return decode_labelled(part, tuple(classes), COLOUR, tmp_path / "images.npy", tmp_path / "labels.npy")

    prints = [fingerprint(IMAGES, LABELS), fingerprint(IMAGES[::-1], LABELS), fingerprint(IMAGES, LABELS[::-1])]
    prints.append(fingerprint(IMAGES, LABELS, "abc"))
    assert len(set(prints)) == 4 and fingerprint(IMAGES, LABELS) == prints[0]
    assert all(len(digest) == 64 for digest in prints)


def test_a_set_with_a_training_part_is_recognised(tmp_path: Path) -> None:
    both = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS}
    assert has_both_parts(write_npz(tmp_path / "a.npz", **both))
    write_parquet(tmp_path / "p" / "train-0.parquet")
    write_parquet(tmp_path / "p" / "test.parquet")
    assert has_both_parts(tmp_path / "p")
    write_classes(tmp_path / "c" / "train")
    assert has_both_parts(tmp_path / "c") and not has_both_parts(tmp_path / "c" / "train")


FAULTS: list[tuple[str, Callable[[Path], Path], str]] = [
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
    ("write", "message"),
    [fault[1:] for fault in FAULTS],
    ids=[fault[0] for fault in FAULTS],
)
def test_a_fault_of_labels_is_one_line(tmp_path: Path, write: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_labelled(write(tmp_path), COLOUR, 3)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_the_same_test_part_has_the_bytes_that_the_cache_of_a_whole_set_has(tmp_path: Path) -> None:
    whole = open_dataset("digits")
    images, labels = whole.test()
    part, classes = read_labelled(write_npz(tmp_path / "a.npz", x=images, y=labels), GREY, 10)
    decode_labelled(part, classes, GREY, tmp_path / "images.npy", tmp_path / "labels.npy")
    for name in ("images", "labels"):
        assert (tmp_path / f"{name}.npy").read_bytes() == (whole.folder / f"test-{name}.npy").read_bytes()
