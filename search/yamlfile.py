"""YAML files of users, read into pydantic models. Every problem is one line: file, key, rule."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from search.errors import InputError

Model = TypeVar("Model", bound=BaseModel)

MAX_VALUES = 100_000  # of a document with every alias written out


def read_model(text: str, source: str, model: type[Model], error: type[InputError]) -> Model:
    """The YAML text as a `model`; `source` names the text in messages.

    Raises:
        error: not YAML, or not such a model.
    """
    try:
        # Aliases of aliases make some lines stand for more values than any memory holds.
        if _num_values(yaml.compose(text, yaml.SafeLoader), {}) > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES:,} values with its aliases written out")
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as problem:  # a date of month 13 is a ValueError, for one
        raise error(f"{source}: not YAML: {' '.join(str(problem).split())}") from None
    if not isinstance(values, dict):
        raise error(f"{source}: must be a mapping of keys to values, not {type(values).__name__}")
    try:
        return model.model_validate(values)
    except ValidationError as problem:
        raise error(f"{source}: {describe(problem, values)}") from None


def _num_values(node: yaml.Node | None, known: dict[yaml.Node, int]) -> int:
    """Keys and values of a node with every alias written out; too many for one that holds itself."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if node not in known:
        known[node] = MAX_VALUES + 1
        parts = [each for pair in node.value for each in pair] if isinstance(node, yaml.MappingNode) else node.value
        known[node] = 1 + sum(_num_values(part, known) for part in parts)
    return known[node]


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


def describe(problem: ValidationError, values: dict[str, Any]) -> str:
    """The first problem of a validation of `values` as `key = value: rule`, and how many other keys have one.

    Where a value may be of several kinds, pydantic reports a problem for each of them; together they are one rule.
    """
    # An unknown key is often the misspelt name of a missing one, so it is told first.
    first, *others = sorted(problem.errors(), key=lambda error: error["type"] != "extra_forbidden")
    key = _key(first["loc"], values)
    if first["type"] == "extra_forbidden":
        text = f"{key}: unknown key"
    elif first["type"] == "missing":
        key = ".".join(str(part) for part in first["loc"])
        text = f"{key}: missing"
    else:
        same = [other for other in others if _key(other["loc"], values) == key and other["input"] is first["input"]]
        others = [other for other in others if other not in same]
        rules = [one["msg"].removeprefix("Value error, ") for one in (first, *same)]
        rule = ", or ".join(f"{rule[0].lower()}{rule[1:]}" for rule in rules) if key else rules[0]
        text = f"{key} = {first['input']!r}: {rule}" if key else rule
    return text + (f" (and {len(others)} more)" if others else "")


def _key(location: tuple[int | str, ...], values: Any) -> str:
    """As much of the location as the document has: the rest are names that pydantic gives to kinds of values."""
    found = []
    for part in location:
        items = dict(enumerate(values)) if isinstance(values, list | tuple) else values
        names = {str(name): name for name in items} if isinstance(items, dict) else {}
        if str(part) not in names:
            break
        values = items[names[str(part)]]
        found.append(str(part) if str(part).isprintable() else repr(part))
    return ".".join(found)
