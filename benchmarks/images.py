"""Images for the benchmarks that train: CIFAR-10, the same at 16x16 pixels, and noise where only time is measured."""

import numpy as np
import torch
from numpy.typing import NDArray

from search.data.datasets import open_dataset
from search.training.images import Images

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


def cifar(num_images: int) -> Arrays:
    """The first training images of CIFAR-10, (N, 32, 32, 3), and their labels (N,)."""
    images, labels = open_dataset("cifar10").train()
    return np.array(images[:num_images]), np.array(labels[:num_images])


def halved(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images (N, H, W, C), averaged over squares of 2x2 pixels: (N, H / 2, W / 2, C)."""
    number, height, width, channels = images.shape
    squares = images.reshape(number, height // 2, 2, width // 2, 2, channels)
    return squares.mean(axis=(2, 4), dtype=np.float32).round().astype(np.uint8)


def noise(num_images: int, channels: int, size: int, device: torch.device | str = "cpu") -> Images:
    """Random pixels and labels of ten classes, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (num_images, channels, size, size), dtype=torch.uint8, generator=generator)
    return Images(pixels.to(device), torch.randint(0, 10, (num_images,), generator=generator).to(device))
