"""Training recipes as values."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from search.errors import RecipeError
from search.recipe import FAST, FULL, RECIPES, Recipe, load_recipe, with_epochs


def refusal(folder: Path, **values: Any) -> str:
    """What `load_recipe` says about a file with these values, without the file's name."""
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", "epochs": 3} | values), encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path))
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_named_recipes_are_found_by_their_name() -> None:
    assert {name: load_recipe(name) for name in RECIPES} == RECIPES
    assert load_recipe("fast") is FAST and load_recipe("full") is FULL
    assert all(recipe.name == name for name, recipe in RECIPES.items())


def test_the_full_recipe_is_longer_than_the_fast_one_and_cuts_out() -> None:
    assert FULL.epochs > FAST.epochs
    assert FAST.model_copy(update={"name": "full", "epochs": FULL.epochs, "cutout": "auto"}) == FULL


def test_a_recipe_is_read_from_a_yaml_file(tmp_path: Path) -> None:
    for name in ("mine.yaml", "mine.yml"):
        path = tmp_path / name
        path.write_text("name: mine\nepochs: 5\nlr: 0.05\nschedule: cosine\nmean: [0.5]\nstd: [0.25]\nflip: auto\n")
        expected = Recipe(name="mine", epochs=5, lr=0.05, schedule="cosine", mean=(0.5,), std=(0.25,), flip="auto")
        assert load_recipe(str(path)) == expected


@pytest.mark.parametrize("recipe", [FAST, FULL, FULL.fit_to("cifar10", 45_000, 32)])
def test_a_recipe_written_as_yaml_is_read_as_the_same(tmp_path: Path, recipe: Recipe) -> None:
    path = tmp_path / "copy.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    assert load_recipe(str(path)) == recipe


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        FAST.epochs = 9  # type: ignore[misc]
    assert hash(FAST) != hash(FULL)


@pytest.mark.parametrize("name", ["fsat", "Fast", "faster", "../fast"])
def test_the_nearest_name_is_offered(name: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(name)
    assert str(caught.value) == f"recipe = {name!r}: no such recipe; did you mean fast?"


@pytest.mark.parametrize("name", ["", "sota-2031", "mine.json"])
def test_known_names_are_told_where_none_is_near(name: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(name)
    assert str(caught.value) == f"recipe = {name!r}: no such recipe; known are fast, full, or a .yaml file"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(tmp_path / "none.yaml"))
    assert str(caught.value) == f"{tmp_path}/none.yaml: No such file or directory"


def test_an_unknown_or_missing_key_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path, learning_rate=0.1) == "learning_rate: unknown key"
    path = tmp_path / "short.yaml"
    path.write_text("lr: 0.1")
    with pytest.raises(RecipeError, match=r"short.yaml: name: missing \(and 1 more\)$"):
        load_recipe(str(path))


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("epochs", 0, "epochs = 0"),
        ("epochs", 10_001, "epochs = 10001"),
        ("epochs", 2.5, "epochs = 2.5"),
        ("batch_size", 0, "batch_size = 0"),
        ("batch_size", "large", "batch_size = 'large'"),
        ("optimizer", "adam", "optimizer = 'adam'"),
        ("lr", 0, "lr = 0"),
        ("lr", -0.1, "lr = -0.1"),
        ("lr", float("nan"), "lr = nan"),
        ("lr", float("inf"), "lr = inf"),
        ("momentum", 1, "momentum = 1"),
        ("weight_decay", -1e-4, "weight_decay = -0.0001"),
        ("weight_decay", float("inf"), "weight_decay = inf"),
        ("schedule", "step", "schedule = 'step'"),
        ("warmup", 1.0, "warmup = 1.0"),
        ("label_smoothing", 1, "label_smoothing = 1"),
        ("precision", "fp8", "precision = 'fp8'"),
        ("crop_padding", 65, "crop_padding = 65"),
        ("cutout", -1, "cutout = -1"),
        ("flip", "maybe", "flip = 'maybe'"),
        ("zero_init_last_norm", "perhaps", "zero_init_last_norm = 'perhaps'"),
        ("name", 3, "name = 3"),
    ],
)
def test_a_wrong_value_is_named_with_its_rule(tmp_path: Path, key: str, value: Any, shown: str) -> None:
    assert refusal(tmp_path, **{key: value}).startswith(f"{shown}: input should be ")


def test_a_value_that_may_also_be_auto_is_said_to_be_so_and_counted_once(tmp_path: Path) -> None:
    expected = "batch_size = 0: input should be greater than or equal to 1, or input should be 'auto'"
    assert refusal(tmp_path, batch_size=0) == expected
    assert refusal(tmp_path, batch_size=0, cutout=-1) == f"{expected} (and 2 more)"


def test_values_must_agree_with_each_other(tmp_path: Path) -> None:
    assert refusal(tmp_path, mean=[0.5]) == "mean and std: give both or neither"
    assert refusal(tmp_path, std=[0.5]) == "mean and std: give both or neither"
    assert refusal(tmp_path, mean=[0.5], std=[0.0]).startswith("std.0 = 0.0: input should be greater than 0")
    assert refusal(tmp_path, momentum=0) == "nesterov = true: needs momentum above 0"
    assert Recipe(name="plain", epochs=1, momentum=0, nesterov=False).momentum == 0


# Fitting to data.


@pytest.mark.parametrize(
    ("num_train", "batch_size"),
    [(1, 16), (100, 16), (1_000, 16), (1_024, 32), (1_437, 32), (2_048, 64), (4_095, 64), (4_096, 128), (50_000, 128)],
)
def test_a_batch_leaves_32_steps_an_epoch_where_it_can(num_train: int, batch_size: int) -> None:
    fitted = FAST.fit_to("cifar10", num_train, 32)
    assert fitted.batch_size == batch_size
    assert batch_size == 16 or num_train // batch_size >= 32


@pytest.mark.parametrize(("image_size", "padding", "cutout"), [(8, 1, 2), (28, 3, 7), (32, 4, 8), (64, 8, 16)])
def test_augmentation_is_sized_by_the_image(image_size: int, padding: int, cutout: int) -> None:
    fitted = FULL.fit_to("cifar10", 50_000, image_size)
    assert (fitted.crop_padding, fitted.cutout) == (padding, cutout)
    assert fitted.sizes == (128, padding, cutout)


@pytest.mark.parametrize("data", ["digits", "svhn", "mnist"])
def test_characters_are_not_mirrored(data: str) -> None:
    assert FAST.fit_to(data, 1_000, 32).flip is False


@pytest.mark.parametrize("data", ["cifar10", "cifar100", "fashion-mnist", "/data/birds"])
def test_other_images_are_mirrored(data: str) -> None:
    assert FAST.fit_to(data, 1_000, 32).flip is True


def test_fitting_leaves_what_was_said_as_it_is() -> None:
    said = Recipe(name="said", epochs=3, batch_size=7, crop_padding=5, cutout=3, flip=True)
    assert said.fit_to("digits", 1_000, 8) == said
    fitted = FULL.fit_to("cifar10", 45_000, 32)
    changed = {key for key, value in fitted.model_dump().items() if value != getattr(FULL, key)}
    assert changed == {"batch_size", "crop_padding", "cutout", "flip"}
    assert fitted.precision == "auto"  # the device decides
    assert fitted.fit_to("digits", 100, 8) == fitted


def test_a_fitted_recipe_is_a_valid_one() -> None:
    for size in (1, 8, 32, 224):
        fitted = FULL.fit_to("digits", 100, size)
        assert Recipe.model_validate(fitted.model_dump()) == fitted


# Another length.


@pytest.mark.parametrize("epochs", [1, 30, 10_000])
def test_another_length_changes_nothing_else(epochs: int) -> None:
    assert with_epochs(FAST, epochs) == FAST.model_copy(update={"epochs": epochs})


@pytest.mark.parametrize("epochs", [0, -1, 10_001])
def test_a_length_out_of_range_is_refused(epochs: int) -> None:
    with pytest.raises(RecipeError) as caught:
        with_epochs(FULL, epochs)
    assert str(caught.value).startswith(f"epochs = {epochs}: input should be ")
    assert "\n" not in str(caught.value)
