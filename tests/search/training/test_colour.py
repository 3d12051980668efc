"""Colour jitter against torchvision, one image at a time with the same factors in the same order."""

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as reference

from search.training import colour

BLENDS: tuple[Callable[[Tensor, float], Tensor], ...] = (
    reference.adjust_brightness,
    reference.adjust_contrast,
    reference.adjust_saturation,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(num: int = 64) -> Tensor:
    """Noise on the 256 grey levels of real images; the first four are black, white, grey and two-coloured."""
    images = torch.randint(0, 256, (num, 3, 16, 16), generator=seeded(99)) / 255
    images[0], images[1], images[2], images[3, :, 8:] = 0, 1, 0.5, 0.25
    return images


def reference_jitter(image: Tensor, parameters: colour.Jitter, index: int) -> Tensor:
    steps = [(BLENDS[change], float(parameters.factors[index, change])) for change in parameters.order[index].tolist()]
    if parameters.hue is not None:
        steps.insert(int(parameters.hue_position[index]), (reference.adjust_hue, float(parameters.hue[index])))
    for change, strength in steps:
        image = change(image, strength)
    return image


@pytest.mark.parametrize("strengths", [(0.2, 0.2, 0.2, 0.1), (0.9, 0.9, 2.0, 0.5), (0.4, 0.4, 0.4, 0.0)])
def test_jitter_equals_torchvision_image_by_image(strengths: tuple[float, float, float, float]) -> None:
    images = random_images()
    parameters = colour.draw_jitter(len(images), *strengths, seeded())
    expected = [reference_jitter(image, parameters, index) for index, image in enumerate(images)]
    torch.testing.assert_close(colour.jitter(images, parameters), torch.stack(expected), rtol=0, atol=2e-5)


@pytest.mark.parametrize("change", range(3))
def test_each_change_alone_equals_torchvision(change: int) -> None:
    images = random_images()
    factors = torch.ones(64, 3)
    factors[:, change] = torch.linspace(0, 2, 64)
    parameters = colour.Jitter(factors, torch.arange(3).expand(64, 3), None, torch.zeros(64, dtype=torch.int64))
    expected = [BLENDS[change](image, float(factors[index, change])) for index, image in enumerate(images)]
    torch.testing.assert_close(colour.jitter(images, parameters), torch.stack(expected), rtol=0, atol=2e-6)


def test_hue_equals_torchvision() -> None:
    images, shift = random_images(), torch.linspace(-0.5, 0.5, 64)
    expected = [reference.adjust_hue(image, float(turn)) for image, turn in zip(images, shift, strict=True)]
    torch.testing.assert_close(colour.shift_hue(images, shift), torch.stack(expected), rtol=0, atol=2e-6)


def test_a_third_of_a_turn_moves_red_to_green_and_grey_stays() -> None:
    images = torch.zeros(2, 3, 4, 4)
    images[0, 0], images[1] = 1, 0.3
    result = colour.shift_hue(images, torch.full((2,), 1 / 3))
    torch.testing.assert_close(result[0, :, 0, 0], torch.tensor([0.0, 1.0, 0.0]), rtol=0, atol=1e-6)
    assert torch.equal(result[1], images[1])


def test_zero_strength_is_the_identity() -> None:
    images = random_images()
    assert torch.equal(colour.colour_jitter(images, 0, 0, 0, 0, seeded()), images)
    without_change = colour.draw_jitter(64, 0, 0, 0, 0, seeded())
    assert torch.equal(colour.jitter(images, without_change), images)


def test_results_stay_on_the_scale_0_to_1() -> None:
    result = colour.colour_jitter(random_images(), 2.0, 2.0, 2.0, 0.5, seeded())
    assert float(result.min()) >= 0 and float(result.max()) <= 1


def test_factors_are_uniform_in_their_ranges() -> None:
    drawn = colour.draw_jitter(20_000, 0.2, 0.5, 1.5, 0.1, seeded())
    assert drawn.hue is not None
    ranges = ((drawn.factors[:, 0], 0.8, 1.2), (drawn.factors[:, 1], 0.5, 1.5), (drawn.factors[:, 2], 0, 2.5))
    for values, low, high in (*ranges, (drawn.hue, -0.1, 0.1)):
        assert low <= float(values.min()) and float(values.max()) <= high
        counts = torch.histc(values, bins=20, min=low, max=high)
        # 19 degrees of freedom: 1 in 1,000 draws exceeds 43.8.
        assert float(((counts - 1_000) ** 2 / 1_000).sum()) < 43.8


def test_the_24_orders_are_equally_likely() -> None:
    drawn = colour.draw_jitter(24_000, 0.2, 0.2, 0.2, 0.1, seeded())
    orders = Counter(map(tuple, torch.cat((drawn.order, drawn.hue_position[:, None]), 1).tolist()))
    assert len(orders) == 24
    # 23 degrees of freedom: 1 in 1,000 draws exceeds 49.7.
    assert sum((count - 1_000) ** 2 / 1_000 for count in orders.values()) < 49.7


def test_copies_of_one_image_come_out_different_and_the_seed_fixes_how() -> None:
    images = random_images()[-1:].expand(24, -1, -1, -1)
    result, again, other = (colour.colour_jitter(images, 0.2, 0.2, 0.2, 0.1, seeded(seed)) for seed in (0, 0, 1))
    assert len(torch.unique(result.flatten(1), dim=0)) == 24
    assert torch.equal(result, again) and not torch.equal(result, other)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_shape_and_dtype_are_kept(dtype: torch.dtype) -> None:
    images = random_images().to(dtype)
    result = colour.colour_jitter(images, 0.2, 0.2, 0.2, 0.1, seeded())
    assert (result.shape, result.dtype) == (images.shape, dtype)


def test_memory_format_changes_no_number() -> None:
    images = random_images()
    result = colour.colour_jitter(images.to(memory_format=torch.channels_last), 0.2, 0.2, 0.2, 0.1, seeded())
    torch.testing.assert_close(result, colour.colour_jitter(images, 0.2, 0.2, 0.2, 0.1, seeded()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 4])
def test_images_without_three_channels_are_refused(channels: int) -> None:
    with pytest.raises(ValueError, match=f"^channels = {channels}: .*3 channels"):
        colour.colour_jitter(torch.rand(2, channels, 8, 8), 0.2, 0.2, 0.2, 0.1, seeded())
