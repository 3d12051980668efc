"""A study's database file: checked whenever it is opened for writing, kept if it is damaged, waited for if locked."""

import os
import re
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from shutil import copy, copytree
from subprocess import PIPE, Popen
from typing import Any

import pytest
from optuna.trial import TrialState

from search.errors import StorageError, StudyError
from search.files import StudyFiles
from search.study import database
from search.study.storage import Record, locked, read_study

PAGE = 4_096
Search = Callable[..., Any]

HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(600)
"""


@contextmanager
def written_by_another(database: Path) -> Iterator[Popen[str]]:
    """Another process has begun to write and does not end."""
    with Popen([sys.executable, "-c", HOLD, str(database)], stdout=PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def pages(files: StudyFiles, kind: str) -> list[int]:
    """The first page, counted from 0, of every table or index about trials that has one of its own."""
    query = "SELECT rootpage FROM sqlite_master WHERE type = ? AND tbl_name = 'trials'"
    with closing(sqlite3.connect(files.database)) as connection:
        return [page - 1 for (page,) in connection.execute(query, (kind,)) if page]


def spoil(files: StudyFiles, *places: int) -> None:
    """Overwrite these pages, but not how they begin."""
    content = bytearray(files.database.read_bytes())
    for page in places:
        content[page * PAGE + 4 : page * PAGE + 64] = b"\xff" * 60
    files.database.write_bytes(content)


def refusal(files: StudyFiles, url: str | None = None) -> str:
    with pytest.raises(StorageError) as caught:
        Record(files, url)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def refusal_to_read(files: StudyFiles) -> str:
    with pytest.raises(StorageError) as caught:
        read_study(files, None)
    return str(caught.value)


def asides(files: StudyFiles) -> list[str]:
    found = sorted(path.name for path in files.folder.glob("*study.db*corrupt*"))
    return [name for name in found if not name.endswith(("-wal", "-shm"))]


def test_a_sound_file_is_left_alone(search: Search, files: StudyFiles) -> None:
    search(3)
    before = files.database.read_bytes()
    with Record(files) as record:
        assert len(record.trials) == 3
    assert asides(files) == []
    assert files.database.read_bytes() == before


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "file is not a database": lambda whole: b"this is no database, " * 300,
    "it is empty": lambda whole: b"",
    "database disk image is malformed": lambda whole: whole[: len(whole) // 2],
}


@pytest.mark.parametrize("fault", DAMAGES)
def test_a_damaged_file_is_kept_and_what_is_lost_is_said_in_one_line(
    search: Search, files: StudyFiles, fault: str
) -> None:
    search(3)
    damaged = DAMAGES[fault](files.database.read_bytes())
    files.database.write_bytes(damaged)
    aside = files.folder / "study.db.corrupt-1"
    said = refusal(files)
    assert re.match(rf"study 'toy': its database was damaged \(.*\) and is kept as {re.escape(str(aside))}; ", said)
    if fault != "database disk image is malformed":
        assert f"({fault})" in said
    assert said.endswith(
        "; its trials cannot be read, reports, trials.csv and what was retrained are still there; "
        "the same command begins with trial 0"
    )
    assert aside.read_bytes() == damaged
    assert not files.database.exists()
    assert search(2).outcome.num_trained == 2, "the same command begins anew"
    assert aside.read_bytes() == damaged


def test_every_damaged_file_is_kept(files: StudyFiles) -> None:
    files.folder.mkdir(parents=True)
    for content in (b"one", b"two", b"three"):
        files.database.write_bytes(content)
        refusal(files)
    kept = [(files.folder / f"study.db.corrupt-{number}").read_bytes() for number in (1, 2, 3)]
    assert kept == [b"one", b"two", b"three"]
    assert len(asides(files)) == 3


def test_what_belongs_to_a_damaged_file_is_kept_with_it(files: StudyFiles) -> None:
    files.folder.mkdir(parents=True)
    files.database.write_bytes(b"no database")
    (files.folder / "study.db-wal").write_bytes(b"not yet in it")
    refusal(files)
    assert asides(files) == ["study.db.corrupt-1"]
    assert (files.folder / "study.db.corrupt-1-wal").read_bytes() == b"not yet in it"
    with Record(files) as record:
        assert record.trials == []


def test_where_only_an_index_is_damaged_all_trials_are_in_a_new_file(search: Search, files: StudyFiles) -> None:
    before = search(5).trials
    spoil(files, *pages(files, "index"))
    said = refusal(files)
    aside = files.folder / "study.db.corrupt-1"
    assert said.endswith(f" and is kept as {aside}; all its 5 trials are in a new one; run the same command again")
    assert read_study(files, None)[0] == before
    assert asides(files) == ["study.db.corrupt-1"] and not list(files.folder.glob(".study.db*"))
    found = search(8)
    assert found.trials[:5] == before and found.outcome.num_trained == 8
    with closing(sqlite3.connect(files.database)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_where_a_table_is_damaged_nothing_is_made_up(search: Search, files: StudyFiles) -> None:
    search(5)
    spoil(files, *pages(files, "table"))
    assert "; its trials cannot be read, " in refusal(files)
    assert not files.database.exists()
    assert asides(files) == ["study.db.corrupt-1"]


@pytest.mark.parametrize("content", [b"this is no database, " * 300, b"SQLite format 3\x00" + b"\xff" * 5_000])
def test_a_reader_puts_nothing_aside(files: StudyFiles, content: bytes) -> None:
    files.folder.mkdir(parents=True)
    files.database.write_bytes(content)
    with pytest.raises(StorageError, match=r"^study 'toy': its database failed: file is not a database$"):
        read_study(files, None)
    assert [path.name for path in files.folder.iterdir()] == ["study.db"]


# Read-only folders. Root may write everywhere, so here the file that SQLite would make cannot be made.


def contents(files: StudyFiles) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in files.folder.iterdir() if path.is_file()}


def test_where_nothing_can_be_written_a_study_is_read_after_a_polite_end_and_after_a_kill(
    search: Search, files: StudyFiles
) -> None:
    killed = StudyFiles(files.studies.parent / "killed", files.name)
    search(2)
    with Record(files) as record:
        record.set_attribute("draws", 7)
        copytree(files.folder, killed.folder)
    assert (killed.folder / "study.db-wal").stat().st_size > 0
    (killed.folder / "study.db-shm").unlink()
    assert not (files.folder / "study.db-wal").exists()
    for each in (files, killed):
        (each.folder / "study.db-shm").symlink_to("nowhere")
        with closing(sqlite3.connect(each.database)) as connection, pytest.raises(sqlite3.OperationalError):
            connection.execute("SELECT * FROM trials")
        before = contents(each)
        trials, attributes = read_study(each, None)
        assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
        assert attributes["draws"] == 7
        assert contents(each) == before


def test_a_reader_takes_back_what_a_killed_writer_left_half_done_elsewhere(files: StudyFiles, tmp_path: Path) -> None:
    """A database at a URL keeps a journal: until that is rolled back, nobody may read it."""
    url, left = f"sqlite:///{tmp_path}/elsewhere.db", tmp_path / "left.db"
    files.folder.mkdir(parents=True)
    with Record(files, url) as record:
        record.set_attribute("draws", 7)
    with closing(sqlite3.connect(tmp_path / "elsewhere.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_spill = 1")
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN")
        connection.execute("DELETE FROM study_user_attributes")
        connection.execute("CREATE TABLE more AS SELECT randomblob(100000) AS noise")
        copy(tmp_path / "elsewhere.db", left)
        copy(tmp_path / "elsewhere.db-journal", tmp_path / "left.db-journal")
    assert read_study(files, f"sqlite:///{left}") == ([], {"draws": 7})


def test_a_database_that_is_missing_is_named_and_not_made(
    files: StudyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    missing = f"study 'toy': its database {tmp_path}/x.db is missing"
    advice = "; run the command in the folder where the study began"
    for url, said in ((f"sqlite:///{tmp_path}/x.db", missing), ("sqlite:///x.db", missing + advice)):
        for use in (read_study, database.require_kept):
            with pytest.raises(StorageError) as caught:
                use(files, url)
            assert str(caught.value) == said
    assert list(tmp_path.iterdir()) == []


def test_a_check_of_some_megabytes_takes_no_time_to_speak_of(search: Search, files: StudyFiles) -> None:
    """It is paid at every start: here, for the file of a thousand trials or more."""
    search(20)
    with closing(sqlite3.connect(files.database)) as connection:
        connection.execute("CREATE TABLE more AS SELECT * FROM trial_user_attributes")
        for _ in range(8):
            connection.execute("INSERT INTO more SELECT * FROM more")
        connection.commit()
    assert files.database.stat().st_size > 5 * 2**20
    started = time.perf_counter()
    with Record(files) as record:
        assert len(record.trials) == 20
    assert time.perf_counter() - started < 5, "and a loaded machine is given five"


# Locked.


def test_a_locked_database_is_waited_for(search: Search, files: StudyFiles) -> None:
    search(1)
    with written_by_another(files.database) as process:
        timer = threading.Timer(0.5, process.kill)
        timer.start()
        started = time.monotonic()
        assert search(2).outcome.num_trained == 2
        timer.join()
    assert time.monotonic() - started >= 0.5


def test_a_database_that_stays_locked_is_one_line_after_its_time(
    search: Search, files: StudyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(1)
    assert database.LOCK_SECONDS == 30.0
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.5)
    with written_by_another(files.database):
        started = time.monotonic()
        said = refusal(files)
        assert 0.5 <= time.monotonic() - started < 15
        assert read_study(files, None)[0][0].state == TrialState.COMPLETE, "readers are not held up"
    advice = "end that one and run the same command again"
    assert said == f"study 'toy': its database failed: database is locked by another process, for 0.5 s; {advice}"
    assert search(2).outcome.num_trained == 2


def test_a_database_that_becomes_locked_while_it_is_open_is_one_line(
    record: Record, files: StudyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    record.__exit__()
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.2)
    said = r"^study 'toy': its database failed: database is locked by another "
    with Record(files) as patient, written_by_another(files.database), pytest.raises(StorageError, match=said):
        patient.set_attribute("draws", 1)
    with Record(files) as again:
        again.set_attribute("draws", 2)
        assert again.attribute("draws", 0) == 2


def test_a_lock_that_its_holder_left_behind_blocks_nobody(files: StudyFiles) -> None:
    """The file is not the lock: a machine that went down, or a copied folder, leaves one nobody holds."""
    files.folder.mkdir(parents=True)
    files.lock.write_text("1")
    (files.folder / "study.holder").write_text("process 1 on another-host")
    with locked(files):
        holder = (files.folder / "study.holder").read_text()
    assert holder.startswith(f"process {os.getpid()} on {os.uname().nodename} since ")


# In a file elsewhere, which other studies share.


@pytest.fixture
def shared(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/shared.db"


def test_a_study_in_a_file_elsewhere_has_one_writer_whatever_folder_it_is_of(
    files: StudyFiles, shared: str, tmp_path: Path
) -> None:
    elsewhere = StudyFiles(tmp_path / "elsewhere", files.name)
    (tmp_path / "link.db").symlink_to("shared.db")
    with Record(files, shared):
        for url in (shared, f"sqlite:///{tmp_path}/link.db"):
            with pytest.raises(StudyError) as caught:
                Record(elsewhere, url)
            rule = f"in use by another process, which writes it in {tmp_path}/shared.db"
            assert str(caught.value) == f"study = 'toy': {rule}"
        with Record(StudyFiles(files.studies, "other"), shared) as other:
            other.set_attribute("draws", 7)
    with Record(elsewhere, shared) as record:
        assert record.attribute("draws", 0) == 0


def test_many_studies_may_begin_at_once_in_a_new_file(shared: str, tmp_path: Path) -> None:
    def begin(number: int) -> int:
        with Record(StudyFiles(tmp_path, f"study-{number}"), shared) as record:
            record.set_attribute("draws", number)
            return int(record.attribute("draws", -1))

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(begin, range(6))) == [*range(6)]


def test_a_file_elsewhere_that_is_locked_is_waited_for(
    files: StudyFiles, shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Record(files, shared):
        pass
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.5)
    with Record(files, shared) as record, written_by_another(tmp_path / "shared.db"):
        started = time.monotonic()
        with pytest.raises(StorageError, match=r"database is locked by another process, for 0\.5 s; end that one"):
            record.set_attribute("draws", 1)
        assert time.monotonic() - started < 4, "Python's own patience are 5 s"


def test_a_damaged_file_elsewhere_is_left_as_it_is(files: StudyFiles, shared: str, tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    path.write_bytes(b"this is no database, " * 300)
    before = path.read_bytes()
    assert refusal(files, shared) == f"study 'toy': its database {path} is damaged (file is not a database)"
    assert path.read_bytes() == before
    path.write_bytes(b"")  # made by hand, to be filled
    with Record(files, shared) as record:
        assert record.trials == []


def test_no_folder_is_made_for_a_file_elsewhere(files: StudyFiles, tmp_path: Path) -> None:
    said = refusal(files, f"sqlite:///{tmp_path}/no/x.db")
    assert said == f"study 'toy': its database cannot be in {tmp_path}/no, since there is no such folder"
    assert not (tmp_path / "no").exists()


# Full.


def test_a_full_disk_is_one_line_and_the_trial_that_had_no_room_is_not_there(search: Search, files: StudyFiles) -> None:
    search(2)
    size = files.database.stat().st_size // PAGE
    with Record(files) as record:
        with record._storage.engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count={size}")  # what SQLite then says is ENOSPC's error
        with pytest.raises(StorageError) as caught:
            for number in range(1_000):
                record.set_attribute(f"key {number}", "x" * 1_000)
        record.attribute("draws", 0)
    room = f"is there room on the disk of {files.folder}? Then run the same command again"
    assert str(caught.value) == f"study 'toy': its database failed: database or disk is full; {room}"
    assert search(4).outcome.num_trained == 4


def test_a_new_database_for_which_there_is_no_room_leaves_nothing_behind(
    files: StudyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.folder.mkdir(parents=True)

    def fail(**_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(database.optuna, "create_study", fail)
    assert "database or disk is full" in refusal(files)
    assert list(files.folder.iterdir()) == []


# Of another version of Optuna.


@pytest.mark.parametrize(
    ("revision", "advice"),
    [
        (
            "v2.6.0.a",
            "`$ optuna storage upgrade --storage sqlite:///{database}` for upgrading the storage.",
        ),
        ("v9.0.0.a", "Please try updating optuna to the latest version by `$ pip install -U optuna`."),
    ],
)
def test_a_database_of_another_version_of_optuna_is_one_line_and_stays_as_it_is(
    search: Search, files: StudyFiles, revision: str, advice: str
) -> None:
    search(1)
    with closing(sqlite3.connect(files.database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        connection.execute("UPDATE version_info SET library_version = '1.2.3'")
        connection.execute("DROP TABLE trial_heartbeats")
        connection.commit()
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
        for refuse in (refusal, refusal_to_read):
            said = refuse(files)
            assert said.startswith("study 'toy': its database: The runtime optuna version ")
            assert "(set up by optuna 1.2.3)" in said and said.endswith(advice.format(database=files.database))
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == tables


# Written by somebody else.


def test_a_trial_that_another_program_ended_is_one_line(search: Search, files: StudyFiles) -> None:
    search(1)

    def set_state(state: str) -> None:
        with closing(sqlite3.connect(files.database)) as connection:
            connection.execute("UPDATE trials SET state = ?, datetime_complete = NULL", (state,))
            connection.commit()

    set_state("RUNNING")
    with Record(files) as record:
        set_state("COMPLETE")
        with pytest.raises(StorageError, match=r"^study 'toy': its database: Trial#0 has already finished"):
            record.open(0).note("spent_seconds", 1.0)


def test_a_trial_that_appears_from_elsewhere_while_a_search_runs_ends_it_and_mixes_nothing_up(
    search: Search, files: StudyFiles, curve: Callable[..., float]
) -> None:
    def enqueue(job: Any, epoch: int) -> float:
        if job.label == "trial 1" and epoch == 2:
            with closing(sqlite3.connect(files.database)) as connection:
                values = "SELECT max(number) + 1, study_id, 'WAITING' FROM trials"
                connection.execute(f"INSERT INTO trials (number, study_id, state) {values}")
                connection.commit()
        return curve(job, epoch)

    with pytest.raises(StorageError) as caught:
        search(4, curve=enqueue)
    rule = "something else has written into its database; run the same command again"
    assert str(caught.value) == f"study 'toy': {rule}"
    found = search(4)
    states = [trial.state.name for trial in found.trials]
    assert states == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert found.trials[2].user_attrs["reason"] == "recorded without its design"
