"""AutoAugment with the policy found on CIFAR-10 (Cubuk et al. 2019, https://arxiv.org/abs/1805.09501), for a batch.

Each image draws one of 25 sub-policies. Each of its two operations happens with its own probability, at its own
magnitude and, if that has one, with a random sign. Policy, magnitudes and operations are those of torchvision's
`AutoAugment` with nearest interpolation and zero fill, which draws once per call; here every image draws for itself.

There is no loop over images and no selection that waits for the device. The fourteen operations are of four kinds, each
with a setting that changes nothing, so a stage is four passes over the batch, of which one alters a given image:

    affine map      ShearX, ShearY, TranslateX, TranslateY, Rotate
    blend with grey Color
    blend with blur Sharpness
    table of 256    Brightness, Contrast, Posterize, Solarize, AutoContrast, Equalize, Invert

Images are uint8 (N, 3, H, W). All randomness comes from the generator, which must be on the device of the images.
"""

from functools import lru_cache

import torch
from torch import Tensor

from search.training.colour import luminance, require_rgb
from search.training.geometry import sample

# In the order of torchvision's table. IDENTITY stands for an operation that was not drawn.
OPERATIONS = (
    "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness",
    "Posterize", "Solarize", "AutoContrast", "Equalize", "Invert",
)  # fmt: skip
SIGNED = OPERATIONS[:9]
IDENTITY = len(OPERATIONS)

Operation = tuple[str, float, int | None]

# Operation, probability, and magnitude on a scale of 0 to 9.
CIFAR10_POLICY: tuple[tuple[Operation, Operation], ...] = (
    (("Invert", 0.1, None), ("Contrast", 0.2, 6)),
    (("Rotate", 0.7, 2), ("TranslateX", 0.3, 9)),
    (("Sharpness", 0.8, 1), ("Sharpness", 0.9, 3)),
    (("ShearY", 0.5, 8), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.5, None), ("Equalize", 0.9, None)),
    (("ShearY", 0.2, 7), ("Posterize", 0.3, 7)),
    (("Color", 0.4, 3), ("Brightness", 0.6, 7)),
    (("Sharpness", 0.3, 9), ("Brightness", 0.7, 9)),
    (("Equalize", 0.6, None), ("Equalize", 0.5, None)),
    (("Contrast", 0.6, 7), ("Sharpness", 0.6, 5)),
    (("Color", 0.7, 7), ("TranslateX", 0.5, 8)),
    (("Equalize", 0.3, None), ("AutoContrast", 0.4, None)),
    (("TranslateY", 0.4, 3), ("Sharpness", 0.2, 6)),
    (("Brightness", 0.9, 6), ("Color", 0.2, 8)),
    (("Solarize", 0.5, 2), ("Invert", 0.0, None)),
    (("Equalize", 0.2, None), ("AutoContrast", 0.6, None)),
    (("Equalize", 0.2, None), ("Equalize", 0.6, None)),
    (("Color", 0.9, 9), ("Equalize", 0.6, None)),
    (("AutoContrast", 0.8, None), ("Solarize", 0.2, 8)),
    (("Brightness", 0.1, 3), ("Color", 0.7, 0)),
    (("Solarize", 0.4, 5), ("AutoContrast", 0.9, None)),
    (("TranslateY", 0.9, 9), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.9, None), ("Solarize", 0.8, 3)),
    (("Equalize", 0.8, None), ("Invert", 0.1, None)),
    (("TranslateY", 0.7, 9), ("AutoContrast", 0.9, None)),
)


def magnitude(operation: str, level: int | None, height: int, width: int) -> float:
    """The magnitude of an operation at a level of 0 to 9; 0 without a level.

    Depending on the operation it is a slope, pixels, degrees, a factor less 1, bits or a threshold. Steps are in single
    precision, as in torchvision, because some are rounded down later.
    """
    if level is None:
        return 0.0
    if operation == "Posterize":
        return float(8 - round(level * 4 / 9))
    first, last = {
        "ShearX": (0.0, 0.3),
        "ShearY": (0.0, 0.3),
        "TranslateX": (0.0, 150 / 331 * width),
        "TranslateY": (0.0, 150 / 331 * height),
        "Rotate": (0.0, 30.0),
        "Solarize": (1.0, 0.0),
    }.get(operation, (0.0, 0.9))
    return float(torch.linspace(first, last, 10)[level])


@lru_cache(maxsize=16)
def _policy_tables(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Operation, magnitude, whether it is signed, and probability: four (25, 2) tensors.

    They are cached because copying them to a device waits for it.
    """
    pairs = CIFAR10_POLICY
    operations = [[OPERATIONS.index(name) for name, _, _ in pair] for pair in pairs]
    magnitudes = [[magnitude(name, level, height, width) for name, _, level in pair] for pair in pairs]
    signed = [[name in SIGNED for name, _, _ in pair] for pair in pairs]
    chances = [[chance for _, chance, _ in pair] for pair in pairs]
    return (
        torch.tensor(operations, device=device),
        torch.tensor(magnitudes, dtype=torch.float64, device=device),
        torch.tensor(signed, device=device),
        torch.tensor(chances, device=device),
    )


def draw_auto_augment(num_images: int, height: int, width: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two operations, in order, for each image, and their magnitudes.

    Returns:
        (N, 2) int64, indices into OPERATIONS or IDENTITY, and (N, 2) float64, magnitudes with their sign.
    """
    device = generator.device
    operations, magnitudes, signed, chances = _policy_tables(height, width, device)
    chosen = torch.randint(0, len(CIFAR10_POLICY), (num_images,), generator=generator, device=device)
    happens = torch.rand(num_images, 2, generator=generator, device=device) < chances[chosen]
    negative = torch.rand(num_images, 2, generator=generator, device=device) < 0.5
    value = magnitudes[chosen]
    return torch.where(happens, operations[chosen], IDENTITY), torch.where(negative & signed[chosen], -value, value)


def _source_matrix(operation: Tensor, value: Tensor, height: int, width: int) -> Tensor:
    """The matrices (N, 2, 3) of the affine operations for `geometry.sample`; the identity for other operations.

    A shear leaves the first row or column in place, a rotation the centre; a shift is by whole pixels.
    """

    def of(name: str) -> Tensor:
        return torch.where(operation == OPERATIONS.index(name), value, 0)

    angle, along_x, along_y = torch.deg2rad(of("Rotate")), of("ShearX"), of("ShearY")
    rows = (
        torch.cos(angle),
        along_x - torch.sin(angle),
        along_x * (height / 2) - of("TranslateX").trunc(),
        along_y + torch.sin(angle),
        torch.cos(angle),
        along_y * (width / 2) - of("TranslateY").trunc(),
    )
    return torch.stack(rows, 1).view(-1, 2, 3).float()


def _blur(images: Tensor) -> Tensor:
    """The rounded mean of the 3 x 3 pixels around each inner pixel, itself with weight 5: (N, C, H - 2, W - 2).

    Sums of whole numbers are exact here, so the result is too, in a quarter of the time of a convolution.
    """
    across = images[..., :-2] + images[..., 1:-1] + images[..., 2:]
    total = across[..., :-2, :] + across[..., 1:-1, :] + across[..., 2:, :]
    return total.add_(images[..., 1:-1, 1:-1], alpha=4).div_(13).round_()


def _equalize_table(levels: Tensor, high: Tensor) -> Tensor:
    """The tables (N, 3, 256) that spread the grey levels of each channel evenly, as PIL does.

    Args:
        levels: (N, 3, H * W) int64.
        high: (N, 3, 1), the brightest level of each channel, whose pixels do not count towards the step.
    """
    num, channels, pixels = levels.shape
    first = torch.arange(num * channels, device=levels.device).view(num, channels, 1) * 256
    # One flat histogram: scatter_add along one axis is deterministic on CUDA too; bincount would wait for the device.
    one = torch.ones(1, dtype=torch.int32, device=levels.device).expand(levels.numel())
    histogram = torch.zeros(num * channels * 256, dtype=torch.int32, device=levels.device)
    histogram = histogram.scatter_add_(0, (levels + first).flatten(), one).view(num, channels, 256)
    brightest = histogram.gather(2, high.long())
    step = ((pixels - brightest) // 255).float()
    below = (histogram.cumsum(2, dtype=torch.int32) - histogram).float()
    # Counts are whole numbers below 2 ** 24, so the floor of a quotient of floats is exact, and fast.
    table = below.add_((step / 2).floor_()).div_(step.clamp(min=1)).floor_().clamp_(max=255)
    return torch.where(step == 0, torch.arange(256.0, device=levels.device), table)


def _level_table(images: Tensor, grey: Tensor, levels: Tensor, operation: Tensor, value: Tensor) -> Tensor:
    """The new grey level for each of the 256 old ones: (N, 3, 256); the identity for operations that are not tables."""

    def is_(name: str) -> Tensor:
        return (operation == OPERATIONS.index(name)).view(-1, 1, 1)

    value = value.view(-1, 1, 1)
    level = torch.arange(256, device=images.device)
    factor = torch.where(is_("Brightness") | is_("Contrast"), 1 + value, 1)
    mean = grey.mean((2, 3))[:, :, None] * torch.where(is_("Contrast"), 1 - factor, 0).float()
    table = (level * factor.float() + mean).clamp_(0, 255).floor_()
    # Single precision matters: 255 times a third is then 85, and level 85 is inverted.
    threshold = torch.where(is_("Solarize"), 255 * value, 256).masked_fill(is_("Invert"), -1).float()
    table = torch.where(level >= threshold, 255 - level, table)
    # Posterize keeps the leading bits: rounding down to a multiple of a power of two.
    unit = torch.exp2(torch.where(is_("Posterize"), 8 - value, 0)).float()
    table = table.div_(unit).floor_().mul_(unit)
    low, high = images.amin((2, 3))[:, :, None], images.amax((2, 3))[:, :, None]
    flat = high == low
    stretched = (level - torch.where(flat, 0, low)) / torch.where(flat, 1, (high - low) * (1 / 255))
    table = torch.where(is_("AutoContrast"), stretched.clamp_(0, 255).floor_(), table)
    return torch.where(is_("Equalize"), _equalize_table(levels, high), table)


def apply_operation(images: Tensor, operation: Tensor, value: Tensor) -> Tensor:
    """Each image after its operation: (N, 3, H, W) uint8.

    Args:
        images: (N, 3, H, W) uint8.
        operation: (N,) int64, index into OPERATIONS, or IDENTITY.
        value: (N,) float64, signed magnitude in the unit of `magnitude`.
    """
    num, _, height, width = images.shape
    pixels = sample(images.float(), _source_matrix(operation, value, height, width), "nearest")
    grey = luminance(pixels).floor_()

    share = torch.where(operation == OPERATIONS.index("Color"), -value, 0).float().view(num, 1, 1, 1)
    pixels = (pixels * (1 - share)).add_(grey * share).clamp_(0, 255).floor_()

    if height > 2 and width > 2:
        share = torch.where(operation == OPERATIONS.index("Sharpness"), -value, 0).float().view(num, 1, 1, 1)
        inner = pixels[..., 1:-1, 1:-1]
        inner += _blur(pixels).sub_(inner).mul_(share)
        pixels = pixels.clamp_(0, 255).floor_()

    levels = pixels.flatten(2).long()
    table = _level_table(pixels, grey, levels, operation, value)
    return table.to(torch.uint8).gather(2, levels).view_as(images)


def auto_augment_cifar10(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image augmented by a sub-policy of its own.

    Args:
        images: (N, 3, H, W) uint8.
        generator: source of the draws.

    Returns:
        (N, 3, H, W) uint8, contiguous.

    Raises:
        ValueError: the images do not have three channels, or are not uint8.
    """
    require_rgb(images)
    if images.dtype != torch.uint8:
        raise ValueError(f"dtype = {images.dtype}: AutoAugment works on grey levels 0 to 255 (torch.uint8)")
    num, _, height, width = images.shape
    operations, values = draw_auto_augment(num, height, width, generator)
    for stage in range(2):
        images = apply_operation(images, operations[:, stage], values[:, stage])
    return images
