"""`nas report` and `nas dashboard` as a user meets them."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess, Popen
from sysconfig import get_path
from typing import Any
from urllib.request import urlopen

import pandas as pd
import pytest
from small_search import SEARCH

from search.cli.report import report
from search.errors import InputError, StorageError
from search.files import StudyFiles
from search.study.plan import Plan

Nas = Callable[..., CompletedProcess[str]]
NAS = Path(get_path("scripts")) / "nas"
REFRESH = 'http-equiv="refresh"'


@contextmanager
def running(*arguments: str, folder: Path) -> Any:
    """A `nas` command that goes on for as long as the block."""
    process = Popen([NAS, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def write(searched: StudyFiles, **options: Any) -> None:
    report(study=searched.name, studies=searched.studies, **options)


def test_a_page_and_the_trials_are_written(searched: StudyFiles, capsys: pytest.CaptureFixture[str]) -> None:
    write(searched, budgets="10k,20k")
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"report: {searched.report.resolve()}", f"trials: {searched.trials_csv.resolve()}"]
    page = searched.report.read_text()
    assert "The best complete trial under each budget" in page
    assert "The search space holds" in page
    assert "nas search</span> <span>--study digits-20k" in page
    assert REFRESH not in page
    assert len(pd.read_csv(searched.trials_csv)) == 20


def test_a_page_elsewhere_needs_no_study_that_can_be_written(
    searched: StudyFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    searched.trials_csv.mkdir()  # cannot be written, even by root
    page = tmp_path / "elsewhere" / "page.html"
    write(searched, output=page)
    said = capsys.readouterr()
    assert said.out == f"report: {page}\n"
    assert said.err == f"note: cannot write {searched.trials_csv}: Is a directory\n"
    assert page.read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("format", ["html", "csv"])
def test_what_is_put_aside_is_named(searched: StudyFiles, capsys: pytest.CaptureFixture[str], format: str) -> None:
    damaged = searched.folder / "retrain" / "0001" / "result.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("[]")
    write(searched, format=format)
    assert f"put aside: {damaged}: cannot be read (it is not an object)\n" in capsys.readouterr().err
    shutil.rmtree(damaged.parent)


def test_a_report_that_fails_has_written_nothing(searched: StudyFiles, tmp_path: Path) -> None:
    before = sorted(searched.folder.iterdir())
    searched.trials_csv.mkdir()
    with pytest.raises(StorageError, match=r"trials.csv: Is a directory$"):
        write(searched)
    searched.trials_csv.rmdir()
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"^cannot write .*/page.html: "):
        write(searched, output=tmp_path / "file" / "page.html")
    assert sorted(searched.folder.iterdir()) == before


def test_a_page_for_a_pipe_is_written_to_it(searched: StudyFiles, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit((tmp_path / "pipe").read_text)
        write(searched, output=tmp_path / "pipe")
        assert read.result().startswith("<!DOCTYPE html>")
    assert len(pd.read_csv(searched.trials_csv)) == 20


@pytest.mark.slow
def test_a_page_on_standard_output_has_no_words_in_it(nas_process: Nas, searched: StudyFiles) -> None:
    done = nas_process("report", "--output", "/dev/stdout")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("<!DOCTYPE html>") and done.stdout.endswith("</html>")
    trials = searched.trials_csv.resolve()
    assert done.stderr == f"study: digits-20k\nreport: /dev/stdout\ntrials: {trials}\n"


@pytest.mark.parametrize("format", ["csv", "parquet", "json"])
def test_tables_are_written_beside_the_study(
    searched: StudyFiles, capsys: pytest.CaptureFixture[str], format: str
) -> None:
    write(searched, format=format)
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert {path.parent for path in paths} == {searched.tables.resolve()}
    assert {"trials", "epochs", "runs", "comparisons", "time"} <= {path.stem for path in paths}
    assert all(path.suffix == f".{format}" and path.is_file() for path in paths)
    assert not searched.report.exists()


def test_tables_go_where_they_are_asked_to(searched: StudyFiles, tmp_path: Path) -> None:
    write(searched, format="json", output=tmp_path / "mine")
    assert len(json.loads((tmp_path / "mine" / "trials.json").read_text())) == 20


@pytest.mark.parametrize("options", [{"watch": True}, {"open": True}, {"budgets": "10k"}])
def test_what_is_of_the_page_is_refused_for_tables(searched: StudyFiles, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="leave out --format csv"):
        write(searched, format="csv", **options)


def test_a_study_that_is_over_is_watched_once(searched: StudyFiles) -> None:
    write(searched, watch=True)
    assert REFRESH not in searched.report.read_text()


@pytest.mark.slow
def test_watching_ends_at_a_key_with_a_page_that_no_longer_waits(searched: StudyFiles, tmp_path: Path) -> None:
    plan = Plan.load(searched)
    plan.with_circumstances(num_trials=100).save(searched)
    with running("report", "--watch", "--every", "1", "--study", searched.name, folder=tmp_path) as process:
        assert process.stdout.readline().startswith("report: ")
        assert f'{REFRESH} content="1"' in searched.report.read_text()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 130, errors
    page = searched.report.read_text()
    assert REFRESH not in page
    assert "The search is not finished: 20 of 100 trials have been trained." in page


@pytest.mark.slow
def test_a_dashboard_is_served_until_a_key_is_pressed(searched: StudyFiles, tmp_path: Path) -> None:
    pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
    with running("dashboard", "--port", "0", "--study", searched.name, folder=tmp_path) as process:
        line = process.stdout.readline()
        address = line.removeprefix("dashboard: ").split("/dashboard")[0]
        with urlopen(f"{address}/api/studies", timeout=120) as answer:
            assert json.load(answer)["study_summaries"][0]["study_name"] == searched.name
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
        assert process.returncode == 130


@pytest.mark.slow
def test_a_page_is_written_anew_beside_a_search_that_ends_as_if_alone(nas: Nas, tmp_path: Path) -> None:
    options = ("--trials", "5", "--fill", "none", "--device", "cpu")
    with running(*SEARCH, *options, folder=tmp_path) as searching:
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
