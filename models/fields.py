"""Fields of frozen values: their rules, and how they are written into plain values and read from them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class ArchitectureError(ValueError):
    """An invalid value of an architecture. The message is one line: name = value, then the rule."""


def require_integer(name: str, value: object, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise ArchitectureError(f"{name} = {value!r}: must be an integer from {low} to {high}")


def require_integer_or_none(name: str, value: object, low: int, high: int) -> None:
    if value is not None and (type(value) is not int or not low <= value <= high):
        raise ArchitectureError(f"{name} = {value!r}: must be an integer from {low} to {high}, or none")


def require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ArchitectureError(f"{name} = {value!r}: must be one of {', '.join(choices)}")


def written(value: "DataclassInstance", later: frozenset[str]) -> dict[str, Any]:
    """The fields of a dataclass, later ones only where they are not the default."""
    return {
        field.name: getattr(value, field.name)
        for field in fields(value)
        if field.name not in later or getattr(value, field.name) != field.default
    }


def items_of(kind: "type[DataclassInstance]", name: str, values: object) -> dict[str, Any]:
    """The items of a mapping, if all are fields of the dataclass `kind` and no field without a default is missing.

    Raises:
        ArchitectureError: it is no such mapping; the message calls it `name`.
    """
    if not isinstance(values, Mapping):
        raise ArchitectureError(f"{name} = {values!r}: must be a mapping")
    names = [field.name for field in fields(kind)]
    required = [field.name for field in fields(kind) if field.default is field.default_factory]
    for key in values:
        if key not in names:
            raise ArchitectureError(f"{name}.{key}: unknown field; known are {', '.join(names)}")
    for key in required:
        if key not in values:
            raise ArchitectureError(f"{name}.{key}: missing")
    return dict(values)
