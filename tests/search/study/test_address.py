"""The URL of a database: what is taken, what is refused, and that its password is told to nobody."""

from pathlib import Path

import pytest

from search.errors import InputError
from search.study.address import are_same, from_anywhere, parse_address, to_text, without_password

FORM = "must be postgresql+psycopg://user@host:port/database, or sqlite:///file"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql+psycopg://me@host:5433/db", "postgresql+psycopg://me@host:5433/db"),
        ("postgresql://me:a%40b@host/db", "postgresql+psycopg://me:a%40b@host/db"),
        ("postgres://host/db", "postgresql+psycopg://host/db"),
        ("postgresql:///db?host=/run/postgresql", "postgresql+psycopg:///db?host=%2Frun%2Fpostgresql"),
        ("sqlite:///folder/file.db", "sqlite:///folder/file.db"),
        ("sqlite:///~/file.db", "sqlite:////home/me/file.db"),
    ],
)
def test_postgresql_with_its_one_driver_and_files_are_taken(
    given: str, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert to_text(parse_address(given)) == used


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("no url", f"storage: {FORM}"),
        ("", f"storage: {FORM}"),
        ("postgresql://me:secret@host:secret/db", f"storage: {FORM}"),
        ("postgresql://me:sec@ret@host/db", f"storage: {FORM}; in a name or a password '@' is written %40"),
        ("mysql+pymysql://me:secret@host/db", f"storage = mysql+pymysql: {FORM}"),
        ("postgresql+psycopg2://me:secret@host/db", f"storage = postgresql+psycopg2: {FORM}"),
        ("https://me:secret@host/db", f"storage = https: {FORM}"),
        ("sqlite+aiosqlite:///x.db", f"storage = sqlite+aiosqlite: {FORM}"),
        ("sqlite+pysqlcipher:///x.db", f"storage = sqlite+pysqlcipher: {FORM}"),
        ("sqlite://", f"storage = sqlite: {FORM}"),
        ("sqlite:///:memory:", f"storage = sqlite: {FORM}"),
    ],
)
def test_all_else_is_refused_in_one_line_that_repeats_no_password(given: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_address(given)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://me:secret@host:1/db", "postgresql://me@host:1/db"),
        ("postgresql://:secret@host/db", "postgresql://host/db"),
        ("postgresql://me@host/db?password=secret&sslmode=require", "postgresql://me@host/db?sslmode=require"),
        ("postgresql://h/d?sslpassword=secret", "postgresql://h/d"),
        ("postgresql://me:@host/db", "postgresql://me@host/db"),
        ("postgresql://host:secret/db", "a database"),
    ],
)
def test_what_is_shown_holds_no_password(given: str, shown: str) -> None:
    assert without_password(given) == shown
    assert "secret" not in shown


@pytest.mark.parametrize("text", ["postgresql://me@host:1/db", "sqlite:////tmp/a b%20c.db", "sqlite:///x.db"])
def test_what_holds_no_password_is_left_as_it_is(text: str) -> None:
    assert without_password(text) == text


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("sqlite:///x.db", "{here}/x.db"),
        ("sqlite:///../x.db?timeout=9", "{above}/x.db?timeout=9"),
        ("sqlite:////tmp/../tmp/x.db", "sqlite:////tmp/../tmp/x.db"),
        ("postgresql://me:a%40b@host/db", "postgresql+psycopg://me:a%40b@host/db"),
    ],
)
@pytest.mark.parametrize("folder", ["plain", "50%25 #1", "what?", "a@b=c@d"])
def test_a_file_is_the_same_from_any_folder(
    folder: str, given: str, used: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / folder)
    here, above = (f"sqlite:///{Path(path).resolve()}" for path in (".", ".."))
    address = from_anywhere(parse_address(given))
    text = to_text(address)
    if folder == "plain":
        assert text == used.format(here=here, above=above)
    monkeypatch.chdir("/")
    assert from_anywhere(parse_address(text)) == address, "as the plan keeps it"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("sqlite:///x.db", "sqlite:///{here}/x.db", True),
        ("sqlite:///x.db", "sqlite:///{here}/link/x.db", True),
        ("sqlite:///x.db", "sqlite:///{here}/../x.db", False),
        ("sqlite:///x.db", "postgresql://me@host/x.db", False),
        ("postgresql+psycopg://me:secret@host/db", "postgresql+psycopg://me@host/db", True),
        ("postgresql+psycopg://me@host/db", "postgresql+psycopg://me@host/another", False),
    ],
)
def test_databases_are_compared_by_where_they_are(
    one: str, other: str, same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    assert are_same(one, other.format(here=tmp_path)) == are_same(other.format(here=tmp_path), one) == same
