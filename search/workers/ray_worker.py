"""The handle of one worker on a Ray cluster, and what travels between its node and the study's folder."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from search.errors import StorageError
from search.protocol import OPEN, PAUSE, STOP, Assignment, Job
from search.sealed import unseal
from search.teaching import Lesson
from search.workers.ray_cluster import cluster_errors
from search.workers.ray_node import Located, Placed
from search.workers.ray_scratch import Contents, Written, name_of_teacher
from search.writing import write_atomically

NUM_INTACT = 2  # checkpoints that travel with a job


class RayWorker:
    """The handle of one actor.

    Args:
        avoids: the nodes on which it may not be.

    Attributes:
        located: the node it is on, or was to be on; None until that is known.
        placed: None until its node has the data.
        job: what it is training, if it is a job.
        is_gone: whether Ray has lost it, so that it does nothing that it is asked to.
    """

    def __init__(self, actor: Any, stream: Any, avoids: frozenset[str] = frozenset()) -> None:
        self.actor = actor
        self.stream = stream
        self.avoids = avoids
        self.located: Located | None = None
        self.placed: Placed | None = None
        self.job: Job | None = None
        self.is_gone = False

    @property
    def place(self) -> str:
        """The id of its node."""
        return self.located.node if self.located is not None else ""

    @property
    def where(self) -> str:
        """Its node for people, to stand after a noun."""
        return f" on node {self.located.address}" if self.located is not None else ""

    def start(self, task: Assignment) -> None:
        assert self.placed is not None, "it has been ready"
        files: Contents = {}
        self.job = None
        if isinstance(task, Job):
            keep = task.keep.absolute() if task.keep is not None else None
            checkpoints = task.checkpoints.absolute() if task.checkpoints is not None else None
            task = self.job = replace(task, keep=keep, checkpoints=checkpoints)
            if checkpoints is not None and not self.placed.is_shared:
                files = newest_checkpoints(checkpoints)
            if task.lesson is not None:
                files |= weights_of(task.lesson)
        self._send(task, files)

    def stop(self) -> None:
        self._send(STOP)

    def pause(self) -> None:
        self._send(PAUSE)

    def open(self) -> None:
        self._send(OPEN)

    def save(self, written: Written) -> None:
        """Write what the job has written on its node.

        Raises:
            StorageError: it cannot be written.
        """
        assert self.job is not None, "only a job writes files"
        roots = {"checkpoints": self.job.checkpoints, "keep": self.job.keep}
        for name, content in written.files.items():
            path = own_path(roots, name)
            # The folder of an attempt is made with it; whoever removed it no longer wants the training.
            if name.startswith("keep/") or path.parent.is_dir():
                write_atomically(path, content)
        for name in written.removed:
            own_path(roots, name).unlink(missing_ok=True)

    def _send(self, message: Any, files: Contents | None = None) -> None:
        with cluster_errors():
            self.actor.send.remote(message, files or {})


def own_path(roots: dict[str, Path | None], name: str) -> Path:
    """Where a file of a job belongs on this machine.

    Raises:
        StorageError: the name leads out of the job's folders.
    """
    kind, _, rest = name.partition("/")
    root = roots.get(kind)
    if root is None or {"", ".", ".."} & set(rest.split("/")):
        raise StorageError(f"a worker wrote {name!r}, which is no file of its job")
    return root / rest


def weights_of(lesson: Lesson) -> Contents:
    """The weights of teachers, which may lie where no node sees them.

    Raises:
        StorageError: they cannot be read.
    """
    try:
        return {name_of_teacher(place): network.weights.read_bytes() for place, network in enumerate(lesson.networks)}
    except OSError as error:
        raise StorageError(f"the weights of a teacher cannot be read: {error}") from None


def newest_checkpoints(folder: Path) -> Contents:
    """The newest checkpoints of all attempts, up to the `NUM_INTACT`th that is intact.

    Damaged ones travel as well: the worker refuses them, and says so.
    """
    contents: Contents = {}
    num_intact = 0
    for attempt, path in _by_age(folder):
        try:
            content = path.read_bytes()
        except OSError:  # a worker that was given up may live on, and replace it
            continue
        contents[f"checkpoints/{attempt}/{path.name}"] = content
        with suppress(ValueError):
            unseal(content)
            num_intact += 1
        if num_intact == NUM_INTACT:
            break
    return contents


def _by_age(folder: Path) -> list[tuple[str, Path]]:
    """The checkpoints of all attempts, each with its attempt's name, the newest first."""
    attempts = [path for path in folder.glob("attempt-*") if path.name.removeprefix("attempt-").isdecimal()]
    attempts.sort(key=lambda path: int(path.name.removeprefix("attempt-")), reverse=True)
    return [(path.name, file) for path in attempts for file in sorted(path.glob("epoch-*.ckpt"), reverse=True)]
