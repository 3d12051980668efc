"""Parquet files in the layouts of the Hugging Face hub: all are found, none may be missing, unused ones are named."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_sources import encoded, refusal, write_images, write_parquet

from search.data.datasets import open_dataset
from search.data.decoding import Shape
from search.data.labelled import has_both_parts, read_labelled
from search.data.unlabelled import read_unlabelled
from search.errors import DataError

TRAIN, TEST = [0, 1, 1, 0], [1, 0]


def write_set(folder: Path, train: str, test: str) -> None:
    write_parquet(folder / train, TRAIN)  # type: ignore[arg-type]
    write_parquet(folder / test, TEST, [encoded(100), encoded(101)])  # type: ignore[arg-type]


@pytest.mark.parametrize("folder", [".", "data", "plain_text", "default", "data/default"])
@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet"),
        ("train-00000-of-00001-a09b74b3ef9c3b56.parquet", "test-00000-of-00001-0c39c2c3b0aa5ee9.parquet"),
        ("train/0000.parquet", "test/0000.parquet"),
        ("train/0000.parquet", "validation/0000.parquet"),
        ("train/train-00000-of-00001.parquet", "val/val-00000-of-00001.parquet"),
        ("cifar10-train.parquet", "cifar10-test.parquet"),
        ("mnist_train.parquet", "mnist_test.parquet"),
        ("train.parquet", "TEST.PARQUET"),
    ],
)
def test_every_layout_of_the_hub_is_read(tmp_path: Path, folder: str, train: str, test: str) -> None:
    write_set(tmp_path / "set" / folder, train, test)
    dataset = open_dataset(str(tmp_path / "set"))
    assert dataset.train()[1].tolist() == TRAIN
    assert dataset.test()[0][:, 0, 0, 0].tolist() == [100, 101]
    assert has_both_parts(tmp_path / "set")
    assert read_labelled(tmp_path / "set", Shape(8, 3))[0].labels.tolist() == TEST
    assert len(read_unlabelled(tmp_path / "set", Shape(8, 3))[1]) == len(TEST)


def test_several_configurations_are_named_and_one_is_to_be_passed(tmp_path: Path) -> None:
    for name in ("cropped_digits", "full_numbers"):
        write_set(tmp_path / name, "train/0000.parquet", "test/0000.parquet")
    message = refusal(tmp_path)
    assert "holds several data sets: cropped_digits, full_numbers; pass one of them, such as" in message
    for read in (lambda: read_unlabelled(tmp_path, Shape(8, 3)), lambda: read_labelled(tmp_path, Shape(8, 3))):
        with pytest.raises(DataError, match="holds several data sets"):
            read()
    assert open_dataset(str(tmp_path / "full_numbers")).num_train == len(TRAIN)


def test_class_folders_with_a_stray_table_are_class_folders(tmp_path: Path) -> None:
    write_images(tmp_path / "train")
    write_images(tmp_path / "test", 1)
    for place in (tmp_path / "train", tmp_path / "train" / "cat", tmp_path / "test" / "dog"):
        write_parquet(place / "labels.parquet", [0])
    write_parquet(tmp_path / "metadata.parquet", [0])
    assert open_dataset(str(tmp_path)).classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train-00000-of-00003"], "train-00001-of-00003.parquet, train-00002-of-00003.parquet missing"),
        (["train-00000-of-00003", "train-00002-of-00003"], "': train-00001-of-00003.parquet missing; must hold all"),
        (["train-00002-of-00003-abc", "train-00001-of-00003-def"], "': train-00000-of-00003.parquet missing"),
        (["train-00001-of-99999999999"], "and 99,999,999,995 more missing"),
        (["train-00003-of-00002", "train-00000-of-00002"], "': train-00001-of-00002.parquet missing"),
        (["train-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002"], "are mixed (1 of 1 and 2 of 2)"),
        (["train-00000-of-00001", "train-00000-of-00002"], "train shards of different makings are mixed"),
        (["train-00000-of-00001-abc", "train-00000-of-00001-def"], "train-00000-of-00001.parquet is there 2 times"),
        (["train", "train-00000-of-00001"], "train.parquet': is not of the same making as"),
        (["train-00000-of-00001", "train/0000"], "0000.parquet': is not of the same making as"),
        (["train/0000", "train/0002"], "': 0001.parquet missing"),
        (["train/0002"], "': 0000.parquet, 0001.parquet missing"),
        (["train_1_of_3", "train_3_of_3"], "': train_2_of_3.parquet missing"),
        (["{}-train-00000-of-00002"], "': {}-train-00001-of-00002.parquet missing"),
    ],
)
def test_a_missing_or_foreign_shard_is_refused_by_name(tmp_path: Path, names: list[str], message: str) -> None:
    write_set(tmp_path, "train-unused.parquet", "test-00000-of-00001.parquet")
    (tmp_path / "train-unused.parquet").unlink()
    for name in names:
        write_parquet(tmp_path / f"{name}.parquet", TRAIN)  # type: ignore[arg-type]
    assert message in refusal(tmp_path)
    for name in names:  # the same of the part that is predicted or evaluated
        part = Path(name.replace("train", "test"))
        (tmp_path / "other" / part).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.parquet").rename(tmp_path / "other" / f"{part}.parquet")
    expected = message.replace("train", "test")
    for read in (
        lambda: read_unlabelled(tmp_path / "other", Shape(8, 3)),
        lambda: read_labelled(tmp_path / "other", Shape(8, 3)),
    ):
        with pytest.raises(DataError) as caught:
            read()
        assert expected in str(caught.value)


@pytest.mark.parametrize(
    "names",
    [
        ["train-00001-of-00002", "train-00002-of-00002"],  # counted from 1
        ["train-a-00000-of-00001", "train-b-00000-of-00002", "train-b-00001-of-00002"],
        ["train-0", "train-7"],
        ["train/0000", "train/0001"],
    ],
)
def test_all_shards_of_a_part_are_read(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        write_parquet(tmp_path / f"{name}.parquet", TRAIN)  # type: ignore[arg-type]
    write_parquet(tmp_path / "test-0.parquet", TEST)  # type: ignore[arg-type]
    assert open_dataset(str(tmp_path)).num_train == len(names) * len(TRAIN)


def test_a_number_that_is_left_out_is_told_where_no_name_says_how_many_there_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("train-0", "train-7", "train-x2019", "train-x2021", "test_01", "test_02"):
        write_parquet(tmp_path / f"{name}.parquet", TRAIN)  # type: ignore[arg-type]
    open_dataset(str(tmp_path))
    where = f"data = {str(tmp_path)!r}: "
    assert caplog.messages == [
        f"{where}of train-0 to train-7, 6 are not there, such as train-1",
        f"{where}not used: Parquet of train-x (2)",
        f"{where}8 of 8 test images are also training images, pixel by pixel",
    ]


@pytest.mark.parametrize("copy", ["train (1)", "train - Copy", "train - Copy (2)", "train copy", "train copy 2"])
def test_a_copy_is_not_counted_twice(tmp_path: Path, copy: str) -> None:
    for name in ("train", copy, "test"):
        write_parquet(tmp_path / f"{name}.parquet", TRAIN)  # type: ignore[arg-type]
    assert f"{copy}.parquet': is a copy of train.parquet by its name; keep one of them" in refusal(tmp_path)
    (tmp_path / "train.parquet").unlink()
    assert open_dataset(str(tmp_path)).num_train == len(TRAIN)


def test_one_shard_may_be_asked_for_and_the_others_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shard = tmp_path / "test-00001-of-00003.parquet"
    write_parquet(shard, TEST)  # type: ignore[arg-type]
    assert len(read_unlabelled(shard, Shape(8, 3))[1]) == len(TEST)
    assert caplog.messages[0] == f"data = {str(shard)!r}: is one of 3 shards; the others are not used"


@pytest.mark.parametrize("without", ["-1", "none", "no column"])
def test_a_labelled_validation_part_is_taken_instead_of_an_unlabelled_test_part(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, without: str
) -> None:
    write_set(tmp_path, "train-00000-of-00001.parquet", "validation-00000-of-00001.parquet")
    test = tmp_path / "test-00000-of-00001.parquet"
    label = {"-1": -1, "none": None, "no column": 0}[without]
    columns = ("img", "row" if without == "no column" else "label")
    write_parquet(test, [label] * 3, [encoded(7)] * 3, columns=columns)
    assert open_dataset(str(tmp_path)).test()[1].tolist() == TEST
    said = f"data = {str(tmp_path)!r}: its part test is not labelled, and is not used; validation is"
    assert said in caplog.messages
    assert read_labelled(tmp_path, Shape(8, 3))[0].labels.tolist() == TEST
    assert len(read_unlabelled(tmp_path, Shape(8, 3))[1]) == 3  # to be predicted is what it is for


def test_an_unlabelled_test_part_alone_is_refused_with_what_to_do(tmp_path: Path) -> None:
    write_set(tmp_path, "train-0.parquet", "test-0.parquet")
    write_parquet(tmp_path / "test-0.parquet", [-1, -1])
    rule = (
        "every label is -1, so that it is an unlabelled part; must be labelled, or stand beside a labelled validation-"
    )
    assert f"test-0.parquet': {rule}" in refusal(tmp_path)
    write_parquet(tmp_path / "validation-0.parquet", [-1, -1])
    assert f"test-0.parquet': {rule}" in refusal(tmp_path)


def test_what_is_not_used_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "set"
    write_set(folder / "data", "train-00000-of-00001.parquet", "test-00000-of-00001.parquet")
    for name in ("validation-00000-of-00002", "validation-00001-of-00002", "extra"):
        write_parquet(folder / "data" / f"{name}.parquet", [0])
    (folder / "README.md").touch()
    (folder / "images").mkdir()
    (folder / "images" / "a.png").touch()
    open_dataset(str(folder))
    kinds = "Parquet of validation (2), .md (1), Parquet of no part (1), images in 'images' (1)"
    assert caplog.messages == [f"data = {str(folder)!r}: not used: {kinds}"]
    caplog.clear()
    read_unlabelled(folder, Shape(8, 3))
    assert caplog.messages == [
        f"data = {str(folder)!r}: not used: {kinds.replace('no part (1),', 'no part (1), Parquet of train (1),')}",
        f"data = {str(folder)!r}: columns not used: label",
    ]


@pytest.mark.parametrize(
    ("train", "test", "others"),
    [
        ("train-00000-of-00001", "test-00000-of-00001", ("train_noisy-00000-of-00001", "test_ood-00000-of-00001")),
        ("train", "TEST", ("train_small", "train-extra2", "test.hard")),
        ("train-2", "test-1", ("train.small7", "small_test")),
        ("train/0000", "test/0000", ("train/train_small", "test/test-hard-00000-of-00001")),
    ],
)
def test_a_set_beside_a_part_whose_name_goes_on_is_not_taken_into_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, train: str, test: str, others: tuple[str, ...]
) -> None:
    write_set(tmp_path / "set", f"{train}.parquet", f"{test}.parquet")
    for other in others:
        write_parquet(tmp_path / "set" / f"{other}.parquet", [0, 1, 1, 1])
    dataset = open_dataset(str(tmp_path / "set"))
    assert (dataset.train()[1].tolist(), dataset.test()[1].tolist()) == (TRAIN, TEST)
    assert all(f"Parquet of {Path(other).name.split('-0')[0].rstrip('0123456789')}" in caplog.text for other in others)
    assert read_labelled(tmp_path / "set", Shape(8, 3))[0].labels.tolist() == TEST


def test_parts_of_one_part_by_letters_are_taken_together(tmp_path: Path) -> None:
    write_set(tmp_path, "train_a.parquet", "test.parquet")
    write_parquet(tmp_path / "train_b.parquet", [1, 1])
    assert open_dataset(str(tmp_path)).train()[1].tolist() == [*TRAIN, 1, 1]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path, "train-0.parquet", "test-0.parquet")
    table = pq.read_table(tmp_path / "train-0.parquet").append_column("more", pa.array(TRAIN))
    pq.write_table(table.rename_columns(["img", "label", "label"]), tmp_path / "train-0.parquet")
    assert "has several columns label; must have one" in refusal(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_what_has_the_name_of_a_parquet_file_must_be_one(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "test-0.parquet"
    {"pipe": os.mkfifo, "folder": Path.mkdir, "link": lambda path: path.symlink_to("nowhere")}[kind](path)
    with pytest.raises(DataError, match=r"test-0.parquet': must be a file, as its ending says$"):
        read_unlabelled(tmp_path, Shape(8, 3))


def test_a_damaged_file_to_be_predicted_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "test-0.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"test-0.parquet': cannot be read as Parquet: "):
        read_unlabelled(tmp_path, Shape(8, 3))
