"""What was measured on this machine once and is kept, in a JSON file of the cache."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from search.data.cache import writing
from search.training.quiet import Quiet
from search.writing import write_atomically


class Measured:
    """The values in a JSON file, by key; what is not there is measured in quiet and added. Processes share the file.

    A file that cannot be read, or holds a value that is none, is put aside, and what it held is measured again.

    Args:
        path: the file; it need not exist.
        is_valid: whether a value can be one.
        quiet: in which a value is measured.
        note: is called with a line if a file is put aside.
    """

    def __init__(self, path: Path, is_valid: Callable[[Any], bool], quiet: Quiet, note: Callable[[str], None]) -> None:
        self._path = path
        self._is_valid = is_valid
        self._quiet = quiet
        self._note = note

    def value(self, key: str, measure: Callable[[], Any]) -> Any:
        """The value of a key. All processes have the same: that of the one that was first to add it.

        Raises:
            TrainingError: the machine does not become quiet.
            StorageError: the file cannot be written.
        """
        if key in (values := self._read() or {}):
            return values[key]
        with self._quiet.alone():
            if key in (values := self._read() or {}):  # another process has measured it meanwhile
                return values[key]
            measured = measure()
        with writing(self._path.parent), FileLock(self._path.with_name(f".{self._path.name}.lock")):
            current = self._read()
            if current is None:
                self._put_aside()
                current = {}
            if key not in current:
                write_atomically(self._path, json.dumps(current | {key: measured}, indent=1))
            return current.get(key, measured)

    def _read(self) -> dict[str, Any] | None:
        """What the file holds; None if it cannot be read."""
        try:
            if self._path.exists() and not self._path.is_file():  # a pipe would be waited for
                return None
            values = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError):
            return None
        is_whole = isinstance(values, dict) and all(map(self._is_valid, values.values()))
        return values if is_whole else None

    def _put_aside(self) -> None:
        names = (self._path.with_name(f"{self._path.name}.damaged{number}") for number in ("", *range(2, 10_000)))
        aside = next(name for name in names if not name.exists())
        self._path.rename(aside)
        self._note(f"{self._path}: damaged; it is put aside as {aside.name}, and what it held is measured again")
