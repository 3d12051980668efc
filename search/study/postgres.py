"""Connections to PostgreSQL: ones that hold the lock of a study, and ones that can only read.

The lock is an advisory one of the server's session. It ends with the process that holds it, with its machine, and with
the server. So every new connection takes it again before anything is written, and checks whether somebody else has
written the study meanwhile.
"""

import json
import os
import socket
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL

from search.errors import InputError, StorageError, StudyError
from search.study.address import to_text, without_password

if TYPE_CHECKING:
    from psycopg import Connection

LOCK_SECONDS = 3.0  # a killed holder's session ends a moment after it
TABLES_SECONDS = 60.0  # many searches that begin at once check the tables one after the other
WRITER = "writer"  # which run writes the study; an attribute of Optuna's system kind
READ_ONLY = "-c default_transaction_read_only=on"

# Both sides notice within half a minute that the other one's machine is gone; the server then releases the lock.
_CLIENT = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
_SESSION = ("-c tcp_keepalives_idle=10", "-c tcp_keepalives_interval=5", "-c tcp_keepalives_count=4")

_HOLDER = """
SELECT activity.application_name, host(activity.client_addr), activity.pid
FROM pg_locks JOIN pg_stat_activity AS activity USING (pid)
WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND classid::bigint = %s AND objid::bigint = %s
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_LAST_WRITER = """
SELECT value_json FROM study_system_attributes JOIN studies USING (study_id) WHERE study_name = %s AND key = %s
"""


class UnreachableError(StorageError):
    """The server cannot be reached, or refuses the connection."""


class ConnectionLostError(Exception):
    """The connection was lost; whether the server did what it was asked last is not known."""


def connect(url: URL, study: str, *settings: str) -> "Connection[Any]":
    """A connection whose session has further settings, as PostgreSQL's command line takes them.

    Raises:
        InputError: psycopg is not installed.
        UnreachableError: the server, the database or the user is not there, or the password is wrong.
    """
    try:
        import psycopg
    except ImportError:
        raise InputError("storage: needs psycopg; install it by pip install 'budget-nas[postgres]'") from None
    _, given = url.get_dialect()().create_connect_args(url)
    options = " ".join([str(given.get("options", "")), *_SESSION, *settings])
    name = f"nas {socket.gethostname()} {os.getpid()}"
    try:
        return psycopg.connect(**{**_CLIENT, "application_name": name, **given, "options": options})
    except psycopg.Error as error:
        raise UnreachableError(_failure(url, study, "cannot be reached", error)) from None


def take(connection: "Connection[Any]", name: str, seconds: float | None = None) -> None:
    """Wait for the advisory lock of a name, for `seconds` or else `LOCK_SECONDS`; the session then holds it to its end.

    Raises:
        psycopg.errors.LockNotAvailable: another session holds it.
    """
    connection.execute(f"SET LOCAL lock_timeout = {int(1_000 * (seconds or LOCK_SECONDS))}")
    connection.execute("SELECT pg_advisory_lock(%s)", (_key(name),))
    connection.commit()


def take_tables(connection: "Connection[Any]", url: URL, study: str) -> None:
    """Wait for the lock under which Optuna's tables are made and checked.

    Raises:
        UnreachableError: another session holds it for too long, or the server is gone.
    """
    import psycopg

    try:
        take(connection, "tables", TABLES_SECONDS)
    except psycopg.Error as error:
        raise UnreachableError(_failure(url, study, "failed", error)) from None


def is_lost(error: BaseException) -> bool:
    """Whether an error is of the connection and not of what was asked: one of the client's own, which has no code of
    the server's. psycopg may see a closed socket before libpq calls the connection closed, by which SQLAlchemy goes."""
    import psycopg

    return isinstance(error, psycopg.OperationalError) and error.sqlstate is None


def reason(error: BaseException) -> str:
    """The error of the server or its library, as a part of a line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = " ".join(lines[0].rpartition("failed: ")[2].split())
    return text + ("; give it by PGPASSWORD or ~/.pgpass" if "no password supplied" in text else "")


class Holder:
    """Makes connections that hold a study's lock, one after the other.

    Attributes:
        token: of the run that writes the study, once it has begun to.
    """

    def __init__(self, url: URL, study: str) -> None:
        self.study = study
        self.token: str | None = None
        self._url = url

    def connect(self) -> "Connection[Any]":
        """
        Raises:
            StudyError: another process holds the lock.
            StorageError: the server cannot be reached, or somebody else has written the study since.
            ConnectionLostError: a lost connection cannot be replaced yet.
        """
        try:
            connection = connect(self._url, self.study)
            try:
                self._hold(connection)
            except BaseException:
                connection.close()
                raise
            return connection
        except (UnreachableError, StudyError) as error:
            if self.token is None:
                raise
            # The server may be starting, or not yet have noticed that our session before this one is over.
            raise ConnectionLostError(str(error)) from error

    def _hold(self, connection: "Connection[Any]") -> None:
        import psycopg

        name = f"study {self.study}"
        try:
            take(connection, name)
            if self.token is not None:
                self._require_no_other(connection)
        except psycopg.errors.LockNotAvailable:
            connection.rollback()
            who = _holder(connection, name)
            raise StudyError(f"study = {self.study!r}: in use by another process ({who})") from None
        except psycopg.OperationalError as error:
            raise UnreachableError(_failure(self._url, self.study, "failed", error)) from None

    def _require_no_other(self, connection: "Connection[Any]") -> None:
        """
        Raises:
            StorageError: somebody else has written the study while nobody held its lock.
        """
        last_writer = connection.execute(_LAST_WRITER, (self.study, WRITER)).fetchone()
        connection.commit()
        if last_writer is None or json.loads(last_writer[0]) != self.token:
            rule = "something else has written into its database; run the same command again"
            raise StorageError(f"study {self.study!r}: {rule}")


def _key(name: str) -> int:
    """The signed 64-bit number of an advisory lock. Each database has locks of its own."""
    return int.from_bytes(sha256(f"budget-nas {name}".encode()).digest()[:8], "big", signed=True)


def _holder(connection: "Connection[Any]", name: str) -> str:
    """Who holds an advisory lock, as far as the server shows."""
    session = connection.execute(_HOLDER, divmod(_key(name) % 2**64, 2**32)).fetchone()
    application, host, process = session or (None, None, None)
    return f"{application or 'unnamed'} from {host or 'the machine of the database'}, session {process}"


def _failure(url: URL, study: str, what: str, error: BaseException) -> str:
    return f"study {study!r}: its database {without_password(to_text(url))} {what}: {reason(error)}"
