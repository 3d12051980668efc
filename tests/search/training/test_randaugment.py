"""TrivialAugment and RandAugment against torchvision: magnitudes entry for entry, operations image by image."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import RandAugment, TrivialAugmentWide

from search.training import autoaugment, randaugment
from search.training.randaugment import Ranges

REFERENCES: dict[Ranges, Any] = {"trivial": TrivialAugmentWide(), "rand": RandAugment()}
NAMES = [autoaugment.OPERATIONS[index] for index in randaugment.DRAWN if index != autoaugment.IDENTITY]
EXACT = set(NAMES) - {"Color", "Sharpness"}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images_of(num: int, height: int = 32, width: int = 32) -> Tensor:
    smooth = F.interpolate(torch.rand(num, 3, 8, 8, generator=seeded(98)), (height, width), mode="bilinear")
    noisy = smooth * 230 + 10 + 8 * torch.randn(num, 3, height, width, generator=seeded(99))
    return noisy.clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize("ranges", REFERENCES)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (28, 31)])
def test_operations_magnitudes_and_signs_are_torchvisions(ranges: Ranges, height: int, width: int) -> None:
    space = REFERENCES[ranges]._AUGMENTATION_SPACE
    assert set(space) == {"Identity", *NAMES} and len(randaugment.DRAWN) == len(space)
    for name in NAMES:
        make, is_signed = space[name]
        expected = make(31, height, width)
        ours = randaugment.magnitudes(ranges, name, height, width)
        assert torch.equal(ours, torch.zeros(31) if expected is None else expected.float()), name
        assert (name in autoaugment.SIGNED) == is_signed


@pytest.mark.parametrize("ranges", REFERENCES)
def test_each_image_gets_what_torchvision_makes_of_it(ranges: Ranges) -> None:
    images = images_of(150)
    operations, values = randaugment.draw(150, ranges, None, 32, 32, seeded())
    result = autoaugment.apply_operation(images, operations, values)
    reference = REFERENCES[ranges]
    for index, (operation, value) in enumerate(zip(operations.tolist(), values.tolist(), strict=True)):
        if operation == autoaugment.IDENTITY:
            assert torch.equal(result[index], images[index])
            continue
        name = autoaugment.OPERATIONS[operation]
        expected = reference._apply_image_or_video_transform(
            images[index], name, value, interpolation=InterpolationMode.NEAREST, fill=reference._fill
        )
        difference = (result[index].int() - expected.int()).abs()
        # Where a source lies half way between two pixels, rounding decides.
        allowed = 0.02 if name.startswith(("Shear", "Rotate")) else 0.0
        assert (difference > (0 if name in EXACT else 1)).float().mean() <= allowed, (name, value)


def test_trivial_augment_draws_operations_levels_and_signs_uniformly() -> None:
    num = 62_000
    operations, values = randaugment.draw(num, "trivial", None, 32, 32, seeded())
    counts = torch.bincount(operations, minlength=15)
    assert counts[autoaugment.OPERATIONS.index("Invert")] == 0
    for index in randaugment.DRAWN:
        assert abs(int(counts[index]) - num / 14) < 4 * (num / 14) ** 0.5
    turned = values[operations == autoaugment.OPERATIONS.index("Rotate")]
    levels = torch.bincount((turned.abs() / 4.5).round().long(), minlength=31)
    assert len(levels) == 31 and (levels - len(turned) / 31).abs().max() < 4 * (len(turned) / 31) ** 0.5
    assert abs(int((turned > 0).sum()) - 15 / 31 * len(turned)) < 4 * (len(turned) / 4) ** 0.5


def test_rand_augment_is_as_many_operations_at_its_level() -> None:
    images, generator = images_of(40), seeded()
    expected = images
    for _ in range(2):
        operations, values = randaugment.draw(40, "rand", 9, 32, 32, generator)
        turned = values[operations == autoaugment.OPERATIONS.index("Rotate")]
        assert torch.equal(turned.abs().float(), torch.full((len(turned),), 9.0))
        expected = autoaugment.apply_operation(expected, operations, values)
    assert torch.equal(randaugment.rand_augment(images, 2, 9, seeded()), expected)
    assert not torch.equal(randaugment.rand_augment(images, 1, 9, seeded()), expected)


@pytest.mark.parametrize(("num", "height", "width"), [(0, 8, 8), (1, 8, 8), (3, 2, 2), (2, 40, 24)])
def test_shape_and_dtype_are_kept_and_the_seed_fixes_all(num: int, height: int, width: int) -> None:
    images = torch.randint(0, 256, (num, 3, height, width), generator=seeded(), dtype=torch.uint8)
    for augment in (randaugment.trivial_augment, lambda x, g: randaugment.rand_augment(x, 2, 9, g)):
        result = augment(images, seeded())
        assert (result.shape, result.dtype) == (images.shape, torch.uint8)
        assert torch.equal(result, augment(images, seeded()))


def test_copies_of_one_image_come_out_different() -> None:
    images = images_of(1).expand(64, -1, -1, -1)
    assert len(torch.unique(randaugment.trivial_augment(images, seeded()).flatten(1), dim=0)) > 25


def test_images_without_three_channels_are_refused() -> None:
    for augment in (randaugment.trivial_augment, lambda x, g: randaugment.rand_augment(x, 2, 9, g)):
        with pytest.raises(ValueError, match=r"^channels = 1: .*3 channels"):
            augment(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), seeded())
