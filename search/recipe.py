"""How a network is trained, as a frozen value: optimiser, schedule, augmentation, epochs, precision."""

import re
from math import log2, sqrt
from statistics import fmean

from pydantic import ValidationError

from search.errors import RecipeError
from search.quantities import plural
from search.recipe_fields import POLICIES, RecipeFields
from search.yamlfile import describe

FULL_BATCH = 128
GPU_BATCH = 512
_CHARACTERS = frozenset({"digits", "svhn", "mnist", "emnist", "kmnist", "qmnist"})


class Recipe(RecipeFields):
    """One way to train an image classifier; its fields and how they go together are those of `RecipeFields`."""

    def fit_to(
        self,
        data: str,
        num_train: int,
        image_size: int,
        num_channels: int,
        num_split: int | None = None,
        on_gpu: bool = False,
    ) -> "Recipe":
        """This recipe with every 'auto' set for a data set of `num_train` images of `image_size` pixels, of which
        `num_split` are in the training split; by default all.

        A batch is 128 images, on a GPU 512, which its steps need to be busy; or fewer (a power of two, 16 at least) so
        that an epoch has 32 steps; a smaller training split is one batch. The learning rates are those of 128 images.
        They go with a smaller batch (Goyal et al. 2017, https://arxiv.org/abs/1706.02677), and with the square root of
        a larger one (Hoffer et al. 2017, https://arxiv.org/abs/1705.08741): in proportion, 0.8 would become 3.2. A crop
        pads by an eighth of the image, and cutout hides a square of a quarter of its side. Images are mirrored in
        every second epoch unless the data is known to be characters, which differ in a mirror.

        Raises:
            RecipeError: the recipe cannot be used with such images.
        """
        resolved: dict[str, int | float | str] = {}
        if self.batch_size == "auto":
            most = GPU_BATCH if on_gpu else FULL_BATCH
            batch_size = min(most, max(16, 2 ** int(log2(max(1, num_train // 32)))), num_split or num_train)
            share = min(batch_size / FULL_BATCH, sqrt(batch_size / FULL_BATCH))
            resolved |= {"batch_size": batch_size} | self._rates(share)
        if self.crop_padding == "auto":
            resolved["crop_padding"] = min(64, image_size // 8)
            if image_size < 8:  # nothing to pad with
                resolved["padding_mode"] = "zeros"
        if self.cutout == "auto":
            resolved["cutout"] = min(512, image_size // 4)
        if self.flip == "auto":
            resolved["flip"] = False if _are_characters(data) else "alternating"
        fitted = self.model_copy(update=resolved)
        batch_size, padding, hole = fitted.sizes
        if batch_size > num_train:
            raise RecipeError(f"batch_size = {batch_size}: larger than the {plural(num_train, 'training image')}")
        for name, pixels in (("crop_padding", padding), ("cutout", hole)):
            if pixels >= image_size:
                raise RecipeError(f"{name} = {pixels}: must be smaller than an image of {image_size} pixels")
        num_steps = self.epochs * ((num_split or num_train) // batch_size)
        if self.lookahead > num_steps:
            raise RecipeError(f"lookahead = {self.lookahead}: larger than the training, which has {num_steps:,} steps")
        if (small := self.small_images) is not None and not self.num_small_epochs:
            raise RecipeError(f"small_images.epochs = {small.epochs:g}: is none of {plural(self.epochs, 'epoch')}")
        if small is not None and small.pixels(image_size) >= image_size:
            raise RecipeError(f"small_images.size = {small.size:g}: leaves an image of {image_size} pixels as it is")
        if any(not 0 <= value <= 1 for value in (*(self.mean or ()), *(self.std or ()))):
            raise RecipeError("mean and std: must be those of pixels from 0 to 1, not from 0 to 255")
        if self.milestones and self.schedule != "multi-step":
            raise RecipeError(f"milestones: schedule = {self.schedule} takes none; multi-step does")
        if self.milestones and self.milestones[0] < self.warmup:
            first = f"milestones: the first, {self.milestones[0]:g}, lies within the warmup of {self.warmup:g}"
            raise RecipeError(f"{first}; give a shorter one")
        if self.mean is not None and len(self.mean) != num_channels:
            here = plural(num_channels, "channel")
            raise RecipeError(f"mean = {self.mean}: {data} has {here}; null in recipe {self.name} is the images' own")
        colourful = [name for name in (*POLICIES, "color_jitter") if getattr(self, name)]
        if num_channels != 3 and colourful:
            name = colourful[0]
            raise RecipeError(f"{name}: needs images of 3 channels; those of {data} have {num_channels}")
        return fitted

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Batch size, crop padding and side of the cutout, of a recipe that is fitted to its data."""
        assert self.batch_size != "auto" and self.crop_padding != "auto" and self.cutout != "auto"
        return self.batch_size, self.crop_padding, self.cutout

    @property
    def halved(self) -> "Recipe | None":
        """The recipe with half of the batch and of its learning rates (Goyal et al. 2017, https://arxiv.org/abs/1706.02677,
        section 2.1). None without `halve_batch`, or where a batch has fewer than 4 images."""
        half = self.sizes[0] // 2
        changes = {"batch_size": half} | self._rates(1 / 2)
        return self.model_copy(update=changes) if self.halve_batch and half > 1 else None

    def _rates(self, share: float) -> dict[str, float]:
        """The learning rates of a step times `share`; those per so many images stay."""
        names = [*(() if self.rates_per else ("lr", "min_lr")), *(("muon_lr",) if self.optimizer == "muon" else ())]
        return {name: getattr(self, name) * share for name in names}

    @property
    def num_small_epochs(self) -> int:
        """How many epochs, the first, have smaller images; never the last."""
        return min(round(self.small_images.epochs * self.epochs), self.epochs - 1) if self.small_images else 0

    @property
    def shares_of_pixels(self) -> tuple[float, ...]:
        """The share of an image's pixels that each epoch is trained on; empty where that is all in every epoch."""
        if self.small_images is None:
            return ()
        small, num_small = self.small_images.size**2, self.num_small_epochs
        return (small,) * num_small + (1.0,) * (self.epochs - num_small)

    def time_of(self, epoch: int) -> float:
        """What epoch `epoch` takes, from 1 on, to the mean of a training's epochs, where time goes with pixels."""
        shares = self.shares_of_pixels
        return shares[epoch - 1] / fmean(shares) if shares else 1.0

    @property
    def needs_validation(self) -> bool:
        """Whether training itself looks at the validation split, which must then be kept out of the training data."""
        return self.schedule == "plateau" or self.stop_patience is not None or self.keep_best

    @property
    def mixes(self) -> bool:
        """Whether a training image may be a mixture of two."""
        return (self.cutmix > 0 or self.mixup > 0) and self.mix_probability > 0


def is_mirrored(flip: object, data: str) -> bool:
    """Whether a network that was trained on a data set, with this `flip`, may be tested on mirrored images."""
    return bool(flip) and not _are_characters(data)


def _are_characters(data: str) -> bool:
    """Whether a data set holds characters, which differ in a mirror, by what it is called."""
    words = re.findall("[a-z]+", data.lower())
    return "fashion" not in words and not _CHARACTERS.isdisjoint(words)


def with_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe with another length.

    Raises:
        RecipeError: the length is out of range.
    """
    return _changed(recipe, {"epochs": epochs})


def with_batch_size(recipe: Recipe, batch_size: int) -> Recipe:
    """The recipe with another number of images in a batch; everything else stays, the learning rate too.

    Raises:
        RecipeError: the number is out of range.
    """
    return _changed(recipe, {"batch_size": batch_size})


def _changed(recipe: Recipe, changes: dict[str, int]) -> Recipe:
    values = recipe.model_dump(exclude_unset=True) | changes  # what a file left open stays so
    try:
        return Recipe.model_validate(values)
    except ValidationError as problem:
        raise RecipeError(describe(problem, values)) from None
