"""Networks that people designed by hand for CIFAR-10 and a limit of 5 million parameters, by name.

They come from five reports of such work and from He et al. 2015 (https://arxiv.org/abs/1512.03385). The accuracies are
their authors', from their own training and choice of model; none is measured by this project.
"""

from dataclasses import dataclass, replace
from difflib import get_close_matches

from models.architecture import Architecture, ArchitectureError, Block, EvenKernel, Shortcut, Stage, Stem

BUDGET = 5_000_000


@dataclass(frozen=True, slots=True)
class Baseline:
    """A named network: the number of its report, from 0; the recipe that trained it, by its name in search/recipes.py;
    the accuracy reported; and a note, such as what had to be inferred to rebuild it."""

    name: str
    report: int
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

_ALL: tuple[Baseline, ...] = (
    Baseline("resnet20-a", 0, _basic((16, 32, 64), (3, 3, 3), "A"), "report0", "91.25% (He et al.)"),
    Baseline("resnet20-b", 0, _basic((16, 32, 64), (3, 3, 3)), "report0", "91-92% expected; report 4: 91-93%"),
    Baseline("resnet56-a", 0, _basic((16, 32, 64), (9, 9, 9), "A"), "report0", "about 93%"),
    Baseline("resnet56-b", 0, _basic((16, 32, 64), (9, 9, 9)), "report0", ""),
    Baseline("modified-resnet", 1, _basic((64, 128, 256), (2, 2, 2)), "report1", "94.06%"),
    Baseline("resnet18", 1, _basic(*_RESNET18), "report1", "93.02%", "a reference, over 5M"),
    Baseline("flexible-1", 2, _flexible(*_FLEXIBLE1, kernel=2), "report2-adam", "87.45%", "over 5M"),
    Baseline(
        "flexible-2",
        2,
        _flexible(("basic", 2, 128), ("basic", 2, 256), ("bottleneck", 5, 256), ("bottleneck", 6, 512)),
        "report2-adam",
        "90.67%",
    ),
    Baseline(
        "flexible-3",
        2,
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
        2,
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
        2,
        _flexible(("basic", 3, 64), ("basic", 5, 128), ("bottleneck", 9, 256), ("bottleneck", 9, 512)),
        "report2-adam",
        "90.31%",
    ),
    Baseline(
        "flexible-6",
        2,
        _flexible(*_FLEXIBLE1, kernel=2, even_kernel="average-pool"),
        "report2-adam",
        "85.89%",
        "over 5M",
    ),
    Baseline("flexible-7", 2, _flexible(*_FLEXIBLE7), "report2-cyclic", "did not converge"),
    Baseline("flexible-8", 2, _flexible(*_FLEXIBLE7, dropout=0.0), "report2-adam", "85.7%"),
    Baseline("resnet10", 3, _basic((64, 128, 256, 512), (1, 1, 1, 1)), "as1", "94.41%"),
    Baseline("resnet40", 3, _basic(*_RESNET40), "as1", "95.20%"),
    Baseline("resnet40-ft", 3, _basic(*_RESNET40), "ft", "96.01%", "resnet40, trained longer with more augmentation"),
    Baseline("resnet102", 3, _basic((16, 32, 64, 128), (8, 13, 17, 12)), "as1", "94.23%"),
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
