"""A trained network as ONNX files: written and measured by a worker, certified here, and remembered in the study."""

import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from models.int8 import count_int8_bytes
from search.certificate import certify_bytes
from search.data.cache import scratch_folder, writing
from search.data.splits import split as divide
from search.errors import InputError
from search.files import StudyFiles
from search.protocol import Setup
from search.run.evaluation import images_of_split
from search.run.plans import open_study_data
from search.study.ledger import Ledger
from search.study.onnx_results import write_onnx_result
from search.study.plan import Plan
from search.study.trained import TrainedRun, is_limited
from search.trained_network import INT8_FILE, OnnxExport, Split, WriteOnnx
from search.workers.local import ask

Form = Literal["onnx", "int8"]
PACKAGES = ("onnx", "onnxruntime", "onnxscript")
NUM_CALIBRATION = 1_024


class OnnxFiles(NamedTuple):
    """The content of each file by its name, and what was measured."""

    contents: dict[str, bytes]
    result: OnnxExport


def export_onnx(files: StudyFiles, plan: Plan, run: TrainedRun, form: Form, split: Split) -> OnnxFiles:
    """The float file of a network and, in the form 'int8', that one too, measured on a split of the study's own images.

    The int8 file takes the ranges of its feature maps from images of the training split. A test set is opened only if
    it is that split, and the opening is in its ledger first. What was measured is kept beside the run's result.

    Raises:
        InputError: a package is not installed.
        DataError: the study's data is not found, or has changed.
        TrainingError: a file does not hold what it should, does not compute what it should, or is over a limit.
        StorageError: a file, the ledger or the data cache cannot be written.
    """
    require_packages(form)
    network, view, ledger = run.network, run.view, None
    limits = plan.question.all_limits
    max_bytes = limits.max_int8_bytes if is_limited(view.identity) and form == "int8" else None
    # Before the test set is opened for a file that may not be.
    certify_bytes(INT8_FILE, count_int8_bytes(network.architecture), network.architecture, max_bytes)
    with scratch_folder() as folder, images_of_split(split, plan) as (data, images, labels):
        calibration = write_calibration(plan, folder / "calibration.npy") if form == "int8" else None
        if split == "test":
            ledger = Ledger(files, data.ledger_name)
            line = ledger.record(view.identity, view.seed, view.recipe, view.holdout, view.teaching)
        setup = Setup(None, 0, "cpu", len(os.sched_getaffinity(0)))
        measured = ask(setup, WriteOnnx(network, folder, images, labels, calibration), Path(os.devnull))
        assert isinstance(measured, OnnxExport)
        accuracies = {file.name: file.accuracy for file in measured.files}
        if ledger is not None:
            first, *others = measured.files
            ledger.enter(line, first.accuracy, **{file.name: file.accuracy for file in others})
        contents = {name: (folder / name).read_bytes() for name in accuracies}
    for file in measured.files:
        if file.name == INT8_FILE:
            certify_bytes(file.name, file.number_bytes, network.architecture, max_bytes)
    result = replace(measured, split=split, seen=split == "validation" and view.validation is None)
    write_onnx_result(view, result)
    return OnnxFiles(contents, result)


def require_packages(form: Form) -> None:
    """
    Raises:
        InputError: what writes the files is not installed.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError(f"to = {form}: needs {', '.join(missing)}; pip install 'budget-nas[onnx]'")


def write_calibration(plan: Plan, path: Path) -> Path:
    """Write images of the training split, spread over it, and never any of the validation split, as a .npy file."""
    images, labels = open_study_data(plan).train()
    training, _ = divide(labels, plan.question.seed)
    chosen = training[np.linspace(0, len(training) - 1, min(NUM_CALIBRATION, len(training))).astype(np.int64)]
    with writing(path.parent):
        np.save(path, images[np.sort(chosen)])
    return path
