"""A study's database: its own file or one elsewhere, in which other studies may be too. Files are checked whenever they
are opened for writing. A study's own is created whole, and kept aside if it is damaged."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import optuna
import sqlalchemy
from filelock import FileLock, Timeout
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage

from search.errors import StorageError, StudyError
from search.files import StudyFiles
from search.study.address import POSTGRES, file_of, from_anywhere, parse_address, to_text
from search.study.postgres import connect
from search.study.reconnection import open_postgres_for_reading, open_postgres_for_writing
from search.writing import replacing

LOCK_SECONDS = 30.0  # how long to wait for a database that another process is writing
_COMPANIONS = ("-wal", "-shm")  # files beside a database that writes ahead
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_CANNOT_WRITE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)


def require_database(files: StudyFiles, url: str) -> str:
    """The URL in the form that is used here, whatever the working folder, once the database there was reached.

    Raises:
        InputError: it is invalid.
        StorageError: the server, the database or the user is not there, or the password is wrong.
    """
    address = parse_address(url)
    if address.drivername == POSTGRES:
        connect(address, files.name).close()
    return to_text(from_anywhere(address))


def require_kept(files: StudyFiles, url: str) -> None:
    """A study that has begun in a file elsewhere must not begin again in a new one.

    Raises:
        InputError: the URL is invalid.
        StorageError: the file is not there.
    """
    path = file_of(parse_address(url))
    if path is not None:
        with storage_errors(files):
            _require_file(files, path)


@contextmanager
def open_for_writing(files: StudyFiles, url: str | None) -> Iterator[RDBStorage]:
    """The study's storage until the block ends: its own file, made if there is none, or the database at a URL.

    Raises:
        InputError: the URL is invalid.
        StudyError: another process writes the study in that database.
        StorageError: the database cannot be used; or the study's own file was damaged, and has been put aside.
    """
    address = parse_address(url) if url is not None else None
    with ExitStack() as stack:
        if address is None:
            storage = _own_file(files)
        elif address.drivername == POSTGRES:
            storage = open_postgres_for_writing(address, files.name)
        else:
            storage = stack.enter_context(_shared_file(files, Path(address.database or "")))
        stack.callback(storage.engine.dispose)
        stack.callback(storage.remove_session)
        yield storage


def _own_file(files: StudyFiles) -> RDBStorage:
    """Whoever opens it holds the study's lock."""
    if files.database.is_file():
        _require_sound(files)
    else:
        _create(files)
    storage = open_sqlite(files.database, "rw")
    storage.engine.dispose()

    # With WAL and synchronous=NORMAL a trial costs a tenth: the last transactions may be lost if the machine (not the
    # process) goes down, the file never.
    @sqlalchemy.event.listens_for(storage.engine, "connect")
    def _relax(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    return storage


@contextmanager
def _shared_file(files: StudyFiles, path: Path) -> Iterator[RDBStorage]:
    """A file elsewhere, made if there is none, for the one process that writes this study in it. The study's lock does
    not tell: a study of that name in another folder may be kept in the same file."""
    path = path.resolve()
    if not path.parent.is_dir():
        raise StorageError(
            f"study {files.name!r}: its database cannot be in {path.parent}, since there is no such folder"
        )
    lock = FileLock(_beside(path, f".{files.name}.lock"))
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        raise StudyError(f"study = {files.name!r}: in use by another process, which writes it in {path}") from None
    with held:
        # Many studies may begin at once in a new file, and Optuna's tables can be made once.
        with FileLock(_beside(path, ".lock"), timeout=LOCK_SECONDS):
            fault = _fault(path) if path.exists() and path.stat().st_size else None
            if fault is not None:
                raise StorageError(f"study {files.name!r}: its database {path} is damaged ({fault})")
            storage = open_sqlite(path, "rwc")
        yield storage


@contextmanager
def open_for_reading(files: StudyFiles, url: str | None) -> Iterator[RDBStorage]:
    """The study's storage for those who only read, until the block ends: the database itself refuses to be written.

    Raises:
        InputError: the URL is invalid.
        StorageError: the database cannot be used.
    """
    address = parse_address(url) if url is not None else None
    with ExitStack() as stack:
        if address is not None and address.drivername == POSTGRES:
            storage = open_postgres_for_reading(address, files.name)
        else:
            path = Path(address.database or "") if address is not None else files.database
            _require_file(files, path)
            storage = open_sqlite(stack.enter_context(_readable(path)), "ro")
        stack.callback(storage.engine.dispose)
        stack.callback(storage.remove_session)
        yield storage


def open_sqlite(path: Path, mode: Literal["ro", "rw", "rwc"]) -> RDBStorage:
    """A file as storage, whatever its folder is called: in Optuna's URL '?', '#' and '%' have a meaning.

    Only with mode 'rwc' are tables made, so that a database of another version of Optuna stays as it is.

    Raises:
        RuntimeError: the tables are those of another version of Optuna.
    """
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    connect = partial(sqlite3.connect, uri, uri=True, check_same_thread=False, timeout=LOCK_SECONDS)
    engine = {"creator": connect, "poolclass": sqlalchemy.QueuePool}
    return RDBStorage("sqlite://", engine, skip_table_creation=mode != "rwc")


@contextmanager
def storage_errors(files: StudyFiles) -> Iterator[None]:
    """Turn errors of the database into one line."""
    try:
        yield
    except RuntimeError as error:  # Optuna's: of tables of another version, or of a trial that somebody else has ended
        reason = str(error)
        if files.database.is_file():
            reason = reason.replace("$STORAGE_URL", f"sqlite:///{files.database}")
        raise StorageError(f"study {files.name!r}: its database: {reason}") from error
    except (sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, StorageInternalError, OSError) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        if "disk is full" in reason or "disk I/O error" in reason:
            reason += f"; is there room on the disk of {files.folder}? Then run the same command again"
        elif "is locked" in reason:
            reason += f" by another process, for {LOCK_SECONDS:g} s; end that one and run the same command again"
        raise StorageError(f"study {files.name!r}: its database failed: {reason}") from error


def _create(files: StudyFiles) -> None:
    """Create an empty study aside and put it in place whole: a reader may come at any moment."""
    with replacing(files.database) as path, _without_companions(path):
        _write_ahead(path)
        storage = open_sqlite(path, "rwc")
        optuna.create_study(study_name=files.name, storage=storage, direction="maximize")
        storage.remove_session()
        storage.engine.dispose()


def _require_file(files: StudyFiles, path: Path) -> None:
    """
    Raises:
        StorageError: there is no such file.
    """
    if not path.exists():
        advice = "" if path.is_absolute() else "; run the command in the folder where the study began"
        raise StorageError(f"study {files.name!r}: its database {path.absolute()} is missing{advice}")


@contextmanager
def _readable(path: Path) -> Iterator[Path]:
    """The path of a database that can be read: its own, or a copy's where SQLite would have to write beside it first.

    It writes to join readers and writers, and to take back what a killed writer left half done. A folder that is
    read-only has neither.
    """
    try:
        with closing(_reader(path)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _CANNOT_WRITE:
            raise
    else:
        yield path
        return
    with TemporaryDirectory(prefix="nas-") as folder:
        copy = Path(folder, path.name)
        for suffix in ("", "-wal", "-journal"):
            if (source := _beside(path, suffix)).exists():
                _beside(copy, suffix).write_bytes(source.read_bytes())
        with closing(sqlite3.connect(copy)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield copy


def _require_sound(files: StudyFiles) -> None:
    """
    Raises:
        StorageError: the file is damaged. It is kept under another name, and a new one takes its place if its tables
            can all be read: then the damage is in an index or in free space.
    """
    fault = _fault(files.database)
    if fault is None:
        return
    aside = _put_aside(files.database)
    damage = f"study {files.name!r}: its database was damaged ({fault}) and is kept as {aside}"
    try:
        num_trials = _copy(aside, files.database)
    except (sqlite3.Error, StorageError):
        rest = "reports, trials.csv and what was retrained are still there; the same command begins with trial 0"
        raise StorageError(f"{damage}; its trials cannot be read, {rest}") from None
    kept = "its only trial is" if num_trials == 1 else f"all its {num_trials:,} trials are"
    raise StorageError(f"{damage}; {kept} in a new one; run the same command again")


def _fault(path: Path) -> str | None:
    """What SQLite finds wrong with a file; None if nothing."""
    try:
        with closing(_reader(path)) as connection:
            findings = [str(line) for (line,) in connection.execute("PRAGMA quick_check")]
            if findings != ["ok"]:
                return findings[0].splitlines()[-1]
            is_empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
            return "it is empty" if is_empty else None
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in _DAMAGED:
            return str(error)
        raise


def _put_aside(database: Path) -> Path:
    """Give a database another name, and its companions."""
    number = 1
    while (aside := database.with_name(f"{database.name}.corrupt-{number}")).exists():
        number += 1
    for suffix in _COMPANIONS:
        companion = _beside(database, suffix)
        if companion.exists():
            companion.rename(_beside(aside, suffix))
    return database.rename(aside)


def _copy(damaged: Path, database: Path) -> int:
    """Copy all rows of all tables into a new database, with new indexes. Returns the number of trials.

    Raises:
        sqlite3.Error: a table is damaged too.
    """
    with closing(_reader(damaged)) as connection:
        content = "\n".join(connection.iterdump())
    with replacing(database) as path, _without_companions(path):
        _write_ahead(path)
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(content)
            (num_trials,) = connection.execute("SELECT count(*) FROM trials").fetchone()
    return int(num_trials)


def _reader(path: Path) -> sqlite3.Connection:
    """A connection that leaves everything as it is, the companions of a damaged database included."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=LOCK_SECONDS)


def _write_ahead(path: Path) -> None:
    """Let readers in while the coordinator writes."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


@contextmanager
def _without_companions(path: Path) -> Iterator[None]:
    """Remove what a failed or finished database of that name leaves beside it."""
    try:
        yield
    finally:
        for suffix in _COMPANIONS:
            _beside(path, suffix).unlink(missing_ok=True)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
