"""`nas lr-range` and `nas data show`: what to look at before training.

A worker's own part is tested in tests/search/training; `make test-all` also has a real one do it for the command.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from search.files import StudyFiles
from search.protocol import Assignment, ContactSheet, Drawn, Ranged, RangePoint, RangeTest, Setup
from search.study.best_guess import ranked_guesses
from search.study.reading import read_view
from search.workers import local

Nas = Callable[..., CompletedProcess[str]]
RANGE = ("lr-range", "--data", "digits", "--recipe", "fast", "--steps", "40")


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[Assignment]:
    """What workers were asked for. They answer at once: the loss of a range test falls to 0.1 and then diverges."""
    asked: list[Assignment] = []

    def ask(setup: Setup, task: Assignment, log: Path, say: object) -> Ranged | Drawn:
        asked.append(task)
        if isinstance(task, ContactSheet):
            task.path.write_bytes(b"drawn")
            return Drawn()
        assert isinstance(task, RangeTest)
        ratio = task.highest / task.lowest
        rates = [task.lowest * ratio ** (step / (task.num_steps - 1)) for step in range(task.num_steps)]
        return Ranged(tuple(RangePoint(lr, 2.3 - lr, 0.1) for lr in rates if lr < 0.11), diverged=True)

    monkeypatch.setattr(local, "ask", ask)
    return asked


def test_a_learning_rate_range_is_printed_and_drawn(nas: Nas, tmp_path: Path, tasks: list[Assignment]) -> None:
    done = nas(*RANGE, "--baseline", "resnet20-b", "--min-lr", "0.001", "--max-lr", "1", "--seed", "3")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "learning rate: 0.025 to 0.1 (diverged at 0.1; optimiser muon, batch 32)"
    assert second == f"plot: {tmp_path / 'lr-range-resnet20-b-fast.html'}"
    assert (tmp_path / "lr-range-resnet20-b-fast.html").is_file()
    assert not (tmp_path / "studies").exists()
    (task,) = tasks
    assert isinstance(task, RangeTest)
    assert (task.seed, task.lowest, task.highest, task.num_steps, task.recipe.name) == (3, 0.001, 1.0, 40, "fast")


def test_a_trial_is_tested_on_the_data_of_its_study(nas: Nas, searched: StudyFiles, tasks: list[Assignment]) -> None:
    done = nas("lr-range", "--trial", "3", "--recipe", "fast", "--output", "plot.html")
    assert done.returncode == 0, done.stderr
    (task,) = tasks
    assert isinstance(task, RangeTest)
    assert task.architecture == read_view(searched).trials[3].architecture
    refused = nas("lr-range", "--trial", "3", "--data", "digits")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "nas: lr-range: a trial is tested on its study's data; leave out --data\n"


def test_a_guess_is_tested_within_a_budget_or_its_study(
    nas: Nas, searched: StudyFiles, tasks: list[Assignment], tmp_path: Path
) -> None:
    assert nas(*RANGE, "--baseline", "guess-2x3", "--budget", "100k").returncode == 0
    done = nas("lr-range", "--baseline", "guess", "--recipe", "fast")
    assert done.returncode == 0 and done.stderr.count("study: digits-20k\n") == 1, done.stderr
    alone, own = tasks
    assert isinstance(alone, RangeTest) and isinstance(own, RangeTest)
    assert [stage.width for stage in alone.architecture.stages] == [12, 24, 48]
    view = read_view(searched)
    best = ranked_guesses(dict(view.guesses), view.trials)[0]
    assert own.architecture == dict(view.guesses)[best]
    assert (tmp_path / f"lr-range-{best}-fast.html").is_file()
    refused = nas("lr-range", "--baseline", "guess-1", "--budget", "100k")
    assert (refused.returncode, refused.stderr) == (2, "nas: budget = 100k: is for a --baseline with --data\n")


def test_a_contact_sheet_is_asked_for(nas: Nas, tmp_path: Path, tasks: list[Assignment]) -> None:
    done = nas("data", "show", "--data", "digits", "--recipe", "full", "--seed", "3")
    assert (done.returncode, done.stdout) == (0, f"contact sheet: {tmp_path / 'digits-full.png'}\n"), done.stderr
    (task,) = tasks
    assert isinstance(task, ContactSheet)
    assert (task.seed, task.recipe.name) == (3, "full")
    assert (tmp_path / "digits-full.png").read_bytes() == b"drawn"


def test_a_contact_sheet_goes_through_a_pipe(nas: Nas, tmp_path: Path, tasks: list[Assignment]) -> None:
    """It is the command that writes it: a worker does not have what the command's /dev/stdout is."""
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit((tmp_path / "pipe").read_bytes)
        done = nas("data", "show", "--data", "digits", "--output", "pipe")
        assert (done.returncode, done.stdout) == (0, "contact sheet: pipe\n"), done.stderr
        assert read.result() == b"drawn"


@pytest.mark.slow
def test_a_contact_sheet_is_drawn(nas: Nas, tmp_path: Path) -> None:
    done = nas("data", "show", "--data", "digits", "--recipe", "full")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "digits-full.png").read_bytes().startswith(b"\x89PNG")
