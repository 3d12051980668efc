"""TrivialAugment and RandAugment for a batch: operations drawn for each image without a learned policy.

Operations, magnitudes and draws are those of torchvision's `TrivialAugmentWide` and `RandAugment` with nearest
interpolation and zero fill, which draw once per call; here every image draws for itself. The operations are those of
AutoAugment, which `search.training.autoaugment` applies; a fourteenth does nothing, and Invert is left out.

Images are uint8 (N, 3, H, W). All randomness comes from the generator, which must be on the device of the images.
"""

from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from search.training.autoaugment import IDENTITY, OPERATIONS, SIGNED, apply_operation
from search.training.colour import require_rgb

NUM_LEVELS = 31
DRAWN = (IDENTITY, *(OPERATIONS.index(name) for name in OPERATIONS if name != "Invert"))

Ranges = Literal["trivial", "rand"]


def magnitudes(ranges: Ranges, operation: str, height: int, width: int) -> Tensor:
    """The magnitudes (31,) of an operation, from level 0 on, in the unit that `autoaugment.magnitude` has for it."""
    is_wide = ranges == "trivial"
    if operation in ("AutoContrast", "Equalize"):
        return torch.zeros(NUM_LEVELS)
    if operation == "Posterize":
        return 8 - (torch.arange(NUM_LEVELS) / ((NUM_LEVELS - 1) / (6 if is_wide else 4))).round()
    first, last = {
        "ShearX": (0.0, 0.99 if is_wide else 0.3),
        "ShearY": (0.0, 0.99 if is_wide else 0.3),
        "TranslateX": (0.0, 32.0 if is_wide else 150 / 331 * width),
        "TranslateY": (0.0, 32.0 if is_wide else 150 / 331 * height),
        "Rotate": (0.0, 135.0 if is_wide else 30.0),
        "Solarize": (1.0, 0.0),
    }.get(operation, (0.0, 0.99 if is_wide else 0.9))
    return torch.linspace(first, last, NUM_LEVELS)


@lru_cache(maxsize=16)
def _tables(ranges: Ranges, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """For each operation of DRAWN its index, its magnitudes and whether they are signed: (14,), (14, 31) and (14,).

    They are cached because copying them to a device waits for it.
    """
    names = [OPERATIONS[index] if index != IDENTITY else "AutoContrast" for index in DRAWN]  # neither has a magnitude
    values = torch.stack([magnitudes(ranges, name, height, width).double() for name in names])
    signed = torch.tensor([name in SIGNED for name in names])
    return torch.tensor(DRAWN, device=device), values.to(device), signed.to(device)


def draw(
    num_images: int, ranges: Ranges, level: int | None, height: int, width: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """An operation for each image, uniform, and its magnitude with a random sign where it has one.

    Args:
        level: that of all magnitudes, 0 to 30; None to draw one for each image.

    Returns:
        (N,) int64, index into OPERATIONS or IDENTITY, and (N,) float64.
    """
    device = generator.device
    operations, values, signed = _tables(ranges, height, width, device)
    chosen = torch.randint(0, len(DRAWN), (num_images,), generator=generator, device=device)
    levels = torch.randint(0, NUM_LEVELS, (num_images,), generator=generator, device=device)
    if level is not None:
        levels = torch.full_like(levels, level)
    negative = torch.rand(num_images, generator=generator, device=device) < 0.5
    value = values[chosen, levels]
    return operations[chosen], torch.where(negative & signed[chosen], -value, value)


def trivial_augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image after one operation at a level, both uniform (Müller and Hutter 2021, https://arxiv.org/abs/2103.10158).

    Raises:
        ValueError: the images do not have three channels.
    """
    require_rgb(images)
    num, _, height, width = images.shape
    return apply_operation(images, *draw(num, "trivial", None, height, width, generator))


def rand_augment(images: Tensor, num_operations: int, level: int, generator: torch.Generator) -> Tensor:
    """Each image after some uniformly drawn operations at one level, 0 to 30 (Cubuk et al. 2019,
    https://arxiv.org/abs/1909.13719).

    Raises:
        ValueError: the images do not have three channels.
    """
    require_rgb(images)
    num, _, height, width = images.shape
    for _ in range(num_operations):
        images = apply_operation(images, *draw(num, "rand", level, height, width, generator))
    return images
