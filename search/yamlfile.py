"""Users' YAML files as pydantic models. An error is one line: the file, then key = value: rule."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from search.errors import InputError
from search.quantities import brief

Model = TypeVar("Model", bound=BaseModel)

MAX_VALUES = 100_000  # with every alias written out
MAX_BYTES = 2**24  # of a text file; a device such as /dev/zero never ends
# Keys that stand for no value: << and =.
_SIGNS = ("tag:yaml.org,2002:merge", "tag:yaml.org,2002:value")


class _KeyTwice(yaml.YAMLError):
    """A mapping holds a key twice. The message ends a line that names the file."""


class _Loader(yaml.SafeLoader):
    """SafeLoader, but it refuses a key that stands twice in a mapping, of which YAML takes the last.

    A key that a merge (`<<`) brings along may be given again: that is what merging is for.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):  # such a key cannot be hashed, and is refused for that
                continue
            # Two spellings of one value are the same key: 1 and 0x1, yes and on.
            name, line = key.value if key.tag in _SIGNS else self.construct_object(key), key.start_mark.line + 1
            if isinstance(name, Hashable):
                if name in lines:
                    first = f"it stands in line {lines[name]} already"
                    raise _KeyTwice(f"line {line}: the key {brief(repr(key.value))} is given twice; {first}")
                lines[name] = line
        return node


def read_model(text: str, source: str, model: type[Model], error: type[InputError]) -> Model:
    """The YAML text as an instance of `model`. `source` names the text in errors.

    Raises:
        error: the text is not YAML, gives a key twice, or is not a valid `model`.
    """
    try:
        # With aliases of aliases, a few lines can stand for more values than fit into memory.
        if _num_values(yaml.compose(text, _Loader), {}) > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES:,} values with its aliases written out")
        values = yaml.safe_load(text)
        repr(values)  # numbers of more than 4,300 digits can be read, in hexadecimal, but not be shown
    except _KeyTwice as problem:
        raise error(f"{source}, {problem}") from None
    except yaml.MarkedYAMLError as problem:
        reason = " ".join(filter(None, (problem.context, problem.problem)))
        line = "" if problem.problem_mark is None else f" (line {problem.problem_mark.line + 1})"
        raise error(f"{source}: not YAML: {brief(reason)}{line}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as problem:  # ValueError: a date in month 13, for one
        raise error(f"{source}: not YAML: {brief(problem)}") from None
    if not isinstance(values, dict):
        kind = "nothing" if values is None else type(values).__name__
        raise error(f"{source}: must be a mapping of keys to values, not {kind}")
    try:
        return model.model_validate(values)
    except ValidationError as problem:
        raise error(f"{source}: {describe(problem, values)}") from None


def _num_values(node: yaml.Node | None, counts: dict[yaml.Node, int]) -> int:
    """The number of keys and values in a node with every alias written out; too many if the node contains itself.
    `counts` keeps those of nodes already counted."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if node not in counts:
        counts[node] = MAX_VALUES + 1  # what a node finds when it meets itself
        children = (
            [child for pair in node.value for child in pair] if isinstance(node, yaml.MappingNode) else node.value
        )
        counts[node] = 1 + sum(_num_values(child, counts) for child in children)
    return counts[node]


def read_text(path: Path, error: type[InputError]) -> str:
    """The text of a file.

    Raises:
        error: the file cannot be read, is too large, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise error(f"{path}: over {MAX_BYTES // 2**20} MB; must be a short text file")
        return content.decode("utf-8-sig")  # without the mark with which Windows begins such files
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "not a text file"
        raise error(f"{path}: {reason}") from None


def describe(problem: ValidationError, values: dict[str, Any]) -> str:
    """The first error of a failed validation of `values` as `key = value: rule`, and the number of other errors.

    For a value of a union type, pydantic reports an error for each type; together they are one rule.
    """
    # An unknown key comes first, for it is often the misspelt name of a missing one.
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
        rules = [error["msg"].removeprefix("Value error, ") for error in (first, *same)]
        rule = ", or ".join(f"{rule[0].lower()}{rule[1:]}" for rule in rules) if key else rules[0]
        text = f"{key} = {brief(repr(first['input']))}: {rule}" if key else rule
    return text + (f" (and {len(others)} more)" if others else "")


def _key(location: tuple[int | str, ...], values: Any) -> str:
    """The part of a location that exists in the document; what follows are pydantic's names for types of a union."""
    keys = []
    for part in location:
        items = dict(enumerate(values)) if isinstance(values, list | tuple) else values
        names = {str(name): name for name in items} if isinstance(items, dict) else {}
        if str(part) not in names:
            break
        values = items[names[str(part)]]
        keys.append(brief(part if str(part).isprintable() else repr(part)))
    return ".".join(keys)
