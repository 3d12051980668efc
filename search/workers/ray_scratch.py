"""The scratch folder of a Ray worker's node: what its job writes there, file by file, to be sent to the coordinator."""

import os
import shutil
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from search.protocol import Job

SCRATCH = "nas-scratch-"  # and the process, and a random name

Contents = dict[str, bytes]  # files by their path from a job's own folder


@dataclass(frozen=True, slots=True)
class Written:
    """Files of the running job that are new or have changed, and checkpoints that are gone."""

    files: Contents
    removed: tuple[str, ...]


def name_of_teacher(place: int) -> str:
    """Where in a job's own folder the weights of a teacher lie."""
    return f"teachers/{place}/weights.safetensors"


def _remove_left_behind() -> None:
    """Remove the scratch folders of processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*-*"):
        try:
            os.kill(int(folder.name.removeprefix(SCRATCH).partition("-")[0]), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (ValueError, OverflowError, PermissionError):
            pass  # no folder of ours, or one of somebody else's process


class Scratch:
    """A node's own folder for what a job writes. It knows what the coordinator has of it; two threads may use it.

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
        """The job with folders of its own here, its checkpoints in them, and the weights of its teachers.

        What an earlier job wrote is removed.
        """
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
            lesson = job.lesson
            if lesson is not None:
                networks = enumerate(lesson.networks)
                here = (replace(own, weights=self._job / name_of_teacher(place)) for place, own in networks)
                lesson = replace(lesson, networks=tuple(here))
            keep = self._job / "keep" if job.keep is not None else None
            return replace(job, checkpoints=checkpoints, keep=keep, lesson=lesson)

    def close(self) -> None:
        """Remove it."""
        with self._lock:
            self._folder.cleanup()

    def changes(self) -> Written | None:
        """What the worker has written since this was asked last; None if nothing."""
        with self._lock:
            states = self._look()
            files, is_behind = {}, False
            for name in [name for name, state in states.items() if self._known.get(name) != state]:
                try:
                    files[name] = (self._job / name).read_bytes()
                except FileNotFoundError:  # a newer checkpoint has replaced it meanwhile
                    del states[name]
                    is_behind = True
            if is_behind:  # and that one has not been seen: what is there in its place stays until it is
                states = self._known | states
            removed = tuple(name for name in self._known if name not in states)
            self._known = states
            return Written(files, removed) if files or removed else None

    def _look(self) -> dict[str, tuple[int, int]]:
        """Size and time of each whole file by its path from the job's folder. A leading dot marks a partial one."""
        states = {}
        for path in self._job.rglob("*"):
            with suppress(FileNotFoundError):
                if not path.name.startswith(".") and path.is_file():
                    state = path.stat()
                    states[path.relative_to(self._job).as_posix()] = (state.st_size, state.st_mtime_ns)
        return states
