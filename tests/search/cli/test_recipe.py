"""The options that name a recipe or change it, and `nas recipe list`, `show` and `compare`."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from search.cli.recipe import fit_recipe, parse_recipe
from search.data.datasets import open_dataset
from search.errors import InputError, RecipeError
from search.recipe import Recipe, with_epochs
from search.recipes import FAST, FULL, RECIPES, load_recipe, to_yaml

Nas = Callable[..., CompletedProcess[str]]


def test_a_batch_size_takes_the_place_of_the_recipes() -> None:
    assert parse_recipe("fast", None, "96") == FAST.model_copy(update={"batch_size": 96})
    assert parse_recipe("fast", 3, "1k") == FAST.model_copy(update={"batch_size": 1_000, "epochs": 3})


def test_an_automatic_batch_size_is_the_recipes_and_may_be_halved() -> None:
    assert parse_recipe("fast", None, "auto") == FAST.model_copy(update={"halve_batch": True})


def test_without_a_batch_size_the_recipe_stays_as_it_is() -> None:
    assert parse_recipe("fast", None) == parse_recipe("fast", None, None) == FAST


@pytest.mark.parametrize("text", ["0", "-8", "many", "1.5"])
def test_a_batch_size_that_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^batch-size = '.*': must be a whole number"):
        parse_recipe("fast", None, text)


def test_a_batch_size_that_no_recipe_may_have_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"^batch_size = 70000: "):
        parse_recipe("fast", None, "70k")


def test_a_batch_made_smaller_for_a_small_set_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, labels = np.random.default_rng(0).integers(256, size=(36, 8, 8, 3), dtype=np.uint8), np.arange(18) % 3
    np.savez(tmp_path / "a.npz", x_train=images[:18], y_train=labels, x_test=images[18:], y_test=labels)
    dataset = open_dataset(str(tmp_path / "a.npz"))
    assert fit_recipe(parse_recipe("as1"), dataset).batch_size == 15
    expected = "recipe as1: batch_size = 15 instead of 128; there are no more training images\n"
    assert capsys.readouterr().err == expected
    fit_recipe(parse_recipe("fast"), dataset)
    assert capsys.readouterr().err == ""


def test_recipes_are_listed_with_what_tells_them_apart(nas: Nas) -> None:
    rows = json.loads(nas("recipe", "list", "--format", "json").stdout)
    assert [row["name"] for row in rows] == [*RECIPES]
    assert rows[0] == {
        "name": "fast",
        "epochs": 8,
        "batch_size": "auto",
        "optimizer": "muon",
        "lr": 0.8,
        "schedule": "one-cycle",
        "augmentation": "crop_padding, flip",
    }
    table = nas("recipe", "list").stdout
    assert all(any(line.startswith(f" {name} ") for line in table.splitlines()) for name in RECIPES)


def test_a_recipe_is_shown_as_a_file_that_is_read_as_the_same(nas: Nas, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(nas("recipe", "show", "full").stdout)
    assert load_recipe(str(path)) == FULL
    assert "# Images in a batch; " in path.read_text()
    assert nas("recipe", "show", str(path)).stdout == path.read_text()


def test_a_recipe_is_shown_as_json(nas: Nas) -> None:
    values = json.loads(nas("recipe", "show", "full", "--format", "json").stdout)
    assert list(values) == list(Recipe.model_fields) and Recipe.model_validate(values) == FULL


def test_a_recipe_that_is_not_there_is_one_line(nas: Nas) -> None:
    done = nas("recipe", "show", "ful")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "nas: recipe = 'ful': no such recipe; did you mean full?\n"


def test_recipes_are_compared_by_the_fields_in_which_they_differ(nas: Nas, tmp_path: Path) -> None:
    rows = json.loads(nas("recipe", "compare", "fast", "full", "--format", "json").stdout)
    assert rows == [
        {"field": "epochs", "fast": 8, "full": 60},
        {"field": "ema_window", "fast": 0.09, "full": 0.0},
    ]
    mine = tmp_path / "mine.yaml"
    mine.write_text("name: mine\nepochs: 8\nrand_augment: {operations: 1}\n")
    table = nas("recipe", "compare", "fast", str(mine)).stdout
    assert [line.split() for line in table.splitlines() if " rand_augment " in line] == [
        ["rand_augment", "null", "{operations:", "1,", "magnitude:", "9}"]
    ]
    assert " name " not in table and " epochs " not in table
    head, first, *_ = nas("recipe", "compare", str(mine), "fast", "--format", "csv").stdout.splitlines()
    assert (head, first) == (f"field,{mine},fast", "batch_size,128,auto")


def test_a_copy_under_another_name_trains_alike(nas: Nas, tmp_path: Path) -> None:
    copy = tmp_path / "copy.yaml"
    copy.write_text(nas("recipe", "show", "full").stdout.replace("name: full", "name: copy"))
    assert nas("recipe", "compare", "full", str(copy)).stdout == f"full and {copy} train alike\n"
    assert nas("recipe", "compare", "full", str(copy), "--format", "json").stdout == "[]\n"


def test_a_copy_of_another_length_may_keep_its_name(tmp_path: Path) -> None:
    copy = tmp_path / "copy.yaml"
    copy.write_text(to_yaml(with_epochs(FULL, 7)))
    assert parse_recipe(str(copy)) == with_epochs(FULL, 7)


def test_a_recipe_to_compare_with_that_is_not_there_is_one_line(nas: Nas) -> None:
    done = nas("recipe", "compare", "fast", "ful")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "nas: recipe = 'ful': no such recipe; did you mean full?\n"
