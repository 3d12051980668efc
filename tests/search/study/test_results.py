"""Results as they lie on disk, those of older versions too."""

import json
from pathlib import Path
from typing import Any

from models.architecture import Architecture, Stage, Stem
from search.recipe import Recipe
from search.study.results import read_run, recipe_digest

RECIPE = Recipe(name="mine", epochs=60, stop_patience=5)
EPOCH = {"epoch": 1, "train_loss": 0.5, "train_accuracy": 0.8, "lr": 0.1, "seconds": 1.0, "validation_loss": None}


def write(path: Path, **changes: Any) -> Path:
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
    old, recipe = read_run(write(tmp_path / "old.json", recipe_values=known))
    new, _ = read_run(
        write(tmp_path / "new.json", seed=1, epochs=2, time="2026-01-01T00:00:00+00:00", recipe_digest="stale")
    )
    assert recipe == old.recipe_values == values
    assert (old.time, new.time) == ("", "2026-01-01T00:00:00+00:00")
    assert old.way == new.way == (recipe_digest(values), False)


def test_another_recipe_of_the_same_name_is_another_way(tmp_path: Path) -> None:
    first, _ = read_run(write(tmp_path / "first.json"))
    second, _ = read_run(write(tmp_path / "second.json", recipe_values=RECIPE.model_dump(mode="json") | {"lr": 0.2}))
    assert first.recipe == second.recipe and first.way != second.way
