"""The Ray actor of one worker: a worker process on its node, and the way from there to the coordinator and back.

What a job writes is kept in a scratch folder of the node, and every file travels to the coordinator ahead of the
worker's next message. Only checkpoints are written into the study's folder, if the node sees it: each attempt has a
folder of its own there, so that a worker that was given up but lives on can overwrite nothing.
"""

import os
import queue
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
from search.workers.ray_scratch import Contents, Scratch, Written

SECONDS_BETWEEN_LOOKS = 1.0  # at the scratch folder, while the worker says nothing
LOG = Path("/dev/stderr")  # Ray keeps what its actors print

Chunks = dict[str, list[Any]]  # the files of a data set, by name; each in pieces, in Ray's object store


@dataclass(frozen=True, slots=True)
class Home:
    """How a node finds out whether it sees the study's folder: by a file in it and what that holds now."""

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
class Located:
    """The actor is on a node, of this id and address."""

    node: str
    address: str


@dataclass(frozen=True, slots=True)
class DataWanted:
    """The node does not have the data."""


@dataclass(frozen=True, slots=True)
class Placed:
    """The actor's node has the data, and its worker process is starting.

    Attributes:
        is_shared: whether the worker writes checkpoints into the study's folder.
    """

    is_shared: bool


class Bridge:
    """Runs one worker process and passes on its messages.

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
        self._scratch: Scratch | None = None
        self._worker: LocalWorker | None = None

    def messages(self) -> Iterator[Message | Located | DataWanted | Placed | Written]:
        """All that the worker says, until it is gone."""
        yield Located(self._ray.get_runtime_context().get_node_id(), self._ray.util.get_node_ip_address())
        try:
            folder = self._find_data()
            if folder is None:
                yield DataWanted()
                folder = self._fetch_data(self._data.get())
        except NasError as error:
            yield Failed(str(error))
            return
        is_shared = self._home.is_here
        self._scratch = scratch = Scratch(is_shared)
        self._worker = worker = LocalWorker(replace(self._setup, data=folder), LOG)
        yield Placed(is_shared)
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
        """Hand over the data that was wanted."""
        self._data.put(chunks)

    def send(self, message: Any, files: Contents) -> None:
        """Hand a task or a word to the worker. `files` are what a job needs and does not see itself."""
        assert self._worker is not None and self._scratch is not None, "it is placed before anything is sent to it"
        if isinstance(message, Job):
            try:
                message = self._scratch.adopt(message, files)
            except OSError as error:  # nobody awaits this call, so what it raises would be lost
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
        """The folder of the data's cache: the coordinator's, where this node sees it, or the node's own."""
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
                if (published := self._find_data()) is not None:
                    return published
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
    """How the worker ended, with the last line of Python's error: nobody wants to look for Ray's logs on a node."""
    how = worker.how_it_ended()
    if worker.process.returncode > 0:
        with suppress(OSError, IndexError):
            how += f": {LOG.resolve().read_text(errors='replace').strip().splitlines()[-1]}"
    return how
