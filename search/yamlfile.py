"""YAML files of users, read into pydantic models. Every problem is one line: file, key, rule."""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from search.errors import InputError

Model = TypeVar("Model", bound=BaseModel)


def read_model(text: str, source: str, model: type[Model], error: type[InputError]) -> Model:
    """The YAML text as a `model`; `source` names the text in messages.

    Raises:
        error: not YAML, or not such a model.
    """
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as problem:
        raise error(f"{source}: not YAML: {' '.join(str(problem).split())}") from None
    if not isinstance(values, dict):
        raise error(f"{source}: must be a mapping of keys to values, not {type(values).__name__}")
    try:
        return model.model_validate(values)
    except ValidationError as problem:
        raise error(f"{source}: {describe(problem)}") from None


def read_text(path: Path, error: type[InputError]) -> str:
    """The file's text.

    Raises:
        error: there is no such file, or it is not text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "not a text file"
        raise error(f"{path}: {reason}") from None


def describe(problem: ValidationError) -> str:
    """The first problem of a validation as `key = value: rule`, and how many more there are."""
    first, *others = problem.errors()
    key = ".".join(str(part) for part in first["loc"])
    rule = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        text = f"{key}: unknown key"
    elif first["type"] == "missing":
        text = f"{key}: missing"
    elif key:
        text = f"{key} = {first['input']!r}: {rule[0].lower()}{rule[1:]}"
    else:
        text = rule
    return text + (f" (and {len(others)} more)" if others else "")
