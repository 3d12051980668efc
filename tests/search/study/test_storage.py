"""The record of a study: whole trials on disk, a mirror in memory, and the lock of its one writer."""

import json
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest
import sqlalchemy
from databases import both_databases
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import RandomSampler
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from models.architecture import Architecture
from search.errors import StorageError, StudyError
from search.files import StudyFiles
from search.protocol import Measurement
from search.space.space import Space
from search.study.plan import Plan
from search.study.storage import Record, architecture_of, locked, read_study

HOLD = """
import sys, time
from pathlib import Path
from search.files import StudyFiles
from search.study.storage import locked
with locked(StudyFiles(Path(sys.argv[1]), "toy")):
    print("held", flush=True)
    time.sleep(600)
"""


def measured(epoch: int, accuracy: float) -> Measurement:
    return Measurement(epoch, 1 - accuracy, accuracy, 1 - accuracy, accuracy, 0.1, 2.5)


@contextmanager
def held_by_another(files: StudyFiles) -> Iterator[Popen[str]]:
    with Popen([sys.executable, "-c", HOLD, str(files.studies)], stdout=PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def facts(trial: FrozenTrial) -> dict[str, Any]:
    """What disk and mirror must agree on: all but identities and times."""
    attributes = ("number", "state", "values", "params", "distributions", "user_attrs", "intermediate_values")
    return {name: getattr(trial, name) for name in attributes}


@pytest.fixture
def space(make_plan: Callable[..., Plan]) -> Space:
    return make_plan().question.space


@pytest.fixture
def propose(record: Record, make_plan: Callable[..., Plan]) -> Callable[[], tuple[Trial, dict[str, Any]]]:
    """A proposed trial with the attributes it is recorded with."""
    plan = make_plan()
    record.use(RandomSampler(seed=0), NopPruner())

    def once() -> tuple[Trial, dict[str, Any]]:
        proposed = record.propose({**plan.question.space.distributions})
        smallest = {slot.name: slot.value(0) for slot in plan.question.space.slots}
        architecture = plan.question.space.decode(smallest, plan.task)
        return proposed, {"architecture": architecture.to_json(), "params": 1, "macs": 2}

    return once


@both_databases
def test_an_accepted_trial_is_whole_on_disk_while_the_record_is_open(
    files: StudyFiles,
    url: str | None,
    record: Record,
    space: Space,
    propose: Callable[[], tuple[Trial, dict[str, Any]]],
) -> None:
    proposed, attributes = propose()
    number = record.accept(proposed, attributes).number
    (trial,), _ = read_study(files, url)
    assert (trial.number, trial.state) == (number, TrialState.RUNNING) == (0, TrialState.RUNNING)
    assert trial.params == proposed.params
    assert set(trial.params) == {slot.name for slot in space.slots}
    assert trial.distributions == space.distributions
    assert trial.user_attrs == attributes
    assert isinstance(architecture_of(trial), Architecture)


@both_databases
def test_a_trial_is_recorded_by_one_transaction(
    record: Record, propose: Callable[[], tuple[Trial, dict[str, Any]]]
) -> None:
    """A kill at any moment leaves no trial, or all of it."""
    engine, written, transactions = record._storage.engine, [], []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if not statement.lstrip().startswith("SELECT"):
            written.append(statement.split()[2])

    def commit(connection: Any) -> None:
        if written:
            transactions.append(set(written))
            written.clear()

    proposed, attributes = propose()
    sqlalchemy.event.listen(engine, "before_cursor_execute", note)
    sqlalchemy.event.listen(engine, "commit", commit)
    record.accept(proposed, attributes)
    assert len(transactions) == 1
    assert {"trials", "trial_params", "trial_user_attributes"} <= transactions[0]


@both_databases
def test_a_proposed_trial_that_is_not_accepted_is_not_on_disk(
    files: StudyFiles, url: str | None, record: Record, propose: Callable[[], tuple[Trial, dict[str, Any]]]
) -> None:
    propose()
    assert read_study(files, url) == ([], {})


@both_databases
def test_disk_and_mirror_agree_after_every_step(
    files: StudyFiles, url: str | None, record: Record, propose: Callable[[], tuple[Trial, dict[str, Any]]]
) -> None:
    def agree() -> bool:
        trials, _ = read_study(files, url)
        return [facts(trial) for trial in trials] == [facts(trial) for trial in record.trials]

    running = [record.accept(*propose()) for _ in range(3)]
    assert agree()
    for trial_record in running:
        for epoch, accuracy in ((1, 0.7), (2, 0.5)):
            trial_record.report(measured(epoch, accuracy))
            assert agree()
    running[0].finish(TrialState.COMPLETE, {"seconds": 5.0})
    assert agree()
    running[1].finish(TrialState.PRUNED, {"seconds": 4.0})
    assert agree()
    running[2].finish(TrialState.FAIL, {"reason": "out of memory"})
    assert agree()
    assert [trial.state for trial in record.trials] == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]


@both_databases
def test_a_finished_trial_keeps_its_last_accuracy_and_its_history(
    files: StudyFiles, url: str | None, record: Record, propose: Callable[[], tuple[Trial, dict[str, Any]]]
) -> None:
    trial_record = record.accept(*propose())
    history = [measured(1, 0.2), measured(2, 0.9), measured(3, 0.6)]
    for measurement in history:
        trial_record.report(measurement)
    trial_record.finish(TrialState.COMPLETE, {"seconds": 7.5})
    (trial,), _ = read_study(files, url)
    assert trial.value == 0.6
    assert trial.intermediate_values == {1: 0.2, 2: 0.9, 3: 0.6}
    assert [Measurement(**epoch) for epoch in json.loads(trial.user_attrs["history"])] == history
    assert trial.user_attrs["seconds"] == 7.5


@both_databases
def test_an_epoch_that_is_measured_again_is_not_reported_twice(
    files: StudyFiles, url: str | None, record: Record, propose: Callable[[], tuple[Trial, dict[str, Any]]]
) -> None:
    trial_record = record.accept(*propose())
    trial_record.report(measured(1, 0.3))
    record.__exit__()
    with Record(files, url) as again:
        again.use(RandomSampler(seed=0), NopPruner())
        resumed = again.open(trial_record.number)
        resumed.report(measured(1, 0.4))
        resumed.report(measured(2, 0.5))
        resumed.finish(TrialState.COMPLETE, {})
    (trial,), _ = read_study(files, url)
    assert trial.intermediate_values == {1: 0.3, 2: 0.5}
    assert trial.value == 0.5


class Noting(BasePruner):
    """Notes the epoch with the trial, and ends it after the second."""

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        assert trial.last_step is not None
        study._storage.set_trial_system_attr(trial._trial_id, f"noted_{trial.last_step}", trial.last_step)
        return trial.last_step == 2


@both_databases
def test_what_a_pruner_noted_and_decided_outlives_its_process(
    files: StudyFiles, url: str | None, record: Record, propose: Callable[[], tuple[Trial, dict[str, Any]]]
) -> None:
    trial_record = record.accept(*propose())
    record.use(RandomSampler(seed=0), Noting())
    assert [trial_record.report(measured(epoch, 0.3)) for epoch in (1, 2)] == [False, True]
    record.__exit__()
    with Record(files, url) as again:
        again.use(RandomSampler(seed=0), NopPruner())
        assert {"noted_1", "noted_2"} <= again.trials[trial_record.number].system_attrs.keys()
        resumed = again.open(trial_record.number)
        assert [resumed.report(measured(epoch, 0.3)) for epoch in (1, 2, 3)] == [False, True, False]


@both_databases
def test_a_study_survives_closing(
    files: StudyFiles, url: str | None, record: Record, propose: Callable[[], tuple[Trial, dict[str, Any]]]
) -> None:
    record.accept(*propose())
    before = [facts(trial) for trial in record.trials]
    record.__exit__()
    with Record(files, url) as again:
        assert [facts(trial) for trial in again.trials] == before


@both_databases
def test_attributes_of_the_study_are_kept(files: StudyFiles, url: str | None, record: Record) -> None:
    assert record.attribute("draws", 0) == 0
    record.set_attribute("draws", 12)
    assert record.attribute("draws", 0) == 12
    assert read_study(files, url) == ([], {"draws": 12})


def test_the_database_writes_ahead(files: StudyFiles, record: Record) -> None:
    with closing(sqlite3.connect(files.database)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with record._storage.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1  # NORMAL


def test_a_reader_does_not_block_the_writer_and_sees_its_own_moment(
    files: StudyFiles, record: Record, propose: Callable[[], tuple[Trial, dict[str, Any]]]
) -> None:
    record.accept(*propose())
    with closing(sqlite3.connect(f"file:{files.database}?mode=ro", uri=True)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM trials").fetchone() == (1,)
        trial_record = record.accept(*propose())
        trial_record.report(measured(1, 0.5))
        trial_record.finish(TrialState.COMPLETE, {})
        assert reader.execute("SELECT count(*) FROM trials").fetchone() == (1,)
    trials, _ = read_study(files, None)
    assert [trial.state for trial in trials] == [TrialState.RUNNING, TrialState.COMPLETE]


def test_reading_writes_nothing(
    files: StudyFiles, record: Record, propose: Callable[[], tuple[Trial, dict[str, Any]]]
) -> None:
    record.accept(*propose())
    record.__exit__()
    before = files.database.read_bytes()
    read_study(files, None)
    assert files.database.read_bytes() == before


def test_a_study_that_has_no_database_yet_has_no_trials(files: StudyFiles) -> None:
    assert read_study(files, None) == ([], {})
    assert not files.database.exists()


@pytest.mark.parametrize("folder", ["with space", "50%25 #1", "what?", "a&b=c"])
def test_the_folder_of_studies_may_have_any_name(tmp_path: Path, folder: str) -> None:
    files = StudyFiles(tmp_path / folder, "toy")
    files.folder.mkdir(parents=True)
    with Record(files) as record:
        record.set_attribute("draws", 3)
        assert read_study(files, None) == ([], {"draws": 3})
    assert files.database.is_file()
    assert read_study(files, None) == ([], {"draws": 3})
    assert [path.name for path in tmp_path.iterdir()] == [folder]


def test_a_study_may_be_kept_in_a_database_elsewhere(
    files: StudyFiles, tmp_path: Path, make_plan: Callable[..., Plan]
) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    with Record(files, url) as record:
        record.set_attribute("draws", 3)
    assert read_study(files, url) == ([], {"draws": 3})
    assert not files.database.exists()


def test_a_database_corrupted_while_the_record_is_open_is_one_line(
    files: StudyFiles,
    record: Record,
    propose: Callable[[], tuple[Trial, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record.accept(*propose())
    with closing(sqlite3.connect(files.database)) as connection:
        connection.execute("DROP TABLE trial_user_attributes")
    monkeypatch.setattr("time.sleep", lambda _: None)  # Optuna tries again, after seconds
    with pytest.raises(StorageError) as caught:
        record.accept(*propose())
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("study 'toy': its database failed: ")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with (
        pytest.raises(StorageError, match=r"^cannot write .*: Not a directory$"),
        locked(StudyFiles(tmp_path / "file", "toy")),
    ):
        pass


def test_the_lock_refuses_a_second_process_and_says_who_holds_it(files: StudyFiles) -> None:
    with held_by_another(files) as process:
        with pytest.raises(StudyError) as caught, locked(files):
            pass
        expected = f"study = 'toy': in use by process {process.pid} on {socket.gethostname()}"
        assert str(caught.value).startswith(f"{expected} since 20")


def test_a_holder_that_has_only_just_taken_the_lock_is_waited_for(
    files: StudyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    with locked(files):
        name = files.holder.read_text()
        files.holder.unlink()
        monkeypatch.setattr("search.study.storage.time.sleep", lambda seconds: files.holder.write_text(name))
        with pytest.raises(StudyError, match=f"in use by process {os.getpid()} on "), locked(files):
            pass
    assert not files.holder.exists(), "nobody is told of a holder that is gone"


def test_a_damaged_name_of_the_holder_is_no_more_than_that(files: StudyFiles) -> None:
    with locked(files):
        files.holder.write_bytes(b"\xff\xfe")
        with pytest.raises(StudyError, match=r"^study = 'toy': in use by "), locked(files):
            pass


def test_the_lock_refuses_a_second_holder_in_the_same_process(files: StudyFiles) -> None:
    with locked(files), pytest.raises(StudyError, match=f"in use by process {os.getpid()} on "), locked(files):
        pass


def test_the_lock_is_free_after_its_holder_is_killed(files: StudyFiles) -> None:
    with held_by_another(files) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with locked(files):
            holder = (files.folder / "study.holder").read_text()
    assert holder.startswith(f"process {os.getpid()} on {socket.gethostname()} since 20")


def test_the_lock_is_free_after_an_error_inside(files: StudyFiles) -> None:
    with pytest.raises(ZeroDivisionError), locked(files):
        raise ZeroDivisionError
    with locked(files):
        assert files.lock.exists()


def test_two_studies_are_locked_apart(tmp_path: Path) -> None:
    with locked(StudyFiles(tmp_path, "one")), locked(StudyFiles(tmp_path, "two")):
        assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}


def test_optuna_reads_the_file_as_it_stands(
    files: StudyFiles, record: Record, propose: Callable[[], tuple[Trial, dict[str, Any]]]
) -> None:
    record.accept(*propose())
    storage = RDBStorage(f"sqlite:///{files.database}")
    try:
        (study,) = storage.get_all_studies()
        assert (study.study_name, len(storage.get_all_trials(study._study_id))) == ("toy", 1)
    finally:
        storage.remove_session()
        storage.engine.dispose()
