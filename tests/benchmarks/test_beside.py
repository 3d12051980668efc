"""Ours beside others: the convention for outside scripts, and the recipes that are named."""

import argparse
from pathlib import Path

import beside
import numpy as np
import pytest
from beside import PATTERN, make_recipes, run_script

from search.errors import RecipeError

DATA = np.zeros((4, 16, 16, 3), np.uint8), np.arange(4)
TEST = np.ones((2, 16, 16, 3), np.uint8), np.arange(2)
AIRBENCH = r"\|\s+eval\s+\|[^|]*\|[^|]*\|\s*(?P<accuracy>[\d.]+)\s*\|[^|]*\|\s*(?P<seconds>[\d.]+)"


def run(tmp_path: Path, code: str, pattern: str = PATTERN, seeds: int = 1) -> list[tuple[float, float]]:
    path = tmp_path / "script.py"
    path.write_text(code)
    return run_script(path, pattern, seeds, DATA, TEST)


def test_a_script_finds_the_images_and_its_seed_and_tells_accuracy_and_seconds(tmp_path: Path) -> None:
    code = """
import os, numpy
arrays = numpy.load("images.npz")
assert arrays["x_train"].shape == (4, 16, 16, 3) and arrays["y_test"].tolist() == [0, 1]
assert sorted(os.listdir("cifar10")) == ["test.pt", "train.pt"]
print(f"accuracy = 0.5{os.environ['NAS_SEED']}, seconds = 2.5")
"""
    assert run(tmp_path, code, seeds=2) == [(0.50, 2.5), (0.51, 2.5)]


def test_a_script_that_tells_no_seconds_took_those_of_its_process(tmp_path: Path) -> None:
    ((accuracy, seconds),) = run(tmp_path, "print('accuracy = 0.25')")
    assert accuracy == 0.25
    assert 0 < seconds < 60


def test_the_documented_pattern_reads_the_table_of_airbench_and_not_its_augmented_tests(tmp_path: Path) -> None:
    code = """
print("|  run     |  epoch  |  train_loss  |  train_acc  |  val_acc  |  tta_val_acc  |  total_time_seconds  |")
print("|          |     14  |      1.0812  |     0.9310  |   0.9087  |               |              4.6012  |")
print("|          |   eval  |      1.0812  |     0.9310  |   0.9087  |       0.9160  |              4.8100  |")
"""
    assert run(tmp_path, code, AIRBENCH) == [(0.9087, 4.81)]
    assert AIRBENCH in (beside.__doc__ or "")


@pytest.mark.parametrize("code", ["print('accuracy = 0.5'); raise SystemExit(3)", "print('accuracy: 50%')"])
def test_a_script_that_fails_or_tells_nothing_ends_the_comparison(code: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"script.py: exit status [03], [01] lines of the pattern"):
        run(tmp_path, code)


def test_a_recipe_is_named_with_its_epochs() -> None:
    options = argparse.Namespace(images=50_000, size=32, device="cuda")
    recipes = make_recipes(["fast", "full:40"], options)
    assert {name: (recipe.epochs, recipe.batch_size) for name, recipe in recipes.items()} == {
        "fast, 8 epochs": (8, 512),
        "full, 40 epochs": (40, 512),
    }


@pytest.mark.parametrize("name", ["full:0", "full:many", "fulll", "as2"])
def test_a_recipe_that_cannot_be_used_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match=r"^\S+ = "):
        make_recipes([name], argparse.Namespace(images=50_000, size=32, device="cpu"))
