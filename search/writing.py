"""Writing files: whole or not at all."""

import errno
import json
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from search.errors import StorageError
from search.files import why


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file whole: readers see the old content or the new, never a part, even after a crash.

    Raises:
        StorageError: the file cannot be written (a full disk, missing rights); the old content remains.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(encoded(content) if isinstance(content, str) else content)


def encoded(text: str) -> bytes:
    """A text in UTF-8. Bytes that are no text, as names of files may hold them, are written out, as in \\\\udcff."""
    return text.encode(errors="backslashreplace")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path. What is written there becomes the content of `path` when the block ends without an error.

    It lies in the same folder, so that the file is replaced in one step. A link is followed, and a file that was there
    keeps its permissions. What cannot be replaced, see `is_stream`, is written to.

    Raises:
        StorageError: as `write_atomically`.
        BrokenPipeError: `path` is this process's output, and its reader has closed it.
    """
    try:
        with (_ahead_of if is_stream(path) else _beside)(path) as temporary:
            yield temporary
    except OSError as error:
        if isinstance(error, BrokenPipeError) and own_output(path) is not None:
            raise
        raise StorageError(f"cannot write {path}: {why(error)}") from error


def require_writable(path: Path) -> None:
    """Find out before the work whether its result can be written: all is done but for the last step.

    Raises:
        StorageError: as `write_atomically`.
    """

    class Abandoned(Exception):
        pass

    with suppress(Abandoned), replacing(path):
        raise Abandoned


def append_line(path: Path, values: dict[str, Any]) -> None:
    """Append a JSON object to a file as one line, and wait until it is on disk. A last line that was cut off stays a
    line of its own.

    Raises:
        StorageError: the line cannot be written; no part of it remains in the file.
    """
    old_size: int | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            old_size = file.seek(0, os.SEEK_END)
            file.seek(max(0, old_size - 1))
            start = b"" if file.read(1) in (b"", b"\n") else b"\n"
            file.write(start + json.dumps(values).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if old_size is not None:
            with suppress(OSError):
                os.truncate(path, old_size)
        raise StorageError(f"cannot write {path}: {why(error)}") from error


def is_stream(path: Path) -> bool:
    """Whether a path is a pipe or a device, or what this process prints to, whatever that is."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or own_output(path) is not None


def own_output(path: Path) -> int | None:
    """1 if a path is the standard output of this process, 2 if it is its standard error, else None."""
    for number in (1, 2):
        with suppress(OSError):  # there is nothing at the path, or the stream is closed
            if os.path.samestat(path.stat(), os.fstat(number)):
                return number
    return None


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A temporary path beside a file, whose place it takes when the block ends without an error."""
    permissions = None
    with suppress(FileNotFoundError):
        status = path.stat()  # fails for a link that leads to itself
        permissions = stat.S_IMODE(status.st_mode)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(8)}")
    temporary.touch(exist_ok=False)
    try:
        if permissions is None:
            permissions = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        _sync(temporary)
        temporary.chmod(permissions)
        try:
            temporary.replace(target)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            shutil.copyfile(temporary, target)  # a file that a container was lent is a mount, which stays
        _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _ahead_of(path: Path) -> Iterator[Path]:
    """A temporary path, whose content is written to a stream when the block ends without an error."""
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / "content"
        temporary.touch()
        yield temporary
        number = own_output(path)
        if number == 1:
            sys.stdout.flush()
        # Opened by its name, a file that is printed to would be written from its beginning again.
        target = path if number is None else number
        with temporary.open("rb") as content, open(target, "wb", closefd=number is None) as stream:
            shutil.copyfileobj(content, stream)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
