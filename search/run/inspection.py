"""A folder that may come from anyone, read within bounds, and the checks of what was read."""

import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from search.errors import InputError, NasError, VerificationError
from search.files import open_regular
from search.quantities import brief
from search.trained_network import Check

MAX_BYTES = 2**32  # of one file
MAX_TEXT = 2**24
MAX_ENTRIES = 10_000  # of a folder


class Stopped(Exception):
    """What follows depends on what has failed."""


class Inspection:
    """A folder, or one file of it, and the checks so far.

    Attributes:
        only: the name of the file that is verified; None for all.
        is_bundle: whether the folder holds nothing but what its certificate names.
        names: of all entries of the folder, sorted.
        checks: in their order.

    Raises:
        InputError: the folder holds more than any export.
    """

    def __init__(self, folder: Path, only: str | None = None, is_bundle: bool = False) -> None:
        self.folder, self.only, self.is_bundle = folder, only, is_bundle
        self.names = _names(folder)
        self.checks: list[Check] = []

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def is_meant(self, name: str) -> bool:
        """Whether a file is to be verified itself, and not only read for another."""
        return self.only in (None, name)

    @property
    def has_failed(self) -> bool:
        return any(check.outcome == "differs" for check in self.checks)

    def add(
        self, file: str, what: str, found: int | float | str, expected: int | float | str | None, agrees: bool
    ) -> None:
        self.checks.append(Check(file, what, found, expected, "agrees" if agrees else "differs"))

    def leave_out(self, file: str, what: str, why_not: str) -> None:
        self.checks.append(Check(file, what, why_not, None, "left out"))

    @contextmanager
    def reading(self, file: str, what: str) -> Iterator[None]:
        """A block that reads a file: what is wrong with it is a check that has failed, the last one.

        Raises:
            Stopped: something is.
        """
        try:
            yield
        except NasError as error:
            path = str(self.folder / file)
            self.add(file, what, brief(str(error).removeprefix(f"{path}: ").replace(path, "it")), None, False)
            raise Stopped from None

    def open(self, name: str) -> AbstractContextManager[BufferedReader]:
        """
        Raises:
            VerificationError: it is no ordinary file.
        """
        return open_regular(self.folder / name, MAX_BYTES)

    def text(self, name: str) -> str:
        """
        Raises:
            VerificationError: it is no ordinary file, too long, or no text.
        """
        with open_regular(self.folder / name, MAX_TEXT) as file:
            content = file.read()
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise VerificationError("not a text") from None

    def values(self, name: str) -> dict[str, Any]:
        """The values of a file in JSON.

        Raises:
            VerificationError: as of `text`, or it holds no JSON object.
        """
        text = self.text(name)
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            raise VerificationError("no JSON object")
        return values


def _names(folder: Path) -> tuple[str, ...]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry, _ in zip(entries, range(MAX_ENTRIES + 1), strict=False)]
    if len(names) > MAX_ENTRIES:
        raise InputError(f"verify {folder}: holds over {MAX_ENTRIES:,} entries; must be an export's folder")
    return tuple(sorted(names))
