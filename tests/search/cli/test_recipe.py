"""The options that name a recipe or change it."""

import pytest

from search.cli.recipe import parse_recipe
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
