"""YAML files of users: every problem is one line."""

import time
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from search.errors import InputError, RecipeError
from search.yamlfile import read_model, read_text


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int = 1


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")
    number: int
    either: int | Literal["auto"] = "auto"
    numbers: tuple[int, ...] = ()
    parts: dict[int, Part] = {}

    @field_validator("number")
    @classmethod
    def _is_small(cls, value: int) -> int:
        if value > 9:
            raise ValueError("Must be a digit")
        return value

    @model_validator(mode="after")
    def _agree(self) -> "Model":
        if self.number == self.either:
            raise ValueError("number and either: must differ")
        return self


def refusal(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        read_model(text, "my.yaml", Model, RecipeError)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("my.yaml: ")
    return message.removeprefix("my.yaml: ")


def test_a_good_file_is_the_model() -> None:
    read = read_model("number: 3\nnumbers: [1, 2]\nparts: {2: {size: 4}}", "my.yaml", Model, InputError)
    assert read == Model(number=3, numbers=(1, 2), parts={2: Part(size=4)})


def test_comments_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "marked.yaml"
    path.write_bytes("\ufeff# größer\nnumber: 3  # three\n".encode())
    assert read_model(read_text(path, InputError), "my.yaml", Model, InputError) == Model(number=3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("either: 3", "number: missing"),
        ("number: 3\nnumbr: 3", "numbr: unknown key"),
        ("number: three", "number = 'three': input should be a valid integer, unable to parse string as an integer"),
        ("number: 10", "number = 10: must be a digit"),
        ("number: 3\neither: 3", "number and either: must differ"),
        ("number: 3\nparts: {2: {sise: 4}}", "parts.2.sise: unknown key"),
        ("number: 3\nparts: {x: {size: 4}}", "parts.x = 'x': input should be a valid integer, unable to parse string"),
        ("number: 3\nnumbers: [1, b]", "numbers.1 = 'b': input should be a valid integer"),
        ("number: 3\nnumbers: [a, b]", "numbers.0 = 'a': input should be a valid integer"),
        ("number: 3\n4: 5", "4 = 4: keys should be strings"),
    ],
)
def test_a_problem_is_told_as_key_value_and_rule(text: str, expected: str) -> None:
    assert refusal(text).startswith(expected)


def test_an_unknown_key_is_told_before_the_missing_one_that_it_misspells() -> None:
    assert refusal("numbr: 3") == "numbr: unknown key (and 1 more)"
    assert refusal("numbers: [a]\nnumbr: 3") == "numbr: unknown key (and 2 more)"


def test_further_problems_are_counted() -> None:
    assert refusal("number: 3\nnumbers: [a, b, c]").endswith(" (and 2 more)")
    assert not refusal("number: 3\nnumbers: [1, b]").endswith("more)")


def test_a_value_of_several_kinds_has_one_rule_under_its_own_key() -> None:
    rule = "input should be a valid integer, unable to parse string as an integer, or input should be 'auto'"
    assert refusal("number: 3\neither: big") == f"either = 'big': {rule}"
    assert refusal("number: 3\neither: big\nnumbers: [big]") == f"either = 'big': {rule} (and 1 more)"


def test_a_key_or_value_of_several_lines_stays_one_line() -> None:
    assert refusal('number: 3\n"a\\nb": 1') == "'a\\nb': unknown key"
    assert refusal('number: "a\\nb"').startswith("number = 'a\\nb': ")


@pytest.mark.parametrize(
    "text",
    [
        "number: [3",
        "a: b: c",
        "\tnumber: 3",
        "number: *three",
        "number: !!python/object:os.system 3",
        "number: 3\n---\nnumber: 4",
        "\x00",
        "number: 2020-13-45",
        "number: " + "9" * 5_000,
        "number: 0x" + "f" * 5_000,
        "parts: {0x" + "f" * 5_000 + ": 1}",
        "number: " + "[" * 1_000,
    ],
)
def test_what_is_not_yaml_is_refused(text: str) -> None:
    assert refusal(text).startswith("not YAML: ")


@pytest.mark.parametrize(
    ("text", "line", "key", "first"),
    [
        ("number: 3\neither: 4\nnumber: 5", 3, "number", 1),
        ("number: 3\n'number': 3", 2, "number", 1),
        ("number: 3\nparts:\n  1:\n    size: 4\n    size: 4", 5, "size", 4),
        ("number: 3\nparts: [[{a: 1,\n  a: 2}]]", 3, "a", 2),
        ("number: 3\nparts:\n  1: {size: 4}\n  0x1: {size: 5}", 4, "0x1", 3),
        ("number: 3\nparts: {yes: {},\n  on: {}}", 3, "on", 2),
        ("number: 3\nparts: &p {1: {size: 4}}\neither: {<<: *p, <<: *p}", 3, "<<", 3),
        ('number: 3\n"a\\nb": 1\n"a\\nb": 1', 3, "a\\nb", 2),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_line(text: str, line: int, key: str, first: int) -> None:
    with pytest.raises(RecipeError) as caught:
        read_model(text, "my.yaml", Model, RecipeError)
    rule = f"the key '{key}' is given twice; it stands in line {first} already"
    assert str(caught.value) == f"my.yaml, line {line}: {rule}"


def test_a_key_that_was_merged_may_be_given_again() -> None:
    text = "number: 3\nparts: {1: &part {size: 4}, 2: {<<: *part, size: 5}}"
    assert read_model(text, "my.yaml", Model, InputError).parts[2] == Part(size=5)


@pytest.mark.parametrize(("text", "kind"), [("", "nothing"), ("# nothing", "nothing"), ("[1]", "list"), ("a", "str")])
def test_what_is_no_mapping_is_refused(text: str, kind: str) -> None:
    assert refusal(text) == f"must be a mapping of keys to values, not {kind}"


def test_tags_of_python_are_never_run(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    assert refusal(f'number: !!python/object/apply:os.mkdir ["{witness}"]').startswith("not YAML: ")
    assert not witness.exists()


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe")
    inside = tmp_path / "binary.yaml" / "inside.yaml"
    for path, reason in (
        (tmp_path / "none.yaml", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (inside, "Not a directory"),
        (binary, "not a text file"),
    ):
        with pytest.raises(RecipeError) as caught:
            read_text(path, RecipeError)
        assert str(caught.value) == f"{path}: {reason}"


def test_a_device_that_never_ends_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"^/dev/zero: over 16 MB; must be a short text file$"):
        read_text(Path("/dev/zero"), RecipeError)


def test_text_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "text.yaml"
    path.write_text("größe: 3\n", encoding="utf-8")
    assert read_text(path, InputError) == "größe: 3\n"


def laughs(levels: int, shape: str) -> str:
    """Nine of the level before on every level."""
    one = {"list": "[{}]", "mapping": "{{<<: [{}]}}"}[shape]
    lines = ["a0: &a0 {k: 1}"]
    lines += [f"a{n}: &a{n} " + one.format(", ".join([f"*a{n - 1}"] * 9)) for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize("shape", ["list", "mapping"])
def test_a_document_that_grows_without_bound_is_refused_at_once(shape: str) -> None:
    text = laughs(60, shape)
    assert len(text) < 5_000
    started = time.perf_counter()
    assert refusal(text) == "not YAML: more than 100,000 values with its aliases written out"
    assert time.perf_counter() - started < 5


def test_a_document_that_holds_itself_is_refused() -> None:
    assert "more than 100,000 values" in refusal("a: &a [*a]")


def test_aliases_of_reasonable_size_are_read() -> None:
    text = "number: &n 3\nnumbers: &all [*n, *n]\nparts: {1: &part {size: 4}, 2: *part}"
    expected = Model(number=3, numbers=(3, 3), parts={1: Part(size=4), 2: Part(size=4)})
    assert read_model(text, "my.yaml", Model, InputError) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("number: 3\n---\nnumber: 4", "expected a single document in the stream but found another document (line 2)"),
        ("number: 3\n\tletter: 4", "found character '\\t' that cannot start any token (line 2)"),
    ],
)
def test_what_is_not_yaml_is_said_in_a_few_words_with_its_line(text: str, message: str) -> None:
    assert refusal(text).endswith(message) and "unicode string" not in refusal(text)


@pytest.mark.parametrize("text", [f"number: [{'1, ' * 999}1]", f"{'k' * 999}: 1"])
def test_a_long_value_or_key_makes_no_long_line(text: str) -> None:
    assert len(refusal(text)) < 300 and " ..." in refusal(text)


def test_the_mark_with_which_windows_begins_a_text_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf{}")
    assert read_text(tmp_path / "a.json", InputError) == "{}"
