"""The paths of a study's files, and of what lies there."""

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from itertools import count
from pathlib import Path

from search.errors import InputError, StorageError, StudyError, VerificationError
from search.identity import Identity

# Of runs by which a winner is chosen, by which the short schedule is judged, that are tested, and that teach others.
RUN_FOLDERS = {"finalist": "finalists", "proxy": "proxy", "final": "retrain", "teacher": "teachers"}

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
    def workers_log(self) -> Path:
        """What worker processes on this machine print."""
        return self.folder / "workers.log"

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

    def full_run(self, purpose: str, identity: Identity, key: str, seed: int) -> Path:
        """The folder of a full-length run. `key` names how it was trained, so that nothing trained otherwise is ever
        written into it (see `search.study.way`)."""
        return self.folder / RUN_FOLDERS[purpose] / _folder_name(identity) / _one_name("run", key) / f"seed-{seed}"

    def checkpoints(self, run: Path) -> Path:
        """The folder of the checkpoints of a full-length run that is running or was interrupted."""
        return run / "checkpoints"

    def tensorboard(self, run: str) -> Path:
        return self.folder / "tensorboard" / _one_name("run", run)

    @property
    def mlflow(self) -> Path:
        """The folder of MLflow's database and artefacts."""
        return self.folder / "mlflow"

    def export(self, identity: Identity, key: str | None = None) -> Path:
        """The folder of the exported files of the network that a trial or a baseline stands for, or of the one of a
        key."""
        name = _folder_name(identity) if key is None else f"{_folder_name(identity)}-{key}"
        return self.folder / "export" / _one_name("run", name)

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


def _folder_name(identity: Identity) -> str:
    return _one_name("baseline", identity.baseline) if identity.baseline is not None else f"{identity.trial:04d}"


def _one_name(what: str, name: str) -> str:
    """The name, if it is safe as one part of a path."""
    if name in ("", ".", "..") or "/" in name or "\\" in name or not name.isprintable() or len(name) > 128:
        raise StudyError(f"{what} = {name!r}: must be 1 to 128 printable characters, none of them a slash")
    return name


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


def put_aside(path: Path) -> Path:
    """Rename a file or a folder to a name that is free, `path`.aside-<number>, and return that.

    Raises:
        StorageError: it cannot be renamed.
    """
    numbered = (path.with_name(f"{path.name}.aside-{number}") for number in count(1))
    aside = next(free for free in numbered if not free.exists())
    try:
        return path.rename(aside)
    except OSError as error:
        raise StorageError(f"cannot rename {path}: {why(error)}") from error


@contextmanager
def open_regular(path: Path, max_bytes: int) -> Iterator[BufferedReader]:
    """A file that may come from anyone, open for reading: an ordinary one of at most so many bytes. A link is not
    followed, and a pipe is not waited for.

    Raises:
        VerificationError: it is anything else, or cannot be read; the message is the end of a line that names it.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise VerificationError("a link; must be an ordinary file") from None
        raise VerificationError("is gone" if error.errno == errno.ENOENT else f"cannot be read: {why(error)}") from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise VerificationError("no ordinary file")
        if status.st_size > max_bytes:
            raise VerificationError(f"{status.st_size:,} bytes; at most {max_bytes:,} are read")
    except VerificationError:
        os.close(handle)
        raise
    with os.fdopen(handle, "rb") as file:
        yield file


def expanded(text: str) -> Path:
    """The path that a user wrote, with a ~ or ~name at its beginning as that home folder. Shells leave it alone in
    --output=~/page.html, and in variables. ./~ is a file of this name.

    Raises:
        InputError: there is no such home folder.
    """
    if not text.startswith("~"):
        return Path(text)
    try:
        return Path(text).expanduser()
    except RuntimeError:
        rule = f"there is no such home folder; a file of that name is written ./{text}"
        raise InputError(f"path = {text!r}: {rule}") from None


def why(error: OSError) -> str:
    """The reason for a failed read or write, with advice if the disk is full."""
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason += "; free some room on that disk and run the same command again"
    return reason
