"""Images on the device: splits, batches, normalisation."""

import numpy as np
import pytest
import torch

from search.data.datasets import open_dataset
from search.recipe import Recipe
from search.training.images import Images, Normalisation, Splits, channel_statistics


def random_images(number: int, channels: int = 3) -> Images:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (number, 6, 6, channels), dtype=np.uint8)
    return Images.from_arrays(pixels, np.arange(number) % 5, "cpu")


def test_arrays_become_channels_first_tensors() -> None:
    pixels = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    pixels.setflags(write=False)
    images = Images.from_arrays(pixels, np.array([1, 0]), "cpu")
    assert images.images.shape == (2, 3, 4, 4)
    assert images.images[1, 2, 3, 0] == pixels[1, 3, 0, 2]
    assert images.labels.tolist() == [1, 0]


def test_statistics_equal_those_of_the_pixels() -> None:
    data = random_images(30)
    mean, std = channel_statistics(data.images)
    pixels = data.images.double() / 255
    assert torch.allclose(mean.double(), pixels.mean((0, 2, 3)), atol=1e-6)
    assert torch.allclose(std.double(), pixels.std((0, 2, 3), unbiased=False), atol=1e-6)


def test_normalised_images_have_mean_zero_and_deviation_one() -> None:
    data = random_images(30)
    normalised = Normalisation.of(Recipe(name="test", epochs=1), data)(data.images)
    assert torch.allclose(normalised.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(normalised.std((0, 2, 3), unbiased=False), torch.ones(3), atol=1e-5)


def test_a_recipes_constants_are_used_as_they_are() -> None:
    recipe = Recipe(name="test", epochs=1, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5))
    white = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    values = Normalisation.of(recipe, Images(white, torch.zeros(1)))(white)[0, :, 0, 0]
    assert torch.allclose(values, torch.tensor([0.5 / 0.2, 0.6 / 0.25, 0.7 / 0.5]))


def test_a_constant_channel_is_no_division_by_zero() -> None:
    blank = Images(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.zeros(4))
    assert torch.equal(Normalisation.of(Recipe(name="test", epochs=1), blank)(blank.images), torch.zeros(4, 1, 2, 2))


@pytest.mark.parametrize("seed", [0, 1])
def test_splits_share_no_image_and_make_up_the_training_data(seed: int) -> None:
    splits = Splits.load(open_dataset("digits"), seed, "cpu")
    assert len(splits.train) + len(splits.validation) == len(splits.both) == 1_438
    together = torch.cat([splits.train.images, splits.validation.images]).flatten(1)
    assert torch.equal(together.unique(dim=0), splits.both.images.flatten(1).unique(dim=0))
    counts = splits.validation.labels.bincount()
    assert counts.max() - counts.min() <= 2
