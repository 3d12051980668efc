"""Data sets are decoded once, into a cache that is whole or absent, and known by their content."""

import errno
import hashlib
import io
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from data_sources import pixels, write_images, write_npz
from PIL import Image

import search.data.cache
import search.data.catalogue
import search.data.datasets
from search.data.catalogue import NAMED
from search.data.datasets import Dataset, load_cached, open_dataset
from search.errors import DataError, StorageError


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


def test_files_that_swap_their_names_are_decoded_again(tmp_path: Path) -> None:
    """As two wrong labels are corrected, of files of one archive, which have one time and here one size."""
    write_images(tmp_path / "pets")
    for file in (tmp_path / "pets").rglob("*.png"):
        Image.open(file).save(file, "BMP")
        os.utime(file, ns=(1, 1))
    cat, dog = (tmp_path / "pets" / name / "0.png" for name in ("cat", "dog"))
    before = open_dataset(str(tmp_path / "pets"))
    cat.rename(tmp_path / "aside")
    dog.rename(cat)
    (tmp_path / "aside").rename(dog)
    assert open_dataset(str(tmp_path / "pets")).fingerprint != before.fingerprint


def test_images_that_are_there_several_times_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pets = tmp_path / "pets"
    for part in ("train", "test"):
        write_images(pets / part)
    for name in "ab":
        pixels(200).save(pets / "train" / "cat" / f"{name}.png")
    pixels(200).save(pets / "train" / "dog" / "a.png")
    pixels(201).save(pets / "test" / "dog" / "new.png")
    for _ in range(2):  # from the cache as well
        caplog.clear()
        open_dataset(str(pets))
        where = f"data = {str(pets)!r}: "
        assert caplog.messages == [
            f"{where}10 of 11 test images are also training images, pixel by pixel",
            f"{where}1 training image is there with different labels",
        ]


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


def as_array(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def damage_meta(folder: Path, content: bytes) -> None:
    (folder / "meta.json").write_bytes(content)


def damage_array(folder: Path, name: str, content: bytes) -> None:
    """Of the same size as it was, as meta.json has it: damage that nobody sees from outside."""
    path = folder / name
    assert len(content) == path.stat().st_size
    path.write_bytes(content)


def relabelled(folder: Path, first: int) -> bytes:
    labels = np.load(folder / "train-labels.npy")
    labels[0] = first
    return as_array(labels)


def overwritten(path: Path, start: bytes) -> bytes:
    return start + path.read_bytes()[len(start) :]


DAMAGES = {
    "meta missing": lambda folder: (folder / "meta.json").unlink(),
    "meta garbled": lambda folder: damage_meta(folder, b'{"name": 1, "classes": []}'),
    "meta empty": lambda folder: damage_meta(folder, b""),
    "meta no object": lambda folder: damage_meta(folder, b"[1]"),
    "meta no text": lambda folder: damage_meta(folder, b"\xff\xff"),
    "array missing": lambda folder: (folder / "test-images.npy").unlink(),
    "array cut": lambda folder: (folder / "test-images.npy").write_bytes(b"\x93NUMPY"),
    "array zeroed": lambda folder: damage_array(
        folder, "test-images.npy", bytes((folder / "test-images.npy").stat().st_size)
    ),
    "array an archive": lambda folder: damage_array(
        folder, "train-images.npy", overwritten(folder / "train-images.npy", b"PK\x03\x04")
    ),
    "header garbled": lambda folder: damage_array(
        folder, "train-images.npy", overwritten(folder / "train-images.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '|i1',")
    ),
    "label too high": lambda folder: damage_array(folder, "train-labels.npy", relabelled(folder, 10)),
    "label below zero": lambda folder: damage_array(folder, "train-labels.npy", relabelled(folder, -1)),
    "labels no integers": lambda folder: damage_array(
        folder, "train-labels.npy", as_array(np.load(folder / "train-labels.npy").astype("<f8"))
    ),
    "a file for the folder": lambda folder: (shutil.rmtree(folder), folder.write_text("no folder")),
}


@pytest.mark.parametrize("damage", list(DAMAGES.values()), ids=list(DAMAGES))
def test_a_damaged_cache_is_refused_by_workers_and_decoded_anew_by_open(
    damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    dataset = open_dataset("digits")
    caplog.clear()
    damage(dataset.folder)
    with pytest.raises(DataError, match="missing or damaged"):
        load_cached(dataset.folder)
    assert open_dataset("digits") == dataset
    assert caplog.messages == [f"data cache = {str(dataset.folder)!r}: damaged; the data set is decoded anew"]
    assert len(dataset.test()[0]) == dataset.num_test
    assert load_cached(dataset.folder) == dataset


def test_reading_a_deleted_cache_is_one_clear_error() -> None:
    dataset = open_dataset("digits")
    (dataset.folder / "train-images.npy").unlink()
    with pytest.raises(DataError, match="missing or damaged; open the data set again"):
        dataset.train()


def test_racing_opens_agree(cache: Path) -> None:
    barrier = threading.Barrier(4)
    opened: list[Dataset] = []

    def open_together() -> None:
        barrier.wait()
        opened.append(open_dataset("digits"))

    threads = [threading.Thread(target=open_together) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    assert len(set(opened)) == 1
    assert [entry.name for entry in cache.iterdir()] == [opened[0].folder.name]


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
    monkeypatch.setenv("NAS_CACHE", "~/mine")
    assert open_dataset("digits").folder.parent == tmp_path / "home" / "mine"


def test_decoding_loads_no_torch_and_opening_again_nothing_heavy_at_all() -> None:
    code = (
        "import sys; from search.data.datasets import open_dataset; open_dataset('digits');"
        "print(*(name for name in ('torch', 'optuna', 'pandas', 'sklearn') if name in sys.modules))"
    )
    command = [sys.executable, "-c", code]
    loaded = [subprocess.check_output(command, text=True, cwd=Path(__file__).parents[2]).split() for _ in range(2)]
    assert not {"torch", "optuna"} & set(loaded[0])
    assert loaded[1] == []


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
