"""The Ray actor of one worker: a worker process on its node, and the way from there to the coordinator and back.

What a job writes lies in a scratch folder of the node, and every file travels to the coordinator ahead of what the
worker says next. Checkpoints alone are written into the study's folder if the node sees that: each attempt has a folder
of its own there, so that a worker which was given up, but lives on, can overwrite nothing.
"""

import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from search.data.cache import cache_folder, writing
from search.data.datasets import ARRAYS, load_cached, publishing
from search.errors import DataError, NasError
from search.files import why
from search.protocol import Failed, Job, Lost, Message, Setup
from search.workers.local import LocalWorker
from search.workers.ray_cluster import import_ray

SCRATCH = "nas-scratch-"  # and the process, and a random name
SECONDS_BETWEEN_LOOKS = 1.0  # at the scratch folder, while the worker says nothing
LOG = Path("/dev/stderr")  # Ray keeps what its actors print

Chunks = dict[str, list[Any]]  # the files of a data set, by name; each in pieces, in Ray's object store
Contents = dict[str, bytes]  # files by their path from a job's own folder


@dataclass(frozen=True, slots=True)
class Home:
    """How a node finds out whether it sees the study's folder: a file in it, and what stands there now."""

    holder: Path
    content: str

    @property
    def is_here(self) -> bool:
        """Whether this machine sees the same folder, and may write into it."""
        try:
            return self.holder.read_text() == self.content and os.access(self.holder.parent, os.W_OK)
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class DataWanted:
    """The node has not got the data."""


@dataclass(frozen=True, slots=True)
class Placed:
    """The actor has a place, and its node the data. `is_shared`: it writes checkpoints into the study's folder."""

    node: str
    address: str
    is_shared: bool


@dataclass(frozen=True, slots=True)
class Written:
    """Files of the running job that are new or have changed, and checkpoints that are gone."""

    files: Contents
    removed: tuple[str, ...]


class Bridge:
    """One worker process, its messages passed on.

    Args:
        setup: the worker's, with the data's folder on the coordinator's machine.
        fingerprint: of that data.
    """

    def __init__(self, setup: Setup, fingerprint: str, home: Home) -> None:
        self._ray = import_ray()
        self._setup = setup
        self._fingerprint = fingerprint
        self._home = home
        self._data: queue.SimpleQueue[Chunks] = queue.SimpleQueue()
        self._refusals: queue.SimpleQueue[Failed] = queue.SimpleQueue()  # of jobs that never reach the worker
        self._scratch: _Scratch | None = None
        self._worker: LocalWorker | None = None

    def messages(self) -> Iterator[Message | DataWanted | Placed | Written]:
        """All that the worker says, until it is gone."""
        try:
            folder = self._find_data()
            if folder is None:
                yield DataWanted()
                folder = self._fetch_data(self._data.get())
        except NasError as error:
            yield Failed(str(error))
            return
        node = self._ray.get_runtime_context().get_node_id()
        is_shared = self._home.is_here
        self._scratch = scratch = _Scratch(is_shared)
        self._worker = worker = LocalWorker(replace(self._setup, data=folder), LOG)
        yield Placed(node, self._ray.util.get_node_ip_address(), is_shared)
        while True:
            message: Message | None = None
            try:
                if worker.connection.poll(SECONDS_BETWEEN_LOOKS):
                    message = worker.connection.recv()
                elif not self._refusals.empty():
                    message = self._refusals.get()
            except (EOFError, OSError):
                message = Lost(_how_it_ended(worker))
            if (written := scratch.changes()) is not None:
                yield written
            if isinstance(message, Failed) and message.blame == "disk" and not is_shared:
                message = replace(message, blame="worker")  # the node's own disk: others have room
            if message is not None:
                yield message
            if isinstance(message, Lost):
                return

    def give_data(self, chunks: Chunks) -> None:
        """What was wanted."""
        self._data.put(chunks)

    def send(self, message: Any, files: Contents) -> None:
        """Hand a task or a word to the worker. `files` are a job's checkpoints, if it does not see them itself."""
        assert self._worker is not None and self._scratch is not None, "it is placed before anything is sent to it"
        if isinstance(message, Job):
            try:
                message = self._scratch.adopt(message, files)
            except OSError as error:  # nobody hears what a method of an actor raises that is called one way
                self._refusals.put(Failed(f"cannot write a job's files on its node: {why(error)}", "worker"))
                return
        self._worker.send(message)

    def end(self) -> None:
        """End the worker, whatever it is doing."""
        if self._worker is not None:
            self._worker.close()
        if self._scratch is not None:
            self._scratch.close()

    def _find_data(self) -> Path | None:
        """The folder of the data's cache: the coordinator's, where it is seen from here, or the node's own."""
        assert self._setup.data is not None
        for folder in (self._setup.data, self._own_copy):
            try:
                if load_cached(folder).fingerprint == self._fingerprint:
                    return folder
            except DataError:
                pass
        return None

    def _fetch_data(self, chunks: Chunks) -> Path:
        """Write the data into the node's cache, unless another worker of the node has done so meanwhile."""
        folder = self._own_copy
        with writing(folder.parent):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_name(f".{folder.name}.lock")):
                if (found := self._find_data()) is not None:
                    return found
                with publishing(folder) as temporary:
                    for name, pieces in chunks.items():
                        with (temporary / name).open("wb") as file:
                            for piece in pieces:
                                file.write(self._ray.get(piece))
        return folder

    @property
    def _own_copy(self) -> Path:
        return cache_folder() / f"from-cluster-{self._fingerprint[:16]}"


def read_chunks(folder: Path, size: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The files of a data set's cache in pieces of at most `size` bytes, meta.json last."""
    for name in (*ARRAYS, "meta.json"):
        content = np.memmap(folder / name, mode="r")
        for start in range(0, len(content), size):
            yield name, np.asarray(content[start : start + size])


def _how_it_ended(worker: LocalWorker) -> str:
    """With what Python said last, if that ended it: nobody wants to look for Ray's logs on a node."""
    how = worker.how_it_ended()
    if worker.process.returncode > 0:
        with suppress(OSError, IndexError):
            how += f": {LOG.resolve().read_text(errors='replace').strip().splitlines()[-1]}"
    return how


def _remove_left_behind() -> None:
    """Scratch folders whose process was killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*-*"):
        try:
            os.kill(int(folder.name.removeprefix(SCRATCH).partition("-")[0]), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (ValueError, OverflowError, PermissionError):
            pass  # no folder of ours, or that of somebody else's process


class _Scratch:
    """A node's own folder for what a job writes, and what of it the coordinator has got. Two threads may use it.

    Args:
        is_shared: checkpoints are written into the study's own folder, and so not here.
    """

    def __init__(self, is_shared: bool) -> None:
        _remove_left_behind()
        self._is_shared = is_shared
        self._lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix=f"{SCRATCH}{os.getpid()}-", ignore_cleanup_errors=True)
        self._job = Path(self._folder.name) / "0"
        self._num_jobs = 0
        self._known: dict[str, tuple[int, int]] = {}

    def adopt(self, job: Job, files: Contents) -> Job:
        """The job with folders of its own here, and its checkpoints in them. What an earlier job wrote is removed."""
        with self._lock:
            shutil.rmtree(self._job, ignore_errors=True)
            self._num_jobs += 1
            self._job = Path(self._folder.name) / str(self._num_jobs)
            checkpoints = job.checkpoints
            if checkpoints is not None and not self._is_shared:
                checkpoints = self._job / "checkpoints"
            try:
                for name, content in files.items():
                    path = self._job / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                if checkpoints is not None and not self._is_shared:
                    (checkpoints / f"attempt-{job.attempt}").mkdir(parents=True, exist_ok=True)
            finally:
                self._known = self._look()  # nothing of this goes back, least of all half a file
            return replace(job, checkpoints=checkpoints, keep=self._job / "keep" if job.keep is not None else None)

    def close(self) -> None:
        """Remove it."""
        with self._lock:
            self._folder.cleanup()

    def changes(self) -> Written | None:
        """What the worker has written since the last time, if anything."""
        with self._lock:
            found = self._look()
            files = {}
            for name in [name for name, state in found.items() if self._known.get(name) != state]:
                try:
                    files[name] = (self._job / name).read_bytes()
                except FileNotFoundError:  # a newer checkpoint has replaced it meanwhile
                    del found[name]
            removed = tuple(name for name in self._known if name not in found)
            self._known = found
            return Written(files, removed) if files or removed else None

    def _look(self) -> dict[str, tuple[int, int]]:
        """Size and time of whole files by their path from the job's folder. A dot in front of a name: not whole yet."""
        found = {}
        for path in self._job.rglob("*"):
            with suppress(FileNotFoundError):
                if not path.name.startswith(".") and path.is_file():
                    state = path.stat()
                    found[path.relative_to(self._job).as_posix()] = (state.st_size, state.st_mtime_ns)
        return found
