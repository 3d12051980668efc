"""Rotation and random affine maps of a whole batch, each image with its own parameters.

The maps and their conventions are those of `torchvision.transforms.v2.functional`: angles in degrees, translations in
pixels, the centre of the image as the origin, zeros outside. Torchvision draws once per call, so once per batch; here
every image has its own draw, and one `grid_sample` serves the batch. All randomness comes from the generator, which
must be on the device of the images; nothing waits for the device.

Images are (N, C, H, W), floating point, any C. The fill is zero, so apply these maps before normalisation, on the scale
0 to 1, where zero is black. Shape and dtype are kept; the result is contiguous unless the images are `channels_last`.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Interpolation = Literal["bilinear", "nearest"]


@dataclass(frozen=True, slots=True)
class Affine:
    """The parameters of an affine map for each of N images.

    Attributes:
        angle: (N,), degrees, clockwise.
        translate: (N, 2), pixels to the right and down.
        scale: (N,), factor greater than zero.
        shear: (N, 2), degrees along x and y.
    """

    angle: Tensor
    translate: Tensor
    scale: Tensor
    shear: Tensor


def uniform(num: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Draws from [low, high): (num,) float32; exactly `low` where the two are equal."""
    return low + (high - low) * torch.rand(num, generator=generator, device=generator.device)


def inverse_matrix(parameters: Affine) -> Tensor:
    """Matrices (N, 2, 3) from a pixel of the result to its source, in pixels from the centre of the image.

    The map is x -> T R(angle) S(scale) Sh_y(shear_y) Sh_x(shear_x) x. The linear part without scale has determinant 1,
    so its inverse needs no division but that by the scale.
    """
    angle, (shear_x, shear_y) = torch.deg2rad(parameters.angle), torch.deg2rad(parameters.shear).unbind(1)
    a = torch.cos(angle - shear_y) / torch.cos(shear_y)
    b = -a * torch.tan(shear_x) - torch.sin(angle)
    c = torch.sin(angle - shear_y) / torch.cos(shear_y)
    d = torch.cos(angle) - c * torch.tan(shear_x)
    linear = torch.stack((d, -b, -c, a), 1).view(-1, 2, 2) / parameters.scale[:, None, None]
    # Not a matrix product: on CUDA it may run in TensorFloat-32 or, under autocast, in half precision.
    offset = -(linear * parameters.translate[:, None, :]).sum(2, keepdim=True)
    return torch.cat((linear, offset), 2)


def sample(images: Tensor, matrix: Tensor, interpolation: Interpolation = "bilinear") -> Tensor:
    """Images (N, C, H, W) whose pixels are taken from where `matrix` sends them; outside the image there are zeros.

    Args:
        images: (N, C, H, W).
        matrix: (N, 2, 3) float32, as `inverse_matrix` gives it.
        interpolation: between pixels of the source.
    """
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    y = torch.arange(height, device=images.device) - (height - 1) / 2
    # grid_sample measures in halves of the image.
    halves = torch.stack((matrix[:, 0] / (0.5 * width), matrix[:, 1] / (0.5 * height)), 1)
    # By broadcasting, with the axis first: on a CPU this takes an eighth of the time of a grid written in its own order
    # (N, H, W, 2) and a thirtieth of that of F.affine_grid, which is a matrix product (see above).
    from_column = halves[:, :, 0, None] * x
    from_row = halves[:, :, 1, None] * y + halves[:, :, 2, None]
    grid = (from_column[:, :, None, :] + from_row[:, :, :, None]).permute(0, 2, 3, 1)
    sampled = F.grid_sample(images.float(), grid, mode=interpolation, padding_mode="zeros", align_corners=False)
    return sampled.to(images.dtype)


def draw_rotation(num_images: int, degrees: float, generator: torch.Generator) -> Tensor:
    """Angles uniform between -degrees and degrees: (N,)."""
    return uniform(num_images, -degrees, degrees, generator)


def rotate(images: Tensor, angle: Tensor, interpolation: Interpolation = "bilinear") -> Tensor:
    """Each image rotated about its centre by its `angle` (N,) in degrees, anticlockwise like torchvision's `rotate`."""
    cosine, sine = torch.cos(torch.deg2rad(angle)), torch.sin(torch.deg2rad(angle))
    nothing = torch.zeros_like(angle)
    matrix = torch.stack((cosine, -sine, nothing, sine, cosine, nothing), 1).view(-1, 2, 3)
    return sample(images, matrix, interpolation)


def random_rotation(
    images: Tensor, degrees: float, generator: torch.Generator, interpolation: Interpolation = "bilinear"
) -> Tensor:
    """Each image rotated about its centre by an angle uniform between -degrees and degrees.

    The default of torchvision's `RandomRotation` is 'nearest'; 'bilinear' moves every edge smoothly.
    """
    if degrees == 0:
        return images
    return rotate(images, draw_rotation(len(images), degrees, generator), interpolation)


def draw_affine(
    images: Tensor,
    degrees: float,
    translate: float,
    scale: tuple[float, float],
    shear: float,
    generator: torch.Generator,
) -> Affine:
    """What torchvision's `RandomAffine` draws, for each image on its own (see `random_affine`)."""
    num, _, height, width = images.shape
    right, down = (uniform(num, -translate * size, translate * size, generator).round() for size in (width, height))
    along_x = uniform(num, -shear, shear, generator)
    return Affine(
        angle=uniform(num, -degrees, degrees, generator),
        translate=torch.stack((right, down), 1),
        scale=uniform(num, *scale, generator),
        shear=torch.stack((along_x, torch.zeros_like(along_x)), 1),
    )


def affine(images: Tensor, parameters: Affine, interpolation: Interpolation = "bilinear") -> Tensor:
    """Each image under an affine map of its own, as torchvision's `affine` applies it."""
    return sample(images, inverse_matrix(parameters), interpolation)


def random_affine(
    images: Tensor,
    degrees: float,
    translate: float,
    scale: tuple[float, float],
    shear: float,
    generator: torch.Generator,
    interpolation: Interpolation = "bilinear",
) -> Tensor:
    """Each image rotated, shifted, scaled and sheared about its centre, distributed as by torchvision's `RandomAffine`.

    Args:
        images: (N, C, H, W).
        degrees: the angle is uniform between -degrees and degrees.
        translate: the shift along each axis is uniform up to this share of the size, then rounded to whole pixels.
        scale: the factor is uniform between these two.
        shear: the angle of the shear along x is uniform between -shear and shear degrees.
        generator: source of the draws.
        interpolation: between pixels of the source; torchvision's default is 'nearest'.
    """
    if (degrees, translate, scale, shear) == (0, 0, (1, 1), 0):
        return images
    return affine(images, draw_affine(images, degrees, translate, scale, shear, generator), interpolation)
