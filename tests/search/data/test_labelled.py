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

from search.data.classes import Classes
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
    part, classes = read_labelled(path, COLOUR)
    assert classes.names == names
    decode_labelled(part, classes.names, COLOUR, tmp_path / "images.npy", tmp_path / "labels.npy")
    images, labels = np.load(tmp_path / "images.npy"), np.load(tmp_path / "labels.npy")
    # Class folders come class by class, so images are looked up.
    expected = {image.tobytes(): label for image, label in zip(IMAGES, LABELS, strict=True)}
    assert [expected[image.tobytes()] for image in images] == labels.tolist()
    assert len(images) == 12


def test_labels_that_leave_numbers_out_are_the_names_of_their_classes(tmp_path: Path) -> None:
    labels = np.array([7, 50, 999])[LABELS]
    paths = [
        write_npz(tmp_path / "a.npz", x=IMAGES, y=labels),
        write_parquet(tmp_path / "a.parquet", labels),
        write_pickle(tmp_path / "a.pkl", data=ROWS, labels=labels.tolist()),
    ]
    for path in paths:
        part, classes = read_labelled(path, COLOUR)
        assert (part.labels.tolist(), classes.names) == (LABELS.tolist(), ("7", "50", "999"))
        assert (classes.labels, classes.are_named) == ((7, 50, 999), False)


def test_names_may_stand_beside_the_labels(tmp_path: Path) -> None:
    names = ["x", "none", "y", "z"]
    paths = [
        write_npz(tmp_path / "a.npz", x=IMAGES, y=LABELS + (LABELS > 0), class_names=np.array(names)),
        write_pickle(tmp_path / "a.pkl", data=ROWS, labels=(LABELS + (LABELS > 0)).tolist(), class_names=names),
        write_parquet(tmp_path / "a.parquet", LABELS + (LABELS > 0), names),
    ]
    for path in paths:
        part, classes = read_labelled(path, COLOUR)
        assert (part.labels.tolist(), classes) == (
            LABELS.tolist(),
            Classes(("x", "y", "z"), (0, 2, 3), are_named=True, unused=("none",)),
        )


def test_what_is_not_used_of_a_file_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_npz(tmp_path / "a.npz", x=IMAGES, y=LABELS, weights=LABELS, ids=LABELS)
    pickled = write_pickle(tmp_path / "a.pkl", data=ROWS, labels=LABELS.tolist(), filenames=["a"])
    for file in (path, pickled, write_parquet(tmp_path / "a.parquet")):
        read_labelled(file, COLOUR)
    assert caplog.messages == [
        f"data = {str(path)!r}: not used: ids, weights",
        f"data = {str(pickled)!r}: not used: filenames",
    ]


def test_other_images_labels_or_classes_have_another_fingerprint(tmp_path: Path) -> None:
    def fingerprint(images: NDArray[np.uint8], labels: NDArray[np.int64], classes: str = "012") -> str:
        part, _ = read_labelled(write_npz(tmp_path / "a.npz", x=images, y=labels), COLOUR)
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
    ("flat folder", lambda path: write_folder(path / "f"), "holds no class folders, but images in no class folder ("),
    ("no labels", lambda path: write_npz(path / "a.npz", x=IMAGES), "must hold y_test or y or labels"),
    ("few labels", lambda path: write_npz(path / "a.npz", x=IMAGES, y=LABELS[1:]), "must be whole numbers of shape"),
    ("unnamed", lambda path: write_parquet(path / "a.parquet", LABELS, ["a", "b"]), "row 2: label = 2; labels must"),
    ("same names", lambda path: write_parquet(path / "a.parquet", LABELS, ["a", "b", "a"]), "classes are called 'a'"),
    ("names", lambda path: write_npz(path / "a.npz", x=IMAGES, y=LABELS, class_names=[1, 2]), "class_names: must be"),
    ("negative", lambda path: write_npz(path / "a.npz", x=IMAGES, y=LABELS - 1), "label = -1; labels must not be"),
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
        read_labelled(write(tmp_path), COLOUR)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_the_same_test_part_has_the_bytes_that_the_cache_of_a_whole_set_has(tmp_path: Path) -> None:
    whole = open_dataset("digits")
    images, labels = whole.test()
    part, classes = read_labelled(write_npz(tmp_path / "a.npz", x=images, y=labels), GREY)
    decode_labelled(part, classes.names, GREY, tmp_path / "images.npy", tmp_path / "labels.npy")
    for name in ("images", "labels"):
        assert (tmp_path / f"{name}.npy").read_bytes() == (whole.folder / f"test-{name}.npy").read_bytes()


def test_a_test_part_without_class_folders_is_passed_over_for_one_that_has_them(tmp_path: Path) -> None:
    write_folder(tmp_path / "test")
    for name in ("cat", "dog"):
        write_folder(tmp_path / "val" / name)
    assert read_labelled(tmp_path, COLOUR).classes.names == ("cat", "dog")
