"""What surrounds joining a Ray cluster: the code that its nodes run, silence on stderr, our own signal handlers."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import models
import search

STAGED = (models, search)


@contextmanager
def staged_code() -> Iterator[Path]:
    """A folder with our two packages and nothing else: a user's own `models` must not take the place of ours."""
    with tempfile.TemporaryDirectory(prefix="nas-code-") as folder:
        for package in STAGED:
            shutil.copytree(
                _folder(package), Path(folder) / package.__name__, ignore=shutil.ignore_patterns("__pycache__")
            )
        yield Path(folder)


def _folder(package: ModuleType) -> Path:
    assert package.__file__ is not None
    return Path(package.__file__).parent


@contextmanager
def silence() -> Iterator[None]:
    """Ray's core repeats its warnings on stderr every second, before the error that says the same."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


@contextmanager
def own_signal_handlers() -> Iterator[None]:
    """Ray sets a handler of SIGTERM that ends the process at once."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
