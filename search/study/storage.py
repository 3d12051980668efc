"""The record of a study: Optuna's database on disk, a mirror of it in memory, and the lock of its one writer.

The sampler and the pruner work on the mirror, where a look costs microseconds. Everything is written to disk as it
happens, an accepted trial by one transaction, so that a kill leaves either no trial or a whole one. What the pruner
decides, and what it notes of a trial to decide on others, is on disk before the epoch that it decided on.
"""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from models.architecture import Architecture, ArchitectureError
from search.errors import StorageError, StudyError
from search.files import StudyFiles, why
from search.protocol import Measurement
from search.space.sampler import ask
from search.space.thinning import TRAINED
from search.study.database import open_for_reading, open_for_writing, storage_errors
from search.study.plan import now
from search.writing import write_atomically

optuna.logging.set_verbosity(optuna.logging.WARNING)

EXHAUSTED = "exhausted"  # an attribute of a study: why there is no more design to train
PRUNED_AFTER = "pruned_after"  # the epoch after which the pruner ended a trial; an attribute of Optuna's system kind
NUM_LOOKS, LOOK_SECONDS = 20, 0.05  # for the name of a lock's holder


@contextmanager
def locked(files: StudyFiles) -> Iterator[None]:
    """Hold the study's lock: only its holder may write the study. The system releases it when the process ends.

    Raises:
        StudyError: another process holds it.
        StorageError: the folder cannot be written.
    """
    try:
        files.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(files.lock)
        lock.acquire(timeout=0)
    except Timeout:
        raise StudyError(f"study = {files.name!r}: in use by {_holder(files)}") from None
    except OSError as error:
        raise StorageError(f"cannot write {files.folder}: {why(error)}") from error
    try:
        write_atomically(files.holder, f"process {os.getpid()} on {socket.gethostname()} since {now()}")
        yield
    finally:
        with suppress(OSError):
            files.holder.unlink()
        lock.release()


def _holder(files: StudyFiles) -> str:
    """Who holds the lock. One that has only just taken it has yet to say so, and is waited for."""
    for _ in range(NUM_LOOKS):
        try:
            return files.holder.read_text(errors="replace")
        except FileNotFoundError:
            time.sleep(LOOK_SECONDS)
        except OSError:
            break
    return "another process"


class Record:
    """A study's trials, on disk and in memory. Open it under the lock; use as a context manager.

    Raises:
        InputError: the URL of the database is invalid.
        StudyError: another process writes the study in the database at that URL.
        StorageError: the database cannot be opened. If it is damaged, it has been put aside, and the message says where
            and what has become of its trials.
    """

    def __init__(self, files: StudyFiles, url: str | None = None) -> None:
        with storage_errors(files), ExitStack() as stack:
            self._storage = stack.enter_context(open_for_writing(files, url))
            self._disk = optuna.create_study(
                study_name=files.name, storage=self._storage, direction="maximize", load_if_exists=True
            )
            self._disk_study = self._storage.get_study_id_from_name(files.name)
            for trial in self._storage.get_all_trials(self._disk_study, states=(TrialState.WAITING,)):
                # Enqueued by hand with Optuna, unchecked: from here on it is a running trial without a design.
                self._storage.set_trial_state_values(self._disk_id(trial.number), TrialState.RUNNING)
            self._memory = InMemoryStorage()
            self._mirror = optuna.create_study(study_name=files.name, storage=self._memory, direction="maximize")
            self._mirror_study = self._memory.get_study_id_from_name(files.name)
            self._mirror.add_trials(self._storage.get_all_trials(self._disk_study))
            self._opened = stack.pop_all()
        self.files = files

    def __enter__(self) -> "Record":
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @property
    def trials(self) -> list[FrozenTrial]:
        return self._mirror.get_trials(deepcopy=False)

    @property
    def num_trained(self) -> int:
        return sum(trial.state in TRAINED for trial in self.trials)

    def trial(self, number: int) -> FrozenTrial:
        """The trial of this number, as it is now."""
        return self._memory.get_trial(self._mirror_id(number))

    def use(self, sampler: BaseSampler, pruner: BasePruner) -> None:
        """Propose by this sampler and prune by this pruner."""
        self._mirror.sampler = sampler
        self._mirror.pruner = pruner

    def propose(self, distributions: dict[str, Any]) -> Trial:
        """A new trial by the sampler, in memory alone until it is accepted.

        Raises:
            SpaceExhaustedError: the sampler has no new design to propose.
        """
        return ask(self._mirror, distributions)

    def accept(self, proposed: Trial, attributes: dict[str, Any]) -> "TrialRecord":
        """Record a proposed trial as running, by one transaction, and open its record."""
        trial = create_trial(
            state=TrialState.RUNNING,
            params=proposed.params,
            distributions=proposed.distributions,
            user_attrs=attributes,
        )
        for name, value in attributes.items():
            proposed.set_user_attr(name, value)
        with storage_errors(self.files):
            disk_id = self._storage.create_new_trial(self._disk_study, trial)
            number = self._storage.get_trial_number_from_id(disk_id)
        if number != proposed.number:
            rule = "something else has written into its database; run the same command again"
            raise StorageError(f"study {self.files.name!r}: {rule}")
        return self.open(proposed.number)

    def open(self, number: int) -> "TrialRecord":
        """The record of a running trial, to be written from its first epoch on."""
        with storage_errors(self.files):
            disk_id = self._disk_id(number)
        return TrialRecord(self, number, disk_id)

    def in_memory(self, number: int) -> Trial:
        """The handle by which the trial's epochs and its end are told to the sampler and the pruner."""
        return Trial(self._mirror, self._mirror_id(number))

    def _disk_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._disk_study, number)

    def _mirror_id(self, number: int) -> int:
        return self._memory.get_trial_id_from_study_id_trial_number(self._mirror_study, number)

    def set_attribute(self, name: str, value: Any) -> None:
        """Keep a value with the study itself."""
        with storage_errors(self.files):
            self._disk.set_user_attr(name, value)

    def attribute(self, name: str, default: Any) -> Any:
        with storage_errors(self.files):
            return self._disk.user_attrs.get(name, default)


class TrialRecord:
    """What is recorded of one running trial, on disk and in memory.

    Args:
        disk_id: the trial's id on disk, where Optuna's own handle would read the whole trial time and again.
    """

    def __init__(self, record: Record, number: int, disk_id: int) -> None:
        self.number = number
        self._record = record
        self._disk_id = disk_id
        self.restart()

    @property
    def trial(self) -> FrozenTrial:
        """The trial as it is now."""
        return self._record.trial(self.number)

    def restart(self) -> None:
        """Forget the epochs so far: they will be measured again."""
        self._in_memory = self._record.in_memory(self.number)
        self._history: list[Measurement] = []

    def report(self, measurement: Measurement) -> bool:
        """Record an epoch. Returns whether the pruner would end the trial here."""
        assert measurement.validation_accuracy is not None
        storage, in_memory = self._record._storage, self._in_memory
        self._history.append(measurement)
        known = self.trial
        was_pruned = bool(known.system_attrs.get(PRUNED_AFTER) == measurement.epoch)
        # A resumed trial may have reported this epoch before it was interrupted: what was decided then still stands.
        if measurement.epoch in known.intermediate_values:
            return was_pruned
        in_memory.report(measurement.validation_accuracy, measurement.epoch)
        is_pruned = in_memory.should_prune() or was_pruned
        noted = {PRUNED_AFTER: measurement.epoch} if is_pruned else {}
        attributes = self.trial.system_attrs
        noted |= {name: attributes[name] for name in attributes if name not in known.system_attrs}
        with storage_errors(self._record.files):
            for name, content in noted.items():
                storage.set_trial_system_attr(self._disk_id, name, content)
            storage.set_trial_intermediate_value(self._disk_id, measurement.epoch, measurement.validation_accuracy)
        return is_pruned

    def note(self, name: str, content: Any) -> None:
        """Keep a value with the trial."""
        self._in_memory.set_user_attr(name, content)
        with storage_errors(self._record.files):
            self._record._storage.set_trial_user_attr(self._disk_id, name, content)

    def finish(self, state: TrialState, attributes: dict[str, Any]) -> None:
        """Record the trial's end. Its value is the last epoch's validation accuracy."""
        history = self._history
        value = history[-1].validation_accuracy if history and state == TrialState.COMPLETE else None
        attributes = attributes | {"history": json.dumps([asdict(measurement) for measurement in history])}
        for name, content in attributes.items():
            self._in_memory.set_user_attr(name, content)
        # The value of a pruned trial is its last epoch's as well.
        ended = self._record._mirror.tell(self._in_memory, value, state=state)
        with storage_errors(self._record.files):
            for name, content in attributes.items():
                self._record._storage.set_trial_user_attr(self._disk_id, name, content)
            self._record._storage.set_trial_state_values(self._disk_id, state, ended.values)


def read_study(files: StudyFiles, url: str | None) -> tuple[list[FrozenTrial], dict[str, Any]]:
    """The trials and attributes of a study, for reading alone; a search that is running is not disturbed.

    Raises:
        StorageError: the database cannot be read.
    """
    with storage_errors(files):
        if url is None and not files.database.is_file():
            return [], {}
        with open_for_reading(files, url) as storage:
            try:
                study: Study = optuna.load_study(study_name=files.name, storage=storage)
                return study.get_trials(), study.user_attrs
            except KeyError:
                return [], {}


def architecture_of(trial: FrozenTrial) -> Architecture:
    return Architecture.from_json(trial.user_attrs["architecture"])


def is_whole(trial: FrozenTrial) -> bool:
    """Whether the trial was recorded with its design; one written by hand may lack it."""
    try:
        architecture_of(trial)
    except (KeyError, ArchitectureError):
        return False
    return True
