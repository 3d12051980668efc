"""The test ledger: one line for every opening of a test set, shared by all studies of one folder.

A line is written before the test set is opened; its accuracy is null until there is a result. So no opening is missing,
whatever ends a process: there are at least as many lines as openings. A line whose accuracy stayed null is of a run
that ended while it was testing, or just before.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import fmean

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from search.errors import StorageError
from search.files import StudyFiles, why
from search.identity import Identity
from search.study.plan import now
from search.study.view import LedgerEntry
from search.teaching import Teaching
from search.trained_network import TestResult
from search.writing import append_line, write_atomically

LOCK_SECONDS = 60.0
_ENTRY = TypeAdapter(LedgerEntry)
UNKNOWN = LedgerEntry(time="", study="unknown", label="unknown", seed=0, accuracy=None)


class Ledger:
    """All openings of one test set. `data` is its name in the ledger, with its fingerprint."""

    def __init__(self, files: StudyFiles, data: str) -> None:
        self._files = files
        self._path = files.ledger(data)

    def record(
        self, identity: Identity, seed: int, recipe: str, holdout: bool = False, teaching: Teaching | None = None
    ) -> str:
        """Write that a run of this study is about to open the test set, and return the line.

        Raises:
            StorageError: it cannot be written, so the test set must stay closed.
        """
        values = {"time": now(), "study": self._files.name, "label": identity.label, "seed": seed, "accuracy": None}
        values |= {"recipe": recipe} | ({"holdout": True} if holdout else {})
        values |= {"teacher": teaching.names} if teaching is not None else {}
        with self._locked():
            append_line(self._path, values)
        return json.dumps(values)

    def enter(self, line: str, accuracy: float, **others: object) -> None:
        """Write the accuracy into the line of its opening, and what else was measured on the same images.

        Raises:
            StorageError: it cannot be written; the opening itself is in the ledger.
        """
        whole = json.dumps(json.loads(line) | {"accuracy": accuracy} | others)
        with self._locked():
            lines = self._read().splitlines()
            if line in lines:
                last = len(lines) - 1 - lines[::-1].index(line)  # a run that was killed may have left the same line
                lines[last] = whole
            else:
                lines.append(whole)  # somebody has edited the file
            content = "".join(f"{line}\n" for line in lines)
            write_atomically(self._path, content.encode(errors="surrogateescape"))

    def entries(self) -> tuple[LedgerEntry, ...]:
        """Every opening, in the order of the file. A line that is damaged is an opening too, of which nothing else is
        known.

        Raises:
            StorageError: the ledger cannot be read.
        """
        return tuple(_entry(line) or UNKNOWN for _, line in self._openings())

    def damaged(self) -> tuple[str, ...]:
        """A line for each line of the ledger that cannot be read.

        Raises:
            StorageError: the ledger cannot be read.
        """
        return tuple(
            f"{self._path}, line {number}: cannot be read, and counts as an opening of which nothing is known"
            for number, line in self._openings()
            if _entry(line) is None
        )

    def _openings(self) -> Iterator[tuple[int, str]]:
        """The lines of the file, with their numbers, that are not blank."""
        numbered = enumerate(self._read().splitlines(), start=1)
        return ((number, line) for number, line in numbered if line.strip())

    def _read(self) -> str:
        """The whole file; what is not UTF-8 in it stays as it is when it is written again."""
        try:
            return self._path.read_text(encoding="utf-8", errors="surrogateescape") if self._path.is_file() else ""
        except OSError as error:
            raise StorageError(f"{self._path}: cannot be read ({error})") from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of all ledgers: two studies may test on the same data at the same time."""
        try:
            self._files.studies.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._files.ledger_lock)
            lock.acquire(timeout=LOCK_SECONDS)
        except Timeout:
            raise StorageError(f"{self._path}: another process has held its lock for {LOCK_SECONDS:.0f} s") from None
        except OSError as error:
            raise StorageError(f"cannot write {self._path}: {why(error)}") from error
        try:
            yield
        finally:
            lock.release()


def also_measured(result: TestResult) -> dict[str, object]:
    """What a line says of an opening beside its accuracy: accuracies with test-time augmentation, and the mean of those
    on corrupted images."""
    augmented = {one.augmentation: one.accuracy for one in result.augmented}
    corrupted = [one.accuracy for one in result.corrupted]
    return ({"augmented": augmented} if augmented else {}) | ({"corrupted": fmean(corrupted)} if corrupted else {})


def _entry(line: str) -> LedgerEntry | None:
    """The opening that a line says; None if it is damaged."""
    try:
        return _ENTRY.validate_json(line.encode(errors="surrogateescape"))
    except ValidationError:
        return None
