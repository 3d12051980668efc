"""Rows for people and for scripts."""

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from search.cli.output import Format, print_rows, print_values, words_about

ROWS: list[dict[str, Any]] = [
    {"number": 0, "state": "complete", "value": 0.912345, "params": 4_997_194, "architecture": {"stages": [1, 2]}},
    {"number": 1, "state": "failed", "value": None, "params": 269_722, "architecture": {"stages": []}},
]


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was printed on stdout; nothing may be on stderr."""
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out.splitlines()


def test_json_keeps_every_value_and_its_type(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, Format.JSON, title="Trials")
    assert json.loads("\n".join(lines(capsys))) == ROWS


def test_csv_has_a_header_and_plain_values(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, Format.CSV, title="Trials")
    printed = lines(capsys)
    assert printed[0] == "number,state,value,params,architecture"
    assert printed[2] == '1,failed,,269722,"{""stages"": []}"'
    read = list(csv.DictReader(io.StringIO("\n".join(printed))))
    assert [json.loads(row["architecture"]) for row in read] == [row["architecture"] for row in ROWS]
    assert float(read[0]["value"]) == 0.912345


def test_csv_quotes_what_needs_it(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"reason": 'two\nlines, and "quotes"', "other": "plain"}
    print_rows([row], Format.CSV)
    assert list(csv.DictReader(io.StringIO(capsys.readouterr().out))) == [row]


def test_a_table_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, Format.TABLE, title="Trials of cifar10-5M")
    printed = [line.split() for line in lines(capsys) if line.strip(" ─")]
    assert printed == [
        ["Trials", "of", "cifar10-5M"],
        ["number", "state", "value", "params", "architecture"],
        ["0", "complete", "0.9123", "4,997,194", '{"stages":', "[1,", "2]}"],
        ["1", "failed", "269,722", '{"stages":', "[]}"],
    ]


def test_a_table_writes_large_and_small_numbers_without_exponents(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([{"seconds": 123_456.78, "loss": 0.000012345, "speed": 5.0}], Format.TABLE)
    assert lines(capsys)[-2].split() == ["123,457", "0.00001234", "5"]


def test_numbers_stand_on_the_right_and_words_on_the_left(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([{"params": 1, "name": "a"}, {"params": 1_000_000, "name": "bcd"}], Format.TABLE)
    one, million = [line for line in lines(capsys) if line.split()[-1:] in (["a"], ["bcd"])]
    assert one.index("1") == million.rindex("0")
    assert one.index("a") == million.index("b")


def test_a_table_shows_markup_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([{"reason": "[red]out of memory[/red] :bomb:"}], Format.TABLE, title="[bold]study[/bold]")
    printed = "\n".join(lines(capsys))
    assert "[red]out of memory[/red] :bomb:" in printed
    assert "[bold]study[/bold]" in printed


def test_a_table_for_a_pipe_has_no_colours_and_is_not_folded_at_80(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([{"name": "a" * 100, "value": 1.5, "good": True}], Format.TABLE)
    printed = lines(capsys)
    assert any("a" * 100 in line and line.split()[1:] == ["1.5", "true"] for line in printed)
    assert "\x1b" not in "".join(printed)


@pytest.mark.parametrize(("format", "expected"), [(Format.JSON, "[]"), (Format.CSV, ""), (Format.TABLE, "")])
def test_no_rows_are_no_error(capsys: pytest.CaptureFixture[str], format: Format, expected: str) -> None:
    print_rows([], format)
    assert "\n".join(lines(capsys)).strip() == expected


def test_one_object_is_json_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    values = {"total": 10**15, "share": 0.25, "budget": None, "kinds": ["A", "B"]}
    print_values(values, Format.JSON)
    assert json.loads("\n".join(lines(capsys))) == values


def test_one_object_is_a_row_for_each_value_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    values = {"total": 10**15, "share": 0.25, "budget": None, "kinds": ["A", "B"]}
    print_values(values, Format.CSV)
    assert lines(capsys) == ["name,value", "total,1000000000000000", "share,0.25", "budget,", 'kinds,"[""A"", ""B""]"']
    print_values(values, Format.TABLE, title="Space")
    printed = [line.split() for line in lines(capsys)]
    assert ["Space"] in printed
    assert ["total", "1,000,000,000,000,000"] in printed
    assert ["share", "0.25"] in printed
    assert ["budget"] in printed


def test_formats_are_named_as_on_the_command_line() -> None:
    assert [str(format) for format in Format] == ["table", "json", "csv"]


def test_words_about_what_is_standard_output_are_no_part_of_it(tmp_path: Path) -> None:
    assert words_about(Path("/dev/stdout")) is sys.stderr
    assert words_about(tmp_path / "new") is sys.stdout
