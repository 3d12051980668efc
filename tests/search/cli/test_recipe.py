"""The options that name a recipe or change it."""

from pathlib import Path

import numpy as np
import pytest

from search.cli.recipe import fit_recipe, parse_recipe
from search.data.datasets import open_dataset
from search.errors import InputError, RecipeError
from search.recipes import FAST


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
    images, labels = np.arange(18 * 192, dtype=np.uint32).reshape(18, 8, 8, 3).astype(np.uint8), np.arange(18) % 3
    np.savez(tmp_path / "a.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    dataset = open_dataset(str(tmp_path / "a.npz"))
    assert fit_recipe(parse_recipe("as1"), dataset).batch_size == 15
    expected = "recipe as1: batch_size = 15 instead of 128; there are no more training images\n"
    assert capsys.readouterr().err == expected
    fit_recipe(parse_recipe("fast"), dataset)
    assert capsys.readouterr().err == ""
