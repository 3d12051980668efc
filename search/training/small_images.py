"""Smaller images for the first epochs of a training (progressive resizing)."""

from collections.abc import Iterable

from torch import Tensor
from torch.nn import functional

from models.architecture import Architecture, ArchitectureError
from models.count import count_macs
from search.recipe import Recipe


def small_size(network: Architecture, recipe: Recipe, image_size: int, teachers: Iterable[Architecture] = ()) -> int:
    """The side in pixels of the images on which a network is trained first: what the recipe says, or the next size
    above that the network and its teachers take. That is `image_size` where the recipe has no smaller images, or one of
    them takes none.
    """
    smallest = recipe.small_images.pixels(image_size) if recipe.small_images is not None else image_size
    all_networks = (network, *teachers)
    sizes = (size for size in range(smallest, image_size) if all(_takes(own, size) for own in all_networks))
    return next(sizes, image_size)


def shrink(images: Tensor, size: int) -> Tensor:
    """The images (N, C, H, W) made smaller, (N, C, size, size): each pixel is a mean of those around its place."""
    if images.shape[-2:] == (size, size):
        return images
    return functional.interpolate(images, size=(size, size), mode="bilinear", antialias=True)


def _takes(architecture: Architecture, size: int) -> bool:
    try:
        count_macs(architecture, size)
    except ArchitectureError:
        return False
    return True
