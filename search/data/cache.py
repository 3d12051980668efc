"""The cache of decoded data: where it lies, and how arrays are written there."""

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

from search.errors import StorageError


def cache_folder() -> Path:
    """NAS_CACHE, or else a folder among the user's caches. It need not be there."""
    if setting := os.environ.get("NAS_CACHE"):
        return Path(setting).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache").absolute() / "budget-nas"


@contextmanager
def writing(cache: Path) -> Iterator[None]:
    """What the block writes is in the cache.

    Raises:
        StorageError: the disk is full, or the cache cannot be written for another reason.
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
    """A folder in the cache for the time of the block.

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
    """Write a .npy file chunk by chunk and return the SHA-256 of its content, in hexadecimal.

    Not through a memory map: on a full disk that would end the process.
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
    """Write a file and put it on disk."""
    with path.open("wb") as file:
        file.writelines(content)
        file.flush()
        os.fsync(file.fileno())
