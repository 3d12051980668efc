"""A server of PostgreSQL that goes away in the middle: the search goes on, and no trial is there twice or lost."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
import pytest
import sqlalchemy
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from search.errors import StorageError
from search.files import StudyFiles
from search.protocol import Job, Measurement
from search.study import postgres as connections
from search.study import reconnection
from search.study.plan import Plan
from search.study.storage import Record, TrialRecord, read_study

Search = Callable[..., Any]
RULE = "something else has written into its database; run the same command again"


@pytest.fixture
def url(postgres: Any) -> str:
    """Of an empty schema, with its password."""
    return str(postgres.new_url())


@pytest.fixture
def accept(record: Record, make_plan: Callable[..., Plan]) -> Callable[[], TrialRecord]:
    """Proposes and records a trial; returns its record."""
    plan = make_plan()
    record.use(RandomSampler(seed=0), NopPruner())
    return lambda: record.accept(record.propose({**plan.question.space.distributions}), {"architecture": "{}"})


@pytest.fixture
def hang_up(postgres: Any) -> Callable[[], int]:
    """Ends all sessions of searches, as a server does that is stopped; returns how many there were."""

    def end() -> int:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'nas %'"
        with postgres.connect() as connection:
            return len(connection.execute(query).fetchall())

    return end


def measured(epoch: int) -> Measurement:
    return Measurement(epoch, 0.5, 0.5, 0.5, 0.1 * epoch, 0.1, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_is_stopped_and_started_in_the_middle_ends_no_search(
    search: Search, postgres: Any, curve: Callable[[Job, int], float], mode: str
) -> None:
    starters = []

    def interrupted(job: Job, epoch: int) -> float:
        if (job.label, epoch) in (("trial 1", 2), ("trial 3", 4)):
            postgres.stop(mode)
            starters.append(threading.Timer(0.7, postgres.start))
            starters[-1].start()
        return curve(job, epoch)

    try:
        found = search(6, curve=interrupted, num_workers=2)
    finally:
        for starter in starters:
            starter.join()
    assert len(starters) == 2
    assert [trial.number for trial in found.trials] == list(range(6))
    assert {trial.state for trial in found.trials} == {TrialState.COMPLETE}
    assert [list(trial.intermediate_values) for trial in found.trials] == [[1, 2, 3, 4]] * 6
    assert found.outcome.num_trained == found.outcome.num_proposed == 6


@pytest.mark.slow
@pytest.mark.parametrize("has_landed", [True, False])
def test_what_a_lost_connection_may_have_done_is_done_once(
    url: str,
    files: StudyFiles,
    record: Record,
    accept: Callable[[], TrialRecord],
    hang_up: Callable[[], int],
    has_landed: bool,
) -> None:
    """The server goes right before a transaction is committed, or after it, before it could say so."""
    cut: list[str] = []

    def lose(connection: sqlalchemy.Connection) -> None:
        if not cut:
            return
        cut.pop()
        session: Any = connection.connection.dbapi_connection
        if has_landed:
            session.commit()
            session.execute("SELECT 1")
        assert hang_up() == 1

    sqlalchemy.event.listen(record._storage.engine, "commit", lose)
    running: list[TrialRecord] = []
    steps: dict[str, Callable[[], Any]] = {
        "first": lambda: running.append(accept()),
        "second": lambda: running.append(accept()),
        "report": lambda: running[0].report(measured(1)),
        "note": lambda: running[0].note("spent_seconds", 3.0),
        "complete": lambda: running[0].finish(TrialState.COMPLETE, {}),
        "fail": lambda: running[1].finish(TrialState.FAIL, {"reason": "a test"}),
        "attribute": lambda: record.set_attribute("draws", 5),
    }
    for name, step in steps.items():
        cut.append(name)
        step()
        assert cut == [], name
    trials, attributes = read_study(files, url)
    assert [trial.number for trial in trials] == [0, 1]
    assert [trial.state for trial in trials] == [TrialState.COMPLETE, TrialState.FAIL]
    assert (trials[0].value, trials[0].intermediate_values) == (0.1, {1: 0.1})
    assert trials[0].user_attrs["spent_seconds"] == 3.0
    assert attributes == {"draws": 5}


@pytest.mark.parametrize("has_landed", [True, False])
def test_a_socket_that_is_closed_before_the_connection_is_called_closed_is_lost_too(
    url: str, files: StudyFiles, record: Record, monkeypatch: pytest.MonkeyPatch, has_landed: bool
) -> None:
    """What psycopg says where it polls before libpq has read the end; seen once, under load."""
    dialect = record._storage.engine.dialect
    commit, lost = dialect.do_commit, []

    def lose(connection: Any) -> None:
        if lost:
            return commit(connection)
        lost.append(connection)
        if has_landed:
            commit(connection)
        raise psycopg.OperationalError("connection socket closed")

    monkeypatch.setattr(dialect, "do_commit", lose)
    record.set_attribute("draws", 5)
    assert len(lost) == 1
    assert read_study(files, url)[1] == {"draws": 5}


@pytest.mark.slow
def test_the_end_of_a_trial_is_recorded_once_wherever_the_connection_is_lost(
    url: str, files: StudyFiles, record: Record, accept: Callable[[], TrialRecord], hang_up: Callable[[], int]
) -> None:
    """Of the transactions that a trial's end takes, every one once loses its answer."""
    left: list[int] = []

    def lose(connection: sqlalchemy.Connection) -> None:
        if left and left[0] == 0:
            left.clear()
            session: Any = connection.connection.dbapi_connection
            session.commit()
            session.execute("SELECT 1")
            hang_up()
        elif left:
            left[0] -= 1

    sqlalchemy.event.listen(record._storage.engine, "commit", lose)
    num_lost = 0
    while True:
        running = accept()
        running.report(measured(1))
        left[:] = [num_lost]
        running.finish(TrialState.COMPLETE, {"seconds": 1.0})
        if left:
            break
        num_lost += 1
    assert num_lost >= 3
    trials, _ = read_study(files, url)
    assert len(trials) == num_lost + 1
    assert {(trial.state, trial.value, trial.user_attrs["seconds"]) for trial in trials} == {
        (TrialState.COMPLETE, 0.1, 1.0)
    }


@pytest.mark.slow
def test_a_server_that_stays_away_ends_the_search_in_one_line_and_is_waited_for_once(
    search: Search, postgres: Any, curve: Callable[[Job, int], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reconnection.RECONNECT_SECONDS == 60.0
    monkeypatch.setattr(reconnection, "RECONNECT_SECONDS", 0.6)
    waits: list[float] = []
    monkeypatch.setattr(reconnection.time, "sleep", lambda seconds: waits.append(seconds) or wait(seconds))
    wait = threading.Event().wait

    def stopped(job: Job, epoch: int) -> float:
        if (job.label, epoch) == ("trial 1", 2):
            postgres.stop()
        return curve(job, epoch)

    try:
        with pytest.raises(StorageError) as caught:
            search(4, curve=stopped)
    finally:
        postgres.start()
    said = str(caught.value)
    assert said.startswith(f"study 'toy': its database postgresql+psycopg://me@{postgres.place}/postgres?options=")
    assert said.endswith(" cannot be reached: Connection refused; waited 0.6 s for it; run the same command again")
    assert "\n" not in said and postgres.QUOTED not in said
    assert sum(waits) < 2, "the time that is kept at the end is not waited for again"
    assert search(4).outcome.num_trained == 4


def test_a_study_that_another_run_has_written_meanwhile_is_not_written_any_more(
    url: str, files: StudyFiles, record: Record, accept: Callable[[], TrialRecord], hang_up: Callable[[], int]
) -> None:
    accept()
    assert hang_up() == 1
    with Record(StudyFiles(files.studies / "elsewhere", "toy"), url) as other:
        other.set_attribute("draws", 1)
    for _ in range(2):
        with pytest.raises(StorageError, match=f"^study 'toy': {RULE}$"):
            record.set_attribute("draws", 2)
    assert read_study(files, url)[1] == {"draws": 1}


def test_a_study_that_another_run_is_writing_is_not_written_any_more(
    url: str, files: StudyFiles, record: Record, hang_up: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "LOCK_SECONDS", 0.2)
    monkeypatch.setattr(reconnection, "RECONNECT_SECONDS", 0.5)
    assert hang_up() == 1
    with Record(StudyFiles(files.studies / "elsewhere", "toy"), url):
        with pytest.raises(StorageError, match=r"^study = 'toy': in use by another process \(nas ") as caught:
            record.set_attribute("draws", 2)
        assert str(caught.value).endswith("; waited 0.5 s for it; run the same command again")
    assert read_study(files, url)[1] == {}


def test_a_search_that_begins_while_another_makes_the_tables_waits_and_then_says_so(
    url: str, files: StudyFiles, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "TABLES_SECONDS", 0.2)
    with closing(postgres.connect()) as other:
        connections.take(other, "tables")
        with pytest.raises(StorageError, match=r"^study 'toy': its database .* failed: canceling statement due to"):
            Record(files, url)
    with Record(files, url) as record:
        assert record.trials == []


def test_our_own_session_of_before_is_waited_for(
    url: str, files: StudyFiles, record: Record, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the network was cut, the server learns only later that nobody is there any more."""
    monkeypatch.setattr(connections, "LOCK_SECONDS", 0.1)
    with record._storage.engine.connect() as connection:
        session: Any = connection.connection.dbapi_connection
        process = session.info.backend_pid
        connection.invalidate()
    holder = postgres.connect()
    lock = connections._key("study toy")
    while not holder.execute("SELECT pg_try_advisory_lock(%s)", (lock,)).fetchone()[0]:
        time.sleep(0.01)
    assert process != holder.info.backend_pid
    release = threading.Timer(0.5, holder.close)
    release.start()
    record.set_attribute("draws", 2)
    release.join()
    assert read_study(files, url)[1] == {"draws": 2}
