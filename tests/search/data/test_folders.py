"""Folders of images, a sub-folder for each class."""

import os
from pathlib import Path

import numpy as np
import pytest
from data_sources import refusal, write_images

from search.data.datasets import open_dataset


@pytest.mark.parametrize("test_name", ["test", "val", "valid", "validation"])
def test_image_folders_are_read_in_sorted_order(tmp_path: Path, test_name: str) -> None:
    write_images(tmp_path / "train", 3)
    write_images(tmp_path / test_name, 1, ("dog",))
    (tmp_path / "train" / "cat" / ".hidden.png").write_bytes(b"")
    (tmp_path / "train" / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "train" / ".git").mkdir()
    dataset = open_dataset(str(tmp_path))
    assert dataset.classes == ("cat", "dog")
    images, labels = dataset.train()
    assert images[:, 0, 0, 0].tolist() == [0, 1, 2, 10, 11, 12]
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.test()[1].tolist() == [1]


def test_class_folders_alone_have_a_fifth_of_every_class_set_aside(tmp_path: Path) -> None:
    write_images(tmp_path / "pets", 10)
    dataset = open_dataset(str(tmp_path / "pets"))
    assert np.bincount(dataset.train()[1]).tolist() == [8, 8]
    assert np.bincount(dataset.test()[1]).tolist() == [2, 2]
    values = np.concatenate([dataset.train()[0][:, 0, 0, 0], dataset.test()[0][:, 0, 0, 0]])
    assert sorted(values.tolist()) == list(range(20))


def test_a_class_whose_name_is_no_text_is_named_by_its_bytes(tmp_path: Path) -> None:
    write_images(tmp_path, 5)
    (tmp_path / "dog").rename(os.fsdecode(os.fsencode(tmp_path) + b"/dog\xff"))
    assert open_dataset(str(tmp_path)).classes == ("cat", "dog\\xff")


def test_image_folders_that_make_no_data_set_are_refused(tmp_path: Path) -> None:
    assert "holds nothing that can be read; must be laid out as train-*.parquet" in refusal(tmp_path)
    write_images(tmp_path / "one", classes=("cat",))
    assert "training images of 1 class" in refusal(tmp_path / "one")
    write_images(tmp_path / "single", num_images=1)
    assert "0 test images" in refusal(tmp_path / "single")
    write_images(tmp_path / "pairs", num_images=2)
    assert "no class has 2 training images" in refusal(tmp_path / "pairs")
    write_images(tmp_path / "half" / "train")
    assert "has train but no test, val, valid, validation beside it" in refusal(tmp_path / "half")
    write_images(tmp_path / "half" / "test", classes=("cat", "emu"))
    assert "emu': not a class of" in refusal(tmp_path / "half")
    write_images(tmp_path / "void")
    (tmp_path / "void" / "emu").mkdir()
    assert "emu': holds no images" in refusal(tmp_path / "void")
    (tmp_path / "notes.txt").write_text("")
    assert "must be a folder or an .npz file" in refusal(tmp_path / "notes.txt")
