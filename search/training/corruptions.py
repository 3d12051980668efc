"""Corrupted images in the manner of CIFAR-10-C (Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261).

Seven corruptions of three strengths, which are the severities 1, 3 and 5 of that benchmark's script for CIFAR-10:

    noise       Gaussian noise of this standard deviation is added
    shot        a pixel is a Poisson draw, of so many photons in the mean where it is white
    blur        a Gaussian blur of this standard deviation in pixels
    brightness  so much is added to the value of a pixel (the HSV model)
    contrast    the difference from each channel's mean over the image is multiplied by this
    pixelation  the image is averaged over blocks, of which a row has this share of its pixels
    jpeg        the image is compressed with this quality

Values are on the scale 0 to 1. The strengths are those of images of 32 pixels: blocks go with the size of an image, and
so does the blur of a larger one; a smaller one is blurred by as many pixels, since a part of a pixel changes nothing.
Noise, brightness, contrast and quality are the same at every size. Grey images are corrupted as colour images are.
Results are rounded to whole values of 0 to 255.

Everything random is drawn on the CPU from a seed of the corruption and its strength, so images of the same set are
corrupted alike on every device, again and again.
"""

from collections.abc import Callable
from io import BytesIO
from math import exp
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from search.trained_network import NUM_STRENGTHS, CorruptedResult
from search.training.images import Images, Normalisation
from search.training.loop import evaluate

BATCH = 1_000
TRUNCATION = 4  # standard deviations at which a blur ends
SIZE = 32  # pixels a side of the images that the strengths are made for


def add_noise(images: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Images (N, C, H, W) of 0 to 1, to which Gaussian noise is added."""
    return images + deviation * torch.randn(images.shape, generator=generator).to(images.device)


def shoot(images: Tensor, photons: float, generator: torch.Generator) -> Tensor:
    """Images (N, C, H, W) of 0 to 1 as Poisson draws, of `photons` in the mean where they are 1."""
    return torch.poisson(images.cpu() * photons, generator=generator).to(images.device) / photons


def blur(images: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Images (N, C, H, W) under a Gaussian blur, of so many pixels at 32 pixels; beyond the edge its pixels go on."""
    size = images.shape[-1]
    deviation *= max(1.0, size / SIZE)
    reach = int(TRUNCATION * deviation + 0.5)
    weights = [exp(-0.5 * (offset / deviation) ** 2) for offset in range(-reach, reach + 1)]
    matrix = torch.zeros(size, size, dtype=torch.float64)
    for row in range(size):
        for offset, weight in zip(range(-reach, reach + 1), weights, strict=True):
            matrix[row, min(max(row + offset, 0), size - 1)] += weight / sum(weights)
    return _along_both_axes(images, matrix)


def brighten(images: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """Images (N, C, H, W) of 0 to 1, to whose value in the HSV model an amount is added; hue and saturation stay."""
    value = images.amax(1, keepdim=True)
    brighter = (value + amount).clamp(max=1)
    return torch.where(value > 0, images * (brighter / value.clamp(min=1e-6)), brighter)


def flatten_contrast(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Images (N, C, H, W), of which only a share of the difference from each channel's mean is left."""
    mean = images.mean((2, 3), keepdim=True)
    return mean + share * (images - mean)


def pixelate(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Images (N, C, H, W) averaged over blocks, of which a row has a share of the image's pixels."""
    size = images.shape[-1]
    num_blocks = max(1, int(share * size))
    block = (2 * torch.arange(size) + 1) * num_blocks // (2 * size)
    together = (block[:, None] == block).double()
    return _along_both_axes(images, together / together.sum(1, keepdim=True))


def compress(images: Tensor, quality: float, generator: torch.Generator) -> Tensor:
    """Images (N, C, H, W) of 0 to 1, compressed as JPEG and decoded, one by one on the CPU."""
    decoded = []
    for pixels in as_bytes(images).permute(0, 2, 3, 1).cpu().numpy():
        file = BytesIO()
        Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(file, "JPEG", quality=int(quality))
        decoded.append(np.array(Image.open(file)).reshape(pixels.shape))
    return torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2).to(images.device) / 255


class Corruption(NamedTuple):
    """What is done to images (N, C, H, W) of 0 to 1, on their device, and the parameter of each strength."""

    apply: Callable[[Tensor, float, torch.Generator], Tensor]
    strengths: tuple[float, float, float]


CORRUPTIONS = {
    "noise": Corruption(add_noise, (0.04, 0.08, 0.10)),
    "shot": Corruption(shoot, (500, 100, 50)),
    "blur": Corruption(blur, (0.4, 0.7, 1.0)),
    "brightness": Corruption(brighten, (0.05, 0.15, 0.30)),
    "contrast": Corruption(flatten_contrast, (0.75, 0.4, 0.15)),
    "pixelation": Corruption(pixelate, (0.95, 0.85, 0.65)),
    "jpeg": Corruption(compress, (80, 58, 40)),
}


def corrupt(images: Tensor, name: str, strength: int) -> Tensor:
    """Images, uint8 (N, C, H, W), under the corruption of this name and strength, 1 to 3."""
    corruption = CORRUPTIONS[name]
    generator = torch.Generator().manual_seed(NUM_STRENGTHS * list(CORRUPTIONS).index(name) + strength)
    parameter = corruption.strengths[strength - 1]
    batches = (corruption.apply(batch.float() / 255, parameter, generator) for batch in torch.split(images, BATCH))
    return torch.cat([as_bytes(batch) for batch in batches])


def evaluate_corrupted(
    network: nn.Module, data: Images, normalise: Normalisation, precision: str
) -> tuple[CorruptedResult, ...]:
    """The accuracy on `data` under every corruption of every strength.

    Raises:
        TrainingError: a loss is not finite.
    """
    return tuple(
        CorruptedResult(
            name,
            strength,
            evaluate(network, Images(corrupt(data.images, name, strength), data.labels), normalise, precision).accuracy,
        )
        for name in CORRUPTIONS
        for strength in range(1, NUM_STRENGTHS + 1)
    )


def as_bytes(images: Tensor) -> Tensor:
    """Images of 0 to 1, cut off there, as uint8."""
    return (255 * images).round_().clamp_(0, 255).to(torch.uint8)


def _along_both_axes(images: Tensor, matrix: Tensor) -> Tensor:
    """Square images (N, C, H, W) under the same linear map (H, H) of rows and of columns."""
    matrix = matrix.to(images.device, images.dtype)
    return matrix @ images @ matrix.T
