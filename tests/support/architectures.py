"""Architectures of every kind, in small sizes, so that networks can be run as well as counted."""

from random import Random

from models.architecture import Architecture, ArchitectureError, Stage, Stem
from models.count import count_macs


def random_architecture(chance: Random, image_size: int) -> Architecture:
    """One that takes images of this size, with any value of every field."""
    while True:
        try:
            architecture = Architecture(
                Stem(chance.choice((4, 8, 12)), chance.choice((3, 5)), chance.choice((1, 2)), chance.choice((1, 2))),
                tuple(_stage(chance) for _ in range(chance.choice((1, 2, 3, 4)))),
                chance.choice(("A", "B", "b")),
                num_classes=7,
                preactivation=chance.choice((False, True)),
                activation=chance.choice(("relu", "silu", "gelu")),
                head_width=chance.choice((None, 10, 20)),
            )
            count_macs(architecture, image_size)
        except ArchitectureError:
            continue
        return architecture


def _stage(chance: Random) -> Stage:
    return Stage(
        chance.choice(("basic", "bottleneck", "inverted")),
        depth=chance.choice((1, 2)),
        width=chance.choice((4, 8, 12, 16)),
        kernel=chance.choice((1, 2, 3, 3, 4, 5, 7)),
        dropout=chance.choice((0.0, 0.1)),
        reduction=chance.choice((1, 2, 3, 4, 12)),
        even_kernel=chance.choice(("pad-then-valid", "average-pool")),
        stride=chance.choice((None, 1, 2)),
        group_width=chance.choice((None, 1, 2, 4, 16)),
        expansion=chance.choice((1, 2, 3, 6)),
        squeeze_excitation=chance.choice((None, 1, 4)),
    )
