"""--log: which trackers are opened, and what a command says of them. What each writes is tested in its own room."""

import builtins
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from small_search import SEARCH, Simulation, keeping

from search.cli.logs import open_logs, prepare_logs
from search.errors import InputError
from search.files import StudyFiles
from search.tracking.tracker import Opening, Study, Values
from search.tracking.trackers import PREPARE

Nas = Callable[..., CompletedProcess[str]]


class Notebook:
    """A tracker that remembers runs over commands, as servers do."""

    def __init__(self) -> None:
        self.keeps_reports = False
        self.study: Study | None = None
        self.runs: dict[str, dict[str, Any]] = {}
        self.reports: list[str] = []
        self.is_gone = False

    def open(self, study: Study) -> "Notebook":
        self.study = study
        return self

    def begin(self, run: str, parameters: Values) -> int:
        kept = self.runs.setdefault(run, {"parameters": parameters, "epochs": []})
        return len(kept["epochs"])

    def measure(self, run: str, epoch: int, scalars: Mapping[str, float]) -> None:
        if self.is_gone:
            raise ConnectionError("the server has gone")
        self.runs[run]["epochs"].append(epoch)

    def end(self, run: str, state: str, values: Values) -> None:
        self.runs[run] |= {"state": state, "values": values}

    def keep_report(self, page: Path) -> None:
        self.reports.append(page.read_text())

    def close(self) -> None:
        pass


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    """Stands for MLflow."""
    kept = Notebook()
    monkeypatch.setitem(PREPARE, "mlflow", lambda: Opening(kept.open, kept.keeps_reports))
    return kept


def test_a_search_tells_of_its_question_and_of_every_trial_once(
    nas: Nas, simulation: Simulation, notebook: Notebook
) -> None:
    for trials in ("2", "3"):  # the second command goes on with the study
        done = nas(*SEARCH, "--trials", trials, "--epochs", "2", "--pruner", "none", "--log", "mlflow")
        assert (done.returncode, "mlflow" in done.stderr) == (0, False), done.stderr
    assert notebook.study is not None and notebook.study.parameters["data"] == "digits"
    assert list(notebook.runs) == ["trial-0000", "trial-0001", "trial-0002"]
    for run in notebook.runs.values():
        assert (run["epochs"], run["state"]) == ([1, 2], "complete")
        assert 0 < run["values"]["validation_accuracy"] <= 1
        assert run["parameters"].keys() >= {"params", "macs", "stage-1.width", "recipe"}


@pytest.mark.slow  # the report is drawn
def test_the_report_is_kept_in_the_end(nas: Nas, searched: StudyFiles, notebook: Notebook) -> None:
    notebook.keeps_reports = True
    done = nas(*SEARCH, "--trials", "20", "--epochs", "4", "--device", "cpu", "--fill", "none", "--log", "mlflow")
    assert done.returncode == 0, done.stderr
    (page,) = notebook.reports
    assert page.lower().startswith("<!doctype html>") and "digits-20k" in page
    assert 'id="leaderboard"' in page and 'id="space"' not in page, "the audit of a space may take a minute"
    assert not searched.report.exists()


def test_full_length_runs_are_told_to_several_with_their_final_numbers(
    nas: Nas, tmp_path: Path, simulation: Simulation, notebook: Notebook
) -> None:
    simulation.curve = keeping
    command = ("baseline", "train", "guess-1x4", "--data", "digits", "--budget", "100k", "--epochs", "2")
    done = nas(*command, "--log", "mlflow", "--log", "tensorboard", "--log", "mlflow")
    assert done.returncode == 0, done.stderr
    ((name, run),) = notebook.runs.items()
    assert name.startswith("final-guess-1x4-seed-0-full-2ep-") and (run["epochs"], run["state"]) == ([1, 2], "complete")
    assert f"test accuracy {run['values']['test_accuracy']:.2%}" in done.stdout
    assert run["parameters"].items() >= {"recipe": "full", "epochs": 2, "purpose": "final"}.items()
    folders = [path.name for path in (tmp_path / "studies" / "digits-baselines" / "tensorboard").iterdir()]
    assert folders == [name]


def test_a_server_that_goes_away_is_told_once_and_the_search_goes_on(
    nas: Nas, simulation: Simulation, notebook: Notebook
) -> None:
    notebook.is_gone = True
    done = nas(*SEARCH, "--trials", "3", "--epochs", "2", "--log", "mlflow")
    assert done.returncode == 0 and "3 trials trained" in done.stdout
    message = "note: log = mlflow: the server has gone; it is left out from here on, and nothing else changes"
    assert [line for line in done.stderr.splitlines() if "mlflow" in line] == [message]


def test_without_a_log_nothing_is_written(tmp_path: Path) -> None:
    with open_logs(prepare_logs(None), StudyFiles(tmp_path / "studies", "toy")):
        pass
    assert not (tmp_path / "studies").exists()


def test_a_command_that_is_refused_leaves_nothing_behind(tmp_path: Path, notebook: Notebook) -> None:
    with pytest.raises(InputError), open_logs(prepare_logs(["mlflow"]), StudyFiles(tmp_path / "studies", "toy")):
        raise InputError("another question")
    assert notebook.study is None and not (tmp_path / "studies").exists()


@pytest.mark.parametrize(
    ("log", "package"),
    [("tensorboard", "tensorboardX"), ("mlflow", "mlflow"), ("wandb", "wandb"), ("wandb:offline", "wandb")],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, log: str, package: str) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == package:
            raise ImportError(name)
        return real(name, *arguments, **options)

    for variable in ("MLFLOW_DISABLE_TELEMETRY", "WANDB_SILENT", "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(variable, "true")  # as they may be set already
    monkeypatch.setattr(builtins, "__import__", without)
    extra = log.partition(":")[0]
    with pytest.raises(InputError, match=rf"^log = {extra}: needs .*; pip install 'budget-nas\[{extra}\]'$"):
        prepare_logs([log])
