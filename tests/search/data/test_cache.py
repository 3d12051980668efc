"""The cache of decoded data, and arrays written there."""

import os
from pathlib import Path

import numpy as np
import pytest

from search.data.cache import cache_folder, scratch_folder, write_array, writing
from search.errors import StorageError


def test_an_array_of_chunks_is_the_whole_array(tmp_path: Path) -> None:
    array = np.arange(60, dtype=np.uint8).reshape(5, 12)
    whole = write_array(tmp_path / "whole.npy", array.shape, array.dtype, [array])
    parts = write_array(tmp_path / "parts.npy", array.shape, array.dtype, [array[:2], array[2:].copy(order="F")])
    assert whole == parts
    assert (tmp_path / "whole.npy").read_bytes() == (tmp_path / "parts.npy").read_bytes()
    np.testing.assert_array_equal(np.load(tmp_path / "parts.npy"), array)


def test_the_same_bytes_of_another_shape_or_type_have_another_hash(tmp_path: Path) -> None:
    array = np.arange(16, dtype=np.uint8)
    variants = [array, array.reshape(4, 4), array.view("<i2")]
    assert len({write_array(tmp_path / "a.npy", variant.shape, variant.dtype, [variant]) for variant in variants}) == 3


def test_a_scratch_folder_vanishes_with_what_is_in_it(cache: Path) -> None:
    with pytest.raises(KeyError), scratch_folder() as folder:
        assert folder.parent == cache
        (folder / "images.npy").write_bytes(b"1")
        raise KeyError
    assert not folder.exists()


def test_a_cache_that_cannot_be_written_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="set NAS_CACHE to another folder"), scratch_folder():
        pass


@pytest.mark.parametrize("setting", ["", "~/cache"])
def test_a_user_without_a_home_folder_is_told_what_to_set(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NAS_CACHE", setting)
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    with pytest.raises(StorageError, match=r"^data cache: this user has no home folder .*; set NAS_CACHE to a folder$"):
        cache_folder()


def test_only_errors_of_the_disk_become_storage_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="something else"), writing(tmp_path):
        raise ValueError("something else")
