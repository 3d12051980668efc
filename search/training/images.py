"""Images as tensors on the training device, their splits, batches and normalisation."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from search.data.datasets import Dataset
from search.data.splits import split
from search.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Images:
    """Images and labels on one device: uint8 (N, C, H, W) and int64 (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        return self.images.device

    @classmethod
    def from_arrays(cls, images: NDArray[np.uint8], labels: NDArray[np.int64], device: torch.device | str) -> "Images":
        """From arrays of images (N, H, W, C) and labels (N,)."""
        # A copy in the new order: the arrays are memory maps of files, which must not change.
        pixels = torch.from_numpy(np.array(images.transpose(0, 3, 1, 2), order="C"))
        return cls(pixels.to(device), torch.from_numpy(np.array(labels)).to(device))

    def take(self, indices: NDArray[np.int64]) -> "Images":
        """The images and labels at these indices."""
        where = torch.from_numpy(indices).to(self.device)
        return Images(self.images[where], self.labels[where])


@dataclass(frozen=True, slots=True)
class Splits:
    """A worker's training data: the training split, the validation split, and both together."""

    train: Images
    validation: Images
    both: Images

    @classmethod
    def load(cls, dataset: Dataset, seed: int, device: torch.device | str) -> "Splits":
        """The splits that `seed` fixes, on a device."""
        images, labels = dataset.train()
        both = Images.from_arrays(images, labels, device)
        train, validation = split(np.asarray(labels), seed)
        return cls(both.take(train), both.take(validation), both)


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Scales uint8 images to mean 0 and standard deviation 1 per channel: (x / 255 - mean) / std."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    factor: Tensor
    offset: Tensor

    @classmethod
    def of(cls, recipe: Recipe, images: Images) -> "Normalisation":
        """The normalisation by the recipe's constants if it has some, else by the statistics of the images."""
        if recipe.mean is not None and recipe.std is not None:
            mean, std = torch.tensor(recipe.mean), torch.tensor(recipe.std)
        else:
            mean, std = channel_statistics(images.images)
        std = std.clamp_min(1e-3)  # a channel may be constant
        return cls.from_constants(tuple(mean.tolist()), tuple(std.tolist()), images.device)

    @classmethod
    def from_constants(cls, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> "Normalisation":
        """The normalisation by these constants, one per channel."""
        means, stds = torch.tensor(mean), torch.tensor(std)
        factor, offset = (1 / (255 * stds)).view(-1, 1, 1), (-means / stds).view(-1, 1, 1)
        return cls(mean, std, factor.to(device), offset.to(device))

    def __call__(self, images: Tensor) -> Tensor:
        """Normalised float32 images (N, C, H, W), from uint8 or float images on the scale 0 to 255."""
        return torch.addcmul(self.offset, images.float(), self.factor)


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (C,) and standard deviation (C,) of each channel over all pixels, on the scale 0 to 1, on the CPU.

    They are computed from histograms, hence exactly and without a float copy of the images.
    """
    values = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in range(images.shape[1]):
        counts = torch.bincount(images[:, channel].flatten().int(), minlength=256).cpu().double()
        mean = (counts * values).sum() / counts.sum()
        means.append(mean)
        deviations.append(((counts * (values - mean) ** 2).sum() / counts.sum()).sqrt())
    return torch.stack(means).float(), torch.stack(deviations).float()
