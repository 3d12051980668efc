"""Checkpoints: the states of a training on disk, from which another process resumes it."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from search.errors import StorageError
from search.files import why
from search.sealed import seal, unseal
from search.writing import write_atomically

NUM_KEPT = 2
_NAME = re.compile(r"epoch-(\d+)\.ckpt")
_ATTEMPT = re.compile(r"attempt-(\d+)")


class Checkpoints:
    """The checkpoints of one training: `root`/attempt-<n>/epoch-<e>.ckpt, with a folder for every attempt.

    An attempt reads the checkpoints of attempts up to itself, the newest first, and writes only into its own folder, so
    a stray worker of an earlier attempt cannot touch what the current one writes. The two newest files of an attempt
    are kept. A file is what torch.save wrote, sealed: without the hash, a flipped bit in a tensor would be loaded
    silently.

    Args:
        root: the folder of all attempts.
        attempt: the number of this one, from 1.
        key: what is trained and how. A checkpoint with another key is refused.
    """

    def __init__(self, root: Path, attempt: int, key: str) -> None:
        self.folder = root / f"attempt-{attempt}"
        self._root = root
        self._attempt = attempt
        self._key = key

    def write(self, epoch: int, state: dict[str, Any]) -> None:
        """Write a state whole or not at all, and remove all but the `NUM_KEPT` newest checkpoints of the attempt.

        The folder of the attempt must exist: whoever removed it has given up the training.

        Raises:
            StorageError: it cannot be written.
        """
        if not self.folder.is_dir():
            raise StorageError(f"{self.folder}: is gone")
        buffer = io.BytesIO()
        torch.save({"key": self._key, "state": state}, buffer)
        write_atomically(self.folder / f"epoch-{epoch:05d}.ckpt", seal(buffer.getvalue()))
        try:
            for path in _by_epoch(self.folder)[NUM_KEPT:]:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"cannot write {self.folder}: {why(error)}") from error

    def newest(
        self, device: torch.device, accept: Callable[[dict[str, Any]], None] = lambda state: None
    ) -> tuple[dict[str, Any] | None, list[str]]:
        """The newest intact state, or None, and why newer ones were refused, a line each.

        Args:
            device: where its tensors are to be.
            accept: is called with an intact state, and raises ValueError if that is of no use.
        """
        refused: list[str] = []
        for folder in self._attempts():
            try:
                paths = _by_epoch(folder)
            except OSError as error:  # it is a file, or not ours to read
                refused.append(f"{folder.name} is refused: {why(error)}")
                continue
            for path in paths:
                try:
                    state = self._read(path, device)
                    accept(state)
                    return state, refused
                except Exception as error:  # whatever a damaged file makes torch raise
                    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                    refused.append(f"{path.parent.name}/{path.name} is refused: {reason}")
        return None, refused

    def _attempts(self) -> list[Path]:
        """The folders of the attempts up to this one, the newest first."""
        names = [(_ATTEMPT.fullmatch(path.name), path) for path in self._root.glob("attempt-*")]
        numbered = sorted(((int(match[1]), path) for match, path in names if match), reverse=True)
        return [path for number, path in numbered if number <= self._attempt]

    def _read(self, path: Path, device: torch.device) -> dict[str, Any]:
        if not path.is_file():  # a pipe would be waited for
            raise ValueError("it is not a file")
        content = unseal(path.read_bytes())
        loaded = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
        if loaded["key"] != self._key:
            raise ValueError("it is of another training")
        state: dict[str, Any] = loaded["state"]
        return state


def _by_epoch(folder: Path) -> list[Path]:
    """The checkpoints of one attempt, the newest first."""
    numbered = [(int(match[1]), path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(numbered, reverse=True)]
