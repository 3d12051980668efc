"""Modules: shapes, shortcuts, initialisation."""

import math

import pytest
import torch
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.ops import SqueezeExcitation as TorchvisionGate
from torchvision.ops import stochastic_depth

from models.architecture import Architecture, EvenKernel, Stage, Stem
from models.blocks import BasicBlock, Bottleneck, Conv, InvertedBlock, ResNet, SqueezeExcitation, make_shortcut
from models.build import StochasticDepth, begin_as_identity, build


def small(shortcut: str = "B", block: str = "basic", dropout: float = 0.0) -> Architecture:
    stages = (Stage(block, 2, 8, dropout=dropout), Stage(block, 1, 16, dropout=dropout))  # type: ignore[arg-type]
    return Architecture(Stem(8), stages, shortcut)  # type: ignore[arg-type]


def test_shortcut_a_subsamples_and_appends_zeros() -> None:
    x = torch.arange(2 * 4 * 4, dtype=torch.float32).view(1, 2, 4, 4)
    out = make_shortcut("A", 2, 5, 2)(x)
    assert torch.equal(out[:, :2], x[:, :, ::2, ::2])
    assert torch.equal(out[:, 2:], torch.zeros(1, 3, 2, 2))


def test_a_block_that_keeps_its_shape_adds_its_input_whatever_the_shortcut() -> None:
    for kind in ("A", "B", "b"):
        assert isinstance(make_shortcut(kind, 8, 8, 1), torch.nn.Identity)


def test_shortcut_b_has_batch_norm_and_small_b_has_none() -> None:
    with_norm = [type(layer) for layer in make_shortcut("B", 4, 8, 2).modules()]
    assert torch.nn.BatchNorm2d in with_norm
    assert isinstance(make_shortcut("b", 4, 8, 2), torch.nn.Conv2d)


def test_every_block_and_shortcut_runs_forward_and_backward() -> None:
    for block in ("basic", "bottleneck"):
        for shortcut in ("A", "B", "b"):
            network = build(small(shortcut, block, dropout=0.1))
            network(torch.randn(2, 3, 8, 8)).sum().backward()
            assert all(parameter.grad is not None for parameter in network.parameters())


def test_even_kernels_keep_the_size_in_both_designs() -> None:
    for design in ("pad-then-valid", "average-pool"):
        block = BasicBlock(4, 4, 1, "B", kernel=2, even_kernel=design)
        assert block(torch.randn(1, 4, 8, 8)).shape == (1, 4, 8, 8)
    assert Bottleneck(4, 4, 2, "B", kernel=4)(torch.randn(1, 4, 8, 8)).shape == (1, 4, 4, 4)


def test_convolutions_start_he_normal() -> None:
    torch.manual_seed(0)
    convolution = build(Architecture(Stem(64), (Stage("basic", 1, 64),))).stages[0][0].conv1[0]
    expected = math.sqrt(2 / (64 * 9))
    assert abs(convolution.weight.std().item() / expected - 1) < 0.02
    assert abs(convolution.weight.mean().item()) < expected / 50


def test_zero_initialised_blocks_begin_as_their_shortcut() -> None:
    torch.manual_seed(0)
    for block in ("basic", "bottleneck"):
        network = build(small(block=block), zero_init_last_norm=True).eval()
        x = torch.rand(2, 8, 8, 8)
        assert torch.equal(network.stages[0](x), x)
        assert not torch.equal(build(small(block=block)).eval().stages[0](x), x)


@pytest.mark.parametrize(("num_inputs", "num_outputs"), [(4, 4), (3, 16), (16, 4)])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_convolution_begins_as_torchs_dirac_where_it_does_not_narrow(
    num_inputs: int, num_outputs: int, kernel: int
) -> None:
    convolution = Conv(num_inputs, num_outputs, kernel, padding=kernel // 2, bias=False)
    expected = convolution.weight.detach().clone()
    if num_outputs >= num_inputs:
        torch.nn.init.dirac_(expected[:num_inputs])
    begin_as_identity(convolution)
    assert torch.equal(convolution.weight, expected)


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("kernel", [2, 3, 4, 5])
def test_with_dirac_initialisation_convolutions_that_do_not_narrow_pass_on_their_input(block: str, kernel: int) -> None:
    even: EvenKernel = "pad-then-valid" if block == "basic" else "average-pool"
    stages = tuple(Stage(block, 2, width, kernel, even_kernel=even) for width in (8, 16))  # type: ignore[arg-type]
    network = build(Architecture(Stem(8), stages), dirac_init=True)
    kinds = set()
    for convolution in network.modules():
        if isinstance(convolution, Conv):
            num_outputs, num_inputs = convolution.weight.shape[:2]
            x = torch.randn(2, num_inputs, 8, 8)
            stride = convolution.stride[0]
            begun = convolution(x)[:, :num_inputs]
            kinds.add(num_outputs >= num_inputs)
            # An even kernel that pads makes one row and one column more.
            size = min(begun.shape[2], 8 // stride)
            seen, expected = begun[:, :, :size, :size], x[:, :num_outputs, ::stride, ::stride][:, :, :size, :size]
            assert torch.equal(seen, expected) == (num_outputs >= num_inputs)
    assert kinds == ({True} if block == "basic" else {True, False})


def test_dirac_initialisation_changes_no_draw_and_no_other_channel() -> None:
    states = []
    networks = []
    for dirac_init in (False, True):
        torch.manual_seed(0)
        networks.append(build(Architecture(Stem(8), (Stage("basic", 1, 16),)), dirac_init=dirac_init))
        states.append(torch.get_rng_state())
    assert torch.equal(*states)
    plain, begun = networks
    for (name, one), other in zip(plain.named_parameters(), begun.parameters(), strict=True):
        kept = one.shape[1] if one.ndim == 4 else 0
        assert torch.equal(one[kept:], other[kept:]), name
        assert not kept or not torch.equal(one[:kept], other[:kept])


def test_dropout_stands_before_the_last_convolution() -> None:
    torch.manual_seed(0)
    block = BasicBlock(4, 4, 1, "B", dropout=0.5)
    seen: list[torch.Tensor] = []
    block.conv2.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    block.train()(torch.rand(1, 4, 8, 8))
    block.eval()(torch.rand(1, 4, 8, 8))
    dropped = (seen[0] == 0).float().mean()
    kept = (seen[1] == 0).float().mean()
    assert dropped > kept + 0.15


def test_the_network_follows_its_architecture() -> None:
    network = build(small())
    assert isinstance(network, ResNet)
    assert [len(stage) for stage in network.stages] == [2, 1]
    assert network(torch.zeros(3, 3, 16, 16)).shape == (3, 10)


# Stochastic depth.


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_stochastic_depth_is_torchvisions(probability: float, dtype: torch.dtype) -> None:
    x = torch.randn(64, 3, 4, 4, generator=torch.Generator().manual_seed(1)).to(dtype)
    module = StochasticDepth(probability)
    torch.manual_seed(0)
    ours = module.train()(x)
    torch.manual_seed(0)
    assert torch.equal(ours, stochastic_depth(x, probability, "row")) and ours.dtype == dtype
    dropped = (ours == 0).flatten(1).all(1)
    assert 0 < dropped.sum() < 64, "each image is drawn by itself"
    assert torch.equal(module.eval()(x), x)


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("shortcut", ["A", "B", "b"])
def test_a_dropped_block_is_its_shortcut_for_these_images_alone(block: str, shortcut: str) -> None:
    torch.manual_seed(0)
    network = build(small(shortcut, block), stochastic_depth=0.6)
    last = network.stages[1][0]
    x = torch.rand(32, 8, 8, 8)
    bypassed = torch.relu(last.shortcut(x))
    result = last(x)
    dropped = (result == bypassed).flatten(1).all(1)
    assert 8 < dropped.sum() < 28
    last.stochastic_depth.probability = 0.0
    whole = last(x)
    assert not torch.equal(whole, bypassed)
    result.sum().backward()
    assert all(parameter.grad is not None for parameter in last.parameters())


def test_stochastic_depth_grows_linearly_and_adds_nothing_that_is_saved() -> None:
    stages = (Stage("basic", 2, 8), Stage("bottleneck", 3, 16))
    network = build(Architecture(Stem(8), stages), stochastic_depth=0.5)
    blocks = [block for stage in network.stages for block in stage]
    assert [block.stochastic_depth.probability for block in blocks] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    plain = build(Architecture(Stem(8), stages))
    assert plain.state_dict().keys() == network.state_dict().keys()
    assert not any(isinstance(module, StochasticDepth) for module in plain.modules())
    plain.load_state_dict(network.state_dict())
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(plain.eval()(x), network.eval()(x))


# Inverted blocks, squeeze-and-excitation, groups, preactivation and the head's convolution.


@pytest.mark.parametrize(("in_width", "width", "stride", "expansion"), [(8, 8, 1, 6), (8, 12, 2, 3), (8, 8, 1, 1)])
def test_an_inverted_block_is_torchvisions(in_width: int, width: int, stride: int, expansion: int) -> None:
    theirs = InvertedResidual(in_width, width, stride, expansion, norm_layer=torch.nn.BatchNorm2d)
    for module in theirs.modules():
        if isinstance(module, torch.nn.ReLU6):
            module.max_val = math.inf  # ours has the network's activation
    ours = InvertedBlock(in_width, width, stride, expansion=expansion)
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    x = torch.randn(2, in_width, 8, 8)
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)


def test_squeeze_and_excitation_is_torchvisions() -> None:
    ours, theirs = SqueezeExcitation(8, 2), TorchvisionGate(8, 2)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 8, 4, 4)
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)


def test_a_bottleneck_has_groups_of_so_many_channels() -> None:
    groups = {width: Bottleneck(16, 16, 1, "B", group_width=width).conv2[0].groups for width in (None, 1, 2, 4, 8)}
    assert groups == {None: 1, 1: 4, 2: 2, 4: 1, 8: 1}


@pytest.mark.parametrize("block", ["basic", "bottleneck", "inverted"])
@pytest.mark.parametrize("activation", ["relu", "silu", "gelu"])
def test_preactivated_blocks_begin_as_their_shortcut_and_learn(block: str, activation: str) -> None:
    torch.manual_seed(0)
    stages = (Stage(block, 2, 8, squeeze_excitation=4), Stage(block, 1, 16))  # type: ignore[arg-type]
    network = Architecture(Stem(8), stages, "b", preactivation=True, activation=activation)  # type: ignore[arg-type]
    built = build(network, zero_init_last_norm=True)
    x = torch.randn(2, 8, 8, 8)
    assert torch.equal(built.stages[0](x), x)
    built(torch.randn(4, 3, 8, 8)).square().sum().backward()
    assert all(block.last_scale.grad.abs().sum() > 0 for stage in built.stages for block in stage)


def test_a_preactivated_shortcut_that_changes_the_shape_takes_the_activated_input() -> None:
    torch.manual_seed(0)
    block = BasicBlock(4, 8, 2, "b", preactivation=True).eval()
    torch.nn.init.zeros_(block.last_scale)
    x = torch.randn(2, 4, 8, 8)
    assert torch.equal(block(x), block.shortcut(torch.relu(block.norm(x))))


def test_every_activation_is_used_everywhere() -> None:
    stages = (Stage("basic", 1, 8), Stage("bottleneck", 1, 16), Stage("inverted", 1, 24))
    for preactivation in (False, True):
        outputs = []
        for activation in ("relu", "silu", "gelu"):
            torch.manual_seed(0)
            network = Architecture(Stem(8), stages, "B", 3, 10, preactivation, activation, head_width=12)  # type: ignore[arg-type]
            outputs.append(build(network).eval()(torch.ones(1, 3, 8, 8)))
        assert not torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[1], outputs[2])


def test_depthwise_convolutions_start_he_normal_and_begin_as_the_identity_if_asked() -> None:
    torch.manual_seed(0)
    stage = Stage("inverted", 1, 128, expansion=4)
    depthwise = build(Architecture(Stem(128), (stage,))).stages[0][0].conv2[0]
    assert depthwise.groups == 512
    assert abs(depthwise.weight.std().item() / math.sqrt(2 / 9) - 1) < 0.05
    begun = build(Architecture(Stem(128), (stage,)), dirac_init=True).stages[0][0].conv2[0]
    x = torch.randn(1, 512, 4, 4)
    assert torch.equal(begun(x), x)


def test_only_blocks_with_a_shortcut_are_dropped() -> None:
    stages = (Stage("inverted", 2, 8), Stage("inverted", 2, 16))
    network = build(Architecture(Stem(8), stages), stochastic_depth=0.4, zero_init_last_norm=True)
    blocks = [block for stage in network.stages for block in stage]
    probabilities = [getattr(block.stochastic_depth, "probability", None) for block in blocks]
    assert probabilities == pytest.approx([0.1, 0.2, None, 0.4])
    assert [bool(block.last_scale.any()) for block in blocks] == [False, False, True, False]
