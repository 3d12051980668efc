"""Peak activations by arithmetic against watching built networks run."""

import random

import pytest
import torch
from architectures import random_architecture
from torch import Tensor, nn

from models.architecture import Architecture, ArchitectureError, Stage, Stem
from models.blocks import Block, ZeroPadShortcut
from models.build import build
from models.count import count_macs, peak_activations
from search.space.space import Space, Task, load_space

EVERYTHING = Space.model_validate(
    {
        "stem": {"width": [2, 4, 24], "kernel": [3, 5], "stride": [1, 2], "padding": [1, 2]},
        "num_stages": [1, 2, 3],
        "stage": {
            "block": ["basic", "bottleneck"],
            "depth": [1, 2, 3],
            "width": [4, 8, 16],
            "kernel": [1, 2, 3, 4, 5],
            "reduction": [1, 2, 4],
            "even_kernel": ["pad-then-valid", "average-pool"],
        },
        "dropout": [0.0, 0.1],
        "shortcut": ["A", "B", "b"],
    }
)


def sample(space: Space, number: int, seed: int, task: Task) -> list[Architecture]:
    """Different architectures that take images of the task's size, uniform over vectors."""
    rng, found = random.Random(seed), set()
    while len(found) < number:
        vector = {slot.name: slot.value(rng.randrange(len(slot.choices))) for slot in space.slots}
        try:
            architecture = space.decode(vector, task)
            count_macs(architecture, task.image_size)
        except ArchitectureError:
            continue
        found.add(architecture)
    return sorted(found, key=repr)


def watched_peak(architecture: Architecture, image_size: int) -> int:
    """The same number from the tensors that a running network's operations see.

    Every operation that cannot work in place notes its input, its output, the input of the block it stands in, and, in
    a shortcut, the output of the main path, each tensor once.
    """
    moments: list[int] = []
    held: list[Tensor] = []  # the input of the running block, if any, and its main path's output once that is there
    network = build(architecture).eval()

    def note(inputs: Tensor, output: Tensor) -> None:
        live = {id(tensor): tensor.numel() for tensor in (*held, inputs, output)}
        moments.append(sum(live.values()))

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.AvgPool2d | nn.Linear | ZeroPadShortcut):
            module.register_forward_hook(lambda _, inputs, output: note(inputs[0], output))
        elif isinstance(module, Block) and module.shortcut is not None:
            # A preactivated block whose shape changes goes on with what its first convolution receives.
            is_copied = module.norm is not None and not isinstance(module.shortcut, nn.Identity)
            first = module.conv1 if is_copied else module
            first.register_forward_pre_hook(lambda _, inputs: held.append(inputs[0]))
            module.register_forward_hook(lambda *_: held.clear())
            *_, last = module.path
            last.register_forward_hook(lambda _, inputs, output: held.append(output))
        elif isinstance(module, Block) and module.gate is not None:
            *_, last = module.path
            last.register_forward_hook(lambda _, inputs, output: held.append(output))
            module.register_forward_hook(lambda *_: held.clear())
    # Global average pooling is no module: what comes before it and what the linear layer receives.
    pooled: list[Tensor] = []
    before = network.stages if network.head_convolution is None else network.head_convolution
    before.register_forward_hook(lambda _, inputs, output: pooled.append(output))
    network.head.register_forward_pre_hook(lambda _, inputs: note(pooled[0], inputs[0]))
    with torch.no_grad():
        network(torch.zeros(1, architecture.in_channels, image_size, image_size))
    return max(moments)


@pytest.mark.parametrize("image_size", [15, 16])
def test_peaks_equal_those_of_200_running_networks_of_every_kind(image_size: int) -> None:
    for architecture in sample(EVERYTHING, 200, seed=image_size, task=Task(image_size, 3, 7)):
        assert peak_activations(architecture, image_size) == watched_peak(architecture, image_size), architecture


@pytest.mark.parametrize("num", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_peaks_equal_those_of_running_networks_with_every_field(num: int) -> None:
    chance = random.Random(7)
    for _ in range(num):
        architecture = random_architecture(chance, 8)
        assert peak_activations(architecture, 8) == watched_peak(architecture, 8), architecture


def test_peaks_equal_those_of_running_networks_of_the_default_space() -> None:
    values = load_space().model_dump()
    values["stage"] |= {"width": (8, 12, 16, 24, 32, 48, 64), "depth": (1, 2, 3)}  # small ones, to run them
    for architecture in sample(Space.model_validate(values), 60, seed=1, task=Task(32, 3, 10)):
        assert peak_activations(architecture, 32) == watched_peak(architecture, 32), architecture


def test_a_peak_of_a_known_network() -> None:
    # A basic block of the first stage: its input, the first convolution's output and the second's, 16 x 32 x 32 each.
    resnet20 = tuple(Stage("basic", 3, width) for width in (16, 32, 64))
    assert peak_activations(Architecture(Stem(16), resnet20, "A"), 32) == 3 * 16 * 32 * 32


def test_a_head_of_many_classes_can_be_the_peak() -> None:
    architecture = Architecture(Stem(4), (Stage("basic", 1, 4),), num_classes=1_000)
    assert peak_activations(architecture, 4) == watched_peak(architecture, 4) == 1_004


def test_a_network_that_takes_no_such_images_has_no_peak() -> None:
    with pytest.raises(ArchitectureError, match=r"^kernel = 2: .* stage 2 receives 15 pixels$"):
        peak_activations(Architecture(Stem(4), (Stage("basic", 1, 4), Stage("basic", 1, 4, kernel=2))), 15)
