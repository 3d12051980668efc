"""Networks of all kinds of blocks with what training leaves in them, to be shipped."""

import torch
from torch import nn

from models.architecture import Architecture, Stage, Stem
from models.blocks import ResNet
from models.build import build

MEAN, STD = (0.3, 0.4, 0.5), (0.25, 0.2, 0.3)
NETWORKS = {
    "projection": Architecture(Stem(4), (Stage("basic", 2, 4), Stage("bottleneck", 1, 8, group_width=1)), "B"),
    "pooled": Architecture(Stem(4), (Stage("basic", 1, 4, 2, even_kernel="average-pool"),), "b", activation="gelu"),
    "inverted": Architecture(
        Stem(4), (Stage("inverted", 2, 8, 5, squeeze_excitation=4),), activation="silu", head_width=6
    ),
    "preactivated": Architecture(Stem(4), (Stage("basic", 1, 8), Stage("bottleneck", 2, 8)), "A", preactivation=True),
}


def trained(network: Architecture) -> ResNet:
    """A module whose BatchNorm does something, as after training."""
    torch.manual_seed(0)
    module = build(network).eval()
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
                assert tensor is not None
                tensor.uniform_(0.5, 1.5)
    return module
