"""What `nas` prints, whatever becomes of its streams: mostly as a process, since the streams are the system's."""

import errno
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from sysconfig import get_path
from typing import Any

import pytest
from rich.console import Console
from small_search import SEARCH, Simulation

from search.errors import OutputError

Nas = Callable[..., CompletedProcess[str]]
NAS = Path(get_path("scripts")) / "nas"
SHOW = "show --baseline resnet20-a"
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def shell(command: str, folder: Path, **environment: str) -> tuple[int, str, str]:
    """Status, stdout and stderr of a line in which `nas` stands for the command."""
    script = f'nas() {{ exec "{NAS}" "$@"; }}; {command}'
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        env=os.environ | environment,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", ["--help", SHOW, f"{SHOW} --format csv"])
def test_a_command_whose_reader_has_gone_ends_as_a_filter_does(tmp_path: Path, command: str) -> None:
    assert shell(f"(nas {command}) | exec true; exit ${{PIPESTATUS[0]}}", tmp_path) == (141, "", "")


def test_a_closed_pipe_for_errors_keeps_the_status(tmp_path: Path) -> None:
    assert shell("(nas frob 2>&1) | exec true; exit ${PIPESTATUS[0]}", tmp_path) == (2, "", "")


@pytest.mark.parametrize("command", ["--help", SHOW])
def test_a_full_disk_is_one_line(tmp_path: Path, command: str) -> None:
    said = "nas: cannot write its output: No space left on device\n"
    assert shell(f"(nas {command}) > /dev/full", tmp_path) == (1, "", said)


def test_streams_that_are_closed_from_the_start_take_everything(tmp_path: Path) -> None:
    assert shell(f"(nas {SHOW}) <&- >&- 2>&-", tmp_path) == (0, "", "")
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / ".last-study").write_text("nothing")
    assert shell("(nas trials --format json) 2>&-", tmp_path) == (2, "", ""), "notes are not mixed into the output"


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, pytest.param(C_LOCALE, marks=pytest.mark.slow)],
)
def test_in_ascii_a_network_is_still_readable(tmp_path: Path, environment: dict[str, str]) -> None:
    status, out, err = shell(f"(nas {SHOW})", tmp_path, **environment)
    assert (status, err) == (0, "")
    assert out.isascii() and out.startswith("stem 16; basic 3x16, 3x32, 3x64; shortcut A")
    assert shell("(nas --help) | exec true; exit ${PIPESTATUS[0]}", tmp_path, **environment) == (141, "", "")


def test_what_an_encoding_lacks_is_named(tmp_path: Path) -> None:
    status, out, err = shell(r"(nas show --architecture $'/\xff\xc3\xa9')", tmp_path)
    assert (status, out, err) == (2, "", "nas: /\\udcffé: No such file or directory\n")
    status, out, err = shell("(nas show --baseline größe)", tmp_path, PYTHONIOENCODING="ascii")
    assert (status, out) == (2, "") and err.isascii() and r"baseline = 'gr\xf6\xdfe'" in err


def test_nas_alone_shows_its_help(nas: Nas) -> None:
    done = nas()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: nas") and "\n  retrain " in done.stderr


@pytest.mark.parametrize(
    ("number", "status", "reason"),
    [
        (errno.EPIPE, 141, "nobody reads its output"),
        (errno.ENOSPC, 1, "cannot write its output: No space left on device"),
    ],
)
def test_a_search_that_can_print_no_more_ends_politely_and_goes_on_later(
    nas: Nas, simulation: Simulation, monkeypatch: pytest.MonkeyPatch, number: int, status: int, reason: str
) -> None:
    with monkeypatch.context() as patch:

        def fail(console: Console, text: str, **_: Any) -> None:
            if text.startswith("trial 2 begins"):
                raise OutputError(OSError(number, os.strerror(number)))

        patch.setattr(Console, "print", fail)
        done = nas(*SEARCH, "--device", "cpu")
    assert (done.returncode, done.stderr) == (status, f"nas: {reason}; the same command goes on from here\n")
    rows = json.loads(nas("trials", "--study", "digits-20k", "--format", "json").stdout)
    assert [row["state"] for row in rows] == ["complete"] * 3, "what runs may end its epoch, and nothing begins"
    again = nas(*SEARCH, "--device", "cpu")
    assert again.returncode == 0 and "\n4 trials trained; 1 design proposed" in again.stdout
