"""Smaller images for the first epochs: which size, what they look like, and when the network meets them."""

from typing import Any

import pytest
import torch
from torchvision.transforms import functional

from models.architecture import Architecture, Stage, Stem
from search.recipe import Recipe
from search.training import speed
from search.training.images import Images, Normalisation
from search.training.loop import Training
from search.training.network import begin
from search.training.small_images import shrink, small_size

ODD = Architecture(Stem(4), tuple(Stage("basic", 1, 4) for _ in range(3)))
EVEN = Architecture(Stem(4), tuple(Stage("basic", 1, 4, kernel=2) for _ in range(3)))
GENERATOR = torch.Generator().manual_seed(0)
DATA = Images(
    torch.randint(0, 256, (40, 3, 12, 12), dtype=torch.uint8, generator=GENERATOR),
    torch.randint(0, 10, (40,), generator=GENERATOR),
)


def make_recipe(num_epochs: int = 4, **small_images: float) -> Recipe:
    return Recipe.model_validate({"name": "test", "epochs": num_epochs, "batch_size": 8, "small_images": small_images})


@pytest.mark.parametrize(
    ("architecture", "size", "image_size", "expected"),
    [
        (ODD, 0.5, 32, 16),
        (ODD, 0.75, 28, 21),
        (ODD, 0.5, 9, 4),
        (EVEN, 0.5, 32, 16),
        (EVEN, 0.55, 32, 20),  # 18 and 19 pixels cannot be halved twice
        (EVEN, 0.9, 8, 8),  # nor can 7
        (Architecture(Stem(4, 7, 1, 0), (Stage("basic", 1, 4),)), 0.5, 8, 7),  # the stem's kernel has 7 pixels
    ],
)
def test_the_size_is_the_recipes_or_the_next_that_the_network_takes(
    architecture: Architecture, size: float, image_size: int, expected: int
) -> None:
    assert small_size(architecture, make_recipe(size=size), image_size) == expected
    assert small_size(architecture, Recipe(name="test", epochs=4), image_size) == image_size


def test_the_size_is_one_that_teachers_take_too() -> None:
    recipe = make_recipe(size=0.55)
    assert (small_size(ODD, recipe, 32), small_size(ODD, recipe, 32, [EVEN])) == (18, 20)
    assert (
        small_size(ODD, make_recipe(size=0.5), 8, [ODD, Architecture(Stem(4, 7, 1, 0), (Stage("basic", 1, 4),))]) == 7
    )


def test_images_are_made_smaller_as_torchvision_does_it() -> None:
    images = torch.randn(5, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(shrink(images, 7), functional.resize(images, [7, 7], antialias=True))
    torch.testing.assert_close(shrink(torch.full((2, 1, 8, 8), 0.3), 4), torch.full((2, 1, 4, 4), 0.3))
    assert shrink(images, 12) is images


@pytest.mark.parametrize(
    ("num_epochs", "share", "num_small"), [(4, 0.5, 2), (4, 0.3, 1), (4, 0.99, 3), (10, 0.7, 7), (100, 0.29, 29)]
)
def test_the_first_epochs_have_smaller_images_and_validation_has_whole_ones(
    num_epochs: int, share: float, num_small: int
) -> None:
    recipe = make_recipe(num_epochs, epochs=share)
    assert recipe.num_small_epochs == num_small
    assert recipe.shares_of_pixels == (0.25,) * num_small + (1.0,) * (num_epochs - num_small)
    assert sum(map(recipe.time_of, range(1, num_epochs + 1))) == pytest.approx(num_epochs)
    if num_epochs > 4:
        return
    torch.manual_seed(0)
    model = begin(ODD, recipe)
    seen: list[tuple[bool, int]] = []
    model.register_forward_pre_hook(lambda module, inputs: seen.append((module.training, inputs[0].shape[-1])))
    training = Training(
        model, recipe, DATA, DATA, Normalisation.of(recipe, DATA), seed=0, precision="fp32", small_size=6
    )
    for epoch, _ in enumerate(training.epochs(), 1):
        assert seen == [(True, 6 if epoch <= num_small else 12)] * 5 + [(False, 12)]
        seen.clear()


def test_a_recipe_without_smaller_images_says_so_in_no_epoch() -> None:
    recipe = Recipe(name="test", epochs=3)
    assert (recipe.num_small_epochs, recipe.shares_of_pixels, recipe.time_of(2)) == (0, (), 1.0)


def test_an_epochs_pace_is_the_mean_of_small_and_whole_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    def pace(architecture: Architecture, recipe: Recipe, *_: Any) -> speed.Pace:
        size = _[-1]
        return speed.Pace(1.0, 8.0) if size is None else speed.Pace(0.5, size / 3)

    monkeypatch.setattr(speed, "_pace", pace)
    assert speed.pace(ODD, make_recipe(epochs=0.75), DATA, None, "fp32") == (1.5, 0.75 * 2.0 + 0.25 * 8.0)
    assert speed.pace(ODD, Recipe(name="test", epochs=4), DATA, None, "fp32") == (1.0, 8.0)
    assert speed.pace(EVEN, make_recipe(size=0.9), DATA, None, "fp32") == (1.0, 8.0), "it takes no smaller ones"


def test_smaller_images_are_timed_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "SECONDS", 0.0)
    sizes: list[int] = []

    def build(architecture: Architecture, recipe: Recipe) -> torch.nn.Module:
        model = begin(architecture, recipe)
        model.register_forward_pre_hook(lambda module, inputs: sizes.append(inputs[0].shape[-1]))
        return model

    monkeypatch.setattr(speed, "begin", build)
    speed.pace(ODD, make_recipe(epochs=0.1, size=0.5), DATA, None, "fp32")
    assert sizes == [12, 12, 6, 6]
