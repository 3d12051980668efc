"""`nas lr-range` and `nas data show`: what to look at before training.

A worker's own part is tested in tests/search/training; `make test-all` also has a real one do it for the command.
"""

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from search.data.datasets import open_dataset
from search.files import StudyFiles
from search.protocol import Assignment, ContactSheet, Drawn, Ranged, RangePoint, RangeTest, Setup
from search.recipes import load_recipe
from search.run.plans import fit_recipe
from search.study.best_guess import ranked_guesses
from search.study.reading import read_view
from search.workers import local

Nas = Callable[..., CompletedProcess[str]]
RANGE = ("lr-range", "--data", "digits", "--recipe", "fast", "--steps", "40")
DIVERGES = 0.11


def rates_of(task: RangeTest) -> list[float]:
    ratio = task.highest / task.lowest
    return [task.lowest * ratio ** (step / (task.num_steps - 1)) for step in range(task.num_steps)]


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
        points = (RangePoint(lr, 2.3 - lr, 0.1) for lr in rates_of(task) if lr < DIVERGES)
        return Ranged(tuple(points), diverged=True)

    monkeypatch.setattr(local, "ask", ask)
    return asked


def test_a_learning_rate_range_is_printed_and_drawn(nas: Nas, tmp_path: Path, tasks: list[Assignment]) -> None:
    done = nas(*RANGE, "--baseline", "resnet20-b", "--min-lr", "0.001", "--max-lr", "1", "--seed", "3")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == (
        "learning rate: lr 0.1 to 0.41 and with it muon_lr 0.013 to 0.052, in a recipe of optimizer muon and "
        "batch_size auto (measured at batch 32; diverged at 0.412)"
    )
    assert second == f"plot: {tmp_path / 'lr-range-resnet20-b-fast.html'}"
    assert (tmp_path / "lr-range-resnet20-b-fast.html").is_file()
    assert not (tmp_path / "studies").exists()
    (task,) = tasks
    assert isinstance(task, RangeTest)
    assert (task.seed, task.lowest, task.highest, task.num_steps, task.recipe.name) == (3, 0.00025, 0.25, 40, "fast")


@pytest.mark.parametrize(
    "rates",
    [
        {"optimizer": "muon", "lr": 0.8, "muon_lr": 0.2},
        {"optimizer": "muon", "lr": 0.8, "muon_lr": 0.2, "batch_size": 64},
        {"optimizer": "muon", "lr": 10.0, "muon_lr": 0.2, "rates_per": 1024},
        {"optimizer": "sgd", "lr": 0.8},
    ],
)
def test_a_recipe_with_the_rates_that_are_printed_trains_as_was_tested(
    nas: Nas, tmp_path: Path, tasks: list[Assignment], rates: dict[str, Any]
) -> None:
    path, dataset = tmp_path / "mine.yaml", open_dataset("digits")
    values = {"name": "mine", "epochs": 3, "batch_size": "auto"} | rates
    path.write_text(yaml.safe_dump(values))
    done = nas("lr-range", "--data", "digits", "--baseline", "resnet20-b", "--recipe", "mine.yaml")
    assert done.returncode == 0, done.stderr
    printed = dict(re.findall(r"(\w+) [^ ]+ to ([0-9.e+-]+)", done.stdout.splitlines()[0]))
    assert set(printed) == {"lr", "muon_lr"} & set(rates)
    path.write_text(yaml.safe_dump(values | {name: float(rate) for name, rate in printed.items()}))
    written = fit_recipe(load_recipe(str(path)), dataset)
    (task,) = tasks
    assert isinstance(task, RangeTest)
    best = max(rate for rate in rates_of(task) if rate < DIVERGES)
    assert written.lr == pytest.approx(best, rel=0.05), "two digits are printed"
    if "muon_lr" in printed:
        assert written.muon_lr / written.lr == pytest.approx(task.recipe.muon_lr / task.recipe.lr, rel=0.05)
    assert written.sizes == task.recipe.sizes


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
