"""The study's frames as files for other programs: one file a table, as CSV, Parquet or JSON."""

import io
from pathlib import Path
from typing import Literal

import pandas as pd

from search.report.findings import find
from search.report.proxy_audit import proxy_frame
from search.report.retraining.comparisons import comparisons_frame
from search.report.retraining.confusion import classes_frame
from search.report.retraining.finalists import finalists_frame
from search.report.retraining.full_length_runs import results_frame, runs_frame
from search.report.retraining.onnx_files import onnx_frame
from search.report.retraining.openings import openings_frame
from search.report.retraining.shift import shift_frame
from search.report.time_ledger import time_ledger_frame
from search.report.trials.choices import choices_frame
from search.report.trials.importances import importances
from search.report.trials.leaderboard import trials_frame
from search.study.view import Epoch, StudyView
from search.writing import write_atomically

TableFormat = Literal["csv", "parquet", "json"]
_EPOCH = tuple(Epoch.__dataclass_fields__)


def all_frames(view: StudyView) -> dict[str, pd.DataFrame]:
    """Every table of a study by its name. One that has no row has its columns."""
    findings = find(view)
    return {
        "trials": trials_frame(view.trials),
        "epochs": epochs_frame(view),
        "importances": importances(findings.ranked).frame,
        "choices": choices_frame(findings.ranked),
        "runs": runs_frame(view.runs),
        "run_epochs": run_epochs_frame(view),
        "finalists": finalists_frame(findings.finalists),
        "results": results_frame(findings.networks, view.is_over),
        "shift": shift_frame(findings.networks),
        "onnx": onnx_frame(findings.networks),
        "comparisons": comparisons_frame(findings.comparisons),
        "classes": classes_frame(findings.confusions, view.classes),
        "proxy": proxy_frame(view),
        "time": time_ledger_frame(view),
        "test_openings": openings_frame(view.ledger),
    }


def epochs_frame(view: StudyView) -> pd.DataFrame:
    """Every measured epoch of every trial: number, then the epoch's measurements."""
    rows = [(trial.number, *_measured(epoch)) for trial in view.trials for epoch in trial.history]
    return pd.DataFrame(rows, columns=["number", *_EPOCH])


def run_epochs_frame(view: StudyView) -> pd.DataFrame:
    """Every measured epoch of every full-length run: label, purpose, recipe, seed, then the epoch's measurements, and
    the key of the training, which tells recipes of one name apart."""
    rows = [
        (run.label, run.purpose, run.recipe, run.holdout, run.seed, *_measured(epoch), key)
        for run in (*view.runs, *view.proxy)
        for key in [run.key]
        for epoch in run.history
    ]
    return pd.DataFrame(rows, columns=["label", "purpose", "recipe", "holdout", "seed", *_EPOCH, "key"])


def _measured(epoch: Epoch) -> tuple[float | None, ...]:
    return tuple(getattr(epoch, name) for name in _EPOCH)


def write_trials_csv(view: StudyView, path: Path) -> None:
    """Write `trials_frame` as comma-separated values, whole or not at all.

    Raises:
        StorageError: the file cannot be written.
    """
    write_atomically(path, _content(trials_frame(view.trials), "csv"))


def write_tables(view: StudyView, folder: Path, format: TableFormat) -> list[Path]:
    """Write every table into a folder, each file whole or not at all. Returns the paths.

    Raises:
        StorageError: a file cannot be written.
    """
    paths = []
    for name, frame in all_frames(view).items():
        path = folder / f"{name}.{format}"
        write_atomically(path, _content(frame, format))
        paths.append(path)
    return paths


def _content(frame: pd.DataFrame, format: TableFormat) -> str | bytes:
    if format == "csv":
        return frame.to_csv(index=False, lineterminator="\n")
    if format == "json":
        return frame.to_json(orient="records", indent=1, double_precision=15)
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()
