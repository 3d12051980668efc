"""The module of an architecture, with the usual initialisation of residual networks."""

import torch
from torch import Tensor, nn

from models.architecture import Architecture
from models.blocks import Block, Conv, ResNet


def build(
    architecture: Architecture,
    *,
    zero_init_last_norm: bool = False,
    dirac_init: bool = False,
    stochastic_depth: float = 0.0,
) -> ResNet:
    """The network on torch's default device, with weights from torch's global generator.

    Convolutions are He-normal in fan-out mode (https://arxiv.org/abs/1502.01852), where an input reaches the outputs of
    its group alone; BatchNorm scales are one, biases zero. With `zero_init_last_norm`, the last BatchNorm of every
    block starts at scale zero, so that every block begins as its shortcut (Goyal et al. 2017,
    https://arxiv.org/abs/1706.02677, section 5.1). A preactivated block has no BatchNorm there: its last convolution
    starts at zero. With `dirac_init`, convolutions that do not narrow begin with their input among their outputs
    (`begin_as_identity`). In training, block l of L drops its main path for an image with probability
    `stochastic_depth` * l / L (`StochasticDepth`). A block without a shortcut, which an inverted one may be, neither
    starts at zero nor is dropped.
    """
    network = ResNet(**architecture.to_dict())
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.groups > 1:  # of the outputs, torch counts those of other groups too
                with torch.no_grad():
                    module.weight.mul_(module.groups**0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
            if dirac_init and isinstance(module, Conv):
                begin_as_identity(module)
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    blocks = [module for module in network.modules() if isinstance(module, Block)]
    for number, block in enumerate(blocks, 1):
        if block.shortcut is None:
            continue  # the main path is all there is
        if zero_init_last_norm:
            nn.init.zeros_(block.last_scale)
        if stochastic_depth:
            block.stochastic_depth = StochasticDepth(stochastic_depth * number / len(blocks))
    return network


class StochasticDepth(nn.Module):
    """Zeros for each image with a probability, in training alone; the others are scaled so that the mean stays.

    The method is Huang et al.'s (2016, https://arxiv.org/abs/1603.09382), whose probabilities grow linearly with depth,
    in torchvision's form ('row'). Draws come from torch's global generator, as those of dropout do.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept = 1 - self.probability
        return x * torch.empty(len(x), 1, 1, 1, dtype=x.dtype, device=x.device).bernoulli_(kept).div_(kept)

    def extra_repr(self) -> str:
        return f"probability={self.probability:g}"


@torch.no_grad()
def begin_as_identity(convolution: nn.Conv2d) -> None:
    """Let the first outputs of every group of a convolution be its inputs, and leave the others as they are; do nothing
    to one that has fewer outputs than inputs (https://github.com/KellerJordan/cifar10-airbench).

    The one stands in the middle of a kernel, as torch's `dirac_` has it. An even kernel has no middle: there it stands
    where a pixel of the input stays in its place.
    """
    weight, size = convolution.weight, convolution.kernel_size[0]
    num_inputs = weight.shape[1]
    if convolution.out_channels < convolution.in_channels:
        return
    assert isinstance(convolution.padding, tuple)
    place = size // 2 if size % 2 else convolution.padding[0]
    for of_group in weight.chunk(convolution.groups):
        of_group[:num_inputs] = 0
        of_group[:num_inputs, :, place, place].fill_diagonal_(1)


def build_on_meta(architecture: Architecture) -> ResNet:
    """The network on the meta device: shapes without memory or values, for counting."""
    with torch.device("meta"):
        return ResNet(**architecture.to_dict())
