"""Parquet files as the Hugging Face hub serves them, and each fault named with its row."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_sources import encoded, refusal, write_parquet

from search.data.datasets import open_dataset
from search.errors import DataError


@pytest.mark.parametrize("sub_folder", [".", "data"])
@pytest.mark.parametrize("test_name", ["test", "validation", "valid", "val"])
def test_parquet_is_read_as_the_hub_serves_it(tmp_path: Path, sub_folder: str, test_name: str) -> None:
    folder = tmp_path / "set" / sub_folder
    write_parquet(folder / "train-00000-of-00002.parquet", [0, 1], names=["ant", "bee"])
    write_parquet(
        folder / "train-00001-of-00002.parquet", [1, 1, 0], [encoded(100 + i) for i in range(3)], ["ant", "bee"]
    )
    write_parquet(folder / f"{test_name}-0.parquet", [1], [encoded(7)], ["ant", "bee"])
    dataset = open_dataset(str(tmp_path / "set"))
    assert dataset.classes == ("ant", "bee")
    images, labels = dataset.train()
    assert images.shape == (5, 8, 8, 3)
    assert images[:, 0, 0, 0].tolist() == [0, 1, 100, 101, 102]
    assert labels.tolist() == [0, 1, 1, 1, 0]
    assert dataset.test()[0][0, 0, 0].tolist() == [7, 7, 7]


@pytest.mark.parametrize("columns", [("image", "labels"), ("img", "fine_label")])
@pytest.mark.parametrize("struct_column", [True, False])
def test_the_usual_column_names_and_types_are_known(
    tmp_path: Path, columns: tuple[str, str], struct_column: bool
) -> None:
    for part in ("train", "test"):
        write_parquet(tmp_path / f"{part}-0.parquet", [0, 1, 1], columns=columns, struct_column=struct_column)
    dataset = open_dataset(str(tmp_path))
    assert dataset.classes == ("0", "1")
    assert dataset.train()[0][:, 0, 0, 0].tolist() == [0, 1, 2]


def test_a_test_file_is_preferred_to_a_validation_file(tmp_path: Path) -> None:
    for part, values in (("train", [0, 1, 1]), ("validation", [1]), ("test", [0])):
        write_parquet(tmp_path / f"{part}-0.parquet", values)  # type: ignore[arg-type]
    assert open_dataset(str(tmp_path)).test()[1].tolist() == [0]


def test_more_rows_than_a_chunk_stay_in_order(tmp_path: Path) -> None:
    images = [encoded(value) for value in range(256)]
    write_parquet(tmp_path / "train-0.parquet", [i % 2 for i in range(2500)], [images[i % 256] for i in range(2500)])
    write_parquet(tmp_path / "test-0.parquet", [0])
    assert open_dataset(str(tmp_path)).train()[0][:, 0, 0, 0].tolist() == [i % 256 for i in range(2500)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0, 1, -1], "names": None}, "row 2: label = -1; labels must not be negative"),
        ({"labels": [0, 1, 2]}, "row 2: label = 2; labels must be 0 to 1"),
        ({"labels": [0, 1, 10**12], "names": None}, "row 2: label = 1000000000000; labels must be"),
        ({"labels": [0, None, 1]}, "row 1: has no label"),
        ({"images": [encoded(1), None, encoded(1)]}, "row 1: has no image bytes"),
        ({"images": [encoded(1), b"no image", encoded(1)]}, "row 1: damaged or not an image"),
        ({"images": [encoded(1), encoded(1)[:45], encoded(1)]}, "row 1: damaged or not an image"),
        ({"images": [encoded(1), encoded(1, size=9), encoded(1)]}, "row 1: 9x9 pixels; all images must have the size"),
        ({"columns": ("picture", "label")}, "has columns ['picture', 'label']; an image column must be img or image"),
        ({"columns": ("img", "target")}, "a label column must be label or labels or fine_label"),
        ({"labels": [0, 0, 0]}, "row 1: label = 1; labels must be 0, the classes of the training images"),
        ({"labels": [], "images": []}, "0 training images"),
        ({"names": ["a", "c"]}, "its class names differ from those of train-0.parquet"),
    ],
)
def test_a_fault_in_parquet_is_named_with_its_row(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_parquet(tmp_path / "train-0.parquet", **({"labels": [0, 1, 1], "names": ["a", "b"]} | change))
    write_parquet(tmp_path / "test-0.parquet", [0, 1], names=["a", "b"])
    assert message in refusal(tmp_path)


def test_parquet_of_other_types_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "test-0.parquet", [0])
    path = tmp_path / "train-0.parquet"
    pq.write_table(pa.table({"img": ["a.png"], "label": [0]}), path)
    assert "column img is string; must be binary" in refusal(tmp_path)
    pq.write_table(pa.table({"img": [b""], "label": ["cat"]}), path)
    assert "column label is string; must be whole numbers" in refusal(tmp_path)
    path.write_bytes(b"PAR1 and no more")
    assert f"{str(path)!r}: cannot be read as Parquet" in refusal(tmp_path)


@pytest.mark.parametrize(("present", "missing"), [("train", "test-"), ("test", "train-"), ("extra", "train-")])
def test_half_a_parquet_set_is_refused(tmp_path: Path, present: str, missing: str) -> None:
    write_parquet(tmp_path / f"{present}-0.parquet", [0, 1])
    assert f"holds Parquet files but no {missing}" in refusal(tmp_path)


def test_no_cut_or_garbled_parquet_file_ends_in_another_error(tmp_path: Path) -> None:
    write_parquet(tmp_path / "test-0.parquet", [0, 1], names=["a", "b"])
    path = tmp_path / "train-0.parquet"
    write_parquet(path, [0, 1, 1, 0], names=["a", "b"])
    whole, generator = path.read_bytes(), np.random.default_rng(0)
    num_refused = 0
    for attempt in range(60):
        garbled = bytearray(whole)
        for place in generator.integers(0, len(whole), 4):
            garbled[place] = generator.integers(256)
        path.write_bytes(garbled if attempt % 2 else whole[: generator.integers(len(whole))])
        try:
            open_dataset(str(tmp_path))
        except DataError:
            num_refused += 1
    assert num_refused >= 30  # all that were cut


def test_parquet_of_an_absurd_number_of_rows_is_refused_unread(tmp_path: Path) -> None:
    """Equal values take next to no room in a file: the labels alone would fill the memory."""
    path = tmp_path / "train-0.parquet"
    path.parent.mkdir(exist_ok=True)
    schema = pa.schema([("img", pa.binary()), ("label", pa.int64())])
    num_rows = 2 * 10**6
    batch = pa.table({"img": pa.nulls(num_rows, pa.binary()), "label": np.zeros(num_rows, np.int64)}, schema)
    with pq.ParquetWriter(path, schema) as writer:
        for _ in range(51):
            writer.write_table(batch, row_group_size=num_rows)
    assert path.stat().st_size < 1_000_000
    write_parquet(tmp_path / "test-0.parquet", [0, 1])
    assert "train-0.parquet': has 102,000,000 rows; must have 100,000,000 at most" in refusal(tmp_path)


def test_classes_without_training_images_are_left_out_and_named(tmp_path: Path) -> None:
    names = ["ant", "bee", "cat", "dog"]
    write_parquet(tmp_path / "train-0.parquet", [1, 3, 3, 1], names=names)
    write_parquet(tmp_path / "test-0.parquet", [3, 1], [encoded(100), encoded(101)], names=names)
    dataset = open_dataset(str(tmp_path))
    assert (dataset.classes, dataset.labels, dataset.unused) == (("bee", "dog"), (1, 3), ("ant", "cat"))
    assert (dataset.train()[1].tolist(), dataset.test()[1].tolist()) == ([0, 1, 1, 0], [1, 0])
    assert dataset.notes == ("2 of 4 classes have no training image and are left out: ant, cat",)
    write_parquet(tmp_path / "test-0.parquet", [3, 0], names=names)
    assert "row 1: label = 0; labels must be 1, 3, the classes of the training images" in refusal(tmp_path)


@pytest.mark.parametrize(("shift", "step"), [(1, 1), (0, 50), (10**12, 7)])
def test_labels_that_leave_numbers_out_become_names(tmp_path: Path, shift: int, step: int) -> None:
    labels = [shift, shift + step, shift + 2 * step]
    write_parquet(tmp_path / "train-0.parquet", [*labels, *labels])
    write_parquet(tmp_path / "test-0.parquet", labels, [encoded(100 + label) for label in range(3)])
    dataset = open_dataset(str(tmp_path))
    assert dataset.classes == tuple(map(str, labels)) and not dataset.are_named
    assert dataset.train()[1].tolist() == [0, 1, 2] * 2
    assert dataset.notes == (f"3 classes, named by their labels: {', '.join(map(str, labels))}",)


def test_names_that_only_a_later_file_has_are_used_and_other_columns_are_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0.parquet", [0, 1, 1])
    write_parquet(tmp_path / "test-0.parquet", [0, 1], [encoded(100), encoded(101)], names=["ant", "bee"])
    table = pq.read_table(tmp_path / "train-0.parquet")
    pq.write_table(table.append_column("coarse_label", pa.array([0, 0, 1])), tmp_path / "train-0.parquet")
    dataset = open_dataset(str(tmp_path))
    assert (dataset.classes, dataset.are_named) == (("ant", "bee"), True)
    assert dataset.notes == ("columns not used: coarse_label",)


def test_an_unlabelled_training_part_is_not_sent_to_look_for_a_validation_part(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0.parquet", [-1, -1])
    write_parquet(tmp_path / "test-0.parquet", [0, 1])
    assert refusal(tmp_path).endswith("every label is -1, so that it is an unlabelled part; must be labelled")
