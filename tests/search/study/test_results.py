"""Results as they lie on disk, those of older versions too."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from models.architecture import Architecture, Stage, Stem
from search.errors import StorageError
from search.files import StudyFiles
from search.recipe import Recipe
from search.study.results import fault_of_weights, read_results, read_run
from search.study.way import Way, recipe_digest
from search.teaching import Teacher, Teaching
from search.trained_network import AugmentedResult

RECIPE = Recipe(name="mine", epochs=60, stop_patience=5)
EPOCH = {"epoch": 1, "train_loss": 0.5, "train_accuracy": 0.8, "lr": 0.1, "seconds": 1.0, "validation_loss": None}


def write(path: Path, **changes: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {
        "label": "0001", "purpose": "final", "seed": 0, "params": 1, "macs": 1, "recipe": "mine", "epochs": 1,
        "architecture": Architecture(Stem(8), (Stage("basic", 1, 8),)).to_dict(), "seconds": 1.0, "device": "CPU",
        "history": [EPOCH | {"validation_accuracy": None}], "precision": "fp32", "test_loss": 0.5, "confusion": None,
        "test_accuracy": 0.9, "recipe_values": RECIPE.model_dump(mode="json"),
    }  # fmt: skip
    path.write_text(json.dumps(values | changes))
    return path


def test_a_result_of_an_older_version_is_trained_like_one_of_today(tmp_path: Path) -> None:
    """It has neither digest nor time, and its recipe lacks what recipes had not yet."""
    values = RECIPE.model_dump(mode="json")
    known = {name: value for name, value in values.items() if name not in ("halve_batch", "mix_probability")}
    old = read_run(write(tmp_path / "old.json", recipe_values=known))
    new = read_run(
        write(tmp_path / "new.json", seed=1, epochs=2, time="2026-01-01T00:00:00+00:00", recipe_digest="stale")
    )
    assert old.recipe_values == values
    assert (old.time, new.time) == ("", "2026-01-01T00:00:00+00:00")
    assert old.way == new.way == Way(recipe_digest(values), False, "fp32", "CPU")


def test_accuracies_with_test_time_augmentation_are_read_and_older_results_lack_them(tmp_path: Path) -> None:
    values = [{"augmentation": "mirror", "passes": 2, "accuracy": 0.91}]
    run = read_run(write(tmp_path / "run.json", augmented=values))
    assert run.augmented == (AugmentedResult("mirror", 2, 0.91),) and run.test_accuracy == 0.9
    assert read_run(write(tmp_path / "old.json")).augmented == ()
    for wrong in ({"accuracy": 1.5}, {"passes": 0}, {"augmentation": "upside down"}):
        with pytest.raises(StorageError, match=r"cannot be read \(augmented"):
            read_run(write(tmp_path / "run.json", augmented=[values[0] | wrong]))


def test_another_recipe_of_the_same_name_is_another_way(tmp_path: Path) -> None:
    first = read_run(write(tmp_path / "first.json"))
    second = read_run(write(tmp_path / "second.json", recipe_values=RECIPE.model_dump(mode="json") | {"lr": 0.2}))
    assert first.recipe == second.recipe and first.way != second.way


def test_auto_and_the_precision_that_it_stood_for_are_one_way(tmp_path: Path) -> None:
    named = RECIPE.model_dump(mode="json") | {"precision": "bf16"}
    ways = [
        read_run(write(tmp_path / "run.json", **changes)).way
        for changes in (
            {"precision": "bf16"}, {"precision": "bf16", "recipe_values": named}, {"precision": "fp32"},
            {"precision": "bf16", "device": "NVIDIA H100"},
        )
    ]  # fmt: skip
    assert ways[0] == ways[1] and len(set(ways)) == 3


LAYOUTS = [
    "retrain/0001/seed-0", "retrain/resnet40/as1/seed-1", "retrain/0001/full-1ep-0a/seed-2", "finalists/x/seed-3",
    "proxy/0001/seed-4", "retrain/mine/moved/here/seed-5",
]  # fmt: skip


def test_results_are_found_wherever_they_lie(files: StudyFiles) -> None:
    for seed, place in enumerate(LAYOUTS):
        write(files.folder / place / "result.json", seed=seed)
    runs, unread = read_results(files)
    assert sorted((run.seed, run.folder) for run in runs) == [
        (seed, files.folder / place) for seed, place in enumerate(LAYOUTS)
    ]
    assert unread == ()


TEACHER = {"name": "trial 3", "params": 100, "macs": 200, "digest": "abc"}


def test_what_taught_a_run_is_read_again(tmp_path: Path) -> None:
    teaching = {"teachers": [TEACHER], "source": "top1", "temperature": 2, "share": 0.5}
    runs = [read_run(write(tmp_path / name, **values)) for name, values in (("a", {"teaching": teaching}), ("b", {}))]
    assert runs[0].teaching == Teaching((Teacher("trial 3", 100, 200, "abc"),), "top1", 2.0, 0.5)
    assert runs[1].teaching is None and runs[0].way != runs[1].way
    assert runs[0].way._replace(teaching="") == runs[1].way


DAMAGE: list[dict[str, Any]] = [
    {"label": None}, {"label": "0001 with dropout high"}, {"purpose": "other"}, {"seed": "first"}, {"seed": -1},
    {"params": None}, {"epochs": [1]}, {"architecture": {}}, {"architecture": 7}, {"history": 3}, {"history": [{}]},
    {"history": [EPOCH | {"epoch": None, "validation_accuracy": None}]}, {"test_accuracy": "high"},
    {"test_accuracy": 90.0}, {"confusion": [[1, 2]]}, {"confusion": 5}, {"recipe_values": []}, {"recipe_values": None},
    {"seconds": "long"}, {"precision": 16}, {"time": 7}, {"holdout": "perhaps"},
    {"teaching": "none"}, {"teaching": {"teachers": [], "source": "top1"}},
    {"teaching": {"teachers": [TEACHER], "source": "top1", "temperature": 0}},
    {"teaching": {"teachers": [TEACHER], "source": "top1", "share": "nan"}},
    {"teaching": {"teachers": [TEACHER | {"name": "a\x1b[2J"}], "source": "top1"}},
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE, ids=str)
def test_a_result_that_no_run_can_have_is_one_line(tmp_path: Path, damage: dict[str, Any]) -> None:
    path = write(tmp_path / "result.json", **damage)
    with pytest.raises(StorageError) as caught:
        read_run(path)
    assert str(caught.value).startswith(f"{path}: cannot be read (") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"label": "0001"}', b"\xff\xfe", b"[" * 100_000, b"\0" * 99]
)
def test_a_damaged_file_is_a_line_and_the_rest_is_read(files: StudyFiles, content: bytes) -> None:
    sound = read_run(write(files.folder / "retrain" / "0001" / "seed-0" / "result.json"))
    path = files.folder / "retrain" / "0001" / "seed-1" / "result.json"
    path.parent.mkdir()
    path.write_bytes(content)
    runs, unread = read_results(files)
    assert runs == (sound,)
    assert len(unread) == 1 and unread[0].startswith(f"{path}: cannot be read (") and "\n" not in unread[0]


def test_what_is_no_file_is_a_line(files: StudyFiles) -> None:
    retrain = files.folder / "retrain"
    (retrain / "0001" / "result.json").mkdir(parents=True)
    os.mkfifo(retrain / "result.json")  # nobody will ever write into it
    (retrain / "0002").symlink_to(retrain / "0002")
    (retrain / "notes.txt").write_text("foreign")
    runs, unread = read_results(files)
    assert runs == ()
    assert [line.partition(": ")[2] for line in unread] == ["cannot be read (it is not a file)"] * 2


def test_what_was_trained_on_other_data_is_a_line(files: StudyFiles) -> None:
    own = read_run(write(files.folder / "retrain" / "a" / "result.json", data="toy-0123"))
    old = read_run(write(files.folder / "retrain" / "b" / "result.json", seed=1))
    write(files.folder / "retrain" / "c" / "result.json", seed=2, data="digits-4567")
    runs, unread = read_results(files, "toy-0123")
    assert runs == (own, old)
    assert len(unread) == 1 and unread[0].endswith("was trained on other data, digits-4567, and counts for nothing")


def test_a_copy_of_a_run_is_not_a_second_seed(files: StudyFiles) -> None:
    first = write(files.folder / "retrain" / "0001" / "seed-0" / "result.json", time="2026-01-02")
    write(files.folder / "retrain" / "backup" / "seed-0" / "result.json", time="2026-01-01")
    (run,), (line,) = read_results(files)
    assert run.folder == first.parent and line.endswith(f": is the same run as {first}, which counts")
    (files.folder / "retrain" / "backup" / "seed-0" / "weights.safetensors").write_text("")
    (run,), _ = read_results(files)
    assert run.folder == files.folder / "retrain" / "backup" / "seed-0", "it has weights"


def test_weights_that_cannot_be_used_are_a_line(tmp_path: Path) -> None:
    run = read_run(write(tmp_path / "result.json"))
    path = tmp_path / "weights.safetensors"
    assert fault_of_weights(run, None) == f"{path}: is gone"
    path.write_text("")
    assert str(fault_of_weights(run, None)).startswith(f"{path}: not a readable safetensors file")
