"""A bundle has the same bytes for the same content, and one from anyone writes nothing but what it should."""

import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.errors import StorageError, VerificationError
from search.run import bundle
from search.run.bundle import unpack, write_bundle

CONTENTS = {"b.txt": b"two", "a.json": b"{}", "weights.safetensors": bytes(range(256))}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "out.zip", CONTENTS)
    return tmp_path / "out.zip"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "unpacked"
    path.mkdir()
    return path


def test_a_bundle_gives_back_its_content(written: Path, folder: Path) -> None:
    unpack(written, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENTS
    with zipfile.ZipFile(written) as archive:  # as any other program reads it
        assert archive.testzip() is None and archive.namelist() == sorted(CONTENTS)


def test_the_same_content_has_the_same_bytes(written: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENTS["b.txt"])
    os.utime(tmp_path / "file", (1, 1))
    write_bundle(tmp_path / "again.zip", dict(reversed(CONTENTS.items())) | {"b.txt": tmp_path / "file"})
    assert (tmp_path / "again.zip").read_bytes() == written.read_bytes()


def test_any_flipped_bit_is_found(written: Path, tmp_path: Path) -> None:
    content = written.read_bytes()
    for place in range(0, len(content), 13):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place // 13 % 8
        written.write_bytes(damaged)
        (folder := tmp_path / f"at-{place}").mkdir()
        with pytest.raises(VerificationError):
            unpack(written, folder)


def test_a_bundle_that_cannot_be_written_leaves_none(written: Path, tmp_path: Path) -> None:
    before = written.read_bytes()
    with pytest.raises(StorageError, match="gone: cannot be read"):
        write_bundle(written, {"a": tmp_path / "gone"})
    assert written.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["out.zip"]


def test_a_folder_that_cannot_be_written_does_not_make_a_bundle_damaged(written: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"^cannot write .*gone/a.json: No such file"):
        unpack(written, tmp_path / "gone")


def forged(path: Path, write: Callable[[zipfile.ZipFile], None]) -> Path:
    """A bundle with other entries, sealed as a bundle is."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        write(archive)
        archive.comment = b"0" * 64
    content = path.read_bytes()[:-64]
    path.write_bytes(content + bundle.hashlib.sha256(content).hexdigest().encode())  # type: ignore[attr-defined]
    return path


def entry(name: str, mode: int = stat.S_IFREG | 0o644, **values: Any) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr, info.create_system = mode << 16, 3
    for key, value in values.items():
        setattr(info, key, value)
    return info


def doubled(archive: zipfile.ZipFile) -> None:
    archive.writestr(entry("a"), b"1")
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(entry("a"), b"2")


@pytest.mark.parametrize(
    ("write", "rule"),
    [
        (lambda archive: archive.writestr(entry("/etc/passwd"), b""), "without a folder"),
        (lambda archive: archive.writestr(entry("../a"), b""), "without a folder"),
        (lambda archive: archive.writestr(entry(".."), b""), "without a folder"),
        (lambda archive: archive.writestr(entry("a/b"), b""), "without a folder"),
        (lambda archive: archive.writestr(entry("a\\b"), b""), "without a folder"),
        (lambda archive: archive.writestr(entry("a\n"), b""), "without a folder"),
        (lambda archive: archive.writestr(entry("ä"), b""), "without a folder"),
        (lambda archive: archive.writestr(entry("folder/"), b""), "without a folder"),
        (doubled, "two entries 'a'"),
        (lambda archive: archive.writestr(entry("a"), bytes(10**7), zipfile.ZIP_DEFLATED), "must be stored"),
        (lambda archive: archive.writestr(entry("a", stat.S_IFLNK | 0o777), b"/etc/passwd"), "no ordinary file"),
        (lambda archive: archive.writestr(entry("a", stat.S_IFCHR | 0o666), b""), "no ordinary file"),
        (lambda archive: [archive.writestr(entry(f"a{n}"), b"") for n in range(66)], "66 entries; must be at most 65"),
        (lambda archive: [archive.writestr(entry(f"a{n}"), b"") for n in range(1500)], "too many entries"),
    ],
)
def test_an_entry_that_no_bundle_has_is_refused(
    tmp_path: Path, folder: Path, write: Callable[[zipfile.ZipFile], None], rule: str
) -> None:
    with pytest.raises(VerificationError, match=rule) as caught:
        unpack(forged(tmp_path / "forged.zip", write), folder)
    assert "\n" not in str(caught.value)
    assert not any(folder.iterdir()) and {path.name for path in tmp_path.iterdir()} == {"forged.zip", "unpacked"}


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path, folder: Path) -> None:
    path = forged(tmp_path / "forged.zip", lambda archive: archive.writestr(entry("a"), bytes(10_000)))
    content = bytearray(path.read_bytes())
    start = content.index(b"PK\1\2")
    end = content.index(b"PK\5\6")
    directory = bytes(content[start:end])
    many = directory + directory.replace(b"a", b"b")
    record = bytearray(content[end:-64])
    struct.pack_into("<2HL", record, 8, 2, 2, len(many))
    content = content[:start] + many + record
    path.write_bytes(content + bundle.hashlib.sha256(content).hexdigest().encode())  # type: ignore[attr-defined]
    with pytest.raises(VerificationError, match="hold more than it does"):
        unpack(path, folder)


def test_what_is_no_bundle_is_one_line(tmp_path: Path, folder: Path, written: Path) -> None:
    for content in (b"", b"PK", bytes(1000), written.read_bytes()[:-1], written.read_bytes() + b"\0"):
        (tmp_path / "other.zip").write_bytes(content)
        with pytest.raises(VerificationError, match=r"^(no bundle of nas export, or damaged|damaged)"):
            unpack(tmp_path / "other.zip", folder)
    (tmp_path / "link.zip").symlink_to(written)
    with pytest.raises(VerificationError, match="a link"):
        unpack(tmp_path / "link.zip", folder)
