"""The arithmetic against built networks and fvcore."""

import random
import warnings

import pytest
import torch
from architectures import random_architecture
from torch.utils.flop_counter import FlopCounterMode

from models.architecture import Architecture, ArchitectureError, Stage, Stem
from models.build import build, build_on_meta
from models.count import count_macs, count_parameters, parts
from search.space.space import Space, Task, load_space

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=r".*torch\.jit\.script.*")
    from fvcore.nn import FlopCountAnalysis, parameter_count

# All that the language of space.yaml can say, in small sizes, so that networks can be run as well as counted.
EVERYTHING = Space.model_validate(
    {
        "stem": {"width": [4, 8, 12], "kernel": [3, 5], "stride": [1, 2], "padding": [1, 2]},
        "num_stages": [1, 2, 3, 4],
        "stage": {
            "block": ["basic", "bottleneck"],
            "depth": [1, 2, 3],
            "width": [4, 8, 12, 16],
            "kernel": [1, 2, 3, 4, 5],
            "reduction": [1, 2, 4],
            "even_kernel": ["pad-then-valid", "average-pool"],
        },
        "dropout": [0.0, 0.1],
        "shortcut": ["A", "B", "b"],
    }
)


def sample(space: Space, number: int, seed: int, task: Task) -> list[Architecture]:
    """Different valid architectures, uniform over vectors; no budget."""
    rng, found = random.Random(seed), set()
    while len(found) < number:
        vector = {slot.name: slot.value(rng.randrange(len(slot.choices))) for slot in space.slots}
        try:
            found.add(space.decode(vector, task))
        except ArchitectureError:
            continue
    return sorted(found, key=repr)


def test_counts_of_known_networks() -> None:
    resnet20 = tuple(Stage("basic", 3, width) for width in (16, 32, 64))
    assert count_parameters(Architecture(Stem(16), resnet20, "A")) == 269_722
    assert count_parameters(Architecture(Stem(16), resnet20, "B")) == 272_474
    flexible3 = (
        Stage("basic", 3, 64),
        Stage("basic", 5, 128),
        Stage("bottleneck", 26, 256),
        Stage("bottleneck", 5, 512),
    )
    assert count_parameters(Architecture(Stem(64, 5, 2, 1), flexible3, "b")) == 4_997_194


# `make test` takes a sample, `make test-all` the whole.
FEW_OR_MANY = pytest.mark.parametrize("num", [50, pytest.param(250, marks=pytest.mark.slow)])


@FEW_OR_MANY
def test_parameters_equal_the_built_module_and_fvcore_for_designs_of_the_default_space(num: int) -> None:
    for architecture in sample(load_space(), num, seed=1, task=Task(32, 3, 10)):
        network = build_on_meta(architecture)
        counted = count_parameters(architecture)
        assert sum(parameter.numel() for parameter in network.parameters()) == counted, architecture
        assert parameter_count(network)[""] == counted, architecture


@FEW_OR_MANY
def test_parameters_equal_the_built_module_for_designs_of_every_kind(num: int) -> None:
    for architecture in sample(EVERYTHING, num, seed=2, task=Task(16, 1, 7)):
        built = sum(parameter.numel() for parameter in build_on_meta(architecture).parameters())
        assert built == count_parameters(architecture), architecture


@pytest.mark.parametrize(("num", "most"), [(50, 30), pytest.param(100, 60, marks=pytest.mark.slow)])
def test_macs_equal_the_convolutions_and_linear_layer_that_fvcore_counts(num: int, most: int) -> None:
    compared = 0
    for architecture in sample(EVERYTHING, num, seed=3, task=Task(16, 3, 10)):
        try:
            counted = count_macs(architecture, 16)
        except ArchitectureError:
            continue  # an even kernel that meets an odd size; such designs are tested below
        flops = FlopCountAnalysis(build(architecture).eval(), torch.zeros(1, 3, 16, 16))
        flops.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        by_operator = flops.by_operator()
        assert by_operator["conv"] + by_operator["linear"] == counted, architecture
        compared += 1
    assert compared > most


@pytest.mark.parametrize("num", [30, pytest.param(300, marks=pytest.mark.slow)])
def test_counts_of_every_kind_of_design_equal_those_of_torch(num: int) -> None:
    """Parameters of the built module, and torch's own counter of floating-point operations, two to a MAC."""
    chance, images = random.Random(5), torch.zeros(1, 3, 16, 16, device="meta")
    for _ in range(num):
        architecture = random_architecture(chance, 16)
        network = build_on_meta(architecture).eval()
        counted = count_parameters(architecture), count_macs(architecture, 16)
        with FlopCounterMode(display=False) as counter:
            network(images)
        built = sum(parameter.numel() for parameter in network.parameters()), counter.get_total_flops() // 2
        assert counted == built == (parameter_count(network)[""], counted[1]), architecture
        same = architecture.canonical()
        assert (count_parameters(same), count_macs(same, 16)) == counted, architecture


@pytest.mark.parametrize("num", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_macs_of_every_kind_of_design_equal_those_of_fvcore(num: int) -> None:
    chance = random.Random(6)
    for _ in range(num):
        architecture = random_architecture(chance, 8)
        flops = FlopCountAnalysis(build(architecture).eval(), torch.zeros(1, 3, 8, 8))
        flops.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        by_operator = flops.by_operator()
        assert by_operator["conv"] + by_operator["linear"] == count_macs(architecture, 8), architecture


def test_a_network_that_cannot_be_counted_cannot_be_run_either() -> None:
    refused = 0
    for architecture in sample(EVERYTHING, 250, seed=4, task=Task(15, 3, 10)):
        network = build(architecture).eval()
        try:
            count_macs(architecture, 15)
        except ArchitectureError as error:
            refused += 1
            assert "even" in str(error)
            with pytest.raises(RuntimeError):
                network(torch.zeros(1, 3, 15, 15))
        else:
            assert network(torch.zeros(1, 3, 15, 15)).shape == (1, 10)
    assert refused > 20


def test_an_image_smaller_than_the_stem_is_refused() -> None:
    with pytest.raises(ArchitectureError, match=r"stem.kernel = 7: larger than the padded image of 3 pixels"):
        count_macs(Architecture(Stem(8, 7), (Stage("basic", 1, 8),)), 3)


def test_parts_add_up_and_tell_each_shape() -> None:
    architecture = Architecture(Stem(16), (Stage("basic", 2, 16), Stage("bottleneck", 1, 32)))
    rows = parts(architecture, 32)
    assert [(row.name, row.channels, row.size) for row in rows] == [
        ("stem", 16, 32),
        ("stage 1", 16, 32),
        ("stage 2", 32, 16),
        ("head", 10, 1),
    ]
    assert sum(row.params for row in rows) == count_parameters(architecture)
    assert sum(row.macs for row in rows) == count_macs(architecture, 32)
