"""The URL of a database for a study that is not kept in its own file: checked, and shown without its password."""

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from search.errors import InputError
from search.files import expanded

POSTGRES = "postgresql+psycopg"
_SQLITE = ("sqlite", "sqlite+pysqlite")  # both by Python's own module
_FORM = f"must be {POSTGRES}://user@host:port/database, or sqlite:///file"
_SECRETS = ("password", "sslpassword")  # as libpq calls them where they stand in a URL's query


def parse_address(text: str) -> URL:
    """The URL, with the one driver for PostgreSQL that is used here where it names none. The ~ of a file is a home
    folder.

    Raises:
        InputError: it is not a URL, or one of another kind of database. The message leaves it out, for it may hold a
            password.
    """
    if text.count("@") > 1:
        raise InputError(f"storage: {_FORM}; in a name or a password '@' is written %40")
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise InputError(f"storage: {_FORM}") from None
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername=POSTGRES)
    if url.drivername in _SQLITE and url.database is not None and url.database.startswith("~"):
        url = url.set(database=str(expanded(url.database)))
    is_file = url.drivername in _SQLITE and url.database not in (None, "", ":memory:")
    if not is_file and url.drivername != POSTGRES:
        raise InputError(f"storage = {url.drivername}: {_FORM}")
    return url


def from_anywhere(url: URL) -> URL:
    """The same database for any working folder: a file's relative path becomes absolute."""
    path = file_of(url)
    return url if path is None or path.is_absolute() else url.set(database=str(path.resolve()))


def file_of(url: URL) -> Path | None:
    """The file of a database that is one."""
    return None if url.drivername == POSTGRES else Path(url.database or "")


def are_same(one: str, other: str) -> bool:
    """Whether two URLs lead to the same database from this working folder, whatever their passwords.

    Raises:
        InputError: one of them is invalid.
    """
    return _place(one) == _place(other)


def _place(text: str) -> Path | str:
    """What tells a database from others: its file, or its URL without a password."""
    path = file_of(parse_address(text))
    return without_password(text) if path is None else path.resolve()


def to_text(url: URL) -> str:
    """The URL as it is written, with its password if it has one."""
    return url.render_as_string(hide_password=False)


def without_password(text: str) -> str:
    """The URL without its password, for everybody to read; libpq looks for that in PGPASSWORD and ~/.pgpass.

    Text that is not a URL is not shown at all, for it may hold anything.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        return "a database"
    if url.password is None and not any(name in url.query for name in _SECRETS):
        return text
    bare = URL.create(url.drivername, url.username or None, None, url.host, url.port, url.database, url.query)
    return to_text(bare.difference_update_query(_SECRETS))
