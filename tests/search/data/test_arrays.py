"""Data sets in .npz files, and each fault named with its array."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_sources import refusal, write_npz

from search.data import arrays, classes
from search.data.datasets import open_dataset


@pytest.mark.parametrize(("shape", "channels"), [((8, 8), 1), ((8, 8, 1), 1), ((8, 8, 3), 3)])
def test_npz_arrays_arrive_as_they_are(tmp_path: Path, shape: tuple[int, ...], channels: int) -> None:
    x_train = np.random.default_rng(0).integers(0, 256, (12, *shape), dtype=np.uint8)
    path = write_npz(tmp_path / "toy.npz", x_train=np.asfortranarray(x_train), x_test=x_train[:6])
    dataset = open_dataset(str(path))
    assert (dataset.name, dataset.channels, dataset.classes) == ("toy", channels, ("0", "1", "2"))
    assert np.array_equal(dataset.train()[0], x_train.reshape(12, 8, 8, channels))
    assert np.array_equal(dataset.train()[1], np.arange(12) % 3)
    assert np.array_equal(dataset.test()[0], x_train[:6].reshape(6, 8, 8, channels))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "has no y_test, but x_train, y_train, x_test; must hold x_train, y_train, x_test, y_test"),
        ({"x_train": np.zeros((12, 8, 8), np.float32)}, "x_train: has type float32; images must be uint8, 0 to 255"),
        ({"x_train": np.zeros((12, 64), np.uint8)}, "x_train: has shape (12, 64); must be (N, H, W)"),
        ({"x_train": np.zeros((12, 3, 8, 8), np.uint8)}, "x_train: has shape (12, 3, 8, 8); must be (N, H, W)"),
        ({"x_train": np.zeros((12, 8, 7, 3), np.uint8)}, "x_train: 7x8 pixels; images must be square"),
        ({"x_test": np.zeros((6, 9, 9, 3), np.uint8)}, "x_test: 9x9 pixels; all images must have the size"),
        (
            {"y_train": np.arange(11) % 3},
            "y_train: has type int64 and shape (11,); must be whole numbers of shape (12,)",
        ),
        ({"y_train": np.arange(12) / 3}, "y_train: has type float64 and shape (12,); must be whole numbers"),
        ({"y_train": np.arange(12) % 3 - 1}, "y_train, index 0: label = -1; labels must not be negative"),
        ({"y_test": np.arange(6)}, "y_test, index 3: label = 3; labels must be 0 to 2"),
        ({"y_train": np.array([0, 1] * 6), "y_test": np.array([2] * 6)}, "y_test, index 0: label = 2"),
        ({"y_train": np.zeros(12, np.int64), "y_test": np.zeros(6, np.int64)}, "training images of 1 class"),
        ({"x_train": np.array([{}] * 12, dtype=object)}, "cannot be read as .npz without Python objects"),
        ({"x_train": np.zeros((0, 8, 8), np.uint8), "y_train": np.zeros(0, np.uint8)}, "label = 0; labels must be"),
        ({"class_names": np.array([1, 2, 3])}, "class_names: must be text of shape (classes,)"),
        (
            {"class_names": np.array(["a", "b"])},
            "y_train, index 2: label = 2; labels must be 0 to 1, for 2 classes",
        ),
        ({"class_names": np.array(["a", "b", "a"])}, "two classes are called 'a'; names must differ"),
        ({"x_test": np.zeros((0, 8, 8), np.uint8), "y_test": np.zeros(0, np.uint8)}, "0 test images"),
    ],
)
def test_a_fault_in_npz_is_named_with_its_array(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    assert message in refusal(write_npz(tmp_path / "toy.npz", **changes))


def test_labels_of_shape_n_by_1_and_small_types_are_accepted(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "toy.npz", y_train=np.arange(12, dtype=np.uint8)[:, None] % 3)
    assert open_dataset(str(path)).train()[1].tolist() == [0, 1, 2] * 4


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"\x93NUMPY\x01\x00", b"\x80\x04]."])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "toy.npz").write_bytes(content)
    assert "cannot be read as .npz" in refusal(tmp_path / "toy.npz")


def test_a_single_array_that_is_called_npz_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "toy.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    assert "cannot be read as .npz" in refusal(tmp_path / "toy.npz")


def test_an_npz_that_would_unpack_into_more_than_the_memory_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 MB of zeros in 40 kB."""
    path = tmp_path / "bomb.npz"
    np.savez_compressed(
        path,
        x_train=np.zeros((5 * 2**17, 8, 8), np.uint8),
        y_train=np.zeros(12, np.uint8),
        x_test=np.zeros((6, 8, 8), np.uint8),
        y_test=np.zeros(6, np.uint8),
    )
    assert path.stat().st_size < 100_000
    monkeypatch.setattr(arrays, "memory", lambda: 30 * 10**6)
    message = refusal(path)
    assert message.endswith(
        "bomb.npz': its arrays need 0.0419 GB; must fit into the 0.03 GB of memory that this machine has"
    )


def test_an_npz_whose_header_claims_an_absurd_shape_is_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "toy.npz", x_train=None)
    header = io.BytesIO()
    claim = {"descr": "|u1", "fortran_order": False, "shape": (10**15, 8, 8)}
    np.lib.format.write_array_header_1_0(header, claim)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x_train.npy", header.getvalue() + bytes(100))
    assert "cannot be read as .npz" in refusal(path)


def test_memory_is_what_the_machine_has() -> None:
    assert 2**28 < arrays.memory() < 2**50


@pytest.mark.parametrize("labels", [(0, 50, 999), (1, 2, 3), (5, 10**9, 2**62)])
def test_classes_are_those_with_images_called_as_they_are_labelled(tmp_path: Path, labels: tuple[int, ...]) -> None:
    values = np.array(labels)
    path = write_npz(tmp_path / "toy.npz", y_train=values[np.arange(12) % 3], y_test=values[np.arange(6) % 3])
    dataset = open_dataset(str(path))
    assert (dataset.classes, dataset.labels, dataset.are_named) == (tuple(map(str, labels)), labels, False)
    assert dataset.train()[1].tolist() == [0, 1, 2] * 4 and dataset.test()[1].tolist() == [0, 1, 2] * 2
    assert dataset.notes == (f"3 classes, named by their labels: {', '.join(map(str, labels))}",)
    assert open_dataset(str(path)) == dataset, "the cache remembers it"


def test_a_test_label_without_training_images_is_refused_by_its_own_number(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "toy.npz", y_train=np.arange(12) % 3 * 50, y_test=np.array([0, 50, 7, 0, 0, 0]))
    assert "y_test, index 2: label = 7; labels must be 0, 50, 100, the classes of the training images" in refusal(path)


def test_an_image_with_a_label_of_its_own_each_is_no_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classes, "MAX_CLASSES", 11)
    path = write_npz(tmp_path / "toy.npz", y_train=np.arange(12), y_test=np.arange(6))
    assert "y_train: has 12 different labels; must have 11 at most" in refusal(path)


def test_class_names_in_the_file_are_used_and_what_is_not_used_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_npz(tmp_path / "toy.npz", class_names=np.array([b"cat", b"dog", b"eel"]), x_valid=np.zeros(3))
    dataset = open_dataset(str(path))
    assert (dataset.classes, dataset.are_named, dataset.notes) == (("cat", "dog", "eel"), True, ("not used: x_valid",))
    assert open_dataset(str(path)) == dataset  # also when it is not decoded again
    assert caplog.messages == [f"data = {str(path)!r}: not used: x_valid"] * 2
