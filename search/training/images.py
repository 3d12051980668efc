"""Images as tensors that live on the training device, and the batches taken from them."""

from collections.abc import Iterator
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
        """From images (N, H, W, C) and labels (N,)."""
        # A copy in the new order: the arrays are maps of files, which must not be written.
        pixels = torch.from_numpy(np.array(images.transpose(0, 3, 1, 2), order="C"))
        return cls(pixels.to(device), torch.from_numpy(np.array(labels)).to(device))

    def take(self, indices: NDArray[np.int64]) -> "Images":
        where = torch.from_numpy(indices).to(self.device)
        return Images(self.images[where], self.labels[where])

    def batches(self, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch in random order. What is left over after the last full batch is left out."""
        order = torch.randperm(len(self), generator=generator, device=self.device)
        for start in range(0, len(self) - batch_size + 1, batch_size):
            batch = order[start : start + batch_size]
            # Many times as fast as indexing on the CPU, where it copies whole images.
            yield self.images.index_select(0, batch), self.labels.index_select(0, batch)


@dataclass(frozen=True, slots=True)
class Splits:
    """The training data of a worker: the training split, the validation split, and both together."""

    train: Images
    validation: Images
    both: Images

    @classmethod
    def load(cls, dataset: Dataset, seed: int, device: torch.device | str) -> "Splits":
        images, labels = dataset.train()
        both = Images.from_arrays(images, labels, device)
        train, validation = split(np.asarray(labels), seed)
        return cls(both.take(train), both.take(validation), both)


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Scales uint8 images to mean zero and deviation one per channel: (x / 255 - mean) / std."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    factor: Tensor
    offset: Tensor

    @classmethod
    def of(cls, recipe: Recipe, images: Images) -> "Normalisation":
        """With the recipe's constants, or else those of the images."""
        if recipe.mean is not None and recipe.std is not None:
            mean, std = torch.tensor(recipe.mean), torch.tensor(recipe.std)
        else:
            mean, std = channel_statistics(images.images)
        std = std.clamp_min(1e-3)  # a channel may be constant
        return cls.by(tuple(mean.tolist()), tuple(std.tolist()), images.device)

    @classmethod
    def by(cls, means: tuple[float, ...], deviations: tuple[float, ...], device: torch.device) -> "Normalisation":
        """With these constants, one a channel."""
        mean, std = torch.tensor(means), torch.tensor(deviations)
        factor, offset = (1 / (255 * std)).view(-1, 1, 1), (-mean / std).view(-1, 1, 1)
        return cls(means, deviations, factor.to(device), offset.to(device))

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) on the scale 0 to 255, uint8 or float, to float32 of the same shape."""
        return torch.addcmul(self.offset, images.float(), self.factor)


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every channel over all pixels, on the scale 0 to 1, on the CPU.

    Computed from histograms, hence exactly and without a float copy of the images.
    """
    values = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in range(images.shape[1]):
        counts = torch.bincount(images[:, channel].flatten().int(), minlength=256).cpu().double()
        mean = (counts * values).sum() / counts.sum()
        means.append(mean)
        deviations.append(((counts * (values - mean) ** 2).sum() / counts.sum()).sqrt())
    return torch.stack(means).float(), torch.stack(deviations).float()
