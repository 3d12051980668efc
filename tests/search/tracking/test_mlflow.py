"""MLflow's local store, with mlflow-skinny: a database in the study's folder."""

from pathlib import Path

import pytest

from search.errors import StorageError
from search.files import StudyFiles
from search.tracking.tracker import Study

pytestmark = pytest.mark.slow  # MLflow takes seconds to import and to make its database


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


def states(study: Study) -> dict[str, str]:
    """The status of each run."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{study.files.mlflow / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("toy")
    assert experiment is not None
    return {run.info.run_name: run.info.status for run in client.search_runs([experiment.experiment_id])}


def test_a_study_is_an_experiment_whose_runs_go_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from search.tracking.mlflow import RUN_TAG, prepare_mlflow

    study = Study(StudyFiles(tmp_path / "a folder", "toy"), "2026-01-01", 8, {"budget": 5000})
    many = {f"stage-{number}.width": number for number in range(150)}
    tracker = prepare_mlflow().tracker(study)
    assert tracker.begin("trial-0000", {"params": 4242, **many}) == 0
    tracker.measure("trial-0000", 1, {"train_loss": 1.5})
    tracker.measure("trial-0000", 2, {"train_loss": float("nan")})
    tracker.end("trial-0000", "interrupted", {})
    tracker.close()
    assert set(states(study).values()) == {"KILLED"}

    again = prepare_mlflow().tracker(study)
    assert again.begin("trial-0000", {"params": 1}) == 2, "an epoch that is there is not told again"
    again.measure("trial-0000", 3, {"train_loss": 0.5})
    again.end("trial-0000", "pruned", {"validation_accuracy": 0.75, "reason": "asha"})
    (tmp_path / "report.html").write_text("<p>what was found</p>")
    again.keep_report(tmp_path / "report.html")
    again.close()
    assert capfd.readouterr() == ("", "")

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{study.files.mlflow / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("toy")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert runs.keys() == {"study-toy", "trial-0000"}
    trial, whole = runs["trial-0000"], runs["study-toy"]
    assert trial.data.params == {name: str(value) for name, value in {"params": 4242, **many}.items()}
    losses = client.get_metric_history(trial.info.run_id, "train_loss")
    assert [(metric.step, str(metric.value)) for metric in losses] == [(1, "1.5"), (2, "nan"), (3, "0.5")]
    assert trial.data.metrics["final/validation_accuracy"] == 0.75
    tags = {RUN_TAG: study.id_of("trial-0000"), "nas.state": "pruned", "nas.reason": "asha"}
    assert trial.data.tags.items() >= {**tags, "mlflow.parentRunId": whole.info.run_id}.items()
    assert set(states(study).values()) == {"FINISHED"} and whole.data.params == {"budget": "5000"}
    kept = study.files.mlflow / "artifacts" / whole.info.run_id / "artifacts" / "report.html"
    assert kept.read_text() == "<p>what was found</p>"


def test_no_database_is_made_outside_of_the_study(tmp_path: Path) -> None:
    from search.tracking.mlflow import prepare_mlflow

    study = Study(StudyFiles(tmp_path / "what?", "toy"), "2026-01-01", 8, {})
    with pytest.raises(StorageError, match="cannot have a question mark; set MLFLOW_TRACKING_URI"):
        prepare_mlflow().tracker(study)
    assert not list(tmp_path.iterdir())
