"""MLflow: an experiment for each study and a run below the study's own for each training.

Without MLFLOW_TRACKING_URI they are in a database of the study, studies/<study>/mlflow/mlflow.db, and no network is
used. (MLflow 3 refuses its older store of plain files.)
"""

import logging
import os
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.errors import StorageError
from search.tracking.tracker import Opening, Study, Values, is_missing

# MLflow chooses ids of runs itself, so a run is found again by a tag.
RUN_TAG = "nas.run"
_STATUS = {"failed": "FAILED", "interrupted": "KILLED"}
_MAX_PARAMETERS = 100  # of one message


def prepare_mlflow() -> Opening:
    """
    Raises:
        InputError: mlflow is not installed.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read at the import
    try:
        import mlflow  # noqa: F401
    except ImportError:
        raise is_missing("mlflow", "mlflow-skinny or mlflow") from None
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"mlflow\.")  # of its own use of other packages
    return Opening(MlflowTracker)


class MlflowTracker:
    """Talks to MLflow's client, which keeps no state of its own between calls.

    Raises:
        StorageError: there can be no database in the study's folder.
        MlflowException: the server or the database cannot be used.
    """

    def __init__(self, study: Study) -> None:
        from mlflow import MlflowClient

        self._study = study
        uri, location = os.environ.get("MLFLOW_TRACKING_URI"), None
        if not uri:
            folder = study.files.mlflow.resolve()
            if "?" in str(folder):  # what follows would be no part of the database's path
                rule = "MLflow's address of a database cannot have a question mark; set MLFLOW_TRACKING_URI"
                raise StorageError(f"{folder}: {rule}")
            folder.mkdir(parents=True, exist_ok=True)
            uri, location = f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()
        self._client = MlflowClient(tracking_uri=uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or study.name
        experiment = self._client.get_experiment_by_name(name)
        self._experiment = (
            experiment.experiment_id
            if experiment is not None
            else self._client.create_experiment(name, artifact_location=location)
        )
        self._ids: dict[str, str] = {}
        self._was_interrupted = False
        self.begin(study.run, study.parameters)

    def begin(self, run: str, parameters: Values) -> int:
        id = self._study.id_of(run)
        found = self._client.search_runs([self._experiment], f"tags.`{RUN_TAG}` = '{id}'", max_results=1)
        if found:
            self._ids[run] = found[0].info.run_id
            self._client.update_run(self._ids[run], "RUNNING")
            return int(found[0].data.metrics.get("epoch", 0))
        tags = {RUN_TAG: id, "nas.study": self._study.name}
        if self._ids:
            tags["mlflow.parentRunId"] = self._ids[self._study.run]
        self._ids[run] = self._client.create_run(self._experiment, run_name=run, tags=tags).info.run_id
        self._log(run, parameters=parameters)
        return 0

    def measure(self, run: str, epoch: int, scalars: Mapping[str, float]) -> None:
        self._log(run, {**scalars, "epoch": epoch}, epoch)

    def end(self, run: str, state: str, values: Values) -> None:
        self._log(run, {f"final/{name}": value for name, value in values.items() if not isinstance(value, str)})
        for name, value in {"state": state, **values}.items():
            if isinstance(value, str):
                self._client.set_tag(self._ids[run], f"nas.{name}", value)
        self._was_interrupted |= state == "interrupted"
        self._client.set_terminated(self._ids.pop(run), _STATUS.get(state, "FINISHED"))

    def keep_report(self, page: Path) -> None:
        self._client.log_artifact(self._ids[self._study.run], str(page))

    def close(self) -> None:
        status = _STATUS["interrupted"] if self._was_interrupted else "FINISHED"
        self._client.set_terminated(self._ids[self._study.run], status)

    def _log(
        self, run: str, scalars: Mapping[str, Any] | None = None, step: int = 0, parameters: Values | None = None
    ) -> None:
        from mlflow.entities import Metric, Param

        now = round(1000 * time.time())
        metrics = [Metric(name, float(value), now, step) for name, value in (scalars or {}).items()]
        written = [Param(name, str(value)) for name, value in (parameters or {}).items()]
        self._client.log_batch(self._ids[run], metrics=metrics)
        for start in range(0, len(written), _MAX_PARAMETERS):
            self._client.log_batch(self._ids[run], params=written[start : start + _MAX_PARAMETERS])
