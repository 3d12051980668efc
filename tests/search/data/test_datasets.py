import errno
import hashlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import search.data.cache
import search.data.catalogue
import search.data.datasets
from search.data import arrays
from search.data.catalogue import NAMED, safe_name
from search.data.datasets import Dataset, load_cached, open_dataset
from search.data.decoding import EncodedImages
from search.data.splits import split
from search.errors import DataError, StorageError
from search.training import download

STRUCT = pa.struct({"bytes": pa.binary(), "path": pa.string()})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NAS_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def real_data() -> Path:
    folder = Path(os.environ.get("NAS_DATA", "/nowhere"))
    if not (folder / "cifar10").is_dir():
        pytest.skip("NAS_DATA names no folder that holds cifar10")
    return folder


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one each time a data set is decoded."""
    names: list[str] = []
    decode = search.data.datasets._decode

    def counting(source: Any, name: str, folder: Path) -> None:
        names.append(name)
        decode(source, name, folder)

    monkeypatch.setattr(search.data.datasets, "_decode", counting)
    return names


def pixels(value: int, size: int = 8, mode: str = "RGB") -> Image.Image:
    return Image.fromarray(np.full((size, size, 3), value, dtype=np.uint8)).convert(mode)


def encoded(value: int, size: int = 8, mode: str = "RGB", format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    pixels(value, size, mode).save(buffer, format)
    return buffer.getvalue()


def write_images(
    folder: Path, num_images: int = 5, classes: tuple[str, ...] = ("cat", "dog"), mode: str = "RGB"
) -> None:
    """Image i of class c has the value 10 c + i."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(num_images):
            pixels(10 * number + i, mode=mode).save(folder / name / f"{i}.png")


def write_parquet(
    path: Path,
    labels: list[int | None],
    images: list[bytes | None] | None = None,
    names: list[str] | None = None,
    columns: tuple[str, str] = ("img", "label"),
    struct_column: bool = True,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = images or [encoded(i) for i in range(len(labels))]
    column = (
        pa.array([{"bytes": b, "path": None} for b in raw], STRUCT) if struct_column else pa.array(raw, pa.binary())
    )
    table = pa.table({columns[0]: column, columns[1]: pa.array(labels, pa.int64())})
    if names:
        features = {"info": {"features": {columns[1]: {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    pq.write_table(table, path)


def write_npz(path: Path, **changes: Any) -> Path:
    generator = np.random.default_rng(0)
    arrays = {
        "x_train": generator.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8),
        "y_train": np.arange(12) % 3,
        "x_test": generator.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8),
        "y_test": np.arange(6) % 3,
    }
    np.savez(path, **{name: array for name, array in (arrays | changes).items() if array is not None})
    return path


def refusal(spec: Path | str) -> str:
    """The one line with which a data set is refused."""
    with pytest.raises(DataError) as caught:
        open_dataset(str(spec))
    message = str(caught.value)
    assert "\n" not in message
    return message


# ---- the cache


def test_a_second_open_does_not_decode_again(decodes: list[str]) -> None:
    first, second = open_dataset("digits"), open_dataset("digits")
    assert first == second
    assert decodes == ["digits"]


def test_a_worker_reopens_the_same_data_set_by_its_folder() -> None:
    dataset = open_dataset("digits")
    again = load_cached(dataset.folder)
    assert again == dataset
    assert np.array_equal(again.train()[0], dataset.train()[0])


def test_images_are_memory_mapped_and_cannot_be_written() -> None:
    images, labels = open_dataset("digits").train()
    assert isinstance(images, np.memmap)
    assert not images.flags.writeable
    assert (images.dtype, labels.dtype) == (np.uint8, np.int64)


def test_a_changed_file_is_decoded_again(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "toy.npz")
    before = open_dataset(str(path))
    write_npz(path, y_test=np.array([2, 1, 0, 2, 1, 0]))
    os.utime(path, ns=(1, 1))
    after = open_dataset(str(path))
    assert before.folder != after.folder
    assert before.fingerprint != after.fingerprint
    assert after.test()[1].tolist() == [2, 1, 0, 2, 1, 0]


def test_the_fingerprint_is_of_content_and_not_of_place(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    one = open_dataset(str(write_npz(tmp_path / "one.npz")))
    other = open_dataset(str(write_npz(tmp_path / "elsewhere" / "two.npz")))
    assert one.fingerprint == other.fingerprint
    assert len(bytes.fromhex(one.fingerprint)) == hashlib.sha256().digest_size


def test_class_names_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    write_images(tmp_path / "one")
    write_images(tmp_path / "two", classes=("cat", "doe"))
    one, two = (open_dataset(str(tmp_path / name)) for name in ("one", "two"))
    assert np.array_equal(one.train()[0], two.train()[0])
    assert one.fingerprint != two.fingerprint


def test_a_crash_while_decoding_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(search.data.cache, "write", crash)
    with pytest.raises(KeyboardInterrupt):
        open_dataset("digits")
    assert list(cache.iterdir()) == []


def test_what_a_killed_process_left_is_cleared_after_a_day(cache: Path) -> None:
    name = open_dataset("digits").folder.name
    old, new = cache / f".{name}.old", cache / f".{name}.new"
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (time.time() - 100_000, time.time() - 100_000))
    (cache / name / "meta.json").unlink()
    open_dataset("digits")
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize("damage", ["meta missing", "meta garbled", "array missing", "array cut"])
def test_a_damaged_cache_is_refused_by_workers_and_decoded_anew_by_open(damage: str) -> None:
    dataset = open_dataset("digits")
    array = dataset.folder / "test-images.npy"
    match damage:
        case "meta missing":
            (dataset.folder / "meta.json").unlink()
        case "meta garbled":
            (dataset.folder / "meta.json").write_text('{"name": 1, "classes": []}')
        case "array missing":
            array.unlink()
        case "array cut":
            array.write_bytes(array.read_bytes()[:-1])
    with pytest.raises(DataError, match="missing or damaged"):
        load_cached(dataset.folder)
    assert open_dataset("digits") == dataset
    assert len(dataset.test()[0]) == dataset.num_test


def test_reading_a_deleted_cache_is_one_clear_error() -> None:
    dataset = open_dataset("digits")
    (dataset.folder / "train-images.npy").unlink()
    with pytest.raises(DataError, match="missing or damaged; open the data set again"):
        dataset.train()


def test_racing_opens_agree(cache: Path) -> None:
    barrier = threading.Barrier(4)
    found: list[Dataset] = []

    def open_together() -> None:
        barrier.wait()
        found.append(open_dataset("digits"))

    threads = [threading.Thread(target=open_together) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert [entry.name for entry in cache.iterdir()] == [found[0].folder.name]


def test_a_full_disk_says_what_to_free(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(search.data.cache, "write", full)
    with pytest.raises(
        StorageError, match=r"cannot write .*cache.*No space left on device; free space there, or set NAS"
    ):
        open_dataset("digits")
    assert list(cache.iterdir()) == []


def test_too_little_space_is_noticed_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search.data.datasets.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(StorageError, match="the arrays need 1 MB, more than is free; free space there"):
        open_dataset("digits")


def test_a_cache_that_cannot_be_made_is_a_storage_error(cache: Path) -> None:
    cache.write_text("a file stands where the folder should be")
    with pytest.raises(StorageError, match=r"cannot write the data cache .* set NAS_CACHE to another folder"):
        open_dataset("digits")


def test_the_cache_lies_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert open_dataset("digits").folder.parent == tmp_path / "xdg" / "budget-nas"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert open_dataset("digits").folder.parent == tmp_path / "home" / ".cache" / "budget-nas"


def test_decoding_loads_no_torch_and_opening_again_nothing_heavy_at_all() -> None:
    code = (
        "import sys; from search.data.datasets import open_dataset; open_dataset('digits');"
        "print(*(name for name in ('torch', 'optuna', 'pandas', 'sklearn') if name in sys.modules))"
    )
    command = [sys.executable, "-c", code]
    loaded = [subprocess.check_output(command, text=True, cwd=Path(__file__).parents[2]).split() for _ in range(2)]
    assert not {"torch", "optuna"} & set(loaded[0])
    assert loaded[1] == []


# ---- names and paths


def test_digits_are_the_greyscale_digits_of_scikit_learn() -> None:
    dataset = open_dataset("digits")
    assert (dataset.name, dataset.image_size, dataset.channels) == ("digits", 8, 1)
    assert dataset.classes == tuple("0123456789")
    assert dataset.num_train + dataset.num_test == 1797
    assert dataset.num_test == pytest.approx(0.2 * 1797, abs=5)
    images, _ = dataset.train()
    assert (images.min(), images.max()) == (0, 255)
    assert np.bincount(dataset.test()[1]).min() >= 34


def test_an_unknown_name_is_answered_with_the_nearest_and_all_known() -> None:
    message = refusal("cifr10")
    assert message.startswith("data = 'cifr10': no such data set or path (did you mean 'cifar10'?); must be")
    assert all(name in message for name in NAMED)
    assert "did you mean" not in refusal("/some/where")


@pytest.mark.parametrize("spec", ["", " ", "a\0b", "x" * 5000, "~nobody-of-that-name/data", "\udcff"])
def test_a_spec_that_can_be_no_path_is_refused(spec: str) -> None:
    assert refusal(spec).startswith(f"data = {spec!r}: ")


def test_a_known_name_means_the_set_and_a_separator_means_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    assert open_dataset("digits").num_train == 1438
    assert open_dataset("./digits").num_train == 8


@pytest.mark.parametrize("setting", [".", "toys"])
def test_nas_data_is_looked_in_first_whether_it_holds_the_set_or_is_it(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(tmp_path / "toys" / "train-0.parquet", [0, 1, 0, 1])
    write_parquet(tmp_path / "toys" / "test-0.parquet", [0, 1])
    monkeypatch.setenv("NAS_DATA", str(tmp_path / setting))
    assert open_dataset("toys").name == "toys"
    assert open_dataset("digits").num_train == 1438


def test_a_named_set_in_nas_data_has_its_real_class_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(tmp_path / "cifar10" / "train-0.parquet", [0, 1, 0, 1])
    write_parquet(tmp_path / "cifar10" / "test-0.parquet", [0, 9])
    monkeypatch.setenv("NAS_DATA", str(tmp_path))
    assert open_dataset("cifar10").classes == NAMED["cifar10"]
    assert "label = 9; labels must be 0 to 1" in refusal(tmp_path / "cifar10")


def test_the_named_sets_have_as_many_classes_as_they_should() -> None:
    assert {name: len(set(classes)) for name, classes in NAMED.items()} == {
        "digits": 10,
        "cifar10": 10,
        "cifar100": 100,
        "fashion-mnist": 10,
        "svhn": 10,
    }
    assert list(NAMED["cifar100"]) == sorted(NAMED["cifar100"])


@pytest.mark.parametrize(
    ("name", "safe"),
    [("flowers", "flowers"), ("my flowers!", "my-flowers"), ("../../etc", "etc"), ("é", "data"), ("x" * 99, "x" * 40)],
)
def test_a_folder_name_is_made_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_the_working_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path / "some pets")
    monkeypatch.chdir(tmp_path / "some pets")
    assert open_dataset(".").name == "some-pets"


# ---- split


@pytest.mark.parametrize(("num_images", "fraction"), [(50_000, 0.1), (20_000, 0.1), (19_990, 0.2), (100, 0.2)])
def test_a_split_is_stratified_complete_and_sorted(num_images: int, fraction: float) -> None:
    labels = np.random.default_rng(1).permutation(np.arange(num_images) % 10)
    train, validation = split(labels, seed=0)
    assert np.array_equal(np.sort(np.concatenate([train, validation])), np.arange(num_images))
    assert np.all(np.diff(train) > 0)
    assert np.all(np.diff(validation) > 0)
    assert np.bincount(labels[validation]).tolist() == [round(num_images / 10 * fraction)] * 10
    assert train.dtype == validation.dtype == np.int64


def test_a_split_is_fixed_by_its_seed() -> None:
    labels = np.arange(1000) % 10
    assert np.array_equal(split(labels, 3)[1], split(labels, 3)[1])
    assert not np.array_equal(split(labels, 3)[1], split(labels, 4)[1])


def test_a_class_of_two_images_has_one_on_either_side_and_a_single_image_is_for_training() -> None:
    labels = np.array([0] * 50 + [1] * 2 + [2])
    train, validation = split(labels, 0)
    assert np.bincount(labels[train]).tolist() == [40, 1, 1]
    assert np.bincount(labels[validation], minlength=3).tolist() == [10, 1, 0]


def test_nothing_splits_into_nothing() -> None:
    train, validation = split(np.empty(0, dtype=np.int64), 0)
    assert len(train) == len(validation) == 0


# ---- Parquet


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
        ({"labels": [0, 1, -1], "names": None}, "row 2: label = -1; labels must be 0 to 1"),
        ({"labels": [0, 1, 2]}, "row 2: label = 2; labels must be 0 to 1"),
        ({"labels": [0, 1, 10**12], "names": None}, "row 2: label = 1000000000000; labels must be"),
        ({"labels": [0, None, 1]}, "row 1: has no label"),
        ({"images": [encoded(1), None, encoded(1)]}, "row 1: has no image bytes"),
        ({"images": [encoded(1), b"no image", encoded(1)]}, "row 1: damaged or not an image"),
        ({"images": [encoded(1), encoded(1)[:45], encoded(1)]}, "row 1: damaged or not an image"),
        ({"images": [encoded(1), encoded(1, size=9), encoded(1)]}, "row 1: 9x9 pixels; all images must have the size"),
        ({"columns": ("picture", "label")}, "has columns ['picture', 'label']; an image column must be img or image"),
        ({"columns": ("img", "target")}, "a label column must be label or labels or fine_label"),
        ({"labels": [0, 0, 0]}, "training images of 1 class; there must be at least 2"),
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


# ---- folders of images


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


def test_every_usual_format_is_read_whatever_the_case_of_its_ending(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for suffix, format in {
            "png": "PNG",
            "JPG": "JPEG",
            "Jpeg": "JPEG",
            "bmp": "BMP",
            "webp": "WEBP",
            "gif": "GIF",
        }.items():
            pixels(200).save(tmp_path / name / f"x-{suffix}.{suffix}", format)
    dataset = open_dataset(str(tmp_path))
    assert dataset.num_train + dataset.num_test == 12
    assert np.all(np.abs(dataset.train()[0].astype(int) - 200) <= 2)


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_a_set_all_in_grey_keeps_one_channel(tmp_path: Path, mode: str) -> None:
    write_images(tmp_path / "grey", mode=mode)
    assert open_dataset(str(tmp_path / "grey")).channels == 1


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_one_image_in_colour_makes_the_whole_set_rgb(tmp_path: Path, mode: str) -> None:
    write_images(tmp_path / "train", mode="L")
    write_images(tmp_path / "test", mode="L")
    pixels(51, mode=mode).save(tmp_path / "test" / "dog" / "last.png")
    dataset = open_dataset(str(tmp_path))
    assert dataset.channels == 3
    assert dataset.train()[0][1, 0, 0].tolist() == [1, 1, 1]
    assert dataset.test()[0][-1, 0, 0].tolist() == [51, 51, 51]


def spoil(file: Path, how: str) -> None:
    match how:
        case "not square":
            Image.new("RGB", (8, 9)).save(file)
        case "too small":
            Image.new("RGB", (3, 3)).save(file)
        case "too large":
            Image.new("RGB", (513, 513)).save(file)
        case "another size":
            Image.new("RGB", (9, 9)).save(file)
        case "16 bits":
            Image.fromarray(np.zeros((8, 8), dtype=np.uint16)).save(file)
        case "empty":
            file.write_bytes(b"")
        case "cut":
            file.write_bytes(encoded(1)[:45])
        case "another format":
            pixels(1).save(file, "TIFF")
        case "a folder":
            file.unlink()
            file.mkdir()
        case "a broken link":
            file.unlink()
            file.symlink_to("nowhere.png")
        case "a pipe":
            file.unlink()
            os.mkfifo(file)
        case "a bomb" | "a small bomb":
            side = 10_000 if how == "a small bomb" else 60_000  # Pillow warns of the first and refuses the second
            header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
            chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
            file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT\x35\xaf\x06\x1e")
        case _:
            raise AssertionError(how)


@pytest.mark.parametrize(
    ("how", "rule"),
    [
        ("not square", "8x9 pixels; images must be square"),
        ("too small", "3x3 pixels; images must measure 4 to 512 pixels a side"),
        ("too large", "513x513 pixels; images must measure 4 to 512 pixels a side"),
        ("another size", "9x9 pixels; all images must have the size of the first, 8x8"),
        ("16 bits", "pixel mode I;16; images must have 8 bits a channel"),
        ("empty", "damaged or not an image"),
        ("cut", "damaged or not an image"),
        ("another format", "must be one of PNG, JPEG, BMP, WEBP, GIF"),
        ("a folder", "must be a file"),
        ("a broken link", "No such file or directory"),
        ("a pipe", "must be a file"),
        ("a bomb", "too many pixels"),
        ("a small bomb", "too many pixels"),
    ],
)
def test_a_faulty_image_is_named_with_the_rule(tmp_path: Path, cache: Path, how: str, rule: str) -> None:
    write_images(tmp_path / "pets")
    file = tmp_path / "pets" / "dog" / "3.png"
    spoil(file, how)
    message = refusal(tmp_path / "pets")
    assert str(file) in message
    assert rule in message
    assert not cache.exists() or list(cache.iterdir()) == []


def test_an_image_file_of_absurd_length_is_not_read_whole(tmp_path: Path) -> None:
    write_images(tmp_path / "pets")
    with (tmp_path / "pets" / "dog" / "3.png").open("wb") as file:
        file.truncate(10**11)
    assert "3.png': over 64 MB" in refusal(tmp_path / "pets")


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


# ---- .npz


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
        ({"y_test": None}, "has no y_test; must hold x_train, y_train, x_test, y_test"),
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
        ({"y_train": np.arange(12) % 3 - 1}, "y_train, index 0: label = -1; labels must be 0 to 1"),
        ({"y_test": np.arange(6)}, "y_test, index 3: label = 3; labels must be 0 to 2"),
        ({"y_train": np.array([0, 1] * 6), "y_test": np.array([2] * 6)}, "y_test, index 0: label = 2"),
        ({"y_train": np.zeros(12, np.int64), "y_test": np.zeros(6, np.int64)}, "training images of 1 class"),
        ({"x_train": np.array([{}] * 12, dtype=object)}, "cannot be read as .npz without Python objects"),
        ({"x_train": np.zeros((0, 8, 8), np.uint8), "y_train": np.zeros(0, np.uint8)}, "label = 0; labels must be"),
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


# ---- downloads


class FakeSet:
    """Holds its arrays as torchvision does: channels last with a list of targets, or channels first with labels."""

    def __init__(self, channels_first: bool, num_images: int) -> None:
        self.data = np.arange(num_images * 8 * 8 * 3, dtype=np.uint8).reshape(num_images, 8, 8, 3)
        if channels_first:
            self.data = self.data.transpose(0, 3, 1, 2)
            self.labels = np.arange(num_images) % 10
        else:
            self.targets = [i % 10 for i in range(num_images)]


@pytest.mark.parametrize("channels_first", [False, True])
def test_torchvision_sets_become_channels_last_arrays(channels_first: bool) -> None:
    images, labels = download.to_arrays(FakeSet(channels_first, 20))
    assert np.array_equal(images, FakeSet(False, 20).data)
    assert (images.dtype, images.flags.c_contiguous) == (np.uint8, True)
    assert labels.tolist() == [i % 10 for i in range(20)]


def test_grey_tensors_keep_their_shape() -> None:
    dataset = SimpleNamespace(data=np.zeros((2, 28, 28), np.uint8), targets=np.array([1, 0]))
    assert download.to_arrays(dataset)[0].shape == (2, 28, 28)


def fake_process(
    fetch: Callable[[str], download.Fetch], runs: list[list[str]]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Stands for subprocess.run: runs the downloader's main in this process."""

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        runs.append(command)
        output = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", output)
            patch.setattr(download.socket, "setdefaulttimeout", lambda _: None)
            status = download.main(command[4:], fetch)
        return subprocess.CompletedProcess(command, status, output.getvalue(), "")

    return run


def test_a_named_set_is_downloaded_once_by_a_process_of_its_own(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[list[str]] = []
    run = fake_process(lambda name: lambda folder, train: FakeSet(name == "svhn", 40 if train else 20), runs)
    monkeypatch.setattr(search.data.catalogue.subprocess, "run", run)
    dataset = open_dataset("cifar10")
    assert open_dataset("cifar10") == dataset
    directory = str(cache / "downloads")
    assert runs == [[sys.executable, "-P", "-m", "search.training.download", "cifar10", directory]]
    assert (dataset.num_train, dataset.num_test, dataset.classes) == (40, 20, NAMED["cifar10"])
    assert np.array_equal(dataset.train()[0], FakeSet(False, 40).data)
    assert list((cache / "downloads").glob("*.npz")) == []


def test_a_failing_download_is_one_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(name: str) -> download.Fetch:
        print("a remark of torchvision's")
        raise OSError("network\n\nunreachable")

    monkeypatch.setattr(search.data.catalogue.subprocess, "run", fake_process(fetch, []))
    assert refusal("svhn") == (
        "data = 'svhn': could not be downloaded (OSError: network unreachable); "
        "set NAS_DATA to a folder that holds it, or pass a path"
    )


def test_a_downloader_that_dies_without_a_word_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    dead: Any = lambda command, **_: subprocess.CompletedProcess(command, -9, "", "")  # noqa: E731
    monkeypatch.setattr(search.data.catalogue.subprocess, "run", dead)
    assert "could not be downloaded (exit status -9)" in refusal("cifar100")


def test_the_downloader_really_starts_by_name(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "search.training.download", "no-such-set", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert (done.returncode, done.stdout) == (
        1,
        "ValueError: name = 'no-such-set': must be one of cifar10, cifar100, fashion-mnist, svhn\n",
    )


def test_an_archive_cannot_write_outside_its_folder_in_the_downloader(tmp_path: Path) -> None:
    """Whatever library unpacks it, and whether it asks for a filter or not."""
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("../escaped"))
    code = (
        "import sys, tarfile\n"
        "from pathlib import Path\n"
        "from search.training.download import main\n"
        "def fetch(name):\n"
        "    with tarfile.open('evil.tar') as archive: archive.extractall('inside')\n"
        "sys.exit(main(['cifar10', '.'], fetch))"
    )
    (tmp_path / "inside").mkdir()
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("OutsideDestinationError: ") and done.stdout.count("\n") == 1
    assert not (tmp_path / "escaped").exists()


def test_a_pickle_of_cifar10_with_a_wrong_checksum_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchvision compares every file with its checksum before it unpickles one: here all are somebody else's."""
    from torchvision import datasets

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"):
        (folder / name).write_bytes(pickle.dumps(Ill(tmp_path / "it ran")))
    monkeypatch.setattr(datasets.CIFAR10, "download", lambda _: None)
    for train in (True, False):
        with pytest.raises(RuntimeError, match="corrupted"):
            download.fetch("cifar10")(tmp_path, train)
    assert not (tmp_path / "it ran").exists()
    pickle.loads((folder / "test_batch").read_bytes()).close()
    assert (tmp_path / "it ran").exists(), "it would have run"


class Ill:
    """Opens a file when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return open, (str(self.witness), "w")


def test_a_download_that_fails_while_writing_leaves_no_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download.np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        download.download("svhn", tmp_path, lambda folder, train: FakeSet(True, 4))
    assert list(tmp_path.iterdir()) == []


# ---- the real CIFAR-10


@pytest.fixture(scope="module")
def cifar10(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, float]:
    """The data set, and the seconds its decoding took."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("NAS_DATA", str(real_data))
        start = time.perf_counter()
        dataset = open_dataset("cifar10")
        return dataset, time.perf_counter() - start


def test_cifar10_is_complete_and_decodes_in_seconds(cifar10: tuple[Dataset, float]) -> None:
    dataset, seconds = cifar10
    assert (dataset.name, dataset.image_size, dataset.channels) == ("cifar10", 32, 3)
    assert (dataset.num_train, dataset.num_test) == (50_000, 10_000)
    assert dataset.classes == NAMED["cifar10"]
    assert np.bincount(dataset.train()[1]).tolist() == [5000] * 10
    assert np.bincount(dataset.test()[1]).tolist() == [1000] * 10
    assert seconds < 60


def test_cifar10_has_the_means_known_of_it(cifar10: tuple[Dataset, float]) -> None:
    images, _ = cifar10[0].train()
    assert images.mean(axis=(0, 1, 2)) / 255 == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.003)


def test_images_equal_what_pillow_reads_from_the_rows(cifar10: tuple[Dataset, float], real_data: Path) -> None:
    rows = pq.ParquetFile(next((real_data / "cifar10").glob("test-*.parquet"))).read().slice(5000, 3).to_pylist()
    images, labels = cifar10[0].test()
    for offset, row in enumerate(rows):
        expected = np.asarray(Image.open(io.BytesIO(row["img"]["bytes"])).convert("RGB"))
        assert np.array_equal(images[5000 + offset], expected)
        assert labels[5000 + offset] == row["label"]


# ---- images larger than memory


def test_images_are_decoded_in_chunks_and_not_all_at_once() -> None:
    taken: list[int] = []

    def items() -> Any:
        for i in range(5000):
            taken.append(i)
            yield str(i), encoded(1)

    first = next(EncodedImages(items).chunks(8, 3))
    assert first.shape == (1024, 8, 8, 3)
    assert len(taken) == 1024
