"""The input pipeline: from stored images to a batch as the network sees it, by all of a recipe's augmentations."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from search.recipe import Recipe
from search.training.augment import cutmix, cutout, draw_flip, flip, mixup, random_crop, random_erasing, random_flip
from search.training.autoaugment import auto_augment_cifar10
from search.training.colour import colour_jitter
from search.training.geometry import random_affine, random_rotation
from search.training.images import Images, Normalisation
from search.training.mixed_precision import MEMORY_FORMAT
from search.training.randaugment import rand_augment, trivial_augment
from search.training.small_images import shrink

# Numbers in the images that CUDA augments at once: 64 MiB as float32, a ninth of CIFAR-10.
PIECE = 2**24


class Batch(NamedTuple):
    """Normalised images (N, C, H, W) and their labels (N,).

    Where a recipe mixes images, `weight` (N,) is the share of each that belongs to `labels`; the rest belongs to
    `others`.
    """

    images: Tensor
    labels: Tensor
    others: Tensor | None = None
    weight: Tensor | None = None

    def clone(self) -> "Batch":
        """The same batch in tensors of its own."""
        others = self.others.clone() if self.others is not None else None
        weight = self.weight.clone() if self.weight is not None else None
        return Batch(self.images.clone(), self.labels.clone(), others, weight)

    def copy_(self, other: "Batch") -> None:
        """Overwrite the batch by another of the same shapes."""
        for ours, theirs in zip(self, other, strict=True):
            assert (ours is None) == (theirs is None)
            if ours is not None and theirs is not None:
                ours.copy_(theirs)

    def loss(self, logits: Tensor, label_smoothing: float) -> Tensor:
        """The mean cross-entropy in nats of logits (N, classes). A mixed image's labels count by their shares."""
        if self.others is None or self.weight is None:
            return functional.cross_entropy(logits, self.labels, label_smoothing=label_smoothing)
        ours, theirs = (
            functional.cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing)
            for labels in (self.labels, self.others)
        )
        return (self.weight * ours + (1 - self.weight) * theirs).mean()

    def num_correct(self, logits: Tensor) -> Tensor:
        """The number of images that logits (N, classes) get right. A mixed image counts by its label's share."""
        predicted = logits.argmax(dim=1)
        correct = predicted == self.labels
        if self.others is None or self.weight is None:
            return correct.sum()
        return (self.weight * correct + (1 - self.weight) * (predicted == self.others)).sum()


class Pipeline:
    """A recipe's augmentation, drawn independently for every image.

    Args:
        recipe: which augmentations, and how strong.
        normalise: the normalisation of the images.
        generator: the source of the draws, on the device of the images.
        coins: decides whether a batch is mixed, and how. It is on the CPU: what to compute depends on it, so the host
            must know without waiting for the device.
        dtype: of the images in a batch.
    """

    def __init__(
        self,
        recipe: Recipe,
        normalise: Normalisation,
        generator: torch.Generator,
        coins: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.recipe = recipe
        self.normalise = normalise
        self.generator = generator
        self.coins = coins
        self.dtype = dtype

    def __call__(self, pixels: Tensor, labels: Tensor) -> Batch:
        """The batch of uint8 images (N, C, H, W) and int64 labels (N,)."""
        return self.mix(self.augment(pixels), labels)

    def epoch(self, data: Images, number: int, size: int | None = None) -> Iterator[Batch]:
        """The full batches of epoch `number`, from 1 on, in random order. Images that do not fill a last batch are left
        out. They are made smaller, of `size` x `size` pixels, if it is given.

        On CUDA, where every operation costs a launch, many batches are augmented at once.
        """
        batch_size, _, _ = self.recipe.sizes
        num_images = len(data) // batch_size * batch_size
        order = torch.randperm(len(data), generator=self.generator, device=data.device)[:num_images]
        num_batches = PIECE // (batch_size * data.images[0].numel()) if data.device.type == "cuda" else 1
        piece_size = max(1, num_batches) * batch_size
        mirrored = self._mirrored(data, number)
        for start in range(0, num_images, piece_size):
            piece = order[start : start + piece_size]
            # On a CPU index_select is many times as fast as indexing, since it copies whole images.
            pixels = data.images.index_select(0, piece)
            images = self.augment(pixels, mirrored.index_select(0, piece) if mirrored is not None else None, size)
            labels = data.labels.index_select(0, piece)
            for first in range(0, len(piece), batch_size):
                yield self.mix(images[first : first + batch_size], labels[first : first + batch_size])

    def _mirrored(self, data: Images, number: int) -> Tensor | None:
        """Which images (N,) an alternating flip mirrors in epoch `number`; None for any other.

        Those of the first epoch follow from the seed of the coins, so that a resumed training has them again.
        """
        if self.recipe.flip != "alternating":
            return None
        first = draw_flip(len(data), torch.Generator().manual_seed(self.coins.initial_seed() + 1))
        return (first ^ (number % 2 == 0)).to(data.device)

    def augment(self, pixels: Tensor, mirrored: Tensor | None = None, size: int | None = None) -> Tensor:
        """Normalised images (N, C, H, W) in `MEMORY_FORMAT`, from uint8, each augmented by itself. If the recipe
        mirrors images, these are the `mirrored` (N,); by default they are drawn. With a `size` that is H and W.
        """
        recipe, generator = self.recipe, self.generator
        _, padding, hole = recipe.sizes
        images = self.normalise(self._recolour(pixels))
        if padding:
            images = random_crop(images, padding, generator, recipe.padding_mode)
        if recipe.flip:
            images = random_flip(images, generator) if mirrored is None else flip(images, mirrored)
        if hole:
            images = cutout(images, hole, generator)
        if recipe.random_erasing:
            images = random_erasing(images, recipe.random_erasing, generator)
        if size is not None:
            images = shrink(images, size)
        return images.to(self.dtype, memory_format=MEMORY_FORMAT)

    def mix(self, images: Tensor, labels: Tensor) -> Batch:
        """The batch of augmented images and their labels, mixed if the recipe and the coins say so."""
        recipe = self.recipe
        if not recipe.mixes:
            return Batch(images, labels)
        if not self._toss(recipe.mix_probability):
            return Batch(images, labels, labels, torch.ones(len(labels), device=labels.device))
        use_cutmix = recipe.cutmix > 0 and (recipe.mixup == 0 or self._toss(0.5))
        mix, alpha = (cutmix, recipe.cutmix) if use_cutmix else (mixup, recipe.mixup)
        return Batch(*mix(images, labels, alpha, self.generator))

    def _recolour(self, pixels: Tensor) -> Tensor:
        """The images (N, C, H, W) after what comes before normalisation, still on the scale 0 to 255."""
        recipe, generator = self.recipe, self.generator
        if recipe.auto_augment:
            pixels = auto_augment_cifar10(pixels, generator)
        if recipe.trivial_augment:
            pixels = trivial_augment(pixels, generator)
        if (rand := recipe.rand_augment) is not None:
            pixels = rand_augment(pixels, rand.operations, rand.magnitude, generator)
        if not recipe.rotation and recipe.affine is None and recipe.color_jitter is None:
            return pixels
        images = pixels.float() / 255
        if recipe.rotation:
            images = random_rotation(images, recipe.rotation, generator, "nearest")
        if (affine := recipe.affine) is not None:
            images = random_affine(
                images, affine.degrees, affine.translate, affine.scale, affine.shear, generator, "nearest"
            )
        if (jitter := recipe.color_jitter) is not None:
            images = colour_jitter(images, jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue, generator)
        return images * 255

    def _toss(self, probability: float) -> bool:
        return torch.rand((), generator=self.coins).item() < probability
