"""The cache of decoded data: its folder, and arrays written there."""

import errno
import hashlib
import io
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.errors import InputError, StorageError
from search.files import expanded


def cache_folder() -> Path:
    """NAS_CACHE, or else budget-nas in the user's folder of caches. It need not exist.

    Raises:
        InputError, StorageError: it is in a home folder, and there is no such one.
    """
    setting = os.environ.get("NAS_CACHE")
    folder = setting or os.environ.get("XDG_CACHE_HOME", "") or "~/.cache"
    try:
        return expanded(folder).absolute() / ("" if setting else "budget-nas")
    except InputError:
        missing = "this user has no home folder to keep it in"
        raise StorageError(f"data cache: {missing}; set NAS_CACHE to a folder") from None


@contextmanager
def writing(cache: Path) -> Iterator[None]:
    """For a block that writes to the cache: its OSErrors become errors with advice.

    Raises:
        StorageError: the cache cannot be written, because the disk is full or for another reason.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "free space there, or set NAS_CACHE to another disk" if full else "set NAS_CACHE to another folder"
        reason = f"{error.strerror or error}; {advice}"
        raise StorageError(f"cannot write the data cache {str(cache)!r}: {reason}") from error


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder in the cache that is deleted when the block ends.

    Raises:
        StorageError: it cannot be made.
    """
    cache = cache_folder()
    with writing(cache):
        cache.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=".scratch.", dir=cache, ignore_cleanup_errors=True)
    with folder as path:
        yield Path(path)


def write_array(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], chunks: Iterable[NDArray[Any]]) -> str:
    """The SHA-256 of an array's type, shape and content, in hexadecimal; it is written to a .npy file chunk by chunk.

    Not through a memory map, which would end the process on a full disk.
    """
    digest = hashlib.sha256(f"{dtype.str} {shape}".encode())

    header = io.BytesIO()
    description = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, description)

    def content() -> Iterator[bytes]:
        yield header.getvalue()
        for chunk in chunks:
            encoded = chunk.tobytes()
            digest.update(encoded)
            yield encoded

    write(path, content())
    return digest.hexdigest()


def write(path: Path, content: Iterable[bytes]) -> None:
    """Write a file and wait until it is on disk."""
    with path.open("wb") as file:
        file.writelines(content)
        file.flush()
        os.fsync(file.fileno())
