"""The bytes of int8 files by arithmetic. Written files are compared in tests/search/training/test_onnx_files.py."""

from contextlib import suppress

import numpy as np
import pytest

from models.architecture import Architecture, ArchitectureError, Stage, Stem
from models.count import count_parameters
from models.int8 import count_int8_bytes, head_bytes, most_feature_map_bytes, stage_bytes, stem_bytes
from search.space.limits import Limits
from search.space.space import Task, load_space


def test_a_network_counted_by_hand() -> None:
    network = Architecture(Stem(4), (Stage("basic", 1, 8),), in_channels=1, num_classes=10)
    normalisation = 2 * 4  # a float scale and shift for the one channel
    # Of each layer the weights, and for each output a float scale of weights, a 32-bit bias and its float scale.
    stem, first, second, shortcut = 9 * 4 + 12 * 4, 9 * 4 * 8 + 12 * 8, 9 * 8 * 8 + 12 * 8, 4 * 8 + 12 * 8
    head = 8 * 10 + 12 * 10
    # The image, the outputs of four convolutions (two of them by their ReLU), the block's, and the means.
    feature_maps = 7 * 5
    assert count_int8_bytes(network) == normalisation + stem + first + second + shortcut + head + feature_maps


def random_designs(name: str) -> list[Architecture]:
    space, rng, designs = load_space(name), np.random.default_rng(0), []
    for _ in range(100):
        vector = {slot.name: slot.value(int(rng.integers(len(slot.choices)))) for slot in space.slots}
        with suppress(ArchitectureError):
            designs.append(space.decode(vector, Task(32, 3, 10)))
    assert designs
    return designs


@pytest.mark.parametrize("name", ["resnet", "modern", "tiny"])
def test_a_network_takes_more_bytes_than_it_has_parameters(name: str) -> None:
    """So a limit of bytes is a limit of parameters too."""
    assert all(count_int8_bytes(design) > count_parameters(design) for design in random_designs(name))


def bytes_of_parts(network: Architecture) -> int:
    width, preactivation = network.stem.width, network.preactivation
    total = stem_bytes(network.stem, network.in_channels, preactivation)
    for stage, stride in zip(network.stages, network.strides, strict=True):
        total += stage_bytes(stage, width, network.shortcut, stride, preactivation)
        width = stage.width
    return total + head_bytes(width, network.num_classes, network.head_width, preactivation)


# Networks of one block that has, of all blocks, the most feature maps.
RICHEST = [
    Architecture(Stem(8), (Stage(block, 1, 8, stride=2, squeeze_excitation=4, **kernel),), activation="silu", **before)
    for block, kernel in (
        ("basic", {"kernel": 2, "even_kernel": "average-pool"}),
        ("bottleneck", {"kernel": 2, "even_kernel": "average-pool"}),
        ("inverted", {}),
    )
    for before in ({}, {"preactivation": True}, {"head_width": 16})
]


def test_feature_maps_take_no_more_than_is_said_of_so_many_blocks() -> None:
    designs = [*RICHEST, *(design for name in ("resnet", "modern", "tiny") for design in random_designs(name))]
    for design in designs:
        num_blocks = sum(stage.depth for stage in design.stages)
        added = count_int8_bytes(design) - bytes_of_parts(design)
        assert 0 < added <= most_feature_map_bytes(num_blocks)
    assert max(count_int8_bytes(design) - bytes_of_parts(design) for design in RICHEST) == most_feature_map_bytes(1)


def test_a_limit_of_bytes_in_int8_is_kept_to_the_byte() -> None:
    network = Architecture(Stem(4), (Stage("inverted", 2, 8, squeeze_excitation=4),), activation="silu")
    size = count_int8_bytes(network)
    assert Limits(10**6, bytes=size, bytes_precision="int8").admits(network, 32)
    assert not Limits(10**6, bytes=size - 1, bytes_precision="int8").admits(network, 32)
    assert Limits(10**6, bytes=size - 1, bytes_precision="int4").admits(network, 32)
