"""Smaller images for the first epochs of a training (progressive resizing)."""

from torch import Tensor
from torch.nn import functional

from models.architecture import Architecture, ArchitectureError
from models.count import count_macs
from search.recipe import Recipe


def small_size(architecture: Architecture, recipe: Recipe, image_size: int) -> int:
    """The side in pixels of the images on which a network is trained first: what the recipe says, or the next size
    above that the network takes. That is `image_size` where the recipe has no smaller images, or the network takes
    none.
    """
    smallest = recipe.small_images.pixels(image_size) if recipe.small_images is not None else image_size
    return next((size for size in range(smallest, image_size) if _takes(architecture, size)), image_size)


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
