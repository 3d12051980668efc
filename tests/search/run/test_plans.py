"""Recipes are fitted to what is really trained on, so a small set trains with the images that it has."""

from pathlib import Path

import numpy as np
import pytest

from search.data.datasets import Dataset, open_dataset
from search.errors import RecipeError
from search.recipe import Recipe, with_epochs
from search.recipes import FAST, FULL, RECIPES
from search.run.plans import fit_recipe


@pytest.fixture
def small(tmp_path: Path) -> Dataset:
    """18 training images in colour of 3 classes: 15 are in the training split, since a fifth of each is held out."""
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(24) % 3
    np.savez(tmp_path / "a.npz", x_train=images[6:], y_train=labels[6:], x_test=images[:6], y_test=labels[:6])
    return open_dataset(str(tmp_path / "a.npz"))


@pytest.mark.parametrize("holds_out", [True, False])
def test_an_automatic_batch_is_the_same_for_search_and_retraining_of_a_small_set(
    small: Dataset, holds_out: bool
) -> None:
    assert fit_recipe(FAST, small, holds_out).batch_size == fit_recipe(FULL, small, holds_out).batch_size == 15


def test_a_named_recipe_takes_a_small_set_as_one_batch(small: Dataset) -> None:
    recipe = RECIPES["report1"]
    assert recipe.batch_size == 128
    assert fit_recipe(recipe, small) == recipe.model_copy(update={"batch_size": 15})
    assert fit_recipe(recipe, small, holds_out=False) == recipe.model_copy(update={"batch_size": 18})
    assert RECIPES["as2"].needs_validation and fit_recipe(RECIPES["as2"], small, holds_out=False).batch_size == 15


def test_a_recipe_file_without_a_batch_size_asks_for_none(small: Dataset) -> None:
    said_nothing = with_epochs(Recipe.model_validate({"name": "mine", "epochs": 3}), 2)
    assert said_nothing.batch_size == 128 and fit_recipe(said_nothing, small).batch_size == 15
    said_so = with_epochs(Recipe.model_validate({"name": "mine", "epochs": 3, "batch_size": 128}), 2)
    with pytest.raises(RecipeError, match=r"^batch_size = 128: larger than the 18 training images$"):
        fit_recipe(said_so, small)


@pytest.mark.parametrize(
    ("name", "changes", "holds_out", "fits"),
    [
        ("mine", {}, True, False),
        ("mine", {}, False, True),
        ("mine", {"keep_best": True}, False, False),
        ("as1", {}, True, False),  # its own batch is 128, so the user said 16
    ],
)
def test_a_batch_that_was_asked_for_is_checked_against_what_is_really_trained_on(
    small: Dataset, name: str, changes: dict[str, bool], holds_out: bool, fits: bool
) -> None:
    recipe = Recipe.model_validate({"name": name, "epochs": 1, "batch_size": 16} | changes)
    if fits:
        assert fit_recipe(recipe, small, holds_out) == recipe
        return
    message = "^batch_size = 16: larger than the 15 images of the training split; 3 more are held out$"
    with pytest.raises(RecipeError, match=message):
        fit_recipe(recipe, small, holds_out)
