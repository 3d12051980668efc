"""Optuna's storage over PostgreSQL: what a lost connection interrupted is done again, unless it had been done.

So a server that is restarted in the middle of a search does not end the search.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import uuid4

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import URL, QueuePool

from search.errors import StorageError
from search.study.address import POSTGRES, to_text, without_password
from search.study.postgres import READ_ONLY, WRITER, ConnectionLostError, Holder, connect, is_lost, reason, take_tables

RECONNECT_SECONDS = 60.0  # how long a search waits for a server that is gone
RETRY_SECONDS = 0.5
_URL = f"{POSTGRES}://"  # no more for Optuna: connections are made here, and in its URL '{' has a meaning

P = ParamSpec("P")
T = TypeVar("T")


def open_postgres_for_writing(url: URL, study: str) -> RDBStorage:
    """The storage of a study, which is begun if there is none. Nobody else may write the study until it is closed.

    Raises:
        InputError: psycopg is not installed.
        StudyError: another process writes the study.
        StorageError: the database cannot be used.
    """
    _make_tables(url, study)
    storage = _ReconnectingStorage(Holder(url, study))
    try:
        optuna.create_study(study_name=study, storage=storage, direction="maximize", load_if_exists=True)
        storage.claim()
    except BaseException:
        _close(storage)
        raise
    return storage


def open_postgres_for_reading(url: URL, study: str) -> RDBStorage:
    """A storage through which nothing can be written: the server itself refuses it.

    Raises:
        InputError: psycopg is not installed.
        StorageError: the database cannot be used, or holds no study at all.
    """
    try:
        return _open(url, study, READ_ONLY)
    except StorageInternalError as error:
        if "UndefinedTable" in str(error.__cause__):
            place = without_password(to_text(url))
            raise StorageError(f"study {study!r}: its database {place} holds no studies") from None
        raise


class _ReconnectingStorage(RDBStorage):
    """Optuna's storage over one connection at a time, which holds the study's lock.

    An attribute or a measurement may be set twice. A trial must not be made or ended twice: there it is checked first
    whether the server had done it before the connection was lost.
    """

    def __init__(self, holder: Holder) -> None:
        self._holder = holder
        self._given_up: StorageError | None = None
        engine_kwargs = {"creator": holder.connect, "pool_size": 1, "max_overflow": 0, "pool_pre_ping": True}
        # Optuna makes and checks tables over two connections at once: that was done before, over others.
        super().__init__(_URL, engine_kwargs, skip_compatibility_check=True, skip_table_creation=True)
        sqlalchemy.event.listen(self.engine, "handle_error", self._raise_lost)

    def claim(self) -> None:
        """Record that this run is the one that writes the study from now on."""
        token = uuid4().hex
        self.set_study_system_attr(self.get_study_id_from_name(self._holder.study), WRITER, token)
        self._holder.token = token

    def repeat(self, work: Callable[[], T], done: Callable[[], T | None] = lambda: None) -> T:
        """The result of some work. If its connection is lost, the work is done again, unless `done` returns its result.

        Raises:
            StorageError: there is no new connection in time, or somebody else has written the study.
        """
        if self._given_up is not None:
            raise self._given_up
        deadline: float | None = None
        while True:
            try:
                result = done() if deadline is not None else None
                return work() if result is None else result
            except ConnectionLostError as error:
                deadline = deadline or time.monotonic() + RECONNECT_SECONDS
                if time.monotonic() > deadline:
                    advice = f"waited {RECONNECT_SECONDS:g} s for it; run the same command again"
                    self._given_up = StorageError(f"{error}; {advice}")
                    raise self._given_up from error
                time.sleep(RETRY_SECONDS)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        create = partial(super().create_new_trial, study_id, template_trial)
        before = self.repeat(lambda: self._newest(study_id))

        def created() -> int | None:
            newest = self._newest(study_id)
            return newest if newest != before else None

        return self.repeat(create, created)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        tell = partial(super().set_trial_state_values, trial_id, state, values)
        return self.repeat(tell, lambda: RDBStorage.get_trial(self, trial_id).state == state or None)

    def _newest(self, study_id: int) -> int:
        query = sqlalchemy.text("SELECT coalesce(max(trial_id), -1) FROM trials WHERE study_id = :study_id")
        with self.engine.connect() as connection:
            return int(connection.execute(query, {"study_id": study_id}).scalar_one())

    def _raise_lost(self, context: sqlalchemy.ExceptionContext) -> None:
        """Raise an error that Optuna does not know: of one that it knows, it would make the trial again unchecked."""
        if context.is_disconnect or is_lost(context.original_exception):
            context.is_disconnect = True
            why = reason(context.original_exception)
            raise ConnectionLostError(f"study {self._holder.study!r}: its database failed: {why}")

    @staticmethod
    def _repeated(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
        """A method that reads, or that may write twice."""

        @wraps(method)
        def call(self: "_ReconnectingStorage", /, *args: P.args, **kwargs: P.kwargs) -> T:
            return self.repeat(lambda: method(self, *args, **kwargs))

        return call

    create_new_study = _repeated(RDBStorage.create_new_study)
    get_study_id_from_name = _repeated(RDBStorage.get_study_id_from_name)
    get_study_name_from_id = _repeated(RDBStorage.get_study_name_from_id)
    get_study_directions = _repeated(RDBStorage.get_study_directions)
    get_study_user_attrs = _repeated(RDBStorage.get_study_user_attrs)
    get_study_system_attrs = _repeated(RDBStorage.get_study_system_attrs)
    set_study_user_attr = _repeated(RDBStorage.set_study_user_attr)
    set_study_system_attr = _repeated(RDBStorage.set_study_system_attr)
    get_trial_id_from_study_id_trial_number = _repeated(RDBStorage.get_trial_id_from_study_id_trial_number)
    get_trial = _repeated(RDBStorage.get_trial)
    get_all_trials = _repeated(RDBStorage.get_all_trials)
    set_trial_user_attr = _repeated(RDBStorage.set_trial_user_attr)
    set_trial_system_attr = _repeated(RDBStorage.set_trial_system_attr)
    set_trial_intermediate_value = _repeated(RDBStorage.set_trial_intermediate_value)


def _make_tables(url: URL, study: str) -> None:
    """Make Optuna's tables, if there are none. Many studies may begin at once in an empty database."""
    with closing(connect(url, study)) as connection:
        take_tables(connection, url, study)
        _close(_open(url, study))


def _open(url: URL, study: str, *settings: str) -> RDBStorage:
    """Optuna's storage with any number of connections. It makes the tables, unless their sessions cannot write.

    Raises:
        RuntimeError: the tables are those of another version of Optuna.
    """
    creator: Callable[[], Any] = partial(connect, url, study, *settings)
    pool = QueuePool(creator, pre_ping=True)
    try:
        return RDBStorage(_URL, {"pool": pool}, skip_table_creation=READ_ONLY in settings)
    finally:
        pool.dispose()  # it connects anew when it is used again


def _close(storage: RDBStorage) -> None:
    storage.remove_session()
    storage.engine.dispose()
