"""Where everything of a study lies."""

import os
from pathlib import Path

import pytest

from search.errors import InputError, StorageError, StudyError, VerificationError
from search.files import StudyFiles, expanded, open_regular, put_aside
from search.identity import Identity


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


def test_the_folder_of_the_ledgers_is_no_study() -> None:
    with pytest.raises(StudyError, match=r"^study = 'test-ledger': must be another name; "):
        StudyFiles(Path("studies"), "test-ledger")


def test_everything_of_a_study_lies_in_its_folder(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path, "mine")
    paths = [files.plan, files.database, files.lock, files.trials_csv, files.report]
    paths += [
        files.full_run("finalist", Identity(trial=42), "full-40ep-3f9a1c77", 1),
        files.full_run("proxy", Identity(trial=42), "full-40ep-3f9a1c77", 1),
        files.full_run("final", Identity(trial=42), "full-40ep-3f9a1c77", 0),
        files.full_run("final", Identity(baseline="resnet40"), "as1-200ep-0b1c2d3e", 0),
        files.tensorboard("trial-0001"),
        files.export(Identity(trial=42)),
    ]
    assert [str(path.relative_to(tmp_path / "mine")) for path in paths] == [
        "plan.yaml",
        "study.db",
        "study.lock",
        "trials.csv",
        "report.html",
        "finalists/0042/full-40ep-3f9a1c77/seed-1",
        "proxy/0042/full-40ep-3f9a1c77/seed-1",
        "retrain/0042/full-40ep-3f9a1c77/seed-0",
        "retrain/resnet40/as1-200ep-0b1c2d3e/seed-0",
        "tensorboard/trial-0001",
        "export/0042",
    ]
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("name", ["", ".", "..", "../../evil", "/etc/evil", "a/b", "a\\b", "a\0b", "a\nb", "x" * 129])
def test_what_a_recipe_or_a_data_set_is_called_cannot_lead_out_of_the_folder(name: str) -> None:
    files = StudyFiles(Path("studies"), "mine")
    for what, path in (
        ("baseline", lambda: files.full_run("final", Identity(baseline=name), "as1", 0)),
        ("run", lambda: files.full_run("final", Identity(baseline="resnet40"), name, 0)),
        ("run", lambda: files.tensorboard(name)),
        ("data", lambda: files.ledger(name)),
    ):
        with pytest.raises(StudyError) as caught:
            path()
        rule = "must be 1 to 128 printable characters, none of them a slash"
        assert str(caught.value) == f"{what} = {name!r}: {rule}"


def test_a_recipe_may_have_a_name_of_several_words() -> None:
    path = StudyFiles(Path("studies"), "mine").full_run("final", Identity(baseline="resnet40"), "größer, 2nd try", 0)
    assert path == Path("studies/mine/retrain/resnet40/größer, 2nd try/seed-0")


def test_the_ledger_of_a_test_set_and_the_last_name_are_shared_by_all_studies(tmp_path: Path) -> None:
    one, other = StudyFiles(tmp_path, "one"), StudyFiles(tmp_path, "other")
    assert one.ledger("0a1b") == other.ledger("0a1b") == tmp_path / "test-ledger" / "0a1b.jsonl"
    assert one.last_used == other.last_used == tmp_path / ".last-study"


def test_a_home_folder_is_meant_by_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [expanded("~"), expanded("~/a/b")] == [tmp_path, tmp_path / "a/b"]
    assert [expanded(path) for path in ("a/~", "./~", "a~b")] == [Path("a/~"), Path("~"), Path("a~b")]
    assert expanded("~root/a") == Path("~root/a").expanduser() != Path("~root/a")
    with pytest.raises(
        InputError, match=r"^path = '~nobody-here/a': there is no such home folder; a file of that name is "
    ):
        expanded("~nobody-here/a")


def test_what_is_put_aside_keeps_its_content_under_a_free_name(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / "seed-0").mkdir()
        (tmp_path / "seed-0" / "weights").write_text(str(number))
        assert put_aside(tmp_path / "seed-0") == tmp_path / f"seed-0.aside-{number}"
    assert [(tmp_path / f"seed-0.aside-{number}" / "weights").read_text() for number in (1, 2)] == ["1", "2"]
    with pytest.raises(StorageError, match="cannot rename"):
        put_aside(tmp_path / "seed-0")


def test_only_an_ordinary_file_within_the_bound_is_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"four")
    with open_regular(tmp_path / "file", 4) as file:
        assert file.read() == b"four"
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    for path, rule in (
        (tmp_path / "link", "a link"),
        (tmp_path / "pipe", "no ordinary file"),
        (tmp_path, "no ordinary file"),
        (Path("/dev/zero"), "no ordinary file"),
        (tmp_path / "gone", "is gone"),
        (tmp_path / "file" / "below", "cannot be read"),
    ):
        with pytest.raises(VerificationError, match=rule), open_regular(path, 4):
            pass
    with pytest.raises(VerificationError, match="4 bytes; at most 3 are read"), open_regular(tmp_path / "file", 3):
        pass
