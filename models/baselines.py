"""Networks that people designed by hand for CIFAR-10 and a limit of 5 million parameters, by name.

They come from five reports of such work, from He et al. 2015 (https://arxiv.org/abs/1512.03385), and from public
implementations of papers, whose numbers of parameters they have to the unit. The accuracies are their authors', from
their own training and choice of model; none is measured by this project.
"""

from dataclasses import dataclass, replace
from difflib import get_close_matches

from models.architecture import Architecture, ArchitectureError, Block, EvenKernel, Shortcut, Stage, Stem

BUDGET = 5_000_000


@dataclass(frozen=True, slots=True)
class Baseline:
    """A named network: where it comes from, a report by its number, from 0, or a paper; the recipe that trains it, by
    its name in search/recipes.py, which is its authors' for those of reports; the accuracy reported; and a note, such
    as what had to be inferred to rebuild it."""

    name: str
    origin: str
    architecture: Architecture
    recipe: str
    reported: str
    note: str = ""


def _basic(widths: tuple[int, ...], depths: tuple[int, ...], shortcut: Shortcut = "B") -> Architecture:
    """Basic blocks after a 3x3 stem as wide as the first stage."""
    stages = tuple(Stage("basic", depth, width) for depth, width in zip(depths, widths, strict=True))
    return Architecture(Stem(widths[0]), stages, shortcut)


def _flexible(
    *stages: tuple[Block, int, int],
    dropout: float = 0.1,
    kernel: int = 3,
    even_kernel: EvenKernel = "pad-then-valid",
    stem: Stem | None = None,
) -> Architecture:
    """A network of report 2. Shortcut b is inferred: it reproduces both totals that the report states."""
    built = tuple(Stage(block, depth, width, kernel, dropout, 4, even_kernel) for block, depth, width in stages)
    return Architecture(stem or Stem(64), built, "b")


_RESNET18 = ((64, 128, 256, 512), (2, 2, 2, 2))
_RESNET40 = ((32, 64, 128, 256), (5, 7, 4, 3))
_FLEXIBLE1: tuple[tuple[Block, int, int], ...] = (
    ("basic", 2, 64),
    ("basic", 2, 128),
    ("basic", 2, 256),
    ("basic", 2, 512),
)
_FLEXIBLE7: tuple[tuple[Block, int, int], ...] = (
    ("bottleneck", 2, 128),
    ("bottleneck", 6, 256),
    ("bottleneck", 6, 512),
    ("bottleneck", 2, 1024),
)


def _wide(blocks: int, factor: int) -> Architecture:
    """A wide ResNet (https://arxiv.org/abs/1605.07146) of so many blocks in each of its three stages."""
    stages = tuple(Stage("basic", blocks, factor * width) for width in (16, 32, 64))
    return Architecture(Stem(16), stages, "b", preactivation=True)


def _gated(depth: int) -> Architecture:
    """A CIFAR ResNet of shortcut B with squeeze-and-excitation of ratio 16."""
    stages = tuple(Stage("basic", depth, width, squeeze_excitation=16) for width in (16, 32, 64))
    return Architecture(Stem(16), stages)


def _aggregated() -> Architecture:
    """ResNeXt-29 of 32 groups, 4 channels wide in the first stage (https://arxiv.org/abs/1611.05431)."""
    stages = (Stage("bottleneck", 3, width, reduction=2, group_width=width // 64) for width in (256, 512, 1024))
    return Architecture(Stem(64), tuple(stages))


def _mobile(stem: int, widths: tuple[int, ...]) -> Architecture:
    """MobileNetV2 with the strides that it has for images of 32 pixels, and ReLU in place of ReLU6."""
    depths, strides = (1, 2, 3, 4, 3, 3, 1), (None, 1, None, None, 1, None, 1)
    stages = tuple(
        Stage("inverted", depth, width, stride=stride, expansion=6 if index else 1)
        for index, (depth, width, stride) in enumerate(zip(depths, widths, strides, strict=True))
    )
    return Architecture(Stem(stem), stages, head_width=1_280)


_PREACTIVATED, _WIDE, _GROUPED = "He et al. 2016", "Zagoruyko 2016", "Xie et al. 2016"
_SE, _MOBILE = "Hu et al. 2017", "Sandler et al. 2018"

_ALL: tuple[Baseline, ...] = (
    Baseline("resnet20-a", "report 0", _basic((16, 32, 64), (3, 3, 3), "A"), "report0", "91.25% (He et al.)"),
    Baseline("resnet20-b", "report 0", _basic((16, 32, 64), (3, 3, 3)), "report0", "91-92% expected; report 4: 91-93%"),
    Baseline("resnet56-a", "report 0", _basic((16, 32, 64), (9, 9, 9), "A"), "report0", "about 93%"),
    Baseline("resnet56-b", "report 0", _basic((16, 32, 64), (9, 9, 9)), "report0", ""),
    Baseline("modified-resnet", "report 1", _basic((64, 128, 256), (2, 2, 2)), "report1", "94.06%"),
    Baseline("resnet18", "report 1", _basic(*_RESNET18), "report1", "93.02%", "a reference, over 5M"),
    Baseline("flexible-1", "report 2", _flexible(*_FLEXIBLE1, kernel=2), "report2-adam", "87.45%", "over 5M"),
    Baseline(
        "flexible-2",
        "report 2",
        _flexible(("basic", 2, 128), ("basic", 2, 256), ("bottleneck", 5, 256), ("bottleneck", 6, 512)),
        "report2-adam",
        "90.67%",
    ),
    Baseline(
        "flexible-3",
        "report 2",
        _flexible(
            ("basic", 3, 64),
            ("basic", 5, 128),
            ("bottleneck", 26, 256),
            ("bottleneck", 5, 512),
            stem=Stem(64, kernel=5, stride=2, padding=1),
        ),
        "report2-adam",
        "91.46%",
        "stem inferred: 5x5 from the count, stride 2 and padding 1 from the text",
    ),
    Baseline(
        "flexible-4",
        "report 2",
        _flexible(
            ("basic", 1, 128),
            ("basic", 2, 128),
            ("basic", 2, 128),
            ("basic", 2, 128),
            ("basic", 2, 196),
            ("basic", 2, 196),
            dropout=0.5,
        ),
        "report2-adam",
        "88.42%",
    ),
    Baseline(
        "flexible-5",
        "report 2",
        _flexible(("basic", 3, 64), ("basic", 5, 128), ("bottleneck", 9, 256), ("bottleneck", 9, 512)),
        "report2-adam",
        "90.31%",
    ),
    Baseline(
        "flexible-6",
        "report 2",
        _flexible(*_FLEXIBLE1, kernel=2, even_kernel="average-pool"),
        "report2-adam",
        "85.89%",
        "over 5M",
    ),
    Baseline("flexible-7", "report 2", _flexible(*_FLEXIBLE7), "report2-cyclic", "did not converge"),
    Baseline("flexible-8", "report 2", _flexible(*_FLEXIBLE7, dropout=0.0), "report2-adam", "85.7%"),
    Baseline("resnet10", "report 3", _basic((64, 128, 256, 512), (1, 1, 1, 1)), "as1", "94.41%"),
    Baseline("resnet40", "report 3", _basic(*_RESNET40), "as1", "95.20%"),
    Baseline(
        "resnet40-ft", "report 3", _basic(*_RESNET40), "ft", "96.01%", "resnet40, trained longer with more augmentation"
    ),
    Baseline("resnet102", "report 3", _basic((16, 32, 64, 128), (8, 13, 17, 12)), "as1", "94.23%"),
    Baseline("preresnet20", _PREACTIVATED, _wide(3, 1), "full", "", "as in pytorchcv"),
    Baseline("preresnet56", _PREACTIVATED, _wide(9, 1), "full", "", "as in pytorchcv"),
    Baseline("wrn16-4", _WIDE, _wide(2, 4), "full", "94.76%", "with dropout, which is left out here"),
    Baseline("wrn20-4", _WIDE, _wide(3, 4), "full", "95.99%", "three blocks a stage: elsewhere called WRN-22-4"),
    Baseline("resnext29-32x4d", _GROUPED, _aggregated(), "full", "96.85%", "by pytorchcv, and as there"),
    Baseline("se-resnet20", _SE, _gated(3), "full", "", "as in pytorchcv"),
    Baseline("se-resnet56", _SE, _gated(9), "full", "95.87%", "chosen by the test set; as in pytorchcv"),
    Baseline(
        "mobilenetv2-0.5", _MOBILE, _mobile(16, (8, 16, 16, 32, 48, 80, 160)), "full", "92.88%", "ReLU, not ReLU6"
    ),
    Baseline("mobilenetv2", _MOBILE, _mobile(32, (16, 24, 32, 64, 96, 160, 320)), "full", "93.79%", "ReLU, not ReLU6"),
)

BASELINES = {baseline.name: baseline for baseline in _ALL}


def find_baseline(name: str, in_channels: int = 3, num_classes: int = 10) -> Architecture:
    """The architecture of a named baseline, for images with these channels and classes.

    Raises:
        ArchitectureError: there is no such baseline; the message offers the nearest names.
    """
    if name not in BASELINES:
        near = get_close_matches(name, BASELINES, n=3, cutoff=0.5) or list(BASELINES)
        raise ArchitectureError(f"baseline = {name!r}: no such baseline; there are {', '.join(near)}")
    return replace(BASELINES[name].architecture, in_channels=in_channels, num_classes=num_classes)
