"""The pipeline from stored batches to what a network sees: every field of a recipe has its effect, and no other."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from search.recipe import Recipe
from search.training.augment import cutmix, cutout, mixup, random_crop, random_erasing, random_flip
from search.training.autoaugment import auto_augment_cifar10
from search.training.colour import colour_jitter
from search.training.geometry import random_affine, random_rotation
from search.training.images import Images, Normalisation
from search.training.pipeline import Batch, Pipeline
from search.training.randaugment import rand_augment, trivial_augment

NUM = 24
LABELS = torch.arange(NUM)
PIXELS = torch.randint(0, 256, (NUM, 3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(99))
AFFINE = {"degrees": 10, "translate": 0.1, "scale": (0.9, 1.2), "shear": 10}
JITTER = {"brightness": 0.2, "contrast": 0.3, "saturation": 0.4, "hue": 0.1}


def make_recipe(**values: Any) -> Recipe:
    constants = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}
    return Recipe.model_validate({"name": "test", "epochs": 1} | constants | values)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normalised(pixels: Tensor = PIXELS) -> Tensor:
    """Written out: (x / 255 - mean) / std."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3)))
    return (pixels / 255 - mean) / std


def make_pipeline(recipe: Recipe, seed: int = 0) -> Pipeline:
    normalise = Normalisation.of(recipe, Images(PIXELS, LABELS))
    return Pipeline(recipe, normalise, seeded(seed), seeded(seed + 1))


def batch_of(seed: int = 0, **values: Any) -> Batch:
    return make_pipeline(make_recipe(**values), seed)(PIXELS, LABELS)


Reference = Callable[[Tensor, torch.Generator], Tensor]

# One field of a recipe, and what should happen: to the pixels on the scale 0 to 1 before normalisation,
BEFORE: dict[str, tuple[Any, Reference]] = {
    "auto_augment": (
        True,
        lambda images, generator: auto_augment_cifar10(images.mul(255).round().byte(), generator) / 255,
    ),
    "trivial_augment": (
        True,
        lambda images, generator: trivial_augment(images.mul(255).round().byte(), generator) / 255,
    ),
    "rand_augment": (
        {"operations": 2, "magnitude": 9},
        lambda images, generator: rand_augment(images.mul(255).round().byte(), 2, 9, generator) / 255,
    ),
    "rotation": (15, lambda images, generator: random_rotation(images, 15, generator, "nearest")),
    "affine": (AFFINE, lambda images, generator: random_affine(images, *AFFINE.values(), generator, "nearest")),
    "color_jitter": (JITTER, lambda images, generator: colour_jitter(images, *JITTER.values(), generator)),
}
# or to normalised images.
AFTER: dict[str, tuple[Any, Reference]] = {
    "crop_padding": (2, lambda images, generator: random_crop(images, 2, generator)),
    "flip": (True, random_flip),
    "cutout": (5, lambda images, generator: cutout(images, 5, generator)),
    "random_erasing": (0.8, lambda images, generator: random_erasing(images, 0.8, generator)),
    "cutmix": (0.7, lambda images, generator: cutmix(images, LABELS, 0.7, generator)[0]),
    "mixup": (0.3, lambda images, generator: mixup(images, LABELS, 0.3, generator)[0]),
}
FIELDS = {name: value for name, (value, _) in (BEFORE | AFTER).items()}
EVERYTHING = FIELDS | {"mix_probability": 0.5, "trivial_augment": False, "rand_augment": None}


def by_hand(fields: list[str], seed: int = 0) -> Tensor:
    """The functions of these fields, one after the other."""
    generator = seeded(seed)
    images = PIXELS / 255
    for _, apply in (BEFORE[name] for name in fields if name in BEFORE):
        images = apply(images, generator)
    images = normalised(images * 255)
    for _, apply in (AFTER[name] for name in fields if name in AFTER):
        images = apply(images, generator)
    return images


# What happens to the images.


def test_without_augmentation_images_are_normalised_and_nothing_else() -> None:
    batch = batch_of()
    recipe = make_recipe()
    assert torch.equal(batch.images, Normalisation.of(recipe, Images(PIXELS, LABELS))(PIXELS))
    torch.testing.assert_close(batch.images, normalised())
    assert torch.equal(batch.labels, LABELS)
    assert batch.others is None and batch.weight is None


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_alone_is_its_function_alone(name: str) -> None:
    batch = batch_of(**{name: FIELDS[name]})
    torch.testing.assert_close(batch.images, by_hand([name]), rtol=0, atol=1e-4)
    assert torch.equal(batch.labels, LABELS)


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_changes_images_and_keeps_their_shape(name: str) -> None:
    images = batch_of(**{name: FIELDS[name]}).images
    assert (images.shape, images.dtype) == (PIXELS.shape, torch.float32)
    changed = ((images - normalised()).abs() > 1e-3).flatten(1).any(1)
    assert changed.sum() >= NUM // 4


@pytest.mark.parametrize("last", ["cutmix", "mixup"])
def test_augmentations_happen_in_the_order_of_the_fields(last: str) -> None:
    others = ("trivial_augment", "rand_augment")  # a recipe has one of the policies
    fields = [
        name for name in (*BEFORE, "crop_padding", "flip", "cutout", "random_erasing", last) if name not in others
    ]
    assert fields == [name for name in Recipe.model_fields if name in fields]
    images = batch_of(**{name: FIELDS[name] for name in fields}).images
    torch.testing.assert_close(images, by_hand(fields), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", FIELDS)
def test_the_seed_fixes_everything_and_another_changes_it(name: str) -> None:
    one, two, other = (batch_of(seed, **{name: FIELDS[name]}) for seed in (0, 0, 7))
    assert torch.equal(one.images, two.images)
    assert not torch.equal(one.images, other.images)


def test_the_seed_fixes_a_whole_epoch_of_everything() -> None:
    def epoch(seed: int) -> list[Batch]:
        pipeline = make_pipeline(make_recipe(**EVERYTHING), seed)
        return [pipeline(PIXELS, LABELS) for _ in range(10)]

    torch.manual_seed(0)
    state = torch.get_rng_state()
    one = epoch(0)
    assert torch.equal(torch.get_rng_state(), state), "the global generator plays no part"
    for a, b in zip(one, epoch(0), strict=True):
        assert (a.others is None) == (b.others is None)
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None)
    assert not any(torch.equal(a.images, b.images) for a, b in zip(one, epoch(5), strict=True))
    assert len({batch.images.sum().item() for batch in one}) == 10, "every batch is drawn anew"


def test_pixels_and_labels_given_are_left_alone() -> None:
    pixels, labels = PIXELS.clone(), LABELS.clone()
    pipeline = make_pipeline(make_recipe(**EVERYTHING | {"mix_probability": 1}))
    pipeline(pixels, labels)
    assert torch.equal(pixels, PIXELS) and torch.equal(labels, LABELS)


@pytest.mark.parametrize(
    "values",
    [
        {"rotation": 0, "crop_padding": 0, "cutout": 0, "cutmix": 0, "mixup": 0},
        {"affine": {}},
        {"color_jitter": {}},
        {"color_jitter": {"brightness": 1e-9, "contrast": 1e-9, "saturation": 1e-9, "hue": 1e-9}},
        {"affine": {"degrees": 1e-7, "shear": 1e-7}, "rotation": 1e-7},
        {"affine": {}, "color_jitter": {}, "rotation": 0, "mix_probability": 0, "cutmix": 1, "mixup": 1},
    ],
)
def test_strengths_of_zero_change_nothing(values: dict[str, Any]) -> None:
    batch = batch_of(**values)
    torch.testing.assert_close(batch.images, normalised(), rtol=0, atol=1e-5)
    assert batch.others is None and batch.weight is None


def test_crops_may_pad_by_reflection() -> None:
    images = batch_of(crop_padding=2, padding_mode="reflect").images
    torch.testing.assert_close(images, random_crop(normalised(), 2, seeded(), "reflect"), rtol=0, atol=1e-4)
    assert not torch.equal(images, batch_of(crop_padding=2).images)


def test_what_a_rotation_uncovers_is_black_and_what_a_crop_uncovers_is_the_mean() -> None:
    white = torch.full_like(PIXELS, 255)
    black = normalised(torch.zeros(3, 1, 1))
    for values, fill in (({"rotation": 45}, black), ({"crop_padding": 2}, torch.zeros(3, 1, 1))):
        images = make_pipeline(make_recipe(**values))(white, LABELS).images
        filled = torch.isclose(images, fill, atol=1e-5)
        kept = torch.isclose(images, normalised(white), atol=1e-5)
        assert (filled ^ kept).all() and filled.any()


def test_grey_images_may_be_turned_cropped_and_mixed() -> None:
    grey, recipe = PIXELS[:, :1], Recipe(name="grey", epochs=1, rotation=15, crop_padding=2, flip=True, cutmix=1)
    images = Images(grey, LABELS)
    batch = Pipeline(recipe, Normalisation.of(recipe, images), seeded(), seeded())(grey, LABELS)
    assert (batch.images.shape, batch.images.dtype) == (grey.shape, torch.float32)
    assert torch.isfinite(batch.images).all() and batch.weight is not None


# Mixing.


def unit(**values: Any) -> Callable[[Tensor, Tensor], Batch]:
    """A pipeline that maps grey levels 0 to 255 to values 0 to 1."""
    recipe = make_recipe(mean=(0.0,) * 3, std=(1.0,) * 3, **values)
    return make_pipeline(recipe)


def mixed_batches(num: int, **values: Any) -> list[Batch]:
    """Batches of two images of four pixels."""
    pipeline = unit(batch_size=2, **values)
    return [pipeline(PIXELS[:2, :, :2, :2], LABELS[:2]) for _ in range(num)]


@pytest.mark.parametrize("name", ["cutmix", "mixup"])
@pytest.mark.parametrize("probability", [0, 0.1, 0.5, 1])
def test_batches_are_mixed_with_their_probability(name: str, probability: float) -> None:
    batches = mixed_batches(400, mix_probability=probability, **{name: 1})
    mixed = sum(batch.others is not None and batch.others is not batch.labels for batch in batches)
    # 3.3 standard deviations: 1 in 1,000 seeds is further off.
    bound = 3.3 * (400 * probability * (1 - probability)) ** 0.5
    assert abs(mixed - 400 * probability) <= bound


def test_with_cutmix_and_mixup_either_happens_half_of_the_time() -> None:
    # Boxes of four pixels weigh quarters, and blends hardly ever do.
    weights = [batch.weight for batch in mixed_batches(400, cutmix=1, mixup=1)]
    assert all(weight is not None for weight in weights)
    boxes = sum(bool((weight * 4 == (weight * 4).round()).all()) for weight in weights if weight is not None)
    assert abs(boxes - 200) < 33
    for name, expected in (("cutmix", 400), ("mixup", 0)):
        weights = [batch.weight for batch in mixed_batches(400, **{name: 1})]
        assert sum(bool((w * 4 == (w * 4).round()).all()) for w in weights if w is not None) == expected


def test_cutmix_weighs_a_label_by_the_pixels_kept() -> None:
    # Image i has the colour 10 * i everywhere, so a pixel tells where it came from.
    colours = (10 * LABELS).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 12, 12)
    images, labels, others, weight = unit(cutmix=1)(colours, LABELS)
    assert others is not None and weight is not None and torch.equal(labels, LABELS)
    sources = (images * 25.5).round().long()
    assert ((sources == LABELS.view(-1, 1, 1, 1)) | (sources == others.view(-1, 1, 1, 1))).all()
    kept = (sources == LABELS.view(-1, 1, 1, 1)).float().mean((1, 2, 3))
    elsewhere = others != LABELS
    torch.testing.assert_close(weight[elsewhere], kept[elsewhere])
    assert len(set(weight.tolist())) > NUM // 2, "each image has its own box"


def test_mixup_weighs_a_label_by_its_share_of_every_pixel() -> None:
    images, labels, others, weight = unit(mixup=1)(PIXELS, LABELS)
    assert others is not None and weight is not None and torch.equal(labels, LABELS)
    share = weight.view(-1, 1, 1, 1)
    expected = (share * PIXELS + (1 - share) * PIXELS[others]) / 255
    torch.testing.assert_close(images, expected)
    assert len(set(weight.tolist())) > NUM // 2, "each image has its own weight"


# Loss and accuracy.

LOGITS = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
TRUTH = torch.tensor([0, 1, 2, 3])
OTHERS = torch.tensor([4, 1, 0, 2])
WEIGHT = torch.tensor([0.25, 0.5, 1.0, 0.0])
IMAGES = torch.zeros(4, 3, 2, 2)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_a_mixture_is_that_of_its_soft_labels(smoothing: float) -> None:
    one_hot = [functional.one_hot(labels, 5).float() for labels in (TRUTH, OTHERS)]
    soft = WEIGHT[:, None] * one_hot[0] + (1 - WEIGHT[:, None]) * one_hot[1]
    expected = functional.cross_entropy(LOGITS, soft, label_smoothing=smoothing)
    torch.testing.assert_close(Batch(IMAGES, TRUTH, OTHERS, WEIGHT).loss(LOGITS, smoothing), expected)


def test_the_loss_of_a_mixture_equals_the_one_by_hand() -> None:
    chances = LOGITS.exp() / LOGITS.exp().sum(1, keepdim=True)
    total = 0.0
    for row, ours, theirs, share in zip(chances, TRUTH, OTHERS, WEIGHT, strict=True):
        total -= float(share * row[ours].log() + (1 - share) * row[theirs].log())
    assert Batch(IMAGES, TRUTH, OTHERS, WEIGHT).loss(LOGITS, 0.0).item() == pytest.approx(total / 4, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_mixture_with_all_weight_on_one_label_has_the_plain_loss(smoothing: float) -> None:
    plain = functional.cross_entropy(LOGITS, TRUTH, label_smoothing=smoothing)
    assert torch.equal(Batch(IMAGES, TRUTH).loss(LOGITS, smoothing), plain)
    torch.testing.assert_close(Batch(IMAGES, TRUTH, OTHERS, torch.ones(4)).loss(LOGITS, smoothing), plain)
    torch.testing.assert_close(Batch(IMAGES, OTHERS, TRUTH, torch.zeros(4)).loss(LOGITS, smoothing), plain)


def test_a_mixed_image_counts_as_correct_by_the_share_of_the_label() -> None:
    def logits(*predicted: int) -> Tensor:
        return functional.one_hot(torch.tensor(predicted), 5).float()

    batch = Batch(IMAGES, TRUTH, OTHERS, WEIGHT)
    assert batch.num_correct(logits(0, 0, 0, 0)).item() == 0.25  # of the first; the third has no share of class 0
    assert batch.num_correct(logits(4, 1, 2, 2)).item() == 0.75 + 1 + 1 + 1
    assert batch.num_correct(logits(3, 3, 3, 4)).item() == 0
    assert Batch(IMAGES, TRUTH).num_correct(logits(0, 1, 3, 3)).item() == 3


# An epoch.


def test_an_epoch_holds_every_image_at_most_once_in_a_new_order() -> None:
    pipeline, data = unit(batch_size=8), Images(PIXELS.repeat(7, 1, 1, 1)[:50], torch.arange(50))
    epochs = [[label for batch in pipeline.epoch(data, number) for label in batch.labels.tolist()] for number in (1, 2)]
    assert all(len(set(epoch)) == len(epoch) == 48 for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_images_and_labels_stay_together_in_an_epoch() -> None:
    labels = torch.arange(40)
    data = Images(labels.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2).clone(), labels)
    pipeline = unit(batch_size=10)
    marks = pipeline.normalise(data.images)[:, 0, 0, 0]
    batches = list(pipeline.epoch(data, 1))
    assert [len(batch.labels) for batch in batches] == [10] * 4
    assert all(torch.equal(batch.images[:, 0, 0, 0], marks[batch.labels]) for batch in batches)


def mirrored_in(pipeline: Pipeline, data: Images, number: int) -> Tensor:
    """Which images (N,) an epoch mirrors, in the order of the data, whose left half is black and right half white."""
    batches = list(pipeline.epoch(data, number))
    labels = torch.cat([batch.labels for batch in batches])
    is_white = torch.cat([batch.images[:, 0, 0, 0] for batch in batches]) > 0.5
    return torch.zeros(len(data), dtype=torch.bool).index_copy(0, labels, is_white)


LEFT_BLACK = Images(torch.tensor([0, 255], dtype=torch.uint8).expand(400, 3, 2, 2).clone(), torch.arange(400))


@pytest.mark.parametrize("seed", [0, 1])
def test_an_alternating_flip_mirrors_every_image_in_every_second_epoch(seed: int) -> None:
    recipe = make_recipe(mean=(0.0,) * 3, std=(1.0,) * 3, batch_size=40, flip="alternating")
    pipeline = make_pipeline(recipe, seed)
    # As cifar10-airbench does it: coins before the first epoch, and then all images turned around before each.
    expected = mirrored_in(pipeline, LEFT_BLACK, 1)
    assert 160 < expected.sum() < 240
    for number in range(2, 6):
        expected = ~expected
        assert torch.equal(mirrored_in(pipeline, LEFT_BLACK, number), expected)
    assert torch.equal(mirrored_in(make_pipeline(recipe, seed), LEFT_BLACK, 5), expected), "whatever came before"
    other = mirrored_in(make_pipeline(recipe, seed + 1), LEFT_BLACK, 1)
    assert 120 < (other ^ mirrored_in(pipeline, LEFT_BLACK, 1)).sum() < 280, "each training draws its own"


def test_an_alternating_flip_changes_nothing_else_of_an_epoch() -> None:
    values: dict[str, Any] = {"batch_size": 8, "crop_padding": 2, "cutout": 3}
    plain, alternating = make_pipeline(make_recipe(**values)), make_pipeline(make_recipe(flip="alternating", **values))
    data = Images(torch.full_like(PIXELS, 255), LABELS)
    for one, other in zip(plain.epoch(data, 1), alternating.epoch(data, 1), strict=True):
        assert torch.equal(one.labels, other.labels)
    assert torch.equal(plain.generator.get_state(), alternating.generator.get_state())
    assert torch.equal(plain.coins.get_state(), alternating.coins.get_state())


def test_without_an_epoch_an_alternating_flip_is_a_coin() -> None:
    assert torch.equal(batch_of(flip="alternating").images, batch_of(flip=True).images)


def test_a_batch_is_copied_whole_and_into_place() -> None:
    for recipe in ({}, {"cutmix": 1}):
        one, two = (unit(batch_size=2, **recipe)(PIXELS[i : i + 2], LABELS[i : i + 2]) for i in (0, 2))
        copied = one.clone()
        assert all(ours is not theirs for ours, theirs in zip(copied, one, strict=True) if theirs is not None)
        kept = list(copied)
        copied.copy_(two)
        for ours, theirs, before in zip(copied, two, kept, strict=True):
            assert ours is before
            assert (ours is None and theirs is None) or torch.equal(ours, theirs)
