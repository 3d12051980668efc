"""Colour jitter of a whole batch, each image with its own factors and its own order of the four changes.

The changes are those of `torchvision.transforms.v2.functional` (adjust_brightness, adjust_contrast, adjust_saturation,
adjust_hue) on the scale 0 to 1. Torchvision draws factors and order once per call, so once per batch; here every image
has its own. All randomness comes from the generator, which must be on the device of the images; nothing waits for the
device.

Images are (N, 3, H, W), floating point on the scale 0 to 1, so the jitter goes before normalisation. Shape and dtype
are kept; the result is contiguous unless the images are `channels_last`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from search.training.geometry import uniform


@dataclass(frozen=True, slots=True)
class Jitter:
    """Parameters of the jitter of N images.

    Attributes:
        factors: (N, 3), of brightness, contrast and saturation; 1 changes nothing.
        order: (N, 3) int64, each row a permutation of 0, 1, 2: which of the three changes comes first, second, third.
        hue: (N,), shift of the hue in turns, -0.5 to 0.5; None shifts no hue.
        hue_position: (N,) int64, 0 to 3: how many of the three changes precede the shift of hue.
    """

    factors: Tensor
    order: Tensor
    hue: Tensor | None
    hue_position: Tensor


def require_rgb(images: Tensor) -> None:
    """Check that images have three channels.

    Raises:
        ValueError: they do not.
    """
    if images.shape[1] != 3:
        raise ValueError(f"channels = {images.shape[1]}: colour operations need images of 3 channels (RGB)")


def luminance(images: Tensor) -> Tensor:
    """The grey values (N, 1, H, W) of images (N, 3, H, W) by the weights of ITU-R BT.601, as in torchvision."""
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    return (red * 0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def draw_jitter(
    num_images: int, brightness: float, contrast: float, saturation: float, hue: float, generator: torch.Generator
) -> Jitter:
    """Factors, shift and one of the 24 orders for each image (see `colour_jitter`)."""
    strengths = (brightness, contrast, saturation)
    device = generator.device
    return Jitter(
        factors=torch.stack([uniform(num_images, max(0.0, 1 - s), 1 + s, generator) for s in strengths], 1),
        order=torch.rand(num_images, 3, generator=generator, device=device).argsort(1),
        hue=uniform(num_images, -hue, hue, generator) if hue else None,
        hue_position=torch.randint(0, 4, (num_images,), generator=generator, device=device),
    )


def _blend(images: Tensor, change: Tensor, factor: Tensor) -> Tensor:
    """Each image mixed with black (change 0), its mean grey (1) or its grey version (2), clamped to 0 ... 1.

    Brightness, contrast and saturation differ only in what an image is mixed with, so one pass serves a batch whose
    images are at different changes. A factor of 1 leaves an image exactly as it is.
    """
    grey = luminance(images)
    share = 1 - factor
    towards_mean = torch.where(change == 1, share, 0).view(-1, 1, 1, 1) * grey.mean((1, 2, 3), keepdim=True)
    other = grey.mul_(torch.where(change == 2, share, 0).view(-1, 1, 1, 1)).add_(towards_mean)
    return (images * factor.view(-1, 1, 1, 1)).add_(other).clamp_(0, 1)


def shift_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Each image with its hue turned by its `shift` (N,), in turns, and saturation and value kept (the HSV model)."""
    red, green, blue = images.unbind(1)
    low, high = images.amin(1), images.amax(1)
    chroma = high - low
    # Grey pixels have no hue: any divisor will do, since a chroma of zero removes the hue below.
    divisor = chroma.clamp(min=1e-12)
    sector = torch.where(
        high == red,
        (green - blue) / divisor,
        torch.where(high == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    sector += 6 * shift[:, None, None]
    # A channel falls from the value by the chroma times a trapezium of the distance to its own hue. This is the usual
    # conversion, with its six cases in one formula.
    result = torch.empty_like(images)
    for channel, offset in enumerate((5, 3, 1)):
        place = sector + offset
        place -= 6 * torch.floor(place / 6)  # a third of the time of torch.remainder
        fall = torch.minimum(place, 4 - place).clamp_(0, 1)
        torch.addcmul(high, chroma, fall, value=-1, out=result[:, channel])
    return result


def jitter(images: Tensor, parameters: Jitter) -> Tensor:
    """Each image changed by its own factors and shift of hue, in its own order.

    An image's changes come before its shift of hue or after it. So three blends, one shift and three blends serve all
    24 orders; a blend that is not an image's turn has the factor 1.

    Raises:
        ValueError: the images do not have three channels.
    """
    require_rgb(images)
    result = images.float()
    factors = parameters.factors.gather(1, parameters.order)
    if parameters.hue is None:
        for step in range(3):
            result = _blend(result, parameters.order[:, step], factors[:, step])
        return result.to(images.dtype)
    before = torch.arange(3, device=images.device) < parameters.hue_position[:, None]
    early, late = torch.where(before, factors, 1), torch.where(before, 1, factors)
    for step in range(3):
        result = _blend(result, parameters.order[:, step], early[:, step])
    result = shift_hue(result, parameters.hue)
    for step in range(3):
        result = _blend(result, parameters.order[:, step], late[:, step])
    return result.to(images.dtype)


def colour_jitter(
    images: Tensor, brightness: float, contrast: float, saturation: float, hue: float, generator: torch.Generator
) -> Tensor:
    """Each image with brightness, contrast, saturation and hue changed by random factors in random order.

    Args:
        images: (N, 3, H, W) on the scale 0 to 1.
        brightness: the factor is uniform on [max(0, 1 - brightness), 1 + brightness].
        contrast: likewise.
        saturation: likewise.
        hue: the shift is uniform on [-hue, hue] turns; at most 0.5.
        generator: source of the draws.

    Raises:
        ValueError: the images do not have three channels.
    """
    require_rgb(images)
    if brightness == contrast == saturation == hue == 0:
        return images
    return jitter(images, draw_jitter(len(images), brightness, contrast, saturation, hue, generator))
