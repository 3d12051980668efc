"""`nas` as a process: exit status, errors, signals, and what its help imports."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess, Popen
from sysconfig import get_path

import pytest
from small_search import SEARCH

Nas = Callable[..., CompletedProcess[str]]
NAS = Path(get_path("scripts")) / "nas"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("search", "--data", "digits", "--budget", "many"), "nas: budget = 'many': must be a whole number"),
        (("search", "--data", "digits"), "nas: Missing option '--budget'"),
        (("show", "--baseline", "resnet4"), "nas: baseline = 'resnet4': no such baseline; there are resnet40"),
        (("frob",), "nas: No such command 'frob'"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    nas_process: Nas, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = nas_process(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(message) and done.stderr.count("\n") == 1, done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "studies").exists()


def test_a_command_that_is_done_has_status_0(nas_process: Nas) -> None:
    done = nas_process("show", "--baseline", "resnet40")
    assert (done.returncode, done.stderr) == (0, "")
    assert "total" in done.stdout


def test_debug_shows_the_traceback(nas_process: Nas) -> None:
    done = nas_process("report", "--study", "nothing", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_search_with_its_status_and_no_worker_left(tmp_path: Path, sent: int, status: int) -> None:
    command = [NAS, *SEARCH, "--trials", "50", "--epochs", "50", "--pruner", "none"]
    # A test runner that was started in the background has SIGINT ignored, which children would inherit.
    with Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            assert process.stdout is not None
            while "trial 0 begins" not in process.stdout.readline():
                assert process.poll() is None
            listed = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
            workers = listed.stdout.split()
            process.send_signal(sent)
            process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == status
    assert workers
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['nas', '--help']; import search.cli\n"
        "try: search.cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'optuna', 'pandas', 'plotly', 'numpy', 'sklearn', 'pyarrow', 'yaml'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    environment = os.environ | {"PYTHONWARNINGS": "error"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    assert "retrain" in result.stdout
