"""Evaluation on other sets, and prediction. The worker is replaced by a function where only its answer matters."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_sources import write_parquet
from image_sets import png as as_png
from numpy.typing import NDArray
from PIL import Image

from models.architecture import Architecture, Stage, Stem
from search.data.datasets import open_dataset
from search.data.splits import split
from search.errors import DataError, InputError, StorageError, TrainingError
from search.files import StudyFiles
from search.flags import pack
from search.protocol import Assignment, Message, Setup
from search.protocol import TestResult as Result
from search.recipe import Recipe
from search.run import evaluation
from search.run.evaluation import evaluate, predict
from search.study.plan import Data, Plan
from search.study.results import read_results, read_runs
from search.study.trained import trained_runs
from search.trained_network import AugmentedResult, CorruptedResult, Evaluate, Evaluated, Predict, Predicted

NETWORK = Architecture(Stem(4), (Stage("basic", 1, 8),), in_channels=1)
IMAGES = np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8)
LABELS = np.arange(30) % 10
DATA_OF_THINGS = Data(name="things", fingerprint="ab" * 32, image_size=8, channels=1, classes=tuple("0123456789"))

Retrained = Callable[..., Any]


class Desk:
    """Answers as a worker would that takes every image for class 0, and notes what it was given."""

    def __init__(self, files: StudyFiles) -> None:
        self.files = files
        self.images: NDArray[np.uint8] = np.empty(0, np.uint8)
        self.labels: NDArray[np.int64] = np.empty(0, np.int64)
        self.lines: list[dict[str, Any]] = []
        self.fails = False

    def __call__(self, setup: Setup, task: Assignment, log: Path) -> Message:
        assert setup.data is None
        assert isinstance(task, Evaluate | Predict)
        self.images = np.load(task.images)
        self.lines = [json.loads(line) for path in ledgers(self.files) for line in path.read_text().splitlines()]
        if self.fails:
            raise TrainingError("out of memory")
        if isinstance(task, Predict):
            return Predicted((0,) * len(self.images))
        self.labels = np.load(task.labels)
        counts = np.bincount(self.labels, minlength=10).tolist()
        confusion, correct = tuple((count, *(0,) * 9) for count in counts), pack(self.labels == 0)
        augmented = (AugmentedResult(task.augmentation, 3, 0.25),) if task.augmentation else ()
        corrupted = tuple(CorruptedResult("noise", strength, 0.08 - 0.02 * strength) for strength in (1, 2, 3))
        corrupted = corrupted if task.corrupted else ()
        result = Result(2.3, counts[0] / len(self.labels), confusion, correct, augmented, corrupted)
        return Evaluated((result,) * len(task.networks))


@pytest.fixture
def desk(files: StudyFiles, monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(files)
    monkeypatch.setattr(evaluation, "ask", desk)
    return desk


@pytest.fixture
def plan(make_plan: Callable[..., Plan]) -> Plan:
    """A study of the digits."""
    plan = make_plan(data=Data.of(open_dataset("digits")))
    return plan.with_circumstances(source="digits")


def ledgers(files: StudyFiles) -> list[Path]:
    return sorted((files.studies / "test-ledger").glob("*.jsonl"))


def accuracies(ledger: Path) -> list[float | None]:
    return [json.loads(line)["accuracy"] for line in ledger.read_text().splitlines()]


def write_npz(path: Path, **arrays: Any) -> str:
    np.savez(path, **arrays)
    return str(path)


def test_every_run_is_in_the_ledger_before_the_set_is_opened(
    files: StudyFiles, plan: Plan, retrained: Retrained, desk: Desk, tmp_path: Path
) -> None:
    for seed in range(2):
        retrained(NETWORK, seed=seed)
    spec = write_npz(tmp_path / "kaggle.npz", x=IMAGES, y=LABELS)
    found = evaluate(files, plan, trained_runs(files, plan, 42), spec, "cpu")
    seen = [(line["label"], line["seed"], line["accuracy"]) for line in desk.lines]
    assert seen == [("0042", 0, None), ("0042", 1, None)]
    (ledger,) = ledgers(files)
    assert (ledger,) == found.ledgers and ledger.name == f"kaggle-{found.fingerprint[:12]}.jsonl"
    assert accuracies(ledger) == [0.1, 0.1]
    np.testing.assert_array_equal(desk.images[..., 0], IMAGES)
    np.testing.assert_array_equal(desk.labels, LABELS)
    assert (found.num_images, found.accuracies, found.overlap) == (30, (0.1, 0.1), (0, 0))
    assert (found.of_class(0), found.of_class(9)) == ((3, (1.0, 1.0)), (3, (0.0, 0.0)))


def test_a_failed_evaluation_stays_in_the_ledger(
    files: StudyFiles, plan: Plan, retrained: Retrained, desk: Desk, tmp_path: Path
) -> None:
    retrained(NETWORK)
    desk.fails = True
    spec = write_npz(tmp_path / "kaggle.npz", x=IMAGES, y=LABELS)
    with pytest.raises(TrainingError, match="out of memory"):
        evaluate(files, plan, trained_runs(files, plan, 42), spec, "cpu")
    assert accuracies(ledgers(files)[0]) == [None]


def test_a_set_stays_closed_when_the_ledger_cannot_be_written(
    files: StudyFiles, plan: Plan, retrained: Retrained, desk: Desk, tmp_path: Path
) -> None:
    retrained(NETWORK)
    (files.studies / "test-ledger").write_text("a file in the way")
    with pytest.raises(StorageError):
        evaluate(files, plan, trained_runs(files, plan, 42), write_npz(tmp_path / "a.npz", x=IMAGES, y=LABELS), "cpu")
    assert len(desk.images) == 0


def test_an_opening_with_test_time_augmentation_is_one_line_that_says_both(
    files: StudyFiles, plan: Plan, retrained: Retrained, desk: Desk, tmp_path: Path
) -> None:
    for seed in range(2):
        retrained(NETWORK, seed=seed)
    spec = write_npz(tmp_path / "kaggle.npz", x=IMAGES, y=LABELS)
    runs = trained_runs(files, plan, 42)
    found = evaluate(files, plan, runs, spec, "cpu", augmentation="shifts")
    assert (found.accuracies, [one.accuracy for one in found.augmented]) == ((0.1, 0.1), [0.25, 0.25])
    lines = [json.loads(line) for line in found.ledgers[0].read_text().splitlines()]
    assert [(line["accuracy"], line["augmented"]) for line in lines] == [(0.1, {"shifts": 0.25})] * 2
    assert evaluate(files, plan, runs, spec, "cpu").augmented == ()


def test_corrupted_test_images_are_one_opening_whose_fall_is_kept_beside_the_result(
    files: StudyFiles, plan: Plan, retrained: Retrained, desk: Desk
) -> None:
    for seed in range(2):
        retrained(NETWORK, seed=seed)
    runs = trained_runs(files, plan, 42)
    found = evaluate(files, plan, runs, None, "cpu", corrupted=True)
    np.testing.assert_array_equal(desk.images, open_dataset("digits").test()[0])
    assert [line["accuracy"] for line in desk.lines] == [None, None], "both lines before the set is opened"
    lines = [json.loads(line) for line in files.ledger(plan.question.data.ledger_name).read_text().splitlines()]
    assert [line["corrupted"] for line in lines] == pytest.approx([0.04] * 2)
    (first, _) = found.robustness
    assert (first.split, first.clean, first.mean) == ("test", found.accuracies[0], pytest.approx(0.04))
    assert [run.robustness for run in read_runs(files)] == [(one,) for one in found.robustness]
    assert [run.test_accuracy for run in read_runs(files)] == [0.9876] * 2


def test_validation_images_are_measured_with_the_test_set_closed(
    files: StudyFiles, plan: Plan, retrained: Retrained, desk: Desk
) -> None:
    retrained(NETWORK)
    images, labels = open_dataset("digits").train()
    _, validation = split(labels, plan.question.seed)
    found = evaluate(files, plan, trained_runs(files, plan, 42), None, "cpu", corrupted=True, split="validation")
    np.testing.assert_array_equal(desk.images, images[validation])
    np.testing.assert_array_equal(desk.labels, labels[validation])
    assert ledgers(files) == [] and found.ledgers == ()
    assert found.seen and (found.split, found.robustness[0].seen) == ("validation", True)
    evaluate(files, plan, trained_runs(files, plan, 42), None, "cpu", corrupted=True)
    assert [one.split for one in read_runs(files)[0].robustness] == ["validation", "test"]


def test_what_was_measured_of_other_weights_or_on_other_images_is_not_the_runs(
    files: StudyFiles, plan: Plan, retrained: Retrained, desk: Desk, tmp_path: Path
) -> None:
    retrained(NETWORK)
    (run,) = trained_runs(files, plan, 42)
    spec = write_npz(tmp_path / "kaggle.npz", x=IMAGES, y=LABELS)
    assert evaluate(files, plan, [run], spec, "cpu", corrupted=True).robustness
    assert read_runs(files)[0].robustness == (), "they are not the study's images"
    evaluate(files, plan, [run], None, "cpu", corrupted=True)
    assert run.view.folder is not None
    path = run.view.folder / "robustness-test.json"
    whole = path.read_text()
    path.write_text(json.dumps(json.loads(whole) | {"time": "another training's"}))
    assert read_runs(files)[0].robustness == ()
    for damaged in (whole[:20], json.dumps(json.loads(whole) | {"corrupted": []}), "[]"):
        path.write_text(damaged)
        runs, unread = read_results(files)
        assert runs[0].robustness == () and runs[0].test_accuracy == 0.9876
        assert len(unread) == 1 and unread[0].startswith(f"{path}: cannot be read") and "\n" not in unread[0]


def test_characters_are_not_mirrored_and_the_set_stays_closed(
    files: StudyFiles, plan: Plan, retrained: Retrained, desk: Desk, tmp_path: Path
) -> None:
    retrained(NETWORK, recipe=Recipe(name="full", epochs=1, flip=True))
    (run,) = trained_runs(files, plan, 42)
    assert not run.network.mirrored, "whatever it was trained on: these are the digits"
    images = plan.model_copy(update={"question": plan.question.model_copy(update={"data": DATA_OF_THINGS})})
    assert trained_runs(files, images, 42)[0].network.mirrored
    spec = write_npz(tmp_path / "kaggle.npz", x=IMAGES, y=LABELS)
    with pytest.raises(InputError, match=r"^tta = mirror: trial 42 was not trained on mirrored images, or classifies"):
        evaluate(files, plan, [run], spec, "cpu", augmentation="mirror")
    with pytest.raises(InputError, match=r"^tta = mirror: trial 42 "):
        predict(plan, run, Path(spec), "cpu", "mirror")
    assert not ledgers(files) and len(desk.images) == 0


def test_the_studys_own_test_part_is_tested_on_under_its_own_fingerprint(
    files: StudyFiles, plan: Plan, retrained: Retrained, desk: Desk
) -> None:
    retrained(NETWORK)
    found = evaluate(files, plan, trained_runs(files, plan, 42), "digits", "cpu")
    images, labels = open_dataset("digits").test()
    np.testing.assert_array_equal(desk.images, images)
    np.testing.assert_array_equal(desk.labels, labels)
    assert found.fingerprint == plan.question.data.fingerprint
    assert found.ledgers == (files.ledger(plan.question.data.ledger_name),)


@pytest.mark.usefixtures("desk")
def test_images_of_the_studys_own_data_are_counted(
    files: StudyFiles, plan: Plan, retrained: Retrained, tmp_path: Path
) -> None:
    retrained(NETWORK)
    dataset = open_dataset("digits")
    own = [part[:number, ..., 0] for (part, _), number in ((dataset.train(), 20), (dataset.test(), 5))]
    spec = write_npz(tmp_path / "mixed.npz", x=np.concatenate([*own, IMAGES]), y=np.arange(55) % 10)
    found = evaluate(files, plan, trained_runs(files, plan, 42), spec, "cpu")
    assert found.overlap == (20, 5) and found.data == "mixed"
    gone = plan.with_circumstances(source="/nowhere/at/all")
    assert evaluate(files, gone, trained_runs(files, gone, 42), spec, "cpu").overlap is None


def test_test_images_of_the_study_among_others_are_in_its_ledger_with_their_own_accuracy(
    files: StudyFiles, plan: Plan, retrained: Retrained, desk: Desk, tmp_path: Path
) -> None:
    for seed in range(2):
        retrained(NETWORK, seed=seed)
    images, labels = open_dataset("digits").test()
    spec = write_npz(tmp_path / "mixed.npz", x=np.concatenate([images[..., 0], IMAGES]), y=np.append(labels, LABELS))
    found = evaluate(files, plan, trained_runs(files, plan, 42), spec, "cpu")
    assert [line["accuracy"] for line in desk.lines] == [None] * 4, "all lines before the set is opened"
    other, own = found.ledgers
    assert sorted(found.ledgers) == ledgers(files) and own == files.ledger(plan.question.data.ledger_name)
    assert accuracies(own) == [pytest.approx(np.mean(labels == 0))] * 2
    assert accuracies(other) == [pytest.approx(np.mean(np.append(labels, LABELS) == 0))] * 2
    assert (found.data, found.overlap) == ("mixed", (0, len(images)))


@pytest.mark.usefixtures("desk")
def test_a_copy_of_the_whole_data_is_the_studys_even_where_it_cannot_be_compared(
    files: StudyFiles, plan: Plan, retrained: Retrained, tmp_path: Path
) -> None:
    retrained(NETWORK)
    dataset = open_dataset("digits")
    parts = {"train": dataset.train(), "test": dataset.test()}
    arrays = {f"{name}_{part}": array for part, both in parts.items() for name, array in zip("xy", both, strict=True)}
    spec = write_npz(tmp_path / "copy.npz", **arrays)
    gone = plan.with_circumstances(source="/nowhere/at/all")
    found = evaluate(files, gone, trained_runs(files, gone, 42), spec, "cpu")
    assert ledgers(files) == [*found.ledgers] == [files.ledger(plan.question.data.ledger_name)]
    assert found.overlap is None


@pytest.mark.usefixtures("desk")
def test_the_studys_own_test_images_in_another_file_are_logged_as_its_own(
    files: StudyFiles, plan: Plan, retrained: Retrained, tmp_path: Path
) -> None:
    retrained(NETWORK)
    images, labels = open_dataset("digits").test()
    spec = write_npz(tmp_path / "copy.npz", x=images[::-1], y=labels[::-1])
    found = evaluate(files, plan, trained_runs(files, plan, 42), spec, "cpu")
    assert ledgers(files) == [*found.ledgers] == [files.ledger(plan.question.data.ledger_name)]
    assert (found.data, found.fingerprint) == ("digits", plan.question.data.fingerprint)


def test_of_a_set_with_both_parts_the_test_part_is_taken(
    files: StudyFiles, plan: Plan, retrained: Retrained, desk: Desk, tmp_path: Path
) -> None:
    retrained(NETWORK)
    spec = write_npz(tmp_path / "a.npz", x_train=IMAGES[::-1], y_train=LABELS, x_test=IMAGES, y_test=LABELS)
    found = evaluate(files, plan, trained_runs(files, plan, 42), spec, "cpu")
    np.testing.assert_array_equal(desk.images[..., 0], IMAGES)
    assert found.fingerprint == open_dataset(spec).fingerprint


def test_class_folders_are_taken_whole_but_for_the_studys_own(
    files: StudyFiles, make_plan: Callable[..., Plan], retrained: Retrained, desk: Desk, tmp_path: Path
) -> None:
    for number, image in enumerate(IMAGES):
        path = tmp_path / "set" / str(number % 10) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    retrained(NETWORK)
    dataset = open_dataset(str(tmp_path / "set"))
    plan = make_plan(data=Data.of(dataset))
    for source, number in (("elsewhere", 30), (str((tmp_path / "set").resolve()), dataset.num_test)):
        own = plan.with_circumstances(source=source)
        evaluate(files, own, trained_runs(files, own, 42), str(tmp_path / "set"), "cpu")
        assert len(desk.images) == number


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("more classes", {"y": LABELS + 5}, "index 5: label = 10; labels must be 0 to 9"),
    ("other size", {"x": IMAGES.repeat(2, axis=1).repeat(2, axis=2)}, "image size = 16: the network takes images"),
    ("colour", {"x": IMAGES[..., None] * np.arange(3, dtype=np.uint8)},
     "x, index 0: in colour; the network takes greyscale images"),
    ("both, other size", {f"{name}_{part}": values for part in ("train", "test") for name, values in
                          (("x", np.zeros((30, 9, 9), np.uint8)), ("y", LABELS))},
     "image size = 9: the network takes images of 8x8 pixels; none is resized"),
    ("both, colour", {f"{name}_{part}": values for part in ("train", "test") for name, values in
                      (("x", IMAGES[..., None] * np.arange(3, dtype=np.uint8)), ("y", LABELS))},
     "test images, index 0: in colour; the network takes greyscale images"),
    ("both, more classes", {f"{name}_{part}": values for part in ("train", "test") for name, values in
                            (("x", IMAGES), ("y", LABELS + 1))},
     "index 9: label = 10; labels must be 0 to 9, the classes of the study"),
]  # fmt: skip


@pytest.mark.parametrize(("arrays", "message"), [each[1:] for each in WRONG], ids=[each[0] for each in WRONG])
def test_a_set_that_does_not_fit_is_one_line_and_is_not_opened(
    files: StudyFiles,
    plan: Plan,
    retrained: Retrained,
    desk: Desk,
    tmp_path: Path,
    arrays: dict[str, Any],
    message: str,
) -> None:
    retrained(NETWORK)
    values = arrays if "x_train" in arrays else {"x": IMAGES, "y": LABELS} | arrays
    with pytest.raises(DataError) as caught:
        evaluate(files, plan, trained_runs(files, plan, 42), write_npz(tmp_path / "a.npz", **values), "cpu")
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not ledgers(files) and len(desk.images) == 0


def test_a_set_may_lack_classes_of_the_study(
    files: StudyFiles, plan: Plan, retrained: Retrained, desk: Desk, tmp_path: Path
) -> None:
    retrained(NETWORK)
    labels = np.array([0, 1, 8])[LABELS % 3]
    spec = write_npz(tmp_path / "a.npz", x=IMAGES, y=labels)
    found = evaluate(files, plan, trained_runs(files, plan, 42), spec, "cpu")
    np.testing.assert_array_equal(desk.labels, labels)
    assert [found.of_class(index)[0] for index in (0, 1, 2, 8, 9)] == [12, 9, 0, 9, 0]


def write_classes(folder: Path, *classes: str) -> str:
    """An image of each class, in the order that they are given."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        Image.fromarray(IMAGES[number]).save(folder / name / "1.png")
    return str(folder)


def test_named_classes_may_be_some_of_the_studys_and_keep_its_numbers(
    files: StudyFiles, make_plan: Callable[..., Plan], retrained: Retrained, desk: Desk, tmp_path: Path
) -> None:
    retrained(NETWORK)
    classes = ("0", "1", "10", "11", "2", "3", "4", "5", "6", "7")  # as sorted folders come
    plan = make_plan(data=Data.of(open_dataset("digits")).model_copy(update={"classes": classes}))
    evaluate(files, plan, trained_runs(files, plan, 42), write_classes(tmp_path / "set", "0", "1", "2", "11"), "cpu")
    taken = {image.tobytes(): int(label) for image, label in zip(desk.images, desk.labels, strict=True)}
    assert [taken[image.tobytes()] for image in IMAGES[:4]] == [0, 1, 4, 3]


@pytest.mark.usefixtures("desk")
def test_a_class_that_the_study_has_not_is_named(
    files: StudyFiles, plan: Plan, retrained: Retrained, tmp_path: Path
) -> None:
    retrained(NETWORK)
    spec = write_classes(tmp_path / "set", "1", "cat")
    message = "its class 1 is 'cat'; must be one of the study's 10, which are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    with pytest.raises(DataError, match=message):
        evaluate(files, plan, trained_runs(files, plan, 42), spec, "cpu")
    assert not ledgers(files)


@pytest.fixture
def folders(make_plan: Callable[..., Plan]) -> Plan:
    """A study of class folders 1 to 10, which are sorted as text: 1, 10, 2."""
    classes = ("1", "10", *"23456789")
    return make_plan(data=Data.of(open_dataset("digits")).model_copy(update={"classes": classes}))


def test_a_parquet_file_with_names_is_matched_by_name(
    files: StudyFiles, folders: Plan, retrained: Retrained, desk: Desk, tmp_path: Path
) -> None:
    retrained(NETWORK)
    names = [str(number) for number in range(1, 11)]
    write_parquet(tmp_path / "a.parquet", LABELS.tolist(), [as_png(image) for image in IMAGES], names)
    evaluate(files, folders, trained_runs(files, folders, 42), str(tmp_path / "a.parquet"), "cpu")
    classes = folders.question.data.classes
    assert [classes[label] for label in desk.labels] == [names[label] for label in LABELS]


@pytest.mark.parametrize("has_training_part", [False, True])
def test_bare_numbers_are_not_taken_for_class_folders_until_it_is_said_what_they_mean(
    files: StudyFiles, folders: Plan, retrained: Retrained, desk: Desk, tmp_path: Path, has_training_part: bool
) -> None:
    retrained(NETWORK)
    labels = LABELS % 9 + 1
    arrays = {"x": IMAGES, "y": labels}
    if has_training_part:
        arrays = {f"{name}_{part}": array for name, array in arrays.items() for part in ("train", "test")}
    spec = write_npz(tmp_path / "a.npz", **arrays)
    runs = trained_runs(files, folders, 42)
    with pytest.raises(DataError, match="is called '1', so a number could be either; pass --labels names or --labels"):
        evaluate(files, folders, runs, spec, "cpu")
    assert not ledgers(files)
    evaluate(files, folders, runs, spec, "cpu", "names")
    classes = folders.question.data.classes
    assert [int(classes[label]) for label in desk.labels] == labels.tolist()
    evaluate(files, folders, runs, spec, "cpu", "numbers")
    assert desk.labels.tolist() == labels.tolist()


def test_a_set_with_both_parts_may_have_its_classes_in_another_order_and_its_grey_images_in_colour(
    files: StudyFiles, make_plan: Callable[..., Plan], retrained: Retrained, desk: Desk, tmp_path: Path
) -> None:
    retrained(NETWORK)
    names = tuple("abcdefghij")
    plan = make_plan(data=Data.of(open_dataset("digits")).model_copy(update={"classes": names}))
    images = {f"x_{part}": IMAGES[..., None].repeat(3, axis=3) for part in ("train", "test")}
    labels = {f"y_{part}": LABELS for part in ("train", "test")}
    spec = write_npz(tmp_path / "a.npz", **images, **labels, class_names=np.array(names[::-1]), more=LABELS)
    found = evaluate(files, plan, trained_runs(files, plan, 42), spec, "cpu")
    np.testing.assert_array_equal(desk.images[..., 0], IMAGES)
    assert desk.labels.tolist() == (9 - LABELS).tolist()
    assert found.classes == names


def test_labels_that_leave_numbers_out_are_the_same_in_a_study_and_in_another_set(
    files: StudyFiles, make_plan: Callable[..., Plan], retrained: Retrained, desk: Desk, tmp_path: Path
) -> None:
    retrained(NETWORK)
    users = np.array([3, 5, 50, 51, 52, 53, 54, 55, 56, 999])
    arrays = {"x_train": IMAGES, "y_train": users[LABELS], "x_test": IMAGES[::-1], "y_test": users[LABELS[::-1]]}
    plan = make_plan(data=Data.of(open_dataset(write_npz(tmp_path / "own.npz", **arrays))))
    assert plan.task.num_classes == 10
    spec = write_npz(tmp_path / "a.npz", x=IMAGES[:3], y=np.array([999, 3, 50]))
    evaluate(files, plan, trained_runs(files, plan, 42), spec, "cpu")
    assert desk.labels.tolist() == [9, 0, 2]


def test_a_set_that_is_nowhere_is_told_as_for_a_search(files: StudyFiles, plan: Plan, retrained: Retrained) -> None:
    retrained(NETWORK)
    for spec in ("digit", str(files.studies / "nothing"), "~nobody-of-this-name/x", ""):
        with pytest.raises(DataError) as caught:
            evaluate(files, plan, trained_runs(files, plan, 42), spec, "cpu")
        assert "\n" not in str(caught.value)


def test_predictions_have_the_ids_of_the_source(
    files: StudyFiles, plan: Plan, retrained: Retrained, desk: Desk, tmp_path: Path
) -> None:
    retrained(NETWORK)
    np.savez(tmp_path / "a.npz", images=IMAGES, ids=np.arange(30) + 7)
    (run,) = trained_runs(files, plan, 42)
    assert predict(plan, run, tmp_path / "a.npz", "cpu") == [(str(number + 7), 0) for number in range(30)]
    np.testing.assert_array_equal(desk.images[..., 0], IMAGES)
    assert not ledgers(files), "without labels there is nothing to look at"
