"""The input pipeline: from stored images to a batch as the network sees it, by all of a recipe's augmentations."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from search.recipe import Recipe
from search.training.augment import cutmix, cutout, mixup, random_crop, random_flip
from search.training.autoaugment import auto_augment_cifar10
from search.training.colour import colour_jitter
from search.training.geometry import random_affine, random_rotation
from search.training.images import Normalisation


class Batch(NamedTuple):
    """Normalised images (N, C, H, W) and their labels (N,).

    If images are mixed, `weight` (N,) is the share of each that belongs to `labels`; the rest belongs to `others`.
    """

    images: Tensor
    labels: Tensor
    others: Tensor | None = None
    weight: Tensor | None = None

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
    """

    def __init__(
        self, recipe: Recipe, normalise: Normalisation, generator: torch.Generator, coins: torch.Generator
    ) -> None:
        self.recipe = recipe
        self.normalise = normalise
        self.generator = generator
        self.coins = coins

    def __call__(self, pixels: Tensor, labels: Tensor) -> Batch:
        """The batch of uint8 images (N, C, H, W) and int64 labels (N,)."""
        recipe, generator = self.recipe, self.generator
        _, padding, hole = recipe.sizes
        images = self.normalise(self._recolour(pixels))
        if padding:
            images = random_crop(images, padding, generator)
        if recipe.flip:
            images = random_flip(images, generator)
        if hole:
            images = cutout(images, hole, generator)
        if recipe.mixes and self._toss(recipe.mix_probability):
            use_cutmix = recipe.cutmix > 0 and (recipe.mixup == 0 or self._toss(0.5))
            mix, alpha = (cutmix, recipe.cutmix) if use_cutmix else (mixup, recipe.mixup)
            return Batch(*mix(images, labels, alpha, generator))
        return Batch(images, labels)

    def _recolour(self, pixels: Tensor) -> Tensor:
        """The images (N, C, H, W) after what comes before normalisation, still on the scale 0 to 255."""
        recipe, generator = self.recipe, self.generator
        if recipe.auto_augment:
            pixels = auto_augment_cifar10(pixels, generator)
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
