"""A test that kills its process, or never comes back, fails, and so does the whole run, whatever other processes do."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
DEADLY = """
import hashlib, os
import pytest

@pytest.mark.parametrize("number", range(4))
def test_numbers(number):
    if number in {deadly}:
        {end}
"""
ABORT = "os.abort()"
SPIN = 'hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)'  # an hour outside of Python, deaf to signals


def run(folder: Path, num_deadly: int, end: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Six files of tests run as the Makefile does, so many of them with tests that end in this way."""
    parallel = re.search(r"^PARALLEL := (.+)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert parallel is not None
    for index in range(6):
        deadly = {1, 2} if index < num_deadly else set()
        (folder / f"test_{index}.py").write_text(DEADLY.format(deadly=deadly, end=end))
    command = [sys.executable, "-m", "pytest", "-c", REPOSITORY / "pyproject.toml", "--rootdir", folder]
    return subprocess.run(
        [*command, "-p", "no:cacheprovider", *options, *parallel[1].split(), folder],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("num_deadly", [1, 3])
def test_a_worker_that_dies_ends_the_run_with_a_failure(tmp_path: Path, num_deadly: int) -> None:
    done = run(tmp_path, num_deadly, ABORT)
    assert done.returncode != 0, done.stdout
    assert re.search(r"worker 'gw\d' crashed while running 'test_0.py::test_numbers\[1\]'", done.stdout), done.stdout


@pytest.mark.slow
def test_a_worker_that_never_comes_back_ends_the_run_with_a_failure(tmp_path: Path) -> None:
    done = run(tmp_path, 1, SPIN, "-o", "faulthandler_timeout=5")
    assert done.returncode != 0, done.stdout
    assert re.search(r"worker 'gw\d' crashed while running 'test_0.py::test_numbers\[1\]'", done.stdout)
