"""What is written is written whole or not at all."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from search.errors import StorageError
from search.writing import append_line, replacing, require_writable, write_atomically


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 8 kB, as on a disk that is nearly full.

    Held no longer than the call under test: where pytest's own output is such a file, it could not write either.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_192, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_name_that_is_no_text_is_written_by_its_bytes(tmp_path: Path) -> None:
    write_atomically(tmp_path / "page.html", "data: dog\udcff")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "data: dog\\udcff"


def test_whether_a_file_can_be_written_is_found_out_without_writing_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    require_writable(path)
    assert content(path.parent) == {}
    path.write_text("old")
    require_writable(path)
    assert content(path.parent) == {"file.txt": b"old"}
    for wrong in (path / "below", path.parent):
        with pytest.raises(StorageError, match=f"^cannot write {wrong}: "):
            require_writable(wrong)


@pytest.mark.parametrize(
    ("given", "expected"), [("größer\n", "größer\n".encode()), (b"\x00\xff", b"\x00\xff"), ("", b"")]
)
def test_text_and_bytes_are_written_and_replaced(tmp_path: Path, given: str | bytes, expected: bytes) -> None:
    path = tmp_path / "deep" / "down" / "file.txt"
    write_atomically(path, "old")
    write_atomically(path, given)
    assert content(path.parent) == {"file.txt": expected}


@pytest.mark.parametrize(("umask", "permissions"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_others_may_read_what_is_written_as_far_as_the_user_lets_them(
    tmp_path: Path, umask: int, permissions: int
) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", "new")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == permissions


@pytest.mark.parametrize("permissions", [0o600, 0o664, 0o755])
def test_a_file_keeps_its_permissions(tmp_path: Path, permissions: int) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(permissions)
    with replacing(path) as temporary:
        temporary.unlink()
        temporary.write_text("new")  # as a library that makes a file of its own
    assert path.stat().st_mode & 0o777 == permissions


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "old").write_text("old")
    for name, target in (("one", "far/old"), ("two", "one"), ("dangling", "far/new"), ("folder", "far")):
        (tmp_path / name).symlink_to(target)
    write_atomically(tmp_path / "two", "new")
    write_atomically(tmp_path / "dangling", "made")
    write_atomically(tmp_path / "folder" / "inside", "inside")
    assert content(tmp_path / "far") == {"old": b"new", "new": b"made", "inside": b"inside"}
    assert all(path.is_symlink() for path in tmp_path.iterdir() if path.name != "far")


def test_a_link_that_leads_to_itself_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(StorageError, match=r"^cannot write .*/loop: Too many levels of symbolic links$"):
        write_atomically(tmp_path / "loop", "new")


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_is_written_to_and_stays(tmp_path: Path, linked: bool) -> None:
    pipe, content = tmp_path / "pipe", b"x" * 1_000_000
    os.mkfifo(pipe)
    path = tmp_path / "link" if linked else pipe
    if linked:
        path.symlink_to("pipe")
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit(pipe.read_bytes)
        write_atomically(path, content)
        assert read.result() == content
    assert pipe.is_fifo() and path.is_symlink() == linked
    assert len(list(tmp_path.iterdir())) == 1 + linked


def test_a_failed_block_writes_nothing_to_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError), replacing(tmp_path / "pipe") as temporary:
        temporary.write_text("in part")
        raise ValueError  # a pipe that nobody reads would be waited for


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("by_name", [False, True])
def test_what_is_printed_to_is_written_to_in_its_place(tmp_path: Path, number: int, by_name: bool) -> None:
    """Replaced, or opened anew, it would lose what was printed before or after."""
    log = tmp_path / "log"
    path = log if by_name else Path(("/dev/stdout", "/dev/stderr")[number - 1])
    code = (
        "import sys; from pathlib import Path; from search.writing import write_atomically\n"
        f"stream = (sys.stdout, sys.stderr)[{number - 1}]\n"
        "print('before', file=stream)\n"
        f"write_atomically(Path({str(path)!r}), 'content\\n')\n"
        "print('after', file=stream)"
    )
    with log.open("w") as file:
        stream = "stdout" if number == 1 else "stderr"
        subprocess.run([sys.executable, "-c", code], check=True, **{stream: file})  # type: ignore[call-overload]
    assert log.read_text() == "before\ncontent\nafter\n"


def test_a_mounted_file_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that a container was lent is a mount, which cannot be replaced."""
    path = tmp_path / "file"
    path.write_text("old, and longer than the new")
    number = path.stat().st_ino

    def busy(self: Path, target: Path) -> Path:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(Path, "replace", busy)
    write_atomically(path, "new")
    assert content(tmp_path) == {"file": b"new"}
    assert path.stat().st_ino == number


def test_a_name_may_be_as_long_as_names_can_be(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("ö" * 127), "new")
    assert content(tmp_path) == {"ö" * 127: b"new"}


def test_the_old_content_stands_until_the_new_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    with replacing(path) as temporary:
        assert temporary.parent == tmp_path  # the same folder, so that replacing is one step
        temporary.write_text("new, in part")
        assert path.read_text() == "old"
        temporary.write_text("new")
    assert content(tmp_path) == {"file": b"new"}


def test_the_new_content_is_on_disk_before_it_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, steps = tmp_path / "file", []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(handle: int) -> None:
        steps.append("folder" if os.path.samestat(os.fstat(handle), tmp_path.stat()) else "file")
        fsync(handle)

    def noted_replace(self: Path, target: Path) -> Path:
        steps.append("replace")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write_atomically(path, "new")
    assert steps == ["file", "replace", "folder"]


def test_a_full_disk_leaves_the_old_content_and_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    with pytest.raises(StorageError) as caught, full_disk():
        write_atomically(path, b"x" * 100_000)
    assert str(caught.value) == f"cannot write {path}: File too large"
    assert caught.value.exit_status == 1
    assert content(tmp_path) == {"file": b"old"}


def test_a_disk_that_fails_leaves_the_old_content_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def fail(handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match=r"^cannot write .*/file: Input/output error$"):
        write_atomically(path, "new")
    assert content(tmp_path) == {"file": b"old"}


@pytest.mark.parametrize("problem", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_old_content_and_no_temporary_file(
    tmp_path: Path, problem: type[BaseException]
) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    with pytest.raises(problem), replacing(path) as temporary:
        temporary.write_text("new, in part")
        raise problem
    assert content(tmp_path) == {"file": b"old"}


def write_text(path: Path) -> None:
    write_atomically(path, "new")


def append(path: Path) -> None:
    append_line(path, {"a": 1})


@pytest.mark.parametrize("write", [write_text, append])
def test_a_folder_that_cannot_be_is_named_in_one_line(tmp_path: Path, write: Callable[[Path], None]) -> None:
    (tmp_path / "file").write_text("no folder")
    for path in (tmp_path / "file" / "plan.yaml", tmp_path / "file" / "deep" / "plan.yaml"):
        with pytest.raises(StorageError) as caught:
            write(path)
        assert str(caught.value) in (f"cannot write {path}: Not a directory", f"cannot write {path}: File exists")
    assert content(tmp_path) == {"file": b"no folder"}


@pytest.mark.parametrize("write", [write_text, append])
def test_a_folder_is_no_file_to_write(tmp_path: Path, write: Callable[[Path], None]) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match=r"^cannot write .*/folder: Is a directory$"):
        write(tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_lines_are_appended_one_object_each(tmp_path: Path) -> None:
    path = tmp_path / "test-ledger" / "data.jsonl"
    rows = [{"trial": 42, "note": "two\nlines"}, {"seeds": [0, 1], "none": None}, {}]
    for row in rows:
        append_line(path, row)
    lines = path.read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert path.read_text().endswith("\n")


def test_a_line_is_on_disk_when_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []
    path = tmp_path / "ledger.jsonl"
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(path.read_bytes()))
    append_line(path, {"a": 1})
    assert synced == [b'{"a": 1}\n']


def test_a_line_for_which_there_is_no_room_leaves_no_part_behind(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    append_line(path, {"a": 1})
    with pytest.raises(StorageError, match=r"^cannot write .*/ledger.jsonl: File too large$"), full_disk():
        append_line(path, {"a": "x" * 100_000})
    append_line(path, {"a": 2})
    assert path.read_text() == '{"a": 1}\n{"a": 2}\n'


def test_a_line_after_one_that_was_cut_off_is_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"whole": 1}\n{"cu')
    append_line(path, {"new": 2})
    append_line(path, {"new": 3})
    assert path.read_bytes() == b'{"whole": 1}\n{"cu\n{"new": 2}\n{"new": 3}\n'
