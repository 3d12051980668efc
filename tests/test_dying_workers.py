"""A test that kills its process fails, and so does the whole run: at once, whatever the other processes do."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
DEADLY = """
import os
import pytest

@pytest.mark.parametrize("number", range(4))
def test_numbers(number):
    if number in {deadly}:
        os.abort()
"""


@pytest.mark.slow
@pytest.mark.parametrize("num_deadly", [1, 3])
def test_a_worker_that_dies_ends_the_run_with_a_failure(tmp_path: Path, num_deadly: int) -> None:
    parallel = re.search(r"^PARALLEL := (.+)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert parallel is not None
    for index in range(6):
        deadly = {1, 2} if index < num_deadly else set()
        (tmp_path / f"test_{index}.py").write_text(DEADLY.format(deadly=deadly))
    command = [sys.executable, "-m", "pytest", "-c", REPOSITORY / "pyproject.toml", "--rootdir", tmp_path]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", *parallel[1].split(), tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert re.search(r"worker 'gw\d' crashed while running 'test_0.py::test_numbers\[1\]'", done.stdout)
    assert "INTERNALERROR" not in done.stdout
