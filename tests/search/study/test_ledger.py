"""The test ledger: a line for every opening, written before it, and never lost to another study."""

import json
from pathlib import Path
from threading import Thread

import pytest
from filelock import FileLock

from search.errors import StorageError
from search.files import StudyFiles
from search.identity import Identity
from search.study import ledger
from search.study.ledger import Ledger
from search.study.view import LedgerEntry
from search.writing import append_line


def lines(files: StudyFiles) -> list[dict[str, object]]:
    return [json.loads(line) for line in files.ledger("toy").read_text().splitlines()]


def test_an_opening_is_a_line_without_an_accuracy_until_the_result_has_come(files: StudyFiles) -> None:
    book = Ledger(files, "toy")
    opening = book.record(Identity(trial=3), 1, "full")
    (line,) = lines(files)
    assert (line["study"], line["label"], line["seed"], line["recipe"]) == ("toy", "0003", 1, "full")
    assert line["accuracy"] is None
    assert [entry.accuracy for entry in book.entries()] == [None]
    book.enter(opening, 0.75)
    assert lines(files) == [line | {"accuracy": 0.75}]
    assert book.entries() == (LedgerEntry(str(line["time"]), "toy", "0003", 1, 0.75),)


def test_what_else_an_opening_measured_stands_in_its_line_beside_its_accuracy(files: StudyFiles) -> None:
    book = Ledger(files, "toy")
    book.enter(book.record(Identity(trial=3), 0, "full"), 0.75, augmented={"shifts": 0.8})
    assert [(line["accuracy"], line["augmented"]) for line in lines(files)] == [(0.75, {"shifts": 0.8})]
    assert [entry.accuracy for entry in book.entries()] == [0.75] and not book.damaged()


def test_a_result_goes_to_its_own_line(files: StudyFiles) -> None:
    book = Ledger(files, "toy")
    book.record(Identity(trial=3), 0, "full")
    second = book.record(Identity(trial=3), 1, "full", holdout=True)
    book.record(Identity(trial=3), 2, "full")
    book.enter(second, 0.5)
    assert [(line["seed"], line["accuracy"], line.get("holdout")) for line in lines(files)] == [
        (0, None, None), (1, 0.5, True), (2, None, None),
    ]  # fmt: skip


def test_an_opening_that_was_repeated_after_a_kill_is_two(files: StudyFiles) -> None:
    """In the same second their lines are alike: a result belongs to one of them, and the other stays without."""
    book = Ledger(files, "toy")
    book.record(Identity(trial=3), 0, "full")
    book.enter(book.record(Identity(trial=3), 0, "full"), 0.5)
    assert sorted(str(entry.accuracy) for entry in book.entries()) == ["0.5", "None"]


def test_lines_of_earlier_versions_are_read(files: StudyFiles) -> None:
    append_line(files.ledger("toy"), {"time": "t", "study": "s", "label": "0001", "seed": 0, "accuracy": 0.9})
    Ledger(files, "toy").record(Identity(trial=2), 0, "full")
    assert [(entry.label, entry.accuracy) for entry in Ledger(files, "toy").entries()] == [
        ("0001", 0.9), ("0002", None),
    ]  # fmt: skip


def test_a_line_that_somebody_removed_is_written_again_with_its_result(files: StudyFiles) -> None:
    book = Ledger(files, "toy")
    opening = book.record(Identity(trial=3), 1, "full")
    files.ledger("toy").write_text("")
    book.enter(opening, 0.5)
    assert [(line["label"], line["accuracy"]) for line in lines(files)] == [("0003", 0.5)]


def test_studies_that_test_at_the_same_time_lose_no_line(files: StudyFiles) -> None:
    def run(name: str) -> None:
        book = Ledger(StudyFiles(files.studies, name), "toy")
        for seed in range(10):
            book.enter(book.record(Identity(trial=1), seed, "full"), seed / 10)

    threads = [Thread(target=run, args=(name,)) for name in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {(entry.study, entry.seed): entry.accuracy for entry in Ledger(files, "toy").entries()}
    assert found == {(name, seed): seed / 10 for name in ("one", "two", "three") for seed in range(10)}
    assert len(lines(files)) == 30


def test_the_folder_of_ledgers_holds_ledgers_alone(files: StudyFiles) -> None:
    book = Ledger(files, "toy")
    book.enter(book.record(Identity(trial=3), 1, "full"), 0.5)
    assert [path.name for path in files.ledger("toy").parent.iterdir()] == ["toy.jsonl"]


def test_a_ledger_that_another_process_holds_is_one_line(files: StudyFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "LOCK_SECONDS", 0.05)
    files.studies.mkdir()
    with FileLock(files.ledger_lock), pytest.raises(StorageError, match="another process has held its lock for"):
        Ledger(files, "toy").record(Identity(trial=3), 1, "full")


def test_a_ledger_that_cannot_be_written_keeps_the_test_set_closed(tmp_path: Path) -> None:
    (tmp_path / "studies").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match=r"^cannot write .*toy\.jsonl"):
        Ledger(StudyFiles(tmp_path / "studies", "toy"), "toy").record(Identity(trial=3), 1, "full")


@pytest.mark.parametrize("content", ["{", "[]", "{}", "1", '{"time": "2026-', '{"time": "now"}', "\x00" * 40])
def test_a_damaged_line_is_an_opening_of_which_nothing_is_known(files: StudyFiles, content: str) -> None:
    book, path = Ledger(files, "toy"), files.ledger("toy")
    path.parent.mkdir(parents=True)
    path.write_text(content)  # cut off: without an end of line
    book.enter(book.record(Identity(trial=3), 1, "full"), 0.5)
    assert [(entry.label, entry.accuracy) for entry in book.entries()] == [("unknown", None), ("0003", 0.5)]
    said = f"{path}, line 1: cannot be read, and counts as an opening of which nothing is known"
    assert book.damaged() == (said,)
    assert path.read_text().splitlines()[0] == content, "it is left as it was"


def test_what_is_not_text_is_left_as_it_was(files: StudyFiles) -> None:
    book, path = Ledger(files, "toy"), files.ledger("toy")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xff\xfe\n\n")
    book.enter(book.record(Identity(trial=3), 1, "full"), 0.5)
    assert path.read_bytes().startswith(b"\xff\xfe\n\n{")
    assert len(book.entries()) == 2 and len(book.damaged()) == 1, "a blank line is no opening"


def test_a_test_set_that_was_never_opened_has_no_entries(files: StudyFiles) -> None:
    assert Ledger(files, "toy").entries() == ()
