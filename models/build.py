"""The module of an architecture, with the usual initialisation of residual networks."""

import torch
from torch import nn

from models.architecture import Architecture
from models.blocks import BasicBlock, Bottleneck, ResNet


def build(architecture: Architecture, *, zero_init_last_norm: bool = False) -> ResNet:
    """The network on torch's default device, with weights from torch's global generator.

    Convolutions are He-normal in fan-out mode (https://arxiv.org/abs/1502.01852), BatchNorm scales are one, biases
    zero. With `zero_init_last_norm`, the last BatchNorm of every block starts at scale zero, so that every block
    begins as its shortcut (Goyal et al. 2017, https://arxiv.org/abs/1706.02677, section 5.1).
    """
    network = ResNet(**architecture.to_dict())
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    if zero_init_last_norm:
        for module in network.modules():
            if isinstance(module, BasicBlock | Bottleneck):
                nn.init.zeros_(module.last_norm.weight)
    return network


def build_on_meta(architecture: Architecture) -> ResNet:
    """The network on the meta device: shapes without memory or values, for counting."""
    with torch.device("meta"):
        return ResNet(**architecture.to_dict())
