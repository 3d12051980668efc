"""`nas report` and `nas dashboard` as a user meets them."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree
from subprocess import CompletedProcess, Popen
from sysconfig import get_path
from typing import Any
from urllib.request import urlopen

import pandas as pd
import pytest
from simulation import SimulatedFleet

from search.cli.report import report
from search.cli.training import search
from search.errors import InputError
from search.files import StudyFiles
from search.protocol import Job
from search.study.plan import Plan
from search.workers import machine

Nas = Callable[..., CompletedProcess[str]]
NAS = Path(get_path("scripts")) / "nas"
SMALL_SPACE = """
stem: {width: [8, 16]}
num_stages: [1, 2]
stage: {block: basic, depth: [1, 2], width: [8, 16, 32]}
"""
REFRESH = 'http-equiv="refresh"'


def rising(job: Job, epoch: int) -> float:
    return 0.9 * epoch / job.recipe.epochs


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """The folder of a study of 6 trials that took no time."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "small.yaml").write_text(SMALL_SPACE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE", str(cache))
        patch.setattr(machine, "LocalFleet", lambda setup, workers, log: SimulatedFleet(workers, rising))
        search("20k", "6", folder / "small.yaml", "digits", studies=folder, epochs=4, device="cpu", fill="none")
    return folder / "digits-20k"


@pytest.fixture
def files(template: Path, tmp_path: Path) -> StudyFiles:
    copytree(template, tmp_path / "studies" / "digits-20k")
    return StudyFiles(tmp_path / "studies", "digits-20k")


@contextmanager
def running(*arguments: str, folder: Path) -> Any:
    """A `nas` command that goes on for as long as the block."""
    process = Popen([NAS, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def told(files: StudyFiles, **options: Any) -> None:
    report(study=files.name, studies=files.studies, **options)


def test_a_page_and_the_trials_are_written(files: StudyFiles, capsys: pytest.CaptureFixture[str]) -> None:
    told(files, budgets="10k,20k")
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"report: {files.report.resolve()}", f"trials: {files.trials_csv.resolve()}"]
    page = files.report.read_text()
    assert "The best complete trial under each budget" in page
    assert "nas search</span> <span>--study digits-20k" in page
    assert REFRESH not in page
    assert len(pd.read_csv(files.trials_csv)) == 6


@pytest.mark.parametrize("format", ["csv", "parquet", "json"])
def test_tables_are_written_beside_the_study(
    files: StudyFiles, capsys: pytest.CaptureFixture[str], format: str
) -> None:
    told(files, format=format)
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert {path.parent for path in paths} == {files.tables.resolve()}
    assert {"trials", "epochs", "runs", "comparisons", "time"} <= {path.stem for path in paths}
    assert all(path.suffix == f".{format}" and path.is_file() for path in paths)
    assert not files.report.exists()


def test_tables_go_where_they_are_asked_to(files: StudyFiles, tmp_path: Path) -> None:
    told(files, format="json", output=tmp_path / "mine")
    assert len(json.loads((tmp_path / "mine" / "trials.json").read_text())) == 6


@pytest.mark.parametrize("options", [{"watch": True}, {"open": True}, {"budgets": "10k"}])
def test_what_is_of_the_page_is_refused_for_tables(files: StudyFiles, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="leave out --format csv"):
        told(files, format="csv", **options)


def test_a_study_that_is_over_is_watched_once(files: StudyFiles) -> None:
    told(files, watch=True)
    assert REFRESH not in files.report.read_text()


def test_watching_ends_at_a_key_with_a_page_that_no_longer_waits(files: StudyFiles, tmp_path: Path) -> None:
    plan = Plan.load(files)
    plan.with_circumstances(num_trials=100).save(files)
    with running("report", "--watch", "--every", "1", "--study", files.name, folder=tmp_path) as process:
        assert process.stdout.readline().startswith("report: ")
        assert f'{REFRESH} content="1"' in files.report.read_text()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 130, errors
    page = files.report.read_text()
    assert REFRESH not in page
    assert "The search is not finished: 6 of 100 trials have been trained." in page


def test_a_dashboard_is_served_until_a_key_is_pressed(files: StudyFiles, tmp_path: Path) -> None:
    pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
    with running("dashboard", "--port", "0", "--study", files.name, folder=tmp_path) as process:
        line = process.stdout.readline()
        address = line.removeprefix("dashboard: ").split("/dashboard")[0]
        with urlopen(f"{address}/api/studies", timeout=120) as answer:
            assert json.load(answer)["study_summaries"][0]["study_name"] == files.name
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
        assert process.returncode == 130


@pytest.mark.slow
def test_a_page_is_written_anew_beside_a_search_that_ends_as_if_alone(nas: Nas, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    options = ("--space", "small.yaml", "--budget", "20k", "--trials", "5", "--epochs", "2", "--fill", "none")
    with running("search", "--data", "digits", "--device", "cpu", *options, folder=tmp_path) as searching:
        files = StudyFiles(tmp_path / "studies", "digits-20k")
        until = time.monotonic() + 300
        while not files.plan.is_file() and time.monotonic() < until:
            time.sleep(0.05)
        watched = nas("report", "--watch", "--every", "1", "--study", files.name)
        assert watched.returncode == 0, watched.stderr
        said, errors = searching.communicate(timeout=300)
        assert searching.returncode == 0, errors
    assert "5 trials trained" in said
    assert pd.read_csv(files.trials_csv)["state"].isin(["complete", "pruned"]).sum() == 5
    page = files.report.read_text()
    assert REFRESH not in page
    assert "The search is not finished" not in page
