"""Options that several commands take."""

import pytest

from search.cli.options import machine_of, recipe_of
from search.errors import InputError, RecipeError
from search.recipes import FAST
from search.study.launch import Machine


@pytest.mark.parametrize(("text", "num_workers"), [("auto", None), ("1", 1), ("64", 64)])
def test_workers_are_a_number_or_auto(text: str, num_workers: int | None) -> None:
    assert machine_of("cpu", text) == Machine("cpu", num_workers)


@pytest.mark.parametrize("text", ["0", "65", "-1", "2.5", "many", "", "Auto"])
def test_other_workers_are_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        machine_of("cpu", text)
    assert str(caught.value) == f"workers = {text!r}: must be auto, or a number from 1 to 64"


def test_another_device_is_refused() -> None:
    with pytest.raises(InputError, match=r"^device = 'tpu': must be one of auto, cpu, cuda$"):
        machine_of("tpu", "auto")


def test_a_batch_size_takes_the_place_of_the_recipes() -> None:
    assert recipe_of("fast", None, "96") == FAST.model_copy(update={"batch_size": 96})
    assert recipe_of("fast", 3, "1k") == FAST.model_copy(update={"batch_size": 1_000, "epochs": 3})


def test_an_automatic_batch_size_is_the_recipes_and_may_be_halved() -> None:
    assert recipe_of("fast", None, "auto") == FAST.model_copy(update={"halve_batch": True})


def test_without_a_batch_size_the_recipe_stays_as_it_is() -> None:
    assert recipe_of("fast", None) == recipe_of("fast", None, None) == FAST


@pytest.mark.parametrize("text", ["0", "-8", "many", "1.5"])
def test_a_batch_size_that_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^batch-size = '.*': must be a whole number"):
        recipe_of("fast", None, text)


def test_a_batch_size_that_no_recipe_may_have_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"^batch_size = 70000: "):
        recipe_of("fast", None, "70k")
