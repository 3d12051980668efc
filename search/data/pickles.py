"""CIFAR-style batches, which are pickles: read without running them.

A pickle is a program for a small stack machine, and one that can call anything. Here `pickletools` takes it apart,
instructions that make plain values are carried out, and calls are only written down. The few that numpy makes of an
array are understood afterwards; a pickle that names anything else is refused. Nothing that it names is imported or
called, which is why this does not go through `pickle` (https://docs.python.org/3/library/pickle.html).
"""

import pickletools
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.errors import DataError

# What numpy 1 and 2 name for arrays, their types and single numbers, and Python for bytes in its older protocols.
_NAMES = re.compile(
    r"numpy (ndarray|dtype)|numpy\._?core\.multiarray (_reconstruct|scalar)|numpy\._?core\.numeric _frombuffer"
    r"|_codecs encode"
)
_TYPES = re.compile(r"[biuf][1248]|[SU][1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class _Name:
    """What the program would import: a module and a name in it."""

    text: str


@dataclass(slots=True)
class _Call:
    """What the program would call, and the state that it would give to the result."""

    name: str
    arguments: tuple[Any, ...]
    state: Any = None


class _Unsupported(ValueError):
    """A pickle that is whole, of something that no batch holds."""


def read_pickle(path: Path) -> dict[str, Any]:
    """The dictionary of a pickled batch: numpy arrays of numbers or text, lists, numbers, text and bytes under their
    names. What stands under a number is left out.

    Raises:
        DataError: the file cannot be read, is no pickle of a dictionary, or holds anything but data.
    """
    where = f"data = {str(path)!r}"
    try:
        values = _run(path.read_bytes(), where)
        if not isinstance(values, dict):
            raise DataError(f"{where}: a pickle of something else; must be one of a dictionary, as CIFAR's are")
        maker = _Maker()
        return {name: maker.value(value) for name, value in values.items() if isinstance(name, str)}
    except DataError:
        raise
    except _Unsupported as error:
        raise DataError(f"{where}: {error}") from error
    except OSError as error:
        raise DataError(f"{where}: cannot be read: {error.strerror or error}") from error
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise DataError(f"{where}: damaged or not a pickle; must be a batch as CIFAR's are") from error


def _run(content: bytes, where: str) -> Any:
    """The value that the program leaves, with a `_Call` wherever it would call something."""
    stack: list[Any] = []
    marks: list[int] = []  # where on the stack the items of a container begin
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    def put(items: list[Any]) -> None:
        for key, value in zip(items[::2], items[1::2], strict=True):
            stack[-1][_key(key)] = value

    def name(text: str) -> _Name:
        if not _NAMES.fullmatch(text):
            named = ascii(text.replace(" ", ".")[:80])
            raise DataError(f"{where}: a pickle that would run {named}; must hold numpy arrays and plain values alone")
        return _Name(text)

    argument: Any
    for opcode, argument, _ in pickletools.genops(content):
        match opcode.name:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "INT" | "BININT" | "BININT1" | "BININT2" | "LONG" | "LONG1" | "LONG4" | "FLOAT" | "BINFLOAT":
                stack.append(argument)
            case "UNICODE" | "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8":
                stack.append(argument)
            case "BINBYTES" | "SHORT_BINBYTES" | "BINBYTES8" | "BYTEARRAY8":
                stack.append(argument)
            case "STRING" | "BINSTRING" | "SHORT_BINSTRING":  # bytes of Python 2, as text in latin-1
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode.name])
            case "MARK":
                marks.append(len(stack))
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                marks.append(len(stack) - int(opcode.name[-1]))
                stack.append(tuple(since_mark()))
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "EMPTY_LIST":
                stack.append([])
            case "LIST":
                stack.append(since_mark())
            case "APPEND":
                item = stack.pop()
                stack[-1].append(item)
            case "APPENDS":
                items = since_mark()
                stack[-1].extend(items)
            case "EMPTY_DICT":
                stack.append({})
            case "DICT":
                items = since_mark()
                stack.append({})
                put(items)
            case "SETITEM":
                put([stack.pop(-2), stack.pop()])
            case "SETITEMS":
                put(since_mark())
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(name(argument))
            case "STACK_GLOBAL":
                stack.append(name(f"{_text(stack.pop(-2))} {_text(stack.pop())}"))
            case "REDUCE":
                arguments = stack.pop()
                stack.append(_Call(stack.pop().text, arguments))
            case "BUILD":
                state = stack.pop()
                stack[-1].state = state
            case other:
                raise DataError(f"{where}: a pickle with the instruction {other}; must hold plain values alone")
    (value,) = stack
    return value


def is_text_or_numbers(array: NDArray[Any]) -> bool:
    """False for an array of text in which numbers stand that are no characters: numpy takes any, and what Python then
    makes of them is broken."""
    if array.dtype.kind != "U":
        return True
    codes = np.ascontiguousarray(array).view(f"{array.dtype.byteorder}u4")
    return not codes.size or int(codes.max()) <= sys.maxunicode


class _Maker:
    """Makes what the calls of a file stand for. What stands in a file once is made once, however often the file points
    to it: else a small file could fill the memory."""

    def __init__(self) -> None:
        self._made: dict[Any, Any] = {}  # by the identity of what it is made of

    def value(self, value: Any) -> Any:
        """A value of the dictionary, with arrays in the place of the calls that would make them."""
        if isinstance(value, list):
            return self._once(id(value), lambda: [self._plain(item) for item in value])
        return self._plain(value)

    def _plain(self, value: Any) -> Any:
        if not isinstance(value, _Call):
            return value
        match value.name.split(" ")[1]:
            case "_reconstruct":
                _, shape, dtype, is_fortran, content = value.state
                return self._array(content, dtype, shape, "F" if is_fortran else "C")
            case "_frombuffer":
                content, dtype, shape, order = value.arguments
                return self._array(content, dtype, shape, order)
            case "scalar":
                dtype, content = value.arguments
                return self._once((id(dtype), id(content)), lambda: self._array(content, dtype, (), "C").item())
            case "encode":
                return self._bytes(value)
        raise ValueError(value.name)

    def _array(self, content: Any, dtype: _Call, shape: tuple[int, ...], order: Any) -> NDArray[Any]:
        kind, byte_order = _text(dtype.arguments[0]), _text(dtype.state[1])
        if not dtype.name.endswith(" dtype") or byte_order not in ("<", ">", "|", "="):
            raise ValueError(kind)
        if not _TYPES.fullmatch(kind):
            raise _Unsupported(f"holds an array of type {kind[:20]!a}; must hold numbers or text")
        array = np.frombuffer(self._bytes(content), np.dtype(byte_order + kind))
        if not is_text_or_numbers(array):
            raise ValueError(kind)
        return array.reshape(shape, order=order)

    def _bytes(self, value: Any) -> bytes | bytearray:
        made: bytes | bytearray = self._once(id(value), lambda: _bytes(value))
        return made

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def _bytes(value: Any) -> bytes | bytearray:
    """Bytes, which Python 2 and the older protocols write as text in latin-1."""
    if isinstance(value, bytes | bytearray):
        return value
    if isinstance(value, _Call) and value.name == "_codecs encode":
        value = value.arguments[0]
    return str.encode(value, "latin-1")


def _text(value: Any) -> str:
    """Text, which Python 2 writes as bytes."""
    return value if isinstance(value, str) else _bytes(value).decode()


def _key(value: Any) -> str | int:
    if isinstance(value, int):
        return value
    if isinstance(value, str | bytes) or (isinstance(value, _Call) and value.name == "_codecs encode"):
        return _text(value)
    raise _Unsupported("holds a dictionary with a key that is neither text nor a whole number; must have such keys")
