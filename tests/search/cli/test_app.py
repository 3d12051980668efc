"""`nas` as a process: exit status, errors, and what its help imports; signals: tests/test_faults.py."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Nas = Callable[..., CompletedProcess[str]]


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


def test_its_version_is_that_of_the_package(nas_process: Nas) -> None:
    done = nas_process("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"nas {version('budget-nas')}\n", "")


def test_debug_shows_the_traceback(nas_process: Nas) -> None:
    done = nas_process("report", "--study", "nothing", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


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
