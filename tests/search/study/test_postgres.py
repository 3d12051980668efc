"""PostgreSQL: one writer, readers that cannot write, and errors of one line without a password."""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen
from typing import Any

import pytest
from optuna.study import StudyDirection

from search.errors import InputError, StorageError, StudyError
from search.files import StudyFiles
from search.run import plans
from search.study import postgres as module
from search.study.database import open_for_reading, storage_errors
from search.study.plan import Plan
from search.study.reading import read_view
from search.study.storage import Record, locked, read_study

HOLD = """
import sys, time
from pathlib import Path
from search.files import StudyFiles
from search.study.storage import Record
with Record(StudyFiles(Path(sys.argv[1]), "toy"), sys.argv[2]) as record:
    record.set_attribute("draws", 7)
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def url(postgres: Any) -> str:
    """Of an empty schema, with its password."""
    return str(postgres.new_url())


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.2)


@contextmanager
def held_by_another(studies: Path, url: str) -> Iterator[Popen[str]]:
    """A search on another machine: it has another folder of studies."""
    with Popen([sys.executable, "-c", HOLD, str(studies), url], stdout=PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def one_line(error: BaseException, server: Any) -> str:
    said = str(error)
    assert "\n" not in said
    assert server.PASSWORD not in said and server.QUOTED not in said
    return said


# One writer.


@pytest.mark.usefixtures("_impatient")
def test_a_second_writer_from_another_folder_is_refused_until_the_first_is_gone(
    postgres: Any, url: str, files: StudyFiles, tmp_path: Path
) -> None:
    with held_by_another(tmp_path / "elsewhere", url) as process:
        with locked(files), pytest.raises(StudyError) as caught:
            Record(files, url)
        who = rf"nas {socket.gethostname()} {process.pid} from 127.0.0.1, session "
        assert one_line(caught.value, postgres).startswith(f"study = 'toy': in use by another process ({who}")
        assert read_study(files, url) == ([], {"draws": 7}), "a reader is not held up"
        module.LOCK_SECONDS = 3.0  # a killed holder's session may end a moment after it
        process.kill()
        process.wait()
        with Record(files, url) as record:
            assert record.attribute("draws", 0) == 7


@pytest.mark.usefixtures("_impatient")
def test_a_record_that_is_closed_or_could_not_be_opened_holds_nothing(url: str, files: StudyFiles) -> None:
    with Record(files, url):
        for _ in range(2):
            with pytest.raises(StudyError):
                Record(files, url)
    with Record(files, url), Record(StudyFiles(files.studies, "another"), url):
        pass


def test_two_folders_may_go_on_with_a_study_but_not_with_another_question(
    url: str, files: StudyFiles, make_plan: Callable[..., Plan]
) -> None:
    plan = make_plan(storage=url)
    with Record(files, url) as record:
        assert plans.as_recorded(files, record, plan) is plan
        plans.keep_question(record, plan)
    elsewhere = StudyFiles(files.studies / "elsewhere", "toy")
    with Record(elsewhere, url) as record:
        plans.as_recorded(elsewhere, record, make_plan(storage=url, num_trials=7))
        with pytest.raises(StudyError, match=r"was begun with another question \(seed = 0, now 1\)"):
            plans.as_recorded(elsewhere, record, make_plan(storage=url, seed=1))
        record.set_attribute("question", plan.question.model_dump(mode="json") | {"of_another_version": 1})
        with pytest.raises(StudyError, match=r"^study = 'toy': its database holds .* by another version of nas"):
            plans.as_recorded(elsewhere, record, plan)


# Readers.


def test_a_reader_cannot_write(search: Callable[..., Any], url: str, files: StudyFiles) -> None:
    search(1)
    with (
        pytest.raises(StorageError, match="cannot execute INSERT in a read-only transaction"),
        storage_errors(files),
        open_for_reading(files, url) as storage,
    ):
        storage.create_new_study([StudyDirection.MAXIMIZE], "another")


def test_a_database_without_a_study_is_one_line_and_stays_so(postgres: Any, url: str, files: StudyFiles) -> None:
    for _ in range(2):
        with pytest.raises(StorageError) as caught:
            read_study(files, url)
        said = one_line(caught.value, postgres)
        assert said.startswith(f"study 'toy': its database postgresql+psycopg://me@{postgres.place}/postgres?options=")
        assert said.endswith(" holds no studies")


def test_a_study_that_is_not_in_the_database_has_no_trials(url: str, files: StudyFiles) -> None:
    Record(StudyFiles(files.studies, "another"), url).__exit__()
    assert read_study(files, url) == ([], {})


# What cannot be reached.


def bad_urls(server: Any) -> dict[str, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]
    start = f"postgresql+psycopg://{server.USER}:{server.QUOTED}@"
    return {
        "Connection refused": f"{start}127.0.0.1:{closed}/nas",
        'FATAL: database "nowhere" does not exist': server.url("nowhere"),
        'FATAL: password authentication failed for user "me"': server.url(password="wrong-s3cret"),
        "failed to resolve host": f"{start}no-such-host.invalid/nas",
        'invalid connection option "colour"': f"{server.url()}?colour=red",
        "fe_sendauth: no password supplied; give it by PGPASSWORD or ~/.pgpass": (
            f"postgresql+psycopg://{server.USER}@{server.place}/postgres"
        ),
    }


def test_a_database_that_cannot_be_reached_is_one_line_without_a_password(postgres: Any, files: StudyFiles) -> None:
    for reason, bad in bad_urls(postgres).items():
        for use in (Record, read_study):
            with pytest.raises(StorageError) as caught:
                use(files, bad)
            said = one_line(caught.value, postgres)
            assert said.startswith("study 'toy': its database postgresql+psycopg://me@")
            assert f" cannot be reached: {reason}" in said
            assert "wrong-s3cret" not in said


def test_a_missing_driver_names_the_extra(url: str, files: StudyFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InputError) as caught:
        Record(files, url)
    assert str(caught.value) == "storage: needs psycopg; install it by pip install 'budget-nas[postgres]'"


def test_a_search_that_cannot_reach_its_database_writes_nothing(
    nas: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    bad = "postgresql://me:s3cret@127.0.0.1:1/db"
    done = nas("search", "--data", "digits", "--budget", "20k", "--trials", "1", "--storage", bad)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    place = "postgresql+psycopg://me@127.0.0.1:1/db"
    assert line == f"nas: study 'digits-20k': its database {place} cannot be reached: Connection refused"
    assert "s3cret" not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


# The password.


def test_a_plan_and_what_is_read_of_it_hold_no_password(
    postgres: Any, url: str, files: StudyFiles, make_plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    question = make_plan().question
    plan = plans.plan_of(files, question, "toy", url, 3)
    plan.save(files)
    assert plan.circumstances.storage is not None
    assert plan.circumstances.storage.startswith(f"postgresql+psycopg://me@{postgres.place}/")
    assert plans.plan_of(files, question, "toy", url, 3) == plan, "the same database with its password"
    with pytest.raises(StudyError) as caught:
        plans.plan_of(files, question, "toy", postgres.url("another"), 3)
    kept = plan.circumstances.storage
    expected = f"storage: study 'toy' is kept in {kept}; leave out --storage"
    assert one_line(caught.value, postgres) == expected
    Record(files, url).__exit__()
    monkeypatch.setenv("PGPASSWORD", postgres.PASSWORD)
    assert read_view(files, url) == read_view(files)
    view = read_view(files)
    written = [path.read_text() for path in files.folder.rglob("*") if path.is_file()]
    for text in (*written, repr(view)):
        assert postgres.PASSWORD not in text and postgres.QUOTED not in text


def test_libpqs_own_ways_to_give_a_password_are_enough(
    postgres: Any, url: str, files: StudyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = url.replace(f":{postgres.QUOTED}@", "@")
    assert bare != url
    secret = tmp_path / "pgpass"
    secret.write_text(f"127.0.0.1:{postgres.port}:*:{postgres.USER}:{postgres.PASSWORD}\n")
    secret.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(secret))
    with Record(files, bare) as record:
        record.set_attribute("draws", os.getpid())
    assert read_study(files, bare) == ([], {"draws": os.getpid()})
