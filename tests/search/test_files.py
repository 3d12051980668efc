"""Where everything of a study lies, and that it is written whole or not at all."""

import errno
import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from search.errors import StorageError, StudyError
from search.files import StudyFiles, append_line, replacing, write_atomically
from search.identity import Identity


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


# Names.


@pytest.mark.parametrize("name", ["a", "7", "cifar10-5M", "Run_1.2", "a..b", "a" * 64, "last-study", "test-ledger2"])
def test_letters_digits_dots_underscores_and_dashes_make_a_name(name: str) -> None:
    files = StudyFiles(Path("studies"), name)
    assert files.folder == Path("studies") / name


def refused(name: str) -> None:
    with pytest.raises(StudyError) as caught:
        StudyFiles(Path("studies"), name)
    assert str(caught.value).startswith(f"study = {name!r}: must be 1 to 64 letters, digits, ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "a\\b", "/etc", ".hidden", ".last-study", "-x", "_x", "a b", "a\n", "\na", "a\0"],
)
def test_a_name_that_could_leave_the_folder_is_refused_in_one_line(name: str) -> None:
    refused(name)


@pytest.mark.parametrize("name", ["a" * 65, "<b>", "naïve", "a:b", "a%2f", "~", "*"])
def test_a_name_that_is_long_or_strange_is_refused_in_one_line(name: str) -> None:
    refused(name)


def test_a_name_that_is_no_text_is_written_by_its_bytes(tmp_path: Path) -> None:
    write_atomically(tmp_path / "page.html", "data: dog\udcff")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "data: dog\\udcff"


def test_the_folder_of_the_ledgers_is_no_study() -> None:
    with pytest.raises(StudyError, match=r"^study = 'test-ledger': must be another name; "):
        StudyFiles(Path("studies"), "test-ledger")


def test_everything_of_a_study_lies_in_its_folder(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path, "mine")
    paths = [files.plan, files.database, files.lock, files.trials_csv, files.report]
    paths += [
        files.finalist(Identity(trial=42), 1),
        files.finalist(Identity(trial=42, dropout=0.1), 1),
        files.final(Identity(trial=42), "", 0),
        files.final(Identity(trial=42), "", 0, True),
        files.final(Identity(trial=42, dropout=1e-05), "", 0),
        files.final(Identity(trial=42, dropout=0.0), "", 0, True),
        files.final(Identity(baseline="resnet40"), "as1", 0),
        files.tensorboard("trial-0001"),
        files.export(Identity(trial=42)),
    ]
    assert [str(path.relative_to(tmp_path / "mine")) for path in paths] == [
        "plan.yaml",
        "study.db",
        "study.lock",
        "trials.csv",
        "report.html",
        "finalists/0042/seed-1",
        "finalists/0042/seed-1-dropout-0.1",
        "retrain/0042/seed-0",
        "retrain/0042/seed-0-holdout",
        "retrain/0042/seed-0-dropout-1e-05",
        "retrain/0042/seed-0-dropout-0-holdout",
        "retrain/resnet40/as1/seed-0",
        "tensorboard/trial-0001",
        "export/0042",
    ]
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("name", ["", ".", "..", "../../evil", "/etc/evil", "a/b", "a\\b", "a\0b", "a\nb", "x" * 129])
def test_what_a_recipe_or_a_data_set_is_called_cannot_lead_out_of_the_folder(name: str) -> None:
    files = StudyFiles(Path("studies"), "mine")
    for what, path in (
        ("baseline", lambda: files.final(Identity(baseline=name), "as1", 0)),
        ("recipe", lambda: files.final(Identity(baseline="resnet40"), name, 0)),
        ("run", lambda: files.tensorboard(name)),
        ("data", lambda: files.ledger(name)),
    ):
        with pytest.raises(StudyError) as caught:
            path()
        rule = "must be 1 to 128 printable characters, none of them a slash"
        assert str(caught.value) == f"{what} = {name!r}: {rule}"


def test_a_recipe_may_have_a_name_of_several_words() -> None:
    path = StudyFiles(Path("studies"), "mine").final(Identity(baseline="resnet40"), "größer, 2nd try", 0)
    assert path == Path("studies/mine/retrain/resnet40/größer, 2nd try/seed-0")


def test_the_ledger_of_a_test_set_and_the_last_name_are_shared_by_all_studies(tmp_path: Path) -> None:
    one, other = StudyFiles(tmp_path, "one"), StudyFiles(tmp_path, "other")
    assert one.ledger("0a1b") == other.ledger("0a1b") == tmp_path / "test-ledger" / "0a1b.jsonl"
    assert one.last_used == other.last_used == tmp_path / ".last-study"


# Writing whole files.


@pytest.mark.parametrize(
    ("given", "expected"), [("größer\n", "größer\n".encode()), (b"\x00\xff", b"\x00\xff"), ("", b"")]
)
def test_text_and_bytes_are_written_and_replaced(tmp_path: Path, given: str | bytes, expected: bytes) -> None:
    path = tmp_path / "deep" / "down" / "file.txt"
    write_atomically(path, "old")
    write_atomically(path, given)
    assert content(path.parent) == {"file.txt": expected}


def test_others_may_read_what_is_written(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", "new")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


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


# Lists of lines.


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
