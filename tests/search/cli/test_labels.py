"""What nas predict writes and nas evaluate takes as labels. The worker is replaced by a function that knows answers."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from data_sources import encoded, write_parquet

from models.architecture import Architecture, Stage, Stem
from search.data.datasets import open_dataset
from search.files import StudyFiles
from search.protocol import Assignment, Message, Setup
from search.protocol import TestResult as Result
from search.run import evaluation
from search.study.plan import Data, Plan
from search.trained_network import Evaluate, Evaluated, Predict, Predicted

Nas = Callable[..., CompletedProcess[str]]
LABELS = (0, 50, 999)


@pytest.fixture(autouse=True)
def _worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(setup: Setup, task: Assignment, log: Path) -> Message:
        """The class of image i is i."""
        assert isinstance(task, Evaluate | Predict)
        if isinstance(task, Predict):
            return Predicted(tuple(range(len(np.load(task.images)))))
        labels = np.load(task.labels)
        confusion = np.zeros((3, 3), dtype=int)
        np.add.at(confusion, (labels, np.arange(len(labels))), 1)
        correct = float(confusion.trace() / len(labels))
        return Evaluated((Result(0.1, correct, tuple(map(tuple, confusion.tolist()))),) * len(task.networks))

    monkeypatch.setattr(evaluation, "ask", ask)


@pytest.fixture
def study(
    tmp_path: Path, files: StudyFiles, make_plan: Callable[..., Plan], retrained: Callable[..., Any]
) -> Callable[..., None]:
    """Makes a study with a trained network, of three classes as they are labelled or named."""

    def make(**arrays: Any) -> None:
        images = np.arange(6 * 64, dtype=np.uint16).reshape(6, 8, 8).astype(np.uint8)
        labels = np.repeat(LABELS if not arrays else range(3), 2)
        np.savez(tmp_path / "own.npz", x_train=images, y_train=labels, x_test=images, y_test=labels, **arrays)
        make_plan(data=Data.of(open_dataset(str(tmp_path / "own.npz")))).save(files)
        retrained(Architecture(Stem(4), (Stage("basic", 1, 8),), in_channels=1, num_classes=3))

    return make


def predicted(nas: Nas, folder: Path, *options: str) -> list[str]:
    write_parquet(folder / "new.parquet", [0, 0, 0], [encoded(value, mode="RGB") for value in (7, 8, 9)])
    done = nas("predict", "--study", "toy", "--trial", "42", "--input", "new.parquet", "--output", "p.csv", *options)
    assert done.returncode == 0, done.stderr
    assert "note: data = 'new.parquet': columns not used: label\n" in done.stderr
    return (folder / "p.csv").read_text().splitlines()[1:]


def test_predictions_give_back_the_labels_of_the_user(nas: Nas, tmp_path: Path, study: Callable[..., None]) -> None:
    study()
    assert predicted(nas, tmp_path) == ["0,0", "1,50", "2,999"]
    assert predicted(nas, tmp_path, "--labels", "numbers") == ["0,0", "1,1", "2,2"]


def test_predictions_are_numbers_of_classes_with_names_unless_names_are_asked_for(
    nas: Nas, tmp_path: Path, study: Callable[..., None]
) -> None:
    study(class_names=np.array(["cat", "dog", "eel"]))
    assert predicted(nas, tmp_path) == ["0,0", "1,1", "2,2"]
    assert predicted(nas, tmp_path, "--labels", "names") == ["0,cat", "1,dog", "2,eel"]


def test_numbers_that_could_be_names_are_neither_written_nor_taken_before_it_is_said_what_they_mean(
    nas: Nas, tmp_path: Path, study: Callable[..., None]
) -> None:
    study(class_names=np.array(["0", "2", "1"]))
    network = ("--study", "toy", "--trial", "42")
    refused = nas("predict", *network, "--input", "own.npz", "--output", "p.csv")
    assert refused.returncode == 2 and not (tmp_path / "p.csv").exists()
    message = "class number 1 is called '2', so a number could be either; pass --labels names or --labels numbers"
    assert refused.stderr.splitlines()[-1] == f"nas: labels: {message}"
    assert predicted(nas, tmp_path, "--labels", "names") == ["0,0", "1,2", "2,1"]
    np.savez(tmp_path / "new.npz", x=np.arange(128, dtype=np.uint8).reshape(2, 8, 8), y=[0, 2])
    refused = nas("evaluate", *network, "--data", "new.npz")
    assert refused.returncode == 2 and message in refused.stderr
    for reading, images in (("names", ["1", "1", "0"]), ("numbers", ["1", "0", "1"])):
        done = nas("evaluate", *network, "--data", "new.npz", "--labels", reading, "--format", "csv")
        assert done.returncode == 0, done.stderr
        assert [line.split(",")[1] for line in done.stdout.splitlines()[1:]] == images


def test_a_submission_has_the_header_and_the_ids_that_a_competition_asks_for(
    nas: Nas, tmp_path: Path, study: Callable[..., None]
) -> None:
    study(class_names=np.array(["cat", "dog, wild", "=1"]))
    (tmp_path / "sample.csv").write_text("ID,Labels\n007,0\n08,0\n9,0\n")
    assert predicted(nas, tmp_path, "--header", "ID,Labels", "--ids", "sample.csv") == ["007,0", "08,1", "9,2"]
    assert (tmp_path / "p.csv").read_text().startswith("ID,Labels\n")
    network = ("--study", "toy", "--trial", "42", "--input", "new.parquet")
    done = nas("predict", *network, "--output", "p.csv", "--labels", "names", "--header", "ID,Labels")
    assert (tmp_path / "p.csv").read_text() == 'ID,Labels\n0,cat\n1,"dog, wild"\n2,=1\n'
    assert "note: '=1' is written as it is; a spreadsheet takes it for a formula\n" in done.stderr
    assert "(3 images, labels are names of classes, trial 42 seed 0)" in done.stdout
    assert "labels are numbers of classes from 0" in nas("predict", *network, "--output", "p.csv").stdout
    assert (tmp_path / "p.csv").read_text() == "id,label\n0,0\n1,1\n2,2\n"


@pytest.mark.parametrize("option", ["--input", "--ids"])
def test_a_file_that_is_read_is_not_written_over(
    nas: Nas, tmp_path: Path, study: Callable[..., None], option: str
) -> None:
    study()
    (tmp_path / "kept").write_text("id\n7\n")
    options = {"--input": "own.npz"} | {option: "kept"}
    done = nas("predict", "--trial", "42", "--output", "./kept", *(word for pair in options.items() for word in pair))
    message = f"nas: output = 'kept': is the file of {option}, which would be lost"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, message)
    assert (tmp_path / "kept").read_text() == "id\n7\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--header", "ID"), "nas: header = 'ID': has 1 name; must be the names of two columns, as in ID,Labels"),
        (("--labels", "name"), "nas: labels = 'name': must be one of names, numbers"),
    ],
)
def test_a_mistake_in_the_options_is_one_line(nas: Nas, options: tuple[str, ...], message: str) -> None:
    done = nas("predict", "--trial", "42", "--input", "x", "--output", "p.csv", *options)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, message)
