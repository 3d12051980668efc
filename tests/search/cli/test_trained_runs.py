"""nas evaluate, predict and export on networks that were really searched and trained."""

import csv
import importlib.util
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import copytree
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from search.data.datasets import open_dataset

pytestmark = pytest.mark.slow

SPACE = "stem: {width: 8}\nnum_stages: [1, 2]\nstage: {block: basic, depth: 1, width: [8, 16]}\n"
RECIPE = "{name: brief, epochs: 4, batch_size: 64, precision: fp32}\n"


@dataclass(frozen=True)
class Story:
    """A folder with a study of two trials, of which trial 0 was retrained twice, and a baseline once."""

    folder: Path
    nas: Callable[..., CompletedProcess[str]]

    def result(self, seed: int) -> dict[str, Any]:
        runs = self.folder / "studies" / "digits-20k" / "retrain" / "0000"
        (path,) = runs.glob(f"brief-4ep-*/seed-{seed}/result.json")
        values: dict[str, Any] = json.loads(path.read_text())
        return values

    def openings(self) -> dict[str, int]:
        """How many lines each ledger has."""
        paths = (self.folder / "studies" / "test-ledger").glob("*.jsonl")
        return {path.name.rsplit("-", 1)[0]: len(path.read_text().splitlines()) for path in paths}

    def predicted(self, name: str) -> list[tuple[str, str]]:
        with (self.folder / name).open(newline="") as file:
            rows = list(csv.reader(file))
        assert rows[0] == ["id", "label"]
        return [(id, label) for id, label in rows[1:]]


@pytest.fixture(scope="module")
def story(
    built_once: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
    cache: Path,
    nas_in: Callable[..., CompletedProcess[str]],
) -> Story:
    def nas_there(folder: Path, *arguments: str) -> CompletedProcess[str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NAS_CACHE", str(cache))
            return nas_in(folder, *arguments)

    def train(folder: Path) -> None:
        (folder / "small.yaml").write_text(SPACE)
        (folder / "brief.yaml").write_text(RECIPE)
        space = ("--space", "small.yaml", "--fill", "none", "--no-warm-start")
        search = ("search", "--data", "digits", "--budget", "20k", "--trials", "2", "--epochs", "2", *space)
        for command in (search, ("retrain", "--trial", "0", "--seeds", "2", "--recipe", "brief.yaml")):
            done = nas_there(folder, *command)
            assert done.returncode == 0, done.stderr

    folder = tmp_path_factory.mktemp("own") / "story"
    copytree(built_once("story", train), folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE", str(cache))
        images, labels = open_dataset("digits").test()
    np.savez(folder / "hidden.npz", x_test=images, y_test=labels)
    np.savez(folder / "unlabelled.npz", x=images)
    (folder / "pictures").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(folder / "pictures" / f"{number}.png")
    return Story(folder, partial(nas_there, folder))


def test_a_file_of_the_test_images_has_the_accuracy_of_the_retraining(story: Story) -> None:
    before = story.openings()
    done = story.nas("evaluate", "--trial", "0", "--data", "hidden.npz", "--format", "json")
    assert done.returncode == 0, done.stderr
    evaluation = json.loads(done.stdout)
    assert [run["accuracy"] for run in evaluation["runs"]] == [story.result(seed)["test_accuracy"] for seed in (0, 1)]
    assert [run["loss"] for run in evaluation["runs"]] == [story.result(seed)["test_loss"] for seed in (0, 1)]
    assert [run["confusion"] for run in evaluation["runs"]] == [story.result(seed)["confusion"] for seed in (0, 1)]
    assert (evaluation["data"], evaluation["images"], evaluation["overlap"]) == (
        "digits",
        359,
        {"training": 0, "test": 359},
    )
    assert sum(row["images"] for row in evaluation["classes"]) == 359
    mean = sum(row["images"] * row["accuracy"] for row in evaluation["classes"]) / 359
    assert mean == pytest.approx(evaluation["accuracy"])
    assert story.openings() == before | {"digits": before["digits"] + 2}, "these are the study's own test images"


def test_test_time_augmentation_of_the_test_set_is_what_the_retraining_measured(story: Story) -> None:
    done = story.nas("evaluate", "--trial", "0", "--data", "digits", "--tta", "shifts", "--format", "json")
    assert done.returncode == 0, done.stderr
    evaluation = json.loads(done.stdout)
    (kept,) = story.result(0)["augmented"]
    assert (evaluation["augmented"]["tta"], evaluation["augmented"]["passes"]) == ("shifts", 3)
    assert evaluation["augmented"]["runs"][0] == {"seed": 0, "accuracy": kept["accuracy"]}
    assert evaluation["runs"][0]["accuracy"] == story.result(0)["test_accuracy"]
    how = "with test-time augmentation (shifts: logits averaged over 3 forward passes an image): accuracy "
    assert how in done.stderr
    predicted = story.nas(
        "predict", "--trial", "0", "--input", "unlabelled.npz", "--output", "s.csv", "--tta", "shifts"
    )
    assert "trial 0 seed 0, test-time augmentation by 3 passes an image)" in predicted.stdout, predicted.stderr
    labels = np.load(story.folder / "hidden.npz")["y_test"]
    right = [int(label) for _, label in story.predicted("s.csv")] == labels
    assert right.mean() == pytest.approx(kept["accuracy"])


def test_corrupted_images_of_either_split_give_the_same_numbers_twice_and_stand_on_the_page(story: Story) -> None:
    before = story.openings()
    command = ("evaluate", "--trial", "0", "--corrupted", "--seed", "1", "--format", "json")
    test, validation = (story.nas(*command, *extra) for extra in ((), ("--split", "validation")))
    again = story.nas(*command, "--split", "validation")
    assert test.returncode == validation.returncode == 0, test.stderr + validation.stderr
    assert again.stdout == validation.stdout
    assert story.openings()["digits"] == before["digits"] + 1, "validation images open no test set"
    values = json.loads(test.stdout)
    assert values["split"] == "test" and values["accuracy"] == story.result(1)["test_accuracy"]
    (run,) = values["corrupted"]["runs"]
    assert [len(by_strength) for by_strength in run["corruptions"].values()] == [3] * 7
    assert values["corrupted"]["fall"] == pytest.approx(run["clean"] - run["mean"])
    assert "warning: the network was trained on these images" in validation.stderr
    assert "test set openings" in test.stderr and "test set openings" not in validation.stderr
    assert story.nas("report").returncode == 0
    page = (story.folder / "studies" / "digits-20k" / "report.html").read_text()
    assert "Under corrupted images" in page and f"{100 * run['mean']:.2f}%" in page
    table = story.nas("evaluate", "--trial", "0", "--corrupted", "--split", "validation", "--seed", "1")
    assert "strength_3" in table.stdout and "points below the clean ones" in table.stdout


def test_one_seed_and_the_studys_own_test_set_by_its_name(story: Story) -> None:
    before = story.openings()
    done = story.nas("evaluate", "--trial", "0", "--data", "digits", "--seed", "1")
    assert done.returncode == 0, done.stderr
    assert f"accuracy {story.result(1)['test_accuracy']:.2%} (one run: seed 1" in done.stdout
    assert story.openings() == before | {"digits": before["digits"] + 1}


def test_test_images_among_others_are_named_and_in_both_ledgers(story: Story) -> None:
    hidden = np.load(story.folder / "hidden.npz")
    x = np.concatenate([hidden["x_test"], np.zeros((1, 8, 8, 1), np.uint8)])
    np.savez(story.folder / "padded.npz", x=x, y=np.append(hidden["y_test"], 0))
    before = story.openings()
    done = story.nas("evaluate", "--trial", "0", "--data", "padded.npz", "--seed", "0", "--dropout", "0")
    assert done.returncode == 0, done.stderr
    assert "warning: 359 of these images are also among the study's test images" in done.stdout
    assert story.openings() == before | {"padded": 1, "digits": before["digits"] + 1}
    (ledger,) = (story.folder / "studies" / "test-ledger").glob("digits-*.jsonl")
    assert json.loads(ledger.read_text().splitlines()[-1])["accuracy"] == story.result(0)["test_accuracy"]


def test_a_set_that_could_not_be_compared_is_named(story: Story) -> None:
    plan = story.folder / "studies" / "digits-20k" / "plan.yaml"
    text = plan.read_text()
    plan.write_text(text.replace("source: digits", "source: /nowhere/at/all"))
    try:
        done = story.nas("evaluate", "--trial", "0", "--data", "hidden.npz", "--seed", "0")
    finally:
        plan.write_text(text)
    assert done.returncode == 0, done.stderr
    assert "warning: the study's own images are no longer in the data cache, so these could not be" in done.stdout


def test_predictions_of_arrays_and_of_pictures_are_those_that_were_evaluated(story: Story) -> None:
    for source, output in (("unlabelled.npz", "arrays.csv"), ("pictures", "pictures.csv")):
        done = story.nas("predict", "--trial", "0", "--input", source, "--output", output)
        assert done.returncode == 0, done.stderr
        assert "(359 images, labels are numbers of classes from 0, trial 0 seed 0)" in done.stdout
    arrays = story.predicted("arrays.csv")
    assert [id for id, _ in arrays] == [str(number) for number in range(359)]
    assert story.predicted("pictures.csv") == arrays
    confusion = np.zeros((10, 10), dtype=int)
    labels = np.load(story.folder / "hidden.npz")["y_test"]
    np.add.at(confusion, (labels, [int(label) for _, label in arrays]), 1)
    assert confusion.tolist() == story.result(0)["confusion"]


@pytest.mark.slow
def test_onnx_files_are_measured_and_the_report_shows_them(story: Story) -> None:
    before = story.openings()
    done = story.nas("export", "--trial", "0", "--to", "int8", "--output", "shipped")
    assert done.returncode == 0, done.stderr
    written = [Path(line).name for line in done.stdout.splitlines()]
    assert written[-3:] == ["model.onnx", "model.int8.onnx", "certificate.json"]
    sizes = {name: (story.folder / "shipped" / name).stat().st_size for name in ("model.onnx", "model.int8.onnx")}
    assert all(f"{name}: {size:,} bytes, " in done.stderr for name, size in sizes.items())
    card = (story.folder / "shipped" / "MODEL_CARD.md").read_text()
    assert all(f"| `{name}` | {size:,} |" in card for name, size in sizes.items())
    assert story.openings() == before
    reported = story.nas("report", "--format", "json")
    assert reported.returncode == 0, reported.stderr
    table = json.loads((story.folder / "studies" / "digits-20k" / "tables" / "onnx.json").read_text())
    assert [row["int8_bytes"] for row in table] == [sizes["model.int8.onnx"]]


@pytest.mark.parametrize("options", [("--output", "small.yaml/net"), ("--bundle", "small.yaml/net.zip")])
def test_the_test_set_stays_closed_where_what_is_measured_on_it_cannot_be_written(
    story: Story, options: tuple[str, str]
) -> None:
    before = story.openings()
    done = story.nas("export", "--trial", "0", "--to", "onnx", "--test", "--study", "digits-20k", *options)
    assert done.returncode == 1 and done.stderr.startswith(f"nas: cannot write {options[1]}"), done.stderr
    assert done.stderr.count("\n") == 1 and story.openings() == before


def test_the_exported_model_predicts_the_same(story: Story) -> None:
    predicted = story.nas(
        "predict", "--trial", "0", "--input", "unlabelled.npz", "--output", "p.csv", "--labels", "names"
    )
    assert predicted.returncode == 0, predicted.stderr
    exported = story.nas("export", "--trial", "0", "--output", "net")
    assert exported.returncode == 0, exported.stderr
    spec = importlib.util.spec_from_file_location("exported_model", story.folder / "net" / "model.py")
    assert spec is not None and spec.loader is not None
    model = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(model)
    images = torch.from_numpy(np.load(story.folder / "unlabelled.npz")["x"].transpose(0, 3, 1, 2).copy())
    with torch.inference_mode():
        labels = model.load()(model.preprocess(images)).argmax(dim=1).tolist()
    assert [label for _, label in story.predicted("p.csv")] == [model.CLASSES[label] for label in labels]
    card = (story.folder / "net" / "MODEL_CARD.md").read_text()
    accuracies = [story.result(seed)["test_accuracy"] for seed in (0, 1)]
    assert f"{sum(accuracies) / 2:.2%} in the mean of 2 seeds, 95% interval" in card


def test_a_pickle_that_would_run_a_command_is_refused(story: Story) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {story.folder / 'made'}",)

    (story.folder / "hostile.pkl").write_bytes(pickle.dumps({"data": Hostile()}))
    done = story.nas("predict", "--trial", "0", "--input", "hostile.pkl", "--output", "p.csv")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("nas: data = ")
    assert "a pickle that would run 'posix.system'" in done.stderr
    assert not (story.folder / "made").exists()


EVALUATE, PREDICT = ("evaluate", "--data", "hidden.npz"), ("predict", "--input", "unlabelled.npz", "--output", "p.csv")
WRONG = [
    ((*EVALUATE, "--trial", "1"), 2, "trial = 1: has no trained weights; run `nas retrain --trial 1` first"),
    ((*EVALUATE, "--trial", "0", "--seed", "7"), 2, "seed = 7: trial 0 was not trained with it; there are 0, 1"),
    ((*EVALUATE, "--trial", "0", "--dropout", "0.3"), 2, "trial = 0: was not trained with dropout 0.3; it was with 0"),
    ((*PREDICT, "--trial", "0", "--dropout", "0.3"), 2, "trial = 0: was not trained with dropout 0.3; it was with 0"),
    (("export", "--trial", "0", "--dropout", "0.3"), 2, "trial = 0: was not trained with dropout 0.3; it was with 0"),
    (("export", "--trial", "0", "--test"), 2, "test: is for --to onnx or int8, whose files are measured"),
    (("export", "--trial", "0", "--to", "onxx"), 2, "to = 'onxx': must be one of torch, onnx, int8"),
    ((*EVALUATE, "--trial", "0", "--tta", "mirror"), 2, "tta = mirror: trial 0 was not trained on mirrored images, or"),
    ((*PREDICT, "--trial", "0", "--tta", "six"), 2, "tta = 'six': must be one of mirror, shifts"),
    (
        ("evaluate", "--trial", "0", "--split", "test", "--labels", "names"),
        2,
        "labels = 'names': is for --data; the",
    ),
    (("evaluate", "--trial", "0"), 2, "evaluate: give --data, or --split test or validation for the study's own"),
    (("evaluate", "--trial", "0", "--data", "more.npz"), 2, "index 10: label = 10; labels must be 0 to 9"),
    (("predict", "--trial", "0", "--input", "empty", "--output", "p.csv"), 2, "holds no images; must be a folder"),
    ((*PREDICT[:-1], "small.yaml/p.csv", "--trial", "0"), 1, "cannot write small.yaml/p.csv"),
    ((*PREDICT, "--trial", "0", "--device", "gpu"), 2, "device = 'gpu': must be one of auto, cpu, cuda"),
]


@pytest.mark.parametrize(
    ("arguments", "status", "message"), WRONG, ids=[" ".join(arguments) for arguments, _, _ in WRONG]
)
def test_a_mistake_is_one_line(story: Story, arguments: tuple[str, ...], status: int, message: str) -> None:
    (story.folder / "empty").mkdir(exist_ok=True)
    np.savez(story.folder / "more.npz", x=np.zeros((11, 8, 8), np.uint8), y=np.arange(11))
    done = story.nas(*arguments, "--study", "digits-20k")
    assert done.returncode == status
    assert message in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert done.stdout == ""


def test_a_bundle_has_the_same_bytes_again_and_is_verified_by_a_worker(story: Story) -> None:
    folder = story.folder / "bundled"
    for name in ("one.zip", "two.zip"):
        done = story.nas("export", "--trial", "0", "--output", str(folder), "--bundle", str(folder / name))
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith(f"bundle: {folder / name}\n")
    assert (folder / "one.zip").read_bytes() == (folder / "two.zip").read_bytes()
    verified = story.nas("verify", str(folder / "one.zip"), "--format", "json")
    assert verified.returncode == 0, verified.stderr
    checks = json.loads(verified.stdout)["checks"]
    assert {check["outcome"] for check in checks} == {"agrees"}
    hashed = {check["file"] for check in checks if check["what"] == "SHA-256"}
    assert {"report.html", "plan.yaml", "test-ledger.jsonl", "model.py", "README.md", "config.json"} < hashed
    assert [check["what"] for check in checks if check["file"] == "model.py"][-1] == "logits of 4 images"


def test_a_baseline_is_evaluated_and_exported_by_its_name(story: Story) -> None:
    (story.folder / "one.yaml").write_text("{name: one, epochs: 1, batch_size: 512, warmup: 0}")
    trained = story.nas("retrain", "--baseline", "resnet20-b", "--recipe", "one.yaml")
    assert trained.returncode == 0, trained.stderr
    evaluated = story.nas("evaluate", "--baseline", "resnet20-b", "--data", "hidden.npz", "--format", "csv")
    assert evaluated.returncode == 0, evaluated.stderr
    rows = list(csv.DictReader(evaluated.stdout.splitlines()))
    assert [row["class"] for row in rows] == [str(number) for number in range(10)]
    assert "baseline resnet20-b on 359 images of digits" in evaluated.stderr
    exported = story.nas("export", "--baseline", "resnet20-b")
    assert exported.returncode == 0, exported.stderr
    folder = story.folder / "studies" / "digits-20k" / "export" / "resnet20-b"
    assert "over the study's budget of 20,000: a reference" in (folder / "MODEL_CARD.md").read_text()
