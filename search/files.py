"""The paths of a study's files, and writing them: whole or not at all."""

import errno
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.errors import StorageError, StudyError
from search.identity import Identity

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class StudyFiles:
    """The paths of one study in the folder of studies. No name of a recipe, baseline or data set leads out of it.

    Raises:
        StudyError: a name could lead out of the folder, or is too long.
    """

    studies: Path
    name: str

    def __post_init__(self) -> None:
        if self.name == "test-ledger":
            raise StudyError(f"study = {self.name!r}: must be another name; this is the folder of the test ledgers")
        if not _NAME.fullmatch(self.name):
            raise StudyError(
                f"study = {self.name!r}: must be 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit"
            )

    @property
    def folder(self) -> Path:
        return self.studies / self.name

    @property
    def plan(self) -> Path:
        return self.folder / "plan.yaml"

    @property
    def database(self) -> Path:
        return self.folder / "study.db"

    @property
    def lock(self) -> Path:
        return self.folder / "study.lock"

    @property
    def holder(self) -> Path:
        """The name of the process that holds the lock."""
        return self.folder / "study.holder"

    @property
    def trials_csv(self) -> Path:
        return self.folder / "trials.csv"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def tables(self) -> Path:
        """The folder of the report's tables, as files for other programs."""
        return self.folder / "tables"

    def trial(self, number: int) -> Path:
        """The folder of the checkpoints of a trial that is running or was interrupted."""
        return self.folder / "trials" / f"{number:04d}"

    def finalist(self, identity: Identity, seed: int) -> Path:
        """The folder of a full-length run on the training split alone, to choose a winner or its dropout by."""
        return self.folder / "finalists" / f"{identity.trial:04d}" / _run(identity, seed)

    def audited(self, identity: Identity, seed: int) -> Path:
        """The folder of a full-length run on the training split alone, to judge the short schedule by."""
        return self.folder / "proxy" / f"{identity.trial:04d}" / _run(identity, seed)

    def final(self, identity: Identity, recipe: str, seed: int, holdout: bool = False) -> Path:
        """The folder of a final run. With a holdout, it did not train on the validation split. A baseline has a folder
        for each recipe, since it may be trained by several."""
        folder = self.finals(identity)
        if identity.baseline is not None:
            folder /= _one_name("recipe", recipe)
        return folder / _run(identity, seed, holdout)

    def finals(self, identity: Identity) -> Path:
        """The folder of all final runs of a baseline, or of a trial at any dropout."""
        name = _one_name("baseline", identity.baseline) if identity.baseline is not None else f"{identity.trial:04d}"
        return self.folder / "retrain" / name

    def checkpoints(self, run: Path) -> Path:
        """The folder of the checkpoints of a full-length run that is running or was interrupted."""
        return run / "checkpoints"

    def tensorboard(self, run: str) -> Path:
        return self.folder / "tensorboard" / _one_name("run", run)

    def export(self, identity: Identity) -> Path:
        """The folder of the exported files of a trial or a baseline."""
        return self.folder / "export" / self.finals(identity).name

    def ledger(self, data: str) -> Path:
        """The list of all openings of one test set, which all studies share."""
        return self.studies / "test-ledger" / f"{_one_name('data', data)}.jsonl"

    @property
    def ledger_lock(self) -> Path:
        """The lock of whoever writes a line to a ledger."""
        return self.studies / ".test-ledger.lock"

    @property
    def last_used(self) -> Path:
        """The name of the study that commands take when none is given."""
        return self.studies / ".last-study"


def _run(identity: Identity, seed: int, holdout: bool = False) -> str:
    dropout = "" if identity.dropout is None else f"-dropout-{str(identity.dropout).removesuffix('.0')}"
    return f"seed-{seed}{dropout}-holdout" if holdout else f"seed-{seed}{dropout}"


def _one_name(what: str, name: str) -> str:
    """The name, if it is safe as one part of a path."""
    if name in ("", ".", "..") or "/" in name or "\\" in name or not name.isprintable() or len(name) > 128:
        raise StudyError(f"{what} = {name!r}: must be 1 to 128 printable characters, none of them a slash")
    return name


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file whole: readers see the old content or the new, never a part, even after a crash.

    Raises:
        StorageError: the file cannot be written (a full disk, missing rights); the old content remains.
    """
    with replacing(path) as temporary:
        # Names of files may hold bytes that are no text: these are written as \udcff.
        data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
        temporary.write_bytes(data)


def new_attempt(root: Path) -> int:
    """The number of the next attempt, counted from 1, whose folder `root`/attempt-<number> is made.

    Raises:
        StorageError: the folder cannot be made.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        taken = [path.name.removeprefix("attempt-") for path in root.glob("attempt-*")]
        number = 1 + max((int(name) for name in taken if name.isdecimal()), default=0)
        (root / f"attempt-{number}").mkdir()
    except OSError as error:
        raise StorageError(f"cannot write {root}: {why(error)}") from error
    return number


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder. What is written there replaces `path` when the block ends without an error.

    Raises:
        StorageError: as `write_atomically`.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o644)
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {why(error)}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def append_line(path: Path, values: dict[str, Any]) -> None:
    """Append a JSON object to a file as one line, and wait until it is on disk.

    Raises:
        StorageError: the line cannot be written; no part of it remains in the file.
    """
    old_size: int | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            old_size = file.tell()
            file.write(json.dumps(values) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if old_size is not None:
            with suppress(OSError):
                os.truncate(path, old_size)
        raise StorageError(f"cannot write {path}: {why(error)}") from error


def why(error: OSError) -> str:
    """The reason for a failed write, with advice if the disk is full."""
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason += "; free some room on that disk and run the same command again"
    return reason


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
