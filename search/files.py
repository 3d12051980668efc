"""The paths of a study's files, and how they are written: whole or not at all."""

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
    """The paths of one study in the folder of studies. None leads out of it, whatever recipes and data sets are called.

    Raises:
        StudyError: a name could leave the folder or is too long.
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
        """Names the process that holds the lock."""
        return self.folder / "study.holder"

    @property
    def trials_csv(self) -> Path:
        return self.folder / "trials.csv"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def tables(self) -> Path:
        """The report's tables as files for other programs."""
        return self.folder / "tables"

    def trial(self, number: int) -> Path:
        """Checkpoints of a trial that is running or was interrupted."""
        return self.folder / "trials" / f"{number:04d}"

    def finalist(self, identity: Identity, seed: int) -> Path:
        """A full-length run on the training split alone, by which a winner is chosen, and the winner's dropout."""
        return self.folder / "finalists" / f"{identity.trial:04d}" / _run(identity, seed)

    def audited(self, identity: Identity, seed: int) -> Path:
        """A full-length run on the training split alone, by which the short schedule is judged."""
        return self.folder / "proxy" / f"{identity.trial:04d}" / _run(identity, seed)

    def final(self, identity: Identity, recipe: str, seed: int, holdout: bool = False) -> Path:
        """A final run; with a holdout, one that did not train on the validation split. A baseline's stands under the
        name of its recipe, since it may be trained by several."""
        folder = self.finals(identity)
        if identity.baseline is not None:
            folder /= _one_name("recipe", recipe)
        return folder / _run(identity, seed, holdout)

    def finals(self, identity: Identity) -> Path:
        """All final runs of a trial, whatever their dropout, or of a baseline."""
        name = _one_name("baseline", identity.baseline) if identity.baseline is not None else f"{identity.trial:04d}"
        return self.folder / "retrain" / name

    def checkpoints(self, run: Path) -> Path:
        """Checkpoints of a full-length run that goes on or was interrupted."""
        return run / "checkpoints"

    def tensorboard(self, run: str) -> Path:
        return self.folder / "tensorboard" / _one_name("run", run)

    def export(self, identity: Identity) -> Path:
        """The exported files of a trial or of a baseline."""
        return self.folder / "export" / self.finals(identity).name

    def ledger(self, data: str) -> Path:
        """The list of all openings of one test set, shared by all studies."""
        return self.studies / "test-ledger" / f"{_one_name('data', data)}.jsonl"

    @property
    def ledger_lock(self) -> Path:
        """Held by whoever writes a line of a ledger."""
        return self.studies / ".test-ledger.lock"

    @property
    def last_used(self) -> Path:
        """Names the study that commands take when none is given."""
        return self.studies / ".last-study"


def _run(identity: Identity, seed: int, holdout: bool = False) -> str:
    dropout = "" if identity.dropout is None else f"-dropout-{str(identity.dropout).removesuffix('.0')}"
    return f"seed-{seed}{dropout}-holdout" if holdout else f"seed-{seed}{dropout}"


def _one_name(what: str, name: str) -> str:
    """The name, once it is known to be a single part of a path."""
    if name in ("", ".", "..") or "/" in name or "\\" in name or not name.isprintable() or len(name) > 128:
        raise StudyError(f"{what} = {name!r}: must be 1 to 128 printable characters, none of them a slash")
    return name


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that readers, also after a crash, see the old content or the new, never a part.

    Raises:
        StorageError: the file cannot be written (a full disk, missing rights); the old content is still there.
    """
    with replacing(path) as temporary:
        data = content.encode() if isinstance(content, str) else content
        temporary.write_bytes(data)


def new_attempt(root: Path) -> int:
    """Make the folder of the next attempt at something, `root`/attempt-<n>, and return its number, from 1.

    Raises:
        StorageError: it cannot be made.
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
    """A temporary path in the same folder; what is written there replaces `path` when the block ends well.

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
    """Append one JSON object to a list of lines and put it on disk.

    Raises:
        StorageError: the line cannot be written; the file holds no part of it.
    """
    whole: int | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            whole = file.tell()
            file.write(json.dumps(values) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if whole is not None:
            with suppress(OSError):
                os.truncate(path, whole)
        raise StorageError(f"cannot write {path}: {why(error)}") from error


def why(error: OSError) -> str:
    """The reason of a failed write, and what to do about a full disk."""
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
