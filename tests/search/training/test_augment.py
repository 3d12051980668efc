"""Crop, flip, cutout and mixing: what they do to an image, and how they are distributed."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import RandomErasing
from torchvision.transforms.v2 import functional as tv

from search.training import augment

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(num: int = 16, channels: int = 3, height: int = 12, width: int = 10) -> Tensor:
    return torch.randn(num, channels, height, width, generator=seeded(99))


def chi_square(counts: Tensor) -> float:
    """Pearson's statistic of counts that should all be equal."""
    expected = counts.sum() / counts.numel()
    return float(((counts - expected) ** 2 / expected).sum())


def labels_for(images: Tensor) -> Tensor:
    return torch.arange(len(images))


AUGMENTATIONS: dict[str, Augmentation] = {
    "crop": lambda images, generator: augment.random_crop(images, 3, generator),
    "crop by reflection": lambda images, generator: augment.random_crop(images, 3, generator, "reflect"),
    "flip": augment.random_flip,
    "cutout": lambda images, generator: augment.cutout(images, 5, generator),
    "random erasing": lambda images, generator: augment.random_erasing(images, 0.9, generator),
    "cutmix": lambda images, generator: augment.cutmix(images, labels_for(images), 1.0, generator)[0],
    "mixup": lambda images, generator: augment.mixup(images, labels_for(images), 0.4, generator)[0],
}
every_augmentation = pytest.mark.parametrize("name", AUGMENTATIONS)


@every_augmentation
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_shape_and_dtype_are_kept(name: str, dtype: torch.dtype, channels: int) -> None:
    images = random_images(channels=channels).to(dtype)
    result = AUGMENTATIONS[name](images, seeded())
    assert (result.shape, result.dtype) == (images.shape, dtype)


@every_augmentation
def test_the_seed_fixes_the_result_and_the_input_is_left_alone(name: str) -> None:
    images = random_images()
    before = images.clone()
    first = AUGMENTATIONS[name](images, seeded(3))
    assert torch.equal(first, AUGMENTATIONS[name](images, seeded(3)))
    assert not torch.equal(first, AUGMENTATIONS[name](images, seeded(4)))
    assert torch.equal(images, before)


@every_augmentation
def test_the_global_random_state_plays_no_part(name: str) -> None:
    images = random_images()
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = AUGMENTATIONS[name](images, seeded())
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert torch.equal(first, AUGMENTATIONS[name](images, seeded()))


@every_augmentation
def test_memory_format_changes_no_number(name: str) -> None:
    images = random_images()
    result = AUGMENTATIONS[name](images.to(memory_format=torch.channels_last), seeded())
    assert torch.equal(result, AUGMENTATIONS[name](images, seeded()))


@every_augmentation
@pytest.mark.parametrize("num", [0, 1])
def test_small_batches_pass(name: str, num: int) -> None:
    images = random_images(num=num)
    assert AUGMENTATIONS[name](images, seeded()).shape == images.shape


@pytest.mark.parametrize("name", ["crop", "crop by reflection", "flip", "cutout", "random erasing"])
def test_copies_of_one_image_come_out_different(name: str) -> None:
    images = random_images(num=1).expand(64, -1, -1, -1)
    distinct = len(torch.unique(AUGMENTATIONS[name](images, seeded()).flatten(1), dim=0))
    assert distinct == 2 if name == "flip" else distinct > 20


def test_zero_strength_is_the_identity() -> None:
    images, labels = random_images(), torch.arange(16)
    assert torch.equal(augment.random_crop(images, 0, seeded()), images)
    assert torch.equal(augment.cutout(images, 0, seeded()), images)
    for mix in (augment.cutmix, augment.mixup):
        mixed, labels_a, labels_b, weight = mix(images, labels, 0, seeded())
        assert torch.equal(mixed, images) and torch.equal(labels_a, labels) and torch.equal(labels_b, labels)
        assert torch.equal(weight, torch.ones(16))


@pytest.mark.parametrize("padding", [1, 3, 15])
def test_a_crop_is_a_window_of_the_padded_image(padding: int) -> None:
    images = random_images()
    _, _, height, width = images.shape
    top, left = augment.draw_crop(len(images), padding, seeded())
    padded = F.pad(images, (padding,) * 4)
    for image, result, y, x in zip(padded, augment.crop(images, padding, top, left), top, left, strict=True):
        assert torch.equal(result, image[:, y : y + height, x : x + width])


@pytest.mark.parametrize(("ours", "theirs"), [("zeros", "constant"), ("reflect", "reflect")])
@pytest.mark.parametrize("padding", [1, 3, 9])
def test_an_image_is_padded_as_torchvision_pads_it(ours: augment.PaddingMode, theirs: str, padding: int) -> None:
    images = random_images()
    _, _, height, width = images.shape
    top, left = augment.draw_crop(len(images), padding, seeded())
    result = augment.crop(images, padding, top, left, ours)
    for image, got, y, x in zip(images, result, top.tolist(), left.tolist(), strict=True):
        padded = tv.pad(image, [padding], padding_mode=theirs)
        assert torch.equal(got, tv.crop(padded, y, x, height, width))


def test_reflected_crops_are_those_of_zeros_where_the_image_itself_is() -> None:
    ones = torch.ones(64, 1, 8, 8)
    assert torch.equal(augment.random_crop(ones, 3, seeded(), "reflect"), ones)
    images = random_images(num=64)
    zeros, reflected = (augment.random_crop(images, 3, seeded(), mode) for mode in ("zeros", "reflect"))
    assert torch.equal(zeros[zeros != 0], reflected[zeros != 0]) and (zeros == 0).any() and not (reflected == 0).any()


def test_the_extreme_crops_stay_inside_the_padded_image() -> None:
    images = random_images(num=4)
    top, left = torch.tensor([0, 0, 6, 6]), torch.tensor([0, 6, 0, 6])
    result = augment.crop(images, 3, top, left)
    assert torch.equal(result[0, :, 3:, 3:], images[0, :, :-3, :-3]) and not result[0, :, :3].any()
    assert torch.equal(result[3, :, :-3, :-3], images[3, :, 3:, 3:]) and not result[3, :, :, -3:].any()


def test_crop_corners_are_uniform_and_independent() -> None:
    top, left = augment.draw_crop(40_500, 4, seeded())
    # 80 degrees of freedom: 1 in 1,000 draws exceeds 124.8.
    assert chi_square(torch.bincount(top * 9 + left, minlength=81).float()) < 124.8


def test_flip_mirrors_exactly_the_drawn_images() -> None:
    images = random_images()
    mirrored = augment.draw_flip(len(images), seeded())
    for image, result, mirror in zip(images, augment.flip(images, mirrored), mirrored, strict=True):
        assert torch.equal(result, image.flip(2) if mirror else image)


def test_half_of_the_images_are_flipped() -> None:
    flipped = augment.draw_flip(40_000, seeded())
    assert abs(float(flipped.float().mean()) - 0.5) < 3.3 * 0.5 / 200


@pytest.mark.parametrize("size", [1, 4, 5, 50])
def test_cutout_zeroes_a_clipped_square_and_nothing_else(size: int) -> None:
    images = random_images()
    row, column = augment.draw_centre(images, seeded())
    for image, result, y, x in zip(images, augment.cut_out(images, size, row, column), row, column, strict=True):
        expected = image.clone()
        first_row, first_column = int(y) - size // 2, int(x) - size // 2
        expected[:, max(0, first_row) : first_row + size, max(0, first_column) : first_column + size] = 0
        assert torch.equal(result, expected)


def test_cutout_centres_are_uniform_over_the_pixels() -> None:
    row, column = augment.draw_centre(torch.empty(40_000, 1, 8, 10), seeded())
    # 79 degrees of freedom: 1 in 1,000 draws exceeds 123.6.
    assert chi_square(torch.bincount(row * 10 + column, minlength=80).float()) < 123.6


def test_an_erased_rectangle_is_zero_and_nothing_else_is() -> None:
    images = random_images(num=200)
    rectangles = augment.draw_rectangle(images, 0.7, seeded())
    result = augment.erase(images, *rectangles)
    for image, got, top, left, rows, columns in zip(
        images, result, *(each.tolist() for each in rectangles), strict=True
    ):
        expected = tv.erase(image, top, left, rows, columns, torch.zeros(()))
        assert torch.equal(got, expected)
        assert 0 <= top <= 12 - rows and 0 <= left <= 10 - columns and (rows == 0) == (columns == 0)


@pytest.mark.parametrize(("height", "width"), [(12, 10), (32, 32), (4, 4), (1, 8)])
def test_rectangles_are_distributed_as_torchvisions(height: int, width: int) -> None:
    num = 3_000
    _, _, rows, columns = augment.draw_rectangle(torch.empty(num, 3, height, width), 1.0, seeded())
    torch.manual_seed(0)
    image, reference = torch.ones(3, height, width), RandomErasing(p=1.0)
    theirs = []
    for _ in range(num):
        hidden = reference(image)[0] == 0
        theirs.append((int(hidden.any(1).sum()), int(hidden.any(0).sum())))
    their_rows, their_columns = torch.tensor(theirs).unbind(1)
    for ours, others in ((rows, their_rows), (columns, their_columns), (rows * columns, their_rows * their_columns)):
        spread = float(others.float().std()) * (2 / num) ** 0.5
        assert abs(float(ours.float().mean() - others.float().mean())) <= 4 * spread
    assert rows.max() <= max(0, height - 1) and columns.max() <= max(0, width - 1)


def test_places_of_rectangles_are_uniform_and_as_many_are_erased_as_should() -> None:
    images = torch.empty(40_000, 1, 8, 8)
    top, left, rows, columns = augment.draw_rectangle(images, 0.25, seeded())
    erased = (rows > 0) & (columns > 0)
    assert abs(float(erased.float().mean()) - 0.25) < 4 * (0.25 * 0.75 / 40_000) ** 0.5
    place = (top * 6 + left)[(rows == 3) & (columns == 3)]
    # 35 degrees of freedom: 1 in 1,000 draws exceeds 66.6.
    assert len(place) > 300 and chi_square(torch.bincount(place, minlength=36).float()) < 66.6


def test_cutmix_weight_is_exactly_the_area_kept() -> None:
    # Image i is i everywhere, so a pixel tells where it came from.
    images = torch.arange(256.0).view(-1, 1, 1, 1).expand(-1, 2, 12, 10).contiguous()
    mixed, labels_a, labels_b, weight = augment.cutmix(images, torch.arange(256), 1.0, seeded())
    for index in range(256):
        kept = mixed[index, 0] == index
        partner = int(labels_b[index])
        assert int(labels_a[index]) == index
        assert set(mixed[index].flatten().tolist()) <= {float(index), float(partner)}
        if partner != index:
            assert float(weight[index] * 120) == pytest.approx(int(kept.sum()), abs=1e-4)
            pasted = (~kept).nonzero()
            if len(pasted):
                height, width = (pasted.amax(0) - pasted.amin(0) + 1).tolist()
                assert height * width == len(pasted), "the pasted pixels fill a rectangle"
    assert len(set(weight.tolist())) > 20, "each image has its own box"


def test_cutmix_pastes_the_partners_own_pixels_in_place() -> None:
    images = random_images()
    mixed, _, partners, _ = augment.cutmix(images, torch.arange(16), 1.0, seeded())
    assert ((mixed == images) | (mixed == images[partners])).all()


def test_mixup_is_convex_with_the_returned_weight() -> None:
    images = random_images(num=64)
    mixed, labels_a, labels_b, weight = augment.mixup(images, torch.arange(64), 0.4, seeded())
    share = weight.view(-1, 1, 1, 1)
    torch.testing.assert_close(mixed, share * images + (1 - share) * images[labels_b])
    assert torch.equal(labels_a, torch.arange(64)) and ((weight >= 0) & (weight <= 1)).all()
    assert len(set(weight.tolist())) > 32, "each image has its own weight"


@pytest.mark.parametrize("mix", [augment.cutmix, augment.mixup])
def test_partners_are_a_permutation_and_labels_may_have_any_shape(mix: Callable[..., augment.Mixed]) -> None:
    labels = torch.arange(16)
    _, _, labels_b, _ = mix(random_images(), labels, 1.0, seeded())
    assert torch.equal(labels_b.sort().values, labels) and not torch.equal(labels_b, labels)
    _, _, one_hot_b, _ = mix(random_images(), F.one_hot(labels), 1.0, seeded())
    assert torch.equal(one_hot_b, F.one_hot(labels_b))


@pytest.mark.parametrize("alpha", [0.001, 0.2, 1.0, 4.0])
def test_mixing_weights_follow_the_beta_distribution(alpha: float) -> None:
    weight = augment.draw_weight(40_000, alpha, seeded())
    assert ((weight >= 0) & (weight <= 1)).all()
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(float(weight.mean()) - 0.5) < 3.3 * variance**0.5 / 200
    assert float(weight.var()) == pytest.approx(variance, rel=0.03)
