"""What all tests share."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess, run
from sysconfig import get_path

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as for what a shell runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started here must hear Ctrl-C

NAS = Path(get_path("scripts")) / "nas"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of decoded data for the whole session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _environment(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests neither read nor write the user's cache and studies."""
    monkeypatch.setenv("NAS_CACHE", str(cache))
    monkeypatch.delenv("NAS_STUDIES", raising=False)


@pytest.fixture
def nas(tmp_path: Path) -> Callable[..., CompletedProcess[str]]:
    """Runs the installed `nas` command in `tmp_path`, as a user would.

    It gets one processor, so that one thread trains: networks this small gain nothing from a second, and threads that
    wait for each other lose much on a busy machine.
    """
    processor = {min(os.sched_getaffinity(0))}

    def call(*arguments: str, timeout: float = 300) -> CompletedProcess[str]:
        return run(
            [NAS, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            preexec_fn=lambda: os.sched_setaffinity(0, processor),
        )

    return call
