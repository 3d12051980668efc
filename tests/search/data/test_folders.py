"""Folders of images, a sub-folder for each class."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from data_sources import pixels, refusal, write_images, write_parquet

from search.data.datasets import open_dataset
from search.data.decoding import Shape
from search.data.labelled import has_both_parts, read_labelled
from search.data.unlabelled import read_unlabelled
from search.errors import DataError


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
    write_image(tmp_path / "half" / "test" / "1.png")
    assert "half': has test but no class folders in it; pass" in refusal(tmp_path / "half")
    write_images(tmp_path / "half" / "test", classes=("cat", "emu"))
    assert "emu': not a class of" in refusal(tmp_path / "half")
    write_images(tmp_path / "void")
    (tmp_path / "void" / "emu").mkdir()
    assert "emu': holds no images" in refusal(tmp_path / "void")
    (tmp_path / "notes.txt").write_text("")
    assert "must be a folder or an .npz file" in refusal(tmp_path / "notes.txt")


def write_image(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels(value).save(path, "PNG")


def repeated(path: Path, part: str) -> str:
    """What is told of test images that `write_images` and `write_image` have made as they have made training images."""
    return f"data = {str(path)!r}: {part} test images are also training images, pixel by pixel"


def unused(path: Path, kinds: str) -> str:
    return f"data = {str(path)!r}: not used: {kinds}"


def test_images_in_folders_inside_of_a_class_folder_are_of_its_class(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pets = tmp_path / "pets"
    write_images(pets)
    for number in range(20):
        write_image(pets / "cat" / f"{2020 + number % 2}" / "summer" / f"{number}.png", 100)
        write_image(pets / "emu" / "images" / f"{number}.png", 200)
    dataset = open_dataset(str(pets))
    assert dataset.classes == ("cat", "dog", "emu")
    assert (np.bincount(dataset.train()[1]) + np.bincount(dataset.test()[1])).tolist() == [25, 5, 20]
    for images, labels in (dataset.train(), dataset.test()):
        assert [labels[i] for i, image in enumerate(images) if image[0, 0, 0] == 200] == [2] * int((labels == 2).sum())
    inside = f"data = {str(pets)!r}: 40 images in folders inside of a class folder are of its class"
    assert caplog.messages == [inside, repeated(pets, "8 of 10")]
    assert np.bincount(read_labelled(pets, Shape(8, 3))[0].labels).tolist() == [25, 5, 20]


def test_what_is_not_used_is_named_by_kind_and_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pets = tmp_path / "pets"
    write_images(pets)
    for name in ("cat/a.txt", "cat/b.TXT", "dog/deep/c.txt", "dog/01", "dog/02", "dog/.d.png", "e.svg", "dog/f.\n"):
        (pets / name).parent.mkdir(exist_ok=True)
        (pets / name).touch()
    for number in range(3):
        write_image(pets / f"{number}.png")
    kinds = ".txt (3), images in no class folder (3), without an ending (2), .\\n (1), .svg (1), hidden images (1)"
    open_dataset(str(pets))
    open_dataset(str(pets))  # also when it is not decoded again
    assert caplog.messages == [unused(pets, kinds)] * 2


def test_what_operating_systems_leave_behind_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pets = tmp_path / "pets"
    write_images(pets)
    write_image(pets / "__MACOSX" / "cat" / "1.png")
    write_image(pets / "cat" / "@eaDir" / "1.png")
    write_image(pets / ".ipynb_checkpoints" / "1.png")
    for name in ("Thumbs.db", "cat/Thumbs.db", "cat/desktop.ini", "cat/._1.png", "dog/.DS_Store"):
        (pets / name).touch()
    dataset = open_dataset(str(pets))
    assert (dataset.classes, dataset.num_train + dataset.num_test) == (("cat", "dog"), 10)
    assert caplog.messages == []


def test_other_parts_and_what_lies_beside_them_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_images(tmp_path / "train", classes=("cat", "dog", "emu"))
    write_images(tmp_path / "test", 2)
    write_images(tmp_path / "val", 3)
    write_image(tmp_path / "loose.png")
    (tmp_path / "docs").mkdir()
    (tmp_path / "labels.csv").touch()
    assert open_dataset(str(tmp_path)).num_test == 4
    kinds = "images in 'val' (6), .csv (1), folder 'docs' (1), images in no class folder (1)"
    absent = f"data = {str(tmp_path / 'test')!r}: holds no images of 'emu'"
    assert caplog.messages == [absent, unused(tmp_path, kinds), repeated(tmp_path, "4 of 4")]


def test_parts_that_are_not_evaluated_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_images(tmp_path / "test", 2)
    write_images(tmp_path / "val", 3)
    assert len(read_labelled(tmp_path, Shape(8, 3))[0].labels) == 4
    assert caplog.messages == [unused(tmp_path, "images in 'val' (6)")]


@pytest.mark.parametrize("inside", [".", "test", "unknown"])
def test_a_labelled_part_is_taken_instead_of_test_images_to_be_predicted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, inside: str
) -> None:
    write_images(tmp_path / "train")
    write_images(tmp_path / "val", 2)
    for number in range(3):
        write_image(tmp_path / "test" / inside / f"{number}.png")
    assert open_dataset(str(tmp_path)).num_test == 4
    said = f"data = {str(tmp_path)!r}: its part test is not labelled, and is not used; val is"
    assert caplog.messages == [said, unused(tmp_path, "images in 'test' (3)"), repeated(tmp_path, "4 of 4")]


@pytest.mark.parametrize("names", [("Training", "Testing"), ("seg_train", "seg_test"), ("TRAIN", "Val"), ("a", "dev")])
def test_parts_with_other_names_are_not_taken_as_classes(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        write_images(tmp_path / name)
    assert "is a part of a data set by its name, and not of a class; pass the folder whose" in refusal(tmp_path)


def test_parts_inside_of_class_folders_are_not_taken_as_one(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for part in ("train", "test"):
            write_image(tmp_path / name / "images" / part / "1.png")
    assert "cat/images/test': is a part of a data set by its name" in refusal(tmp_path)


def test_a_class_may_be_called_like_a_part(tmp_path: Path) -> None:
    write_images(tmp_path, classes=("bus", "Train", "test"))
    assert open_dataset(str(tmp_path)).classes == ("Train", "bus", "test")


def test_a_class_may_be_called_train_among_others(tmp_path: Path) -> None:
    """As in CIFAR-100, COCO and VOC."""
    write_images(tmp_path, classes=("bus", "car", "train"))
    assert open_dataset(str(tmp_path)).classes == ("bus", "car", "train")
    assert not has_both_parts(tmp_path)
    write_images(tmp_path / "train", classes=("bus", "car"))
    assert "has train but no test" in refusal(tmp_path), "it has class folders, and is a part"


@pytest.mark.parametrize("beside", [("test1",), ("images",), ("train_masks",), ("bus", "test")])
def test_a_folder_train_of_images_alone_beside_what_is_no_class_is_a_part(
    tmp_path: Path, beside: tuple[str, ...]
) -> None:
    """As of competitions, whose labels stand in a table."""
    write_images(tmp_path, classes=("train", *beside))
    assert re.search("has (train|test) but no .*; pass '.*train' to have a fifth of it set aside", refusal(tmp_path))


@pytest.mark.parametrize(
    "names", [("training", "validation"), ("Test", "val"), ("train_images", "test_images"), ("Train1", "test1")]
)
def test_parts_without_classes_are_not_taken_as_classes(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        write_image(tmp_path / name / "1.png")
        write_image(tmp_path / name / "2.png")
    rule = "parts of a data set by their names; each must hold a folder for each class, and one be called train"
    assert "holds " + ", ".join(map(repr, sorted(names))) + f", {rule}" in refusal(tmp_path)


def test_links_are_followed_but_not_in_a_circle(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pets = tmp_path / "pets"
    write_images(pets)
    write_images(tmp_path / "elsewhere", 3, ("cats", "emus"))
    (pets / "cat" / "more").symlink_to(tmp_path / "elsewhere" / "cats")
    (pets / "emu").symlink_to(tmp_path / "elsewhere" / "emus")
    (pets / "dog" / "link.png").symlink_to(pets / "dog" / "0.png")
    (pets / "cat" / "up").symlink_to(pets)
    (pets / "cat" / "here").symlink_to(pets / "cat")
    dataset = open_dataset(str(pets))
    assert (np.bincount(dataset.train()[1]) + np.bincount(dataset.test()[1])).tolist() == [8, 6, 3]
    assert unused(pets, "links that lead back (2)") in caplog.messages


def test_a_class_folder_without_images_says_what_it_has(tmp_path: Path) -> None:
    write_images(tmp_path)
    (tmp_path / "emu").mkdir()
    for name in ("a.xml", "b.xml", "c"):
        (tmp_path / "emu" / name).touch()
    assert "emu': holds no images, but .xml (2), without an ending (1); every class folder must" in refusal(tmp_path)
    write_parquet(tmp_path / "emu" / "plain" / "train.parquet", [0])
    assert ".parquet (1), without an ending (1); pass the folder that holds train and test" in refusal(tmp_path)


def test_what_is_not_predicted_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_image(tmp_path / "1.png")
    for number in range(4):
        write_image(tmp_path / "more" / "deep" / f"{number}.tif")
    (tmp_path / "1.txt").touch()
    (tmp_path / ".2.png").touch()
    assert read_unlabelled(tmp_path, Shape(8, 3))[1] == ("1",)
    assert caplog.messages == [unused(tmp_path, "images in 'more' (4), .txt (1), hidden images (1)")]


def test_a_pipe_with_the_name_of_an_image_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "1.png")
    os.mkfifo(tmp_path / "2.png")
    with pytest.raises(DataError, match=r"2.png': must be a file, as its ending says$"):
        read_unlabelled(tmp_path, Shape(8, 3))


def test_a_name_that_macos_spells_in_more_characters_is_the_same_class(tmp_path: Path) -> None:
    write_images(tmp_path / "train", classes=("caf\u00e9", "dog"))
    write_images(tmp_path / "test", classes=("cafe\u0301", "dog"))
    assert open_dataset(str(tmp_path)).classes == ("caf\u00e9", "dog")
