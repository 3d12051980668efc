"""Rotation and affine maps against torchvision, one image at a time with the same parameters."""

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from search.training import geometry

INTERPOLATIONS: tuple[geometry.Interpolation, ...] = ("bilinear", "nearest")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(num: int = 32, channels: int = 3, height: int = 32, width: int = 32) -> Tensor:
    return torch.rand(num, channels, height, width, generator=seeded(99))


def assert_same_picture(result: Tensor, expected: Tensor, interpolation: geometry.Interpolation) -> None:
    """Equal to rounding, except that 'nearest' may take the other of two pixels a source lies half way between."""
    differs = (result - expected).abs() > 3e-5
    allowed = 0 if interpolation == "bilinear" else 1e-4 * differs.numel()
    assert int(differs.sum()) <= allowed


def reference_affine(images: Tensor, parameters: geometry.Affine, interpolation: geometry.Interpolation) -> Tensor:
    results = [
        reference.affine(
            image,
            angle=float(parameters.angle[index]),
            translate=parameters.translate[index].tolist(),
            scale=float(parameters.scale[index]),
            shear=parameters.shear[index].tolist(),
            interpolation=InterpolationMode(interpolation),
        )
        for index, image in enumerate(images)
    ]
    return torch.stack(results)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("channels, height, width", [(3, 32, 32), (1, 28, 28), (2, 17, 30)])
def test_affine_equals_torchvision_image_by_image(
    interpolation: geometry.Interpolation, channels: int, height: int, width: int
) -> None:
    images = random_images(channels=channels, height=height, width=width)
    drawn = geometry.draw_affine(images, 40, 0.3, (0.6, 1.5), 25, seeded())
    both_shears = geometry.Affine(
        angle=drawn.angle,
        translate=drawn.translate,
        scale=drawn.scale,
        shear=geometry.uniform(64, -25, 25, seeded(1)).view(32, 2),
    )
    for parameters in (drawn, both_shears):
        result = geometry.affine(images, parameters, interpolation)
        assert_same_picture(result, reference_affine(images, parameters, interpolation), interpolation)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("height, width", [(32, 32), (17, 30)])
def test_rotation_equals_torchvision_image_by_image(
    interpolation: geometry.Interpolation, height: int, width: int
) -> None:
    images = random_images(height=height, width=width)
    angle = geometry.draw_rotation(32, 60, seeded())
    expected = [
        reference.rotate(image, float(degrees), InterpolationMode(interpolation))
        for image, degrees in zip(images, angle, strict=True)
    ]
    assert_same_picture(geometry.rotate(images, angle, interpolation), torch.stack(expected), interpolation)


def test_zero_strength_is_the_identity() -> None:
    images = random_images()
    assert torch.equal(geometry.random_rotation(images, 0, seeded()), images)
    assert torch.equal(geometry.random_affine(images, 0, 0, (1, 1), 0, seeded()), images)
    nothing = geometry.draw_affine(images, 0, 0, (1, 1), 0, seeded())
    torch.testing.assert_close(geometry.affine(images, nothing), images, rtol=0, atol=1e-5)
    assert torch.equal(geometry.affine(images, nothing, "nearest"), images)


def test_a_translation_moves_pixels_right_and_down_and_fills_with_zeros() -> None:
    images = random_images(num=1)
    move = geometry.Affine(torch.zeros(1), torch.tensor([[3.0, 5.0]]), torch.ones(1), torch.zeros(1, 2))
    result = geometry.affine(images, move, "nearest")
    assert torch.equal(result[..., 5:, 3:], images[..., :-5, :-3])
    assert not result[..., :5, :].any() and not result[..., :3].any()


def test_a_quarter_turn_is_anticlockwise() -> None:
    images = random_images(num=2)
    result = geometry.rotate(images, torch.tensor([90.0, -90.0]), "nearest")
    assert torch.equal(result[0], torch.rot90(images[0], 1, (1, 2)))
    assert torch.equal(result[1], torch.rot90(images[1], -1, (1, 2)))


def test_draws_stay_in_their_ranges_and_fill_them() -> None:
    images = torch.empty(20_000, 1, 20, 40)
    drawn = geometry.draw_affine(images, 10, 0.1, (0.9, 1.1), 8, seeded())
    for values, low, high in ((drawn.angle, -10, 10), (drawn.scale, 0.9, 1.1), (drawn.shear[:, 0], -8, 8)):
        assert low <= float(values.min()) and float(values.max()) <= high
        counts = torch.histc(values, bins=20, min=low, max=high)
        # 19 degrees of freedom: 1 in 1,000 draws exceeds 43.8.
        assert float(((counts - 1_000) ** 2 / 1_000).sum()) < 43.8
    assert not drawn.shear[:, 1].any()
    assert sorted(set(drawn.translate[:, 0].tolist())) == list(range(-4, 5))
    assert sorted(set(drawn.translate[:, 1].tolist())) == list(range(-2, 3))


def test_copies_of_one_image_come_out_different_and_the_seed_fixes_how() -> None:
    images = random_images(num=1, channels=1).expand(24, -1, -1, -1)
    for result, again, other in (
        [geometry.random_rotation(images, 15, seeded(seed)) for seed in (0, 0, 1)],
        [geometry.random_affine(images, 10, 0.1, (0.9, 1.1), 10, seeded(seed)) for seed in (0, 0, 1)],
    ):
        assert len(torch.unique(result.flatten(1), dim=0)) == 24
        assert torch.equal(result, again) and not torch.equal(result, other)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_shape_and_dtype_are_kept(dtype: torch.dtype) -> None:
    images = random_images(channels=5).to(dtype)
    result = geometry.random_affine(images, 10, 0.1, (0.9, 1.1), 10, seeded())
    assert (result.shape, result.dtype) == (images.shape, dtype)


def test_memory_format_changes_no_number() -> None:
    images = random_images()
    result = geometry.random_rotation(images.to(memory_format=torch.channels_last), 15, seeded())
    torch.testing.assert_close(result, geometry.random_rotation(images, 15, seeded()), rtol=0, atol=1e-6)
