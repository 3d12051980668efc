"""ONNX exports: which images are used for what, what is certified, and what is remembered. The worker is replaced."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.architecture import Architecture, Stage, Stem
from models.int8 import count_int8_bytes
from search.data.datasets import open_dataset
from search.data.splits import split
from search.errors import InputError, TrainingError
from search.files import StudyFiles
from search.protocol import Assignment, Message, Setup
from search.report.retraining.model_card import model_card
from search.report.retraining.onnx_files import onnx_frame
from search.run import onnx_export
from search.run.onnx_export import export_onnx
from search.study.networks import alike
from search.study.plan import Data, Plan
from search.study.results import read_results
from search.study.trained import trained_runs
from search.teaching import Teacher, Teaching
from search.trained_network import FLOAT_FILE, INT8_FILE, OnnxExport, OnnxFile, WriteOnnx

NETWORK = Architecture(Stem(4), (Stage("basic", 1, 8),), in_channels=1)
BYTES = count_int8_bytes(NETWORK)

Retrained = Callable[..., Any]


class Desk:
    """Writes empty files of the right number of bytes, and notes what it was given."""

    def __init__(self, files: StudyFiles) -> None:
        self.files = files
        self.number_bytes = BYTES
        self.images: NDArray[np.uint8] = np.empty(0, np.uint8)
        self.calibration: NDArray[np.uint8] | None = None
        self.openings: list[str] = []

    def __call__(self, setup: Setup, task: Assignment, log: Path) -> Message:
        assert isinstance(task, WriteOnnx) and (setup.data, setup.device) == (None, "cpu")
        self.openings = [path.read_text() for path in (self.files.studies / "test-ledger").glob("*.jsonl")]
        self.images = np.load(task.images)
        self.calibration = None if task.calibration is None else np.load(task.calibration)
        written = [OnnxFile(FLOAT_FILE, 9_000, 8_000, 0.9)]
        if self.calibration is not None:
            written.append(OnnxFile(INT8_FILE, 5_000, self.number_bytes, 0.88))
        for file in written:
            (task.folder / file.name).write_bytes(file.name.encode())
        return OnnxExport(tuple(written), 1e-6, len(self.images), 20, "pytorch 2.15", 1_024 if task.calibration else 0)


@pytest.fixture
def desk(files: StudyFiles, monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(files)
    monkeypatch.setattr(onnx_export, "ask", desk)
    return desk


@pytest.fixture
def plan(make_plan: Callable[..., Plan], retrained: Retrained) -> Plan:
    """A study of the digits with one final run."""
    retrained(NETWORK)
    return make_plan(data=Data.of(open_dataset("digits"))).with_circumstances(source="digits")


def limited(plan: Plan, size: int) -> Plan:
    return plan.model_copy(update={"question": plan.question.changed(limits=(f"bytes={size}@int8",))})


def test_calibration_takes_training_images_alone_and_the_test_set_stays_closed(
    files: StudyFiles, plan: Plan, desk: Desk
) -> None:
    contents, result = export_onnx(files, plan, trained_runs(files, plan, 42)[0], "int8", "validation")
    images, labels = open_dataset("digits").train()
    training, validation = split(labels, plan.question.seed)
    np.testing.assert_array_equal(desk.images, images[validation])
    assert desk.calibration is not None and len(desk.calibration) == 1_024 < len(training)
    known = {image.tobytes() for image in images[training]}
    assert all(image.tobytes() in known for image in desk.calibration)
    assert (result.split, result.seen, result.num_images) == ("validation", True, len(validation))
    assert contents == {FLOAT_FILE: FLOAT_FILE.encode(), INT8_FILE: INT8_FILE.encode()}
    assert not (files.studies / "test-ledger").exists()


def test_the_test_set_is_in_its_ledger_before_it_is_opened(files: StudyFiles, plan: Plan, desk: Desk) -> None:
    _, result = export_onnx(files, plan, trained_runs(files, plan, 42)[0], "int8", "test")
    (before,) = desk.openings
    assert json.loads(before)["accuracy"] is None
    entry = json.loads(files.ledger(plan.question.data.ledger_name).read_text())
    assert (entry["label"], entry["accuracy"], entry[INT8_FILE]) == ("0042", 0.9, 0.88)
    np.testing.assert_array_equal(desk.images, open_dataset("digits").test()[0])
    assert (result.split, result.seen) == ("test", False)


def test_the_line_of_an_opening_names_the_networks_teachers(files: StudyFiles, plan: Plan, desk: Desk) -> None:
    run = trained_runs(files, plan, 42)[0]
    teaching = Teaching((Teacher("trial 7", 1, 1, "0"), Teacher("resnet40", 1, 1, "1")), "top2")
    export_onnx(files, plan, replace(run, view=replace(run.view, teaching=teaching)), "onnx", "test")
    (before,) = desk.openings
    assert json.loads(before)["teacher"] == "trial 7 and resnet40"


def test_a_float_file_alone_needs_no_calibration(files: StudyFiles, plan: Plan, desk: Desk) -> None:
    contents, _ = export_onnx(files, plan, trained_runs(files, plan, 42)[0], "onnx", "validation")
    assert desk.calibration is None and [*contents] == [FLOAT_FILE]


def test_an_int8_file_over_the_limit_is_refused_before_the_test_set_is_opened(
    files: StudyFiles, plan: Plan, desk: Desk
) -> None:
    run = trained_runs(files, plan, 42)[0]
    assert export_onnx(files, limited(plan, BYTES), run, "int8", "validation")
    desk.images = np.empty(0, np.uint8)
    with pytest.raises(TrainingError, match=rf"^model.int8.onnx: .* {BYTES:,} bytes, over the limit of {BYTES - 1:,}$"):
        export_onnx(files, limited(plan, BYTES - 1), run, "int8", "test")
    assert not len(desk.images) and not (files.studies / "test-ledger").exists()
    assert export_onnx(files, limited(plan, BYTES - 1), run, "onnx", "validation")


def test_a_file_that_does_not_weigh_what_the_arithmetic_says_is_not_exported(
    files: StudyFiles, plan: Plan, desk: Desk
) -> None:
    desk.number_bytes = BYTES + 1
    run = trained_runs(files, plan, 42)[0]
    with pytest.raises(TrainingError, match=rf"take {BYTES + 1:,} bytes, but by the architecture {BYTES:,}$"):
        export_onnx(files, plan, run, "int8", "validation")
    assert read_results(files).runs[0].onnx == ()


@pytest.mark.usefixtures("desk")
def test_what_was_measured_is_remembered_with_the_run_and_shown(files: StudyFiles, plan: Plan) -> None:
    run = trained_runs(files, plan, 42)[0]
    _, result = export_onnx(files, plan, run, "int8", "validation")
    results = read_results(files)
    assert results.unread == () and results.runs[0].onnx == (result,)
    (row,) = onnx_frame(alike(results.runs)).to_dict("records")
    assert (row["label"], row["split"]) == ("0042", "validation")
    assert (row["float_accuracy"], row["int8_accuracy"]) == (0.9, 0.88)
    assert (row["float_bytes"], row["int8_bytes"], row["int8_number_bytes"]) == (9_000, 5_000, BYTES)
    card = model_card(files, plan, [run], result)
    assert f"| `model.int8.onnx` | 5,000 | {BYTES:,} | 88.00% |" in card and "Opset 20, written by pytorch 2.15" in card
    assert "which the network was trained on" in card and "ONNX" not in model_card(files, plan, [run])
    path = run.network.weights.with_name("onnx-validation.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"time": "of other weights"}))
    assert read_results(files).runs[0].onnx == ()
    path.write_text("{")
    (fault,) = read_results(files).unread
    assert fault == f"{path}: cannot be read, and counts for nothing; `nas export --to onnx` writes it again"


def test_a_missing_package_is_one_line(files: StudyFiles, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(InputError, match=r"^to = onnx: needs onnxscript; pip install 'budget-nas\[onnx\]'$"):
        export_onnx(files, plan, trained_runs(files, plan, 42)[0], "onnx", "validation")
