"""The paths of a study's files, and writing them: whole or not at all."""

import errno
import json
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from itertools import count
from pathlib import Path
from typing import Any

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


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file whole: readers see the old content or the new, never a part, even after a crash.

    Raises:
        StorageError: the file cannot be written (a full disk, missing rights); the old content remains.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(encoded(content) if isinstance(content, str) else content)


def encoded(text: str) -> bytes:
    """A text in UTF-8. Bytes that are no text, as names of files may hold them, are written out, as in \\\\udcff."""
    return text.encode(errors="backslashreplace")


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
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path. What is written there becomes the content of `path` when the block ends without an error.

    It lies in the same folder, so that the file is replaced in one step. A link is followed, and a file that was there
    keeps its permissions. What cannot be replaced, see `is_stream`, is written to.

    Raises:
        StorageError: as `write_atomically`.
        BrokenPipeError: `path` is this process's output, and its reader has closed it.
    """
    try:
        with (_ahead_of if is_stream(path) else _beside)(path) as temporary:
            yield temporary
    except OSError as error:
        if isinstance(error, BrokenPipeError) and own_output(path) is not None:
            raise
        raise StorageError(f"cannot write {path}: {why(error)}") from error


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


def is_stream(path: Path) -> bool:
    """Whether a path is a pipe or a device, or what this process prints to, whatever that is."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or own_output(path) is not None


def own_output(path: Path) -> int | None:
    """1 if a path is the standard output of this process, 2 if it is its standard error, else None."""
    for number in (1, 2):
        with suppress(OSError):  # there is nothing at the path, or the stream is closed
            if os.path.samestat(path.stat(), os.fstat(number)):
                return number
    return None


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A temporary path beside a file, whose place it takes when the block ends without an error."""
    permissions = None
    with suppress(FileNotFoundError):
        status = path.stat()  # fails for a link that leads to itself
        permissions = stat.S_IMODE(status.st_mode)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(8)}")
    temporary.touch(exist_ok=False)
    try:
        if permissions is None:
            permissions = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        _sync(temporary)
        temporary.chmod(permissions)
        try:
            temporary.replace(target)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            shutil.copyfile(temporary, target)  # a file that a container was lent is a mount, which stays
        _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _ahead_of(path: Path) -> Iterator[Path]:
    """A temporary path, whose content is written to a stream when the block ends without an error."""
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / "content"
        temporary.touch()
        yield temporary
        number = own_output(path)
        if number == 1:
            sys.stdout.flush()
        # Opened by its name, a file that is printed to would be written from its beginning again.
        target = path if number is None else number
        with temporary.open("rb") as content, open(target, "wb", closefd=number is None) as stream:
            shutil.copyfileobj(content, stream)


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


def append_line(path: Path, values: dict[str, Any]) -> None:
    """Append a JSON object to a file as one line, and wait until it is on disk. A last line that was cut off stays a
    line of its own.

    Raises:
        StorageError: the line cannot be written; no part of it remains in the file.
    """
    old_size: int | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            old_size = file.seek(0, os.SEEK_END)
            file.seek(max(0, old_size - 1))
            start = b"" if file.read(1) in (b"", b"\n") else b"\n"
            file.write(start + json.dumps(values).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if old_size is not None:
            with suppress(OSError):
                os.truncate(path, old_size)
        raise StorageError(f"cannot write {path}: {why(error)}") from error


def why(error: OSError) -> str:
    """The reason for a failed read or write, with advice if the disk is full."""
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
