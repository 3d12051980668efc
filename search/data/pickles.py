"""CIFAR-style batches, which are pickles, read without running what they name.

A pickle is a program that may import and call anything, and a batch may come from anyone. Three defences:

1. Names. `find_class` imports nothing: it hands out stand-ins for the few constructors that arrays need ("Restricting
   Globals" in https://docs.python.org/3/library/pickle.html). numpy's own would not do: `ndarray` takes any shape
   without data, and a `dtype` that is given a hostile state makes numpy read memory that is not the array's.
2. Instructions. The program is checked before it runs, see `_check`.
3. Bytes. Everything that calls make is charged to the size of the file, see `_Unpickler._bytes`.
"""

import io
import pickle
import pickletools
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.errors import DataError
from search.files import why

MAX_BYTES = 2**32  # of a file, which is read whole
MAX_INSTRUCTIONS = 10_000_000  # a million names take three million; each may make an object of some 100 bytes

# Those that make plain values, lists, tuples and dictionaries, remember and recall them, and call. Left out are sets,
# other ways to make objects, and values from outside the file.
_INSTRUCTIONS = re.compile(
    "PROTO|FRAME|STOP|MARK|NONE|NEWTRUE|NEWFALSE|INT|BININT[12]?|LONG[14]?|FLOAT|BINFLOAT"
    "|STRING|(SHORT_)?BINSTRING|UNICODE|(SHORT_)?BINUNICODE|BINUNICODE8|(SHORT_)?BINBYTES|BINBYTES8|BYTEARRAY8"
    "|(EMPTY_)?(TUPLE|LIST|DICT)|TUPLE[123]|APPENDS?|SETITEMS?"
    "|PUT|(LONG_)?BINPUT|MEMOIZE|GET|(LONG_)?BINGET|(STACK_)?GLOBAL|REDUCE|BUILD"
)
_KEYS = "holds a dictionary with a key that is neither text nor a whole number; must have such keys"
_TYPES = re.compile(r"[biuf][1248]|[SU][1-9][0-9]*")


class _Refused(ValueError):
    """What a batch must not hold; the message is the end of a line that names the file."""


def read_pickle(path: Path) -> dict[str, Any]:
    """The dictionary of a pickled batch: numpy arrays of numbers or text, lists, numbers, text and bytes under their
    names. What stands under a number is left out, and an array inside of a list or dictionary cannot be used.

    Raises:
        DataError: the file cannot be read, is not a pickled dictionary, or holds anything but data.
    """
    where = f"data = {str(path)!r}"
    require_file(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _Refused(f"over {MAX_BYTES // 2**30} GB; must be a batch as CIFAR's are")
        program = path.read_bytes()
        _check(program)
        batch = _Unpickler(program).load()
        if not isinstance(batch, dict):
            raise _Refused("a pickle of something else; must be one of a dictionary, as CIFAR's are")
        return {name: _finished(value) for key, value in batch.items() if (name := _name(key)) is not None}
    except _Refused as error:
        raise DataError(f"{where}: {error}") from error
    except OSError as error:
        raise DataError(f"{where}: cannot be read: {why(error)}") from error
    except Exception as error:  # a damaged pickle may raise anything, as the documentation of `pickle` says
        raise DataError(
            f"{where}: damaged or not a pickle; must be a batch as CIFAR's are, Parquet or an .npz"
        ) from error


def require_file(path: Path, option: str = "data") -> None:
    """Require that what is at a path, if anything is, can be read to an end: pipes are waited for, and devices may
    never end.

    Raises:
        DataError: it is no file.
    """
    if path.exists() and not path.is_file():
        raise DataError(f"{option} = {str(path)!r}: a pipe, a device or a folder; must be a file")


def is_text_or_numbers(array: NDArray[Any]) -> bool:
    """False for an array of text with a code that is not a character: numpy takes any number, and Python then makes
    broken text of it."""
    if array.dtype.kind != "U":
        return True
    codes = np.ascontiguousarray(array).view(f"{array.dtype.byteorder}u4")
    return not codes.size or int(codes.max()) <= sys.maxunicode


def _check(program: bytes) -> None:
    """Refuse a program that could take far more memory than its file, or crash the interpreter.

    `pickletools` itself refuses text and bytes of a stated length that the file does not have; unpickling would
    allocate them first. Besides that:

    - The memo is an array as long as its largest index, so an index must not be larger than the file.
    - The keys of a dictionary are hashed. For tuples in tuples, that can overflow the C stack, or never end where they
      share their items, so a tuple must not be a key. Tuples are followed through stack and memo. Other values may nest
      as they like, for no list or dictionary is hashed.

    Raises:
        _Refused, or anything that a damaged pickle raises.
    """
    are_tuples: list[bool] = []  # of each value on the stack
    marks: list[int] = []
    memo: dict[int, bool] = {}
    argument: Any
    for number, (opcode, argument, _) in enumerate(pickletools.genops(program)):
        name = opcode.name
        if not _INSTRUCTIONS.fullmatch(name):
            raise _Refused(f"a pickle with the instruction {name}; must hold plain values alone")
        if number == MAX_INSTRUCTIONS:
            raise _Refused(f"a pickle of over {MAX_INSTRUCTIONS:,} instructions; must be a batch as CIFAR's are")
        if name == "MARK":
            marks.append(len(are_tuples))
        elif name == "MEMOIZE" or name.endswith("PUT"):
            index = len(memo) if name == "MEMOIZE" else argument
            if index > len(program):
                raise ValueError(f"{name} {index}")
            memo[index] = are_tuples[-1]
        elif name.endswith("GET"):
            are_tuples.append(memo[argument])
        else:
            taken = opcode.stack_before
            has_mark = pickletools.markobject in taken
            start = marks.pop() - taken.index(pickletools.markobject) if has_mark else len(are_tuples) - len(taken)
            if start < (marks[-1] if marks else 0):
                raise ValueError(f"{name} on too short a stack")
            first_key = {"DICT": start, "SETITEM": start + 1, "SETITEMS": start + 1}.get(name)
            if first_key is not None and any(are_tuples[first_key::2]):
                raise _Refused(_KEYS)
            # What changes a value leaves it on the stack, even a tuple, if there is nothing to change.
            changes = name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "BUILD")
            is_tuple = are_tuples[start] if changes else "TUPLE" in name
            are_tuples[start:] = [is_tuple] * len(opcode.stack_after)
    if are_tuples or marks:
        raise ValueError("a program that leaves more than one value")


class _Unpickler(pickle.Unpickler):
    """Runs a checked program. Byte strings of Python 2 become text of the same characters in latin-1."""

    def __init__(self, program: bytes) -> None:
        super().__init__(io.BytesIO(program), encoding="latin-1")
        # The oldest protocols write bytes as text, so what an array holds is made twice.
        self._bytes_left = 2 * len(program)

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """A stand-in for a constructor: those that numpy 1 and 2 name for arrays, dtypes and single values, and the
        older protocols for bytes.

        Each is a new function, for a pickle can set attributes of whatever it is handed.

        Raises:
            _Refused: any other name.
        """
        match module, name:
            case "numpy", "ndarray":  # what _reconstruct makes; never called
                return lambda: None
            case "numpy", "dtype":
                return lambda kind, *options: _Dtype(kind)
            case "numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct":
                return lambda *arguments: _Array(self._array)
            case "numpy.core.multiarray" | "numpy._core.multiarray", "scalar":
                return lambda dtype, content: self._array(content, dtype, (), "C").item()
            case "numpy.core.numeric" | "numpy._core.numeric", "_frombuffer":
                return lambda *arguments: _Array(self._array, self._array(*arguments))
            case "_codecs", "encode":
                return lambda text, encoding: self._bytes(text)
            case "__builtin__" | "builtins", "bytes":  # empty ones
                return lambda: b""
        named = ascii(f"{module}.{name}"[:80])
        raise _Refused(f"a pickle that would run {named}; must hold numpy arrays and plain values alone")

    def _array(self, content: Any, dtype: "_Dtype", shape: Any, order: Any) -> NDArray[Any]:
        """A view of the content, which must fill the shape."""
        array = np.frombuffer(self._bytes(content), dtype.numpy)
        if not is_text_or_numbers(array):
            raise ValueError("text of no characters")
        return array.reshape(shape, order=order)

    def _bytes(self, content: Any) -> bytes | bytearray:
        """The content as bytes, charged to the size of the file: else a small pickle could have one long text made into
        bytes a thousand times."""
        encoded = content if isinstance(content, bytes | bytearray) else str.encode(content, "latin-1")
        self._bytes_left -= len(encoded)
        if self._bytes_left < 0:
            raise _Refused("a pickle that makes more than it holds; must be a batch as CIFAR's are")
        return encoded


class _Dtype:
    """Stands for a numpy.dtype. Of the state that a pickle gives it, the byte order alone is taken."""

    def __init__(self, kind: str) -> None:
        if not _TYPES.fullmatch(kind):
            raise _Refused(f"holds an array of type {kind[:20]!a}; must hold numbers or text")
        self.numpy = np.dtype(kind)

    def __setstate__(self, state: Any) -> None:
        self.numpy = self.numpy.newbyteorder(state[1])


class _Array:
    """Stands for an array as long as the program runs, for a program may assign to elements of what it is handed, and
    numpy writes lists in lists out to do so.

    `_reconstruct` makes an array that has nothing yet; its state is a version, shape, dtype, whether the order is
    Fortran's, and content.
    """

    def __init__(self, make: Callable[..., NDArray[Any]], array: NDArray[Any] | None = None) -> None:
        self._make = make
        self.array = array

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, content = state
        self.array = self._make(content, dtype, shape, "F" if is_fortran else "C")


def _finished(value: Any) -> Any:
    if not isinstance(value, _Array):
        return value
    if value.array is None:
        raise ValueError("an array without its state")
    return value.array


def _name(key: Any) -> str | None:
    """The text of a key, which Python 2 writes as bytes; None for a number."""
    if not isinstance(key, str | bytes | int):
        raise _Refused(_KEYS)
    return None if isinstance(key, int) else key if isinstance(key, str) else key.decode()
