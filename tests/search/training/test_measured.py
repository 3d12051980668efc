"""What was measured is kept: one value for all, none lost, and a damaged file stops nobody."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.errors import StorageError
from search.training.measured import Measured
from search.training.quiet import Quiet
from search.training.speed import is_latency, is_precision


def opened(path: Path, said: list[str] | None = None) -> Measured:
    """As one process has it."""
    return Measured(path, is_latency, Quiet(path.parent), [].append if said is None else said.append)


def never() -> Any:
    raise AssertionError("it is measured again")


def test_a_value_is_measured_once_whoever_asks(tmp_path: Path) -> None:
    path = tmp_path / "latency.json"
    assert opened(path).value("a", lambda: 0.5) == 0.5
    assert opened(path).value("a", never) == 0.5
    assert opened(path).value("b", lambda: 0.25) == 0.25
    assert json.loads(path.read_text()) == {"a": 0.5, "b": 0.25}


def test_what_another_process_adds_meanwhile_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "latency.json"

    def measure() -> float:
        path.write_text('{"b": 0.25}')
        return 0.5

    assert opened(path).value("a", measure) == 0.5
    assert json.loads(path.read_text()) == {"b": 0.25, "a": 0.5}


def test_all_have_the_value_of_the_first_that_added_it(tmp_path: Path) -> None:
    """On another machine with the same folder: here they would have measured one after the other."""
    path = tmp_path / "latency.json"

    def measure() -> float:
        path.write_text('{"a": 0.25}')
        return 0.5

    assert opened(path).value("a", measure) == 0.25
    assert json.loads(path.read_text()) == {"a": 0.25}


def test_a_value_that_was_added_while_one_waited_to_measure_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "latency.json"
    measured = opened(path)
    alone = Quiet.alone

    def after_another(quiet: Quiet) -> Any:
        path.write_text('{"a": 0.25}')
        return alone(quiet)

    monkeypatch.setattr(Quiet, "alone", after_another)
    assert measured.value("a", never) == 0.25


def as_folder(path: Path) -> None:
    path.mkdir()


def holding(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


DAMAGES = {
    "empty": holding(b""),
    "cut": holding(b'{"a": 0.5, "b"'),
    "cut in a number": holding(b'{"a": 0.'),
    "zeros": holding(b"\0" * 64),
    "no text": holding(b"\xff\xfe{}"),
    "a list": holding(b"[]"),
    "null": holding(b"null"),
    "text for a number": holding(b'{"a": "0.5"}'),
    "null for a number": holding(b'{"b": null}'),
    "not finite": holding(b'{"a": NaN}'),
    "below zero": holding(b'{"a": -0.5}'),
    "true": holding(b'{"a": true}'),
    "deep": holding(b"[" * 100_000),
    "a folder": as_folder,
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("damage", list(DAMAGES.values()), ids=list(DAMAGES))
def test_a_damaged_file_is_put_aside_with_a_line_and_measured_again(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    path, aside = tmp_path / "latency.json", tmp_path / "latency.json.damaged"
    damage(path)
    before = path.read_bytes() if path.is_file() else None
    said: list[str] = []
    assert opened(path, said).value("a", lambda: 0.125) == 0.125
    assert said == [f"{path}: damaged; it is put aside as {aside.name}, and what it held is measured again"]
    assert (aside.read_bytes() if aside.is_file() else None) == before
    assert opened(path, said).value("a", never) == 0.125 and len(said) == 1


def test_nothing_that_was_put_aside_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "latency.json"
    for content in (b"1", b"2", b"3"):
        path.write_bytes(content)
        opened(path).value("a", lambda: 0.5)
    asides = sorted(tmp_path.glob("latency.json.*"))
    assert [aside.name for aside in asides] == [f"latency.json.damaged{number}" for number in ("", 2, 3)]
    assert [aside.read_bytes() for aside in asides] == [b"1", b"2", b"3"]


def test_a_folder_that_cannot_be_written_is_an_error_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError, match=r"^cannot write the data cache .*; set NAS_CACHE to another folder$"):
        opened(tmp_path / "file" / "latency.json").value("a", lambda: 0.5)


def test_values_are_what_they_should_be() -> None:
    assert all(map(is_precision, ("fp32", "bf16", "fp16")))
    assert not any(map(is_precision, ("fp8", "", None, 16, ["fp32"], True)))
    assert is_latency(0.001)
    assert not any(map(is_latency, (0.0, -1.0, float("inf"), float("nan"), 1, True, "0.1", None, [0.1])))
