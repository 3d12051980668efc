"""What all tests share."""

import functools
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from subprocess import CompletedProcess, run
from sysconfig import get_path

import pytest
from filelock import FileLock
from processes import processor

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as for what a shell runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started here must hear Ctrl-C

# Test workers share the processors: with a thread on each of them, they would mostly wait for each other's.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # read by torch and numpy when they are imported

NAS = Path(get_path("scripts")) / "nas"
TORCHLESS = """
import sys
from search.cli import main
try:
    main()
finally:
    assert "torch" not in sys.modules
"""


def pytest_collection_finish() -> None:
    """What was imported stays to the end, so the garbage collector need not go through it again and again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # or extension modules complain at the end that their objects were never freed


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of decoded data for the whole session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """A folder that the first test worker to ask for it fills for all of them. It is for copying."""
    own = tmp_path_factory.getbasetemp()
    common = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def fill(name: str, build: Callable[[Path], None]) -> Path:
        folder = common / name
        with FileLock(common / f"{name}.lock"):
            if not folder.exists():
                build(begun := tmp_path_factory.mktemp(name))
                begun.rename(folder)
        return folder

    return fill


@pytest.fixture(autouse=True)
def _environment(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests neither read nor write the user's cache and studies."""
    monkeypatch.setenv("NAS_CACHE", str(cache))
    monkeypatch.delenv("NAS_STUDIES", raising=False)


@pytest.fixture(scope="session", autouse=True)
def _revisions() -> Iterator[None]:
    """Optuna runs ten files of its own whenever it opens a database, most of the time that takes: here once for all."""
    from alembic import util

    load = util.load_python_file
    kept = functools.cache(load)
    with pytest.MonkeyPatch.context() as patch:
        # env.py acts when it runs; the others only define.
        patch.setattr(util, "load_python_file", lambda folder, name: (load if name == "env.py" else kept)(folder, name))
        yield


@contextmanager
def _one_processor() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processor())
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _signal_handlers() -> Iterator[None]:
    """Puts back what the block changes."""
    before = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def nas_in() -> Callable[..., CompletedProcess[str]]:
    """Runs the `nas` command in a folder, inside this process, which saves the start and the imports of another."""
    from search.cli import main

    def call(folder: Path, *arguments: str) -> CompletedProcess[str]:
        out, err = StringIO(), StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            redirect_stdout(out),
            redirect_stderr(err),
            _signal_handlers(),
            _one_processor(),
        ):
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["nas", *arguments])
            with pytest.raises(SystemExit) as ended:
                main()
        assert isinstance(ended.value.code, int)
        return CompletedProcess(arguments, ended.value.code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture
def nas(nas_in: Callable[..., CompletedProcess[str]], tmp_path: Path) -> Callable[..., CompletedProcess[str]]:
    """Runs the `nas` command in `tmp_path`, inside this process."""
    return lambda *arguments: nas_in(tmp_path, *arguments)


@pytest.fixture
def nas_process(tmp_path: Path) -> Callable[..., CompletedProcess[str]]:
    """Runs the installed `nas` command in `tmp_path` as a process: for signals, closed streams and time limits. With
    `torchless` it fails if it has imported torch, which is for workers."""
    own = processor()

    def call(*arguments: str, timeout: float = 300, torchless: bool = False) -> CompletedProcess[str]:
        return run(
            [*((sys.executable, "-c", TORCHLESS) if torchless else (NAS,)), *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            preexec_fn=lambda: os.sched_setaffinity(0, own),
        )

    return call
