"""Corrupted images are those of independent implementations: of scipy, Pillow, torchvision, colorsys and numpy."""

import colorsys
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torchvision.io import decode_jpeg, encode_jpeg

from search.trained_network import NUM_STRENGTHS
from search.training import corruptions
from search.training.corruptions import CORRUPTIONS, corrupt, evaluate_corrupted
from search.training.images import Images, Normalisation

Floats = NDArray[np.float64]
STRENGTHS = range(1, NUM_STRENGTHS + 1)


def photographs(num: int = 3, channels: int = 3, size: int = 32) -> Tensor:
    """Smooth images with edges, uint8 (N, C, H, W), black and white among their pixels."""
    generator = np.random.default_rng(0)
    smooth = gaussian_filter(generator.normal(size=(num, channels, size, size)), (0, 0, 2, 2), mode="wrap")
    images = np.clip(128 + 400 * smooth, 0, 255)
    images[:, :, : size // 4, : size // 4], images[:, :, -1, :] = 0, 255
    return torch.from_numpy(images.round().astype(np.uint8))


def hwc(image: Tensor) -> NDArray[np.uint8]:
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def scipy_blur(image: Tensor, deviation: float) -> Floats:
    blurred: Floats = gaussian_filter(hwc(image).astype(float), (deviation, deviation, 0), mode="nearest", truncate=4)
    return blurred


def hsv_brightness(image: Tensor, amount: float) -> Floats:
    pixels = (hwc(image.expand(3, -1, -1)) / 255).reshape(-1, 3)
    brighter = [
        colorsys.hsv_to_rgb(hue, saturation, min(1.0, value + amount))
        for hue, saturation, value in (colorsys.rgb_to_hsv(*pixel) for pixel in pixels)
    ]
    return 255 * np.array(brighter).reshape(*image.shape[1:], 3)[..., : len(image)]


def numpy_contrast(image: Tensor, share: float) -> Floats:
    pixels = hwc(image).astype(float)
    mean = pixels.mean(axis=(0, 1), keepdims=True)
    return np.asarray((pixels - mean) * share + mean)


def pillow(image: Tensor) -> Image.Image:
    pixels = hwc(image)
    return Image.fromarray(pixels[..., 0] if len(image) == 1 else pixels)


def pillow_pixelation(image: Tensor, share: float) -> Floats:
    small = (int(image.shape[2] * share), int(image.shape[1] * share))
    there = pillow(image).resize(small, Image.Resampling.BOX)
    back = np.asarray(there.resize((image.shape[2], image.shape[1]), Image.Resampling.BOX), dtype=float)
    return back.reshape(*image.shape[1:], len(image))


def torchvision_jpeg(image: Tensor, quality: float) -> Floats:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is to move to another package one day
        return hwc(decode_jpeg(encode_jpeg(image, int(quality)))).astype(float)


# By name: the reference, CIFAR-10-C's parameters of its severities 1, 3 and 5, and how far roundings may lead apart.
REFERENCES: dict[str, tuple[Callable[[Tensor, float], Floats], tuple[float, ...], float]] = {
    "blur": (scipy_blur, (0.4, 0.7, 1.0), 0.51),
    "brightness": (hsv_brightness, (0.05, 0.15, 0.3), 0.51),
    "contrast": (numpy_contrast, (0.75, 0.4, 0.15), 0.51),
    "pixelation": (pillow_pixelation, (0.95, 0.85, 0.65), 1.01),  # Pillow rounds after each axis
    "jpeg": (torchvision_jpeg, (80, 58, 40), 2.0),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", REFERENCES)
def test_a_corruption_is_that_of_an_independent_implementation(name: str, channels: int) -> None:
    reference, parameters, tolerance = REFERENCES[name]
    images = photographs(channels=channels)
    for strength, parameter in zip(STRENGTHS, parameters, strict=True):
        corrupted = corrupt(images, name, strength)
        assert corrupted.dtype == torch.uint8 and corrupted.shape == images.shape
        for image, result in zip(images, corrupted, strict=True):
            expected = np.clip(reference(image, parameter), 0, 255)
            np.testing.assert_allclose(hwc(result), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_has_the_moments_that_its_parameters_say(channels: int) -> None:
    grey = torch.full((50, channels, 32, 32), 102, dtype=torch.uint8)  # 0.4, far from where it is cut off
    for strength, deviation, photons in zip(STRENGTHS, (0.04, 0.08, 0.1), (500, 100, 50), strict=True):
        noise, shot = (corrupt(grey, name, strength).double() / 255 for name in ("noise", "shot"))
        assert noise.mean().item() == pytest.approx(0.4, abs=2e-3)
        assert noise.std().item() == pytest.approx(deviation, rel=0.02)
        assert shot.mean().item() == pytest.approx(0.4, abs=2e-3)
        assert shot.std().item() == pytest.approx((0.4 / photons) ** 0.5, rel=0.02)
        if channels == 3:
            correlation = np.corrcoef(noise[:, 0].flatten().numpy(), noise[:, 1].flatten().numpy())[0, 1]
            assert abs(correlation) < 0.02, "channels are drawn apart"


@pytest.mark.parametrize("size", [8, 16, 48])
def test_blocks_go_with_the_size_and_the_blur_of_larger_images_too(size: int) -> None:
    images = photographs(1, 3, size)
    strongest = corrupt(images, "blur", 3)[0]
    expected = scipy_blur(images[0], max(1.0, size / 32))
    np.testing.assert_allclose(hwc(strongest), expected, rtol=0, atol=0.51)
    pixelated = hwc(corrupt(images, "pixelation", 3)[0])
    np.testing.assert_allclose(pixelated, pillow_pixelation(images[0], 0.65), rtol=0, atol=1.01)


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_stronger_corruption_changes_more_even_of_the_smallest_images(name: str, size: int) -> None:
    images = photographs(16, 1, size).clamp(30, 225)
    changes = [(corrupt(images, name, strength).float() - images).abs().mean().item() for strength in STRENGTHS]
    assert 0 < changes[0] <= changes[1] <= changes[2] and changes[0] < changes[2]


def test_the_same_images_are_corrupted_alike_again_and_those_of_a_set_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    images = photographs(2, 3, 8)[:1].repeat(40, 1, 1, 1)
    before = torch.get_rng_state()
    for name in ("noise", "shot"):
        first = corrupt(images, name, 2)
        torch.manual_seed(7)
        assert torch.equal(first, corrupt(images, name, 2))
        assert not torch.equal(first[0], first[1])
    monkeypatch.setattr(corruptions, "BATCH", 16)
    for name in ("blur", "brightness", "contrast", "pixelation", "jpeg"):
        whole = corrupt(images, name, 2)
        assert torch.equal(whole, corrupt(images[:20], name, 2).repeat(2, 1, 1, 1))
    torch.set_rng_state(before)
    corrupt(images, "noise", 1)
    assert torch.equal(torch.get_rng_state(), before), "the training's own draws stay as they were"


class BrightOrNot(nn.Module):
    """Takes an image for class 1 where its mean is above a half."""

    def forward(self, images: Tensor) -> Tensor:
        mean = images.mean((1, 2, 3))
        return torch.stack((0.5 - mean, mean - 0.5), 1)


def test_a_network_is_tested_under_every_corruption_of_every_strength() -> None:
    pixels = torch.tensor([80, 120]).to(torch.uint8).view(2, 1, 1, 1).expand(2, 1, 8, 8)
    data = Images(pixels, torch.tensor([0, 0]))
    normalise = Normalisation.from_constants((0.0,), (1.0,), torch.device("cpu"))
    results = evaluate_corrupted(BrightOrNot(), data, normalise, "fp32")
    assert [(result.corruption, result.strength) for result in results] == [
        (name, strength) for name in CORRUPTIONS for strength in STRENGTHS
    ]
    accuracies = {(result.corruption, result.strength): result.accuracy for result in results}
    # 120 / 255 and a twentieth is above a half, and 80 / 255 only with three tenths.
    assert [accuracies["brightness", strength] for strength in STRENGTHS] == [0.5, 0.5, 0.0]
    assert {accuracies["contrast", strength] for strength in STRENGTHS} == {1.0}
