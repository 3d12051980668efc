"""A bundle: an export and what it came from in one .zip file, the same bytes for the same content.

Its entries are stored and not compressed, so that it does not depend on a version of zlib, and no small file becomes a
large one. Its comment is the SHA-256 of all bytes before the comment.
"""

import hashlib
import os
import re
import stat
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from search.errors import StorageError, VerificationError
from search.files import open_regular, why
from search.quantities import brief
from search.run.export_certificate import FILE_NAME, MAX_FILES
from search.writing import replacing

MAX_BYTES = 2**32 - 1  # beyond it the format has other records
BLOCK = 2**20
# Signature, two disks, entries twice, the directory's size and place, the comment's size.
_END = struct.Struct("<4s4H2LH")
_LONGEST_ENTRY = 256  # bytes of the directory
_MOMENT = (1980, 1, 1, 0, 0, 0)  # the first that the format knows
_COMMENT = 64  # bytes of a SHA-256 in hexadecimal


def write_bundle(path: Path, contents: Mapping[str, Path | bytes]) -> None:
    """Write the files, or their contents, under their names to a bundle, whole or not at all.

    Raises:
        StorageError: a file cannot be read, or the bundle not written.
    """
    with replacing(path) as temporary:
        with _too_large(path), zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
            for name, content in sorted(contents.items()):
                entry = zipfile.ZipInfo(name, _MOMENT)
                entry.create_system = 3  # Unix, whatever this is
                entry.external_attr = (stat.S_IFREG | 0o644) << 16
                archive.writestr(entry, content if isinstance(content, bytes) else _content(content))
            archive.comment = b"0" * _COMMENT
        with temporary.open("r+b") as file:
            file.seek(-_COMMENT, os.SEEK_END)
            comment = _digest(file, file.tell())
            file.seek(-_COMMENT, os.SEEK_END)
            file.write(comment)


@contextmanager
def _too_large(path: Path) -> Iterator[None]:
    try:
        yield
    except zipfile.LargeZipFile:
        raise StorageError(f"cannot write {path}: a bundle holds at most {MAX_BYTES:,} bytes") from None


def unpack(path: Path, folder: Path) -> None:
    """Write the files of a bundle, which may come from anyone, to a folder.

    Raises:
        VerificationError: it is damaged, or no bundle; the message is the end of a line that names it.
        StorageError: the folder cannot be written.
    """
    with open_regular(path, MAX_BYTES) as file:
        size = os.fstat(file.fileno()).st_size
        _require_small_directory(file, size)
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
                _require_plain(entries, size)
                for entry in entries:
                    _extract(archive, entry, folder / entry.filename)
                comment = archive.comment
        except (VerificationError, StorageError):
            raise
        except Exception as error:  # a damaged archive may raise anything
            raise VerificationError(f"damaged, or no bundle ({brief(error)})") from None
        if len(comment) != _COMMENT or _digest(file, size - _COMMENT) != comment:
            raise VerificationError("damaged: its bytes are not those that it was sealed with")


def _require_small_directory(file: BinaryIO, size: int) -> None:
    """Refuse a directory that is too long to be read, as `zipfile` would.

    Raises:
        VerificationError: the file does not end as a bundle does, or its directory is too long.
    """
    file.seek(max(0, size - _COMMENT - _END.size - 20))
    end = file.read()
    record, comment = end[-_COMMENT - _END.size : -_COMMENT], end[-_COMMENT:]
    if len(end) < _COMMENT + _END.size or not re.fullmatch(rb"[0-9a-f]{64}", comment):
        raise VerificationError("no bundle of nas export, or damaged")
    signature, _, _, _, _, length, _, length_of_comment = _END.unpack(record)
    if signature != b"PK\5\6" or length_of_comment != _COMMENT or end.startswith(b"PK\6\7"):
        raise VerificationError("no bundle of nas export, or damaged")
    if length > (MAX_FILES + 1) * _LONGEST_ENTRY:
        raise VerificationError(f"a directory of {length:,} bytes; too many entries")


def _require_plain(entries: list[zipfile.ZipInfo], size: int) -> None:
    """
    Raises:
        VerificationError: entries are not those that `write_bundle` writes.
    """
    if len(entries) > MAX_FILES + 1:
        raise VerificationError(f"{len(entries):,} entries; must be at most {MAX_FILES + 1}")
    names = set()
    for entry in entries:
        name = ascii(entry.filename)
        if not re.fullmatch(FILE_NAME, entry.orig_filename) or entry.filename != entry.orig_filename:
            raise VerificationError(f"an entry {name}; must be the name of a file without a folder")
        if entry.filename in names:
            raise VerificationError(f"two entries {name}")
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size or entry.flag_bits & 1:
            raise VerificationError(f"an entry {name} that is compressed or encrypted; must be stored")
        if entry.external_attr >> 16 != stat.S_IFREG | 0o644:
            raise VerificationError(f"an entry {name} that is no ordinary file")
        names.add(entry.filename)
    if sum(entry.file_size for entry in entries) > size:
        raise VerificationError("entries that hold more than it does")


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    try:
        with path.open("xb") as target:
            target.writelines(_blocks(archive, entry))
    except OSError as error:
        raise StorageError(f"cannot write {path}: {why(error)}") from error


def _blocks(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(entry) as source:
            while block := source.read(BLOCK):
                yield block
    except (zipfile.BadZipFile, OSError) as error:  # OSError: a place that is not in the file
        raise VerificationError(f"{entry.filename}: damaged ({brief(error)})") from None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({why(error)})") from None


def _digest(file: BinaryIO, length: int) -> bytes:
    """The SHA-256, in hexadecimal, of a file's first `length` bytes."""
    file.seek(0)
    digest = hashlib.sha256()
    while length > 0 and (block := file.read(min(BLOCK, length))):
        digest.update(block)
        length -= len(block)
    return digest.hexdigest().encode()
