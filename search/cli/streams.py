"""Standard streams that fail in one way: closed ones take everything, and what cannot be written is an OutputError.

Rich and Typer each answer a closed pipe in their own way, and end the process with status 1 and no word. They know
nothing of an `OutputError`, so it reaches whoever can end a search politely, or `main`.
"""

import codecs
import io
import os
import sys
from pathlib import Path
from typing import TextIO

from search.errors import OutputError

_PLAIN = {"\N{MULTIPLICATION SIGN}": "x", "\N{EN DASH}": "-", "\N{MINUS SIGN}": "-", "\N{PLUS-MINUS SIGN}": "+-"}


class _Stream(io.TextIOWrapper):
    """Text for a person or a program, in the encoding there is. After an error nothing more is written."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise self._lost(error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise self._lost(error) from error

    def _lost(self, error: OSError) -> OutputError:
        nowhere = os.open(os.devnull, os.O_WRONLY)  # for what is buffered: Python writes it at its end
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        return OutputError(error)


def prepare_streams() -> None:
    """Put such streams in the place of this process's own."""
    codecs.register_error("nas-plain", _plainly)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # It was closed when the process began: nothing else must get its number.
            nowhere = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115  # it stays to the end
            os.set_inheritable(nowhere.fileno(), True)
            setattr(sys, name, nowhere)
            setattr(sys, f"__{name}__", nowhere)
    sys.stdout, sys.stderr = _stream(sys.stdout), _stream(sys.stderr)


def _stream(stream: TextIO) -> TextIO:
    if isinstance(stream, _Stream) or not isinstance(stream, io.TextIOWrapper):
        return stream  # that of a test
    stream.flush()
    return _Stream(stream.buffer, stream.encoding, "nas-plain", line_buffering=stream.line_buffering)


def _plainly(error: UnicodeError) -> tuple[str, int]:
    """What the stream's encoding lacks, in ASCII: a name for a character that has none here, as \\xe9."""
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN.get(each) or ascii(each)[1:-1] for each in lacking), error.end
