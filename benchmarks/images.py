"""Images for the benchmarks that train: CIFAR-10, the same at 16x16 pixels, and noise where only time is measured."""

import sys
from collections.abc import Sequence

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


def cifar_parts(numbers: Sequence[int], size: int, device: torch.device | str) -> list[Images]:
    """Consecutive parts of the training images of CIFAR-10, of so many images each, at 32x32 or 16x16 pixels.

    Raises:
        SystemExit: there are fewer images.
    """
    images, labels = cifar(sum(numbers))
    if len(labels) < sum(numbers):
        sys.exit(f"{sum(numbers):,} images: CIFAR-10 has {len(labels):,} for training")
    ends = np.cumsum(numbers)[:-1]
    parts = zip(np.split(at_size(images, size), ends), np.split(labels, ends), strict=True)
    return [Images.from_arrays(*part, device) for part in parts]


def cifar_test(size: int) -> Arrays:
    """The test images of CIFAR-10, at 32x32 or 16x16 pixels, and their labels."""
    images, labels = map(np.array, open_dataset("cifar10").test())
    return at_size(images, size), labels


def at_size(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Images (N, H, W, C) of CIFAR-10 at 32 or 16 pixels a side."""
    return halved(images) if size == 16 else images


def halved(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images (N, H, W, C), averaged over squares of 2x2 pixels: (N, H / 2, W / 2, C)."""
    number, height, width, channels = images.shape
    squares = images.reshape(number, height // 2, 2, width // 2, 2, channels)
    means: NDArray[np.float32] = squares.mean(axis=(2, 4), dtype=np.float32)
    return means.round().astype(np.uint8)


def noise(num_images: int, channels: int, size: int, device: torch.device | str = "cpu") -> Images:
    """Random pixels and labels of ten classes, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (num_images, channels, size, size), dtype=torch.uint8, generator=generator)
    return Images(pixels.to(device), torch.randint(0, 10, (num_images,), generator=generator).to(device))
