"""Residual networks as torch modules.

This file imports torch alone, for `nas export` gives users a copy. A network is made from plain values; the arguments
have the names and the meaning of the fields in `models.architecture`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Conv(nn.Conv2d):
    """nn.Conv2d, but a strided 1x1 first takes the pixels that it reads and then goes over all of them: the same sums.

    Torch computes on the CPU by oneDNN, whose own strided 1x1 convolution writes past its buffer in the backward pass
    where images in channels_last have fewer channels than a vector register has floats. Gradients are then wrong, or
    the process dies (https://github.com/uxlfoundation/oneDNN/issues/6035).
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.kernel_size != (1, 1) or self.stride == (1, 1):
            return super().forward(x)
        assert self.padding == (0, 0)
        # A slice would do, but the gradient of a slice is not in channels_last, which slows narrow networks by a tenth.
        pixels = functional.avg_pool2d(x, 1, self.stride)
        return functional.conv2d(pixels, self.weight, self.bias)


class ZeroPadShortcut(nn.Module):
    """Shortcut A: the input subsampled by `stride`, with channels of zeros appended; it has no parameters.

    Shape: (N, in_width, H, W) to (N, width, H / stride, W / stride).
    """

    def __init__(self, in_width: int, width: int, stride: int) -> None:
        super().__init__()
        self.new_channels = width - in_width
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(x, (0, 0, 0, 0, 0, self.new_channels))


def make_shortcut(kind: str, in_width: int, width: int, stride: int) -> nn.Module:
    """What a block adds to its main path: the input itself if the shape stays, else shortcut A, B or b."""
    if stride == 1 and in_width == width:
        return nn.Identity()
    if kind == "A":
        return ZeroPadShortcut(in_width, width, stride)
    projection = Conv(in_width, width, 1, stride, bias=False)
    return nn.Sequential(projection, nn.BatchNorm2d(width)) if kind == "B" else projection


class ConvNorm(nn.Sequential):
    """A bias-free convolution, a 2x2 average pooling of stride 1 if `pool`, and BatchNorm."""

    def __init__(
        self, in_width: int, width: int, kernel: int, stride: int = 1, padding: int = 0, pool: bool = False
    ) -> None:
        layers: list[nn.Module] = [Conv(in_width, width, kernel, stride, padding, bias=False)]
        if pool:
            layers.append(nn.AvgPool2d(2, stride=1))
        super().__init__(*layers, nn.BatchNorm2d(width))

    @property
    def norm(self) -> nn.BatchNorm2d:
        norm = self[-1]
        assert isinstance(norm, nn.BatchNorm2d)
        return norm


class BasicBlock(nn.Module):
    """Two kxk convolutions and a shortcut: (N, in_width, H, W) to (N, width, H / stride, W / stride)."""

    def __init__(
        self,
        in_width: int,
        width: int,
        stride: int,
        shortcut: str,
        kernel: int = 3,
        dropout: float = 0.0,
        even_kernel: str = "pad-then-valid",
        reduction: int = 4,
    ) -> None:
        super().__init__()
        pool = kernel % 2 == 0 and even_kernel == "average-pool"
        second_padding = kernel // 2 if kernel % 2 or pool else kernel // 2 - 1
        self.conv1 = ConvNorm(in_width, width, kernel, stride, kernel // 2, pool)
        self.conv2 = ConvNorm(width, width, kernel, 1, second_padding, pool)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.stochastic_depth: nn.Module = nn.Identity()  # for who trains the network to replace
        self.shortcut = make_shortcut(shortcut, in_width, width, stride)

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        return self.conv2.norm

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(self.dropout(functional.relu(self.conv1(x))))
        return functional.relu(self.stochastic_depth(out) + self.shortcut(x))


class Bottleneck(nn.Module):
    """1x1, kxk and 1x1 convolutions and a shortcut: (N, in_width, H, W) to (N, width, H / stride, W / stride)."""

    def __init__(
        self,
        in_width: int,
        width: int,
        stride: int,
        shortcut: str,
        kernel: int = 3,
        dropout: float = 0.0,
        even_kernel: str = "average-pool",
        reduction: int = 4,
    ) -> None:
        super().__init__()
        inner = width // reduction
        self.conv1 = ConvNorm(in_width, inner, 1)
        self.conv2 = ConvNorm(inner, inner, kernel, stride, kernel // 2, pool=kernel % 2 == 0)
        self.conv3 = ConvNorm(inner, width, 1)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.stochastic_depth: nn.Module = nn.Identity()  # for who trains the network to replace
        self.shortcut = make_shortcut(shortcut, in_width, width, stride)

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        return self.conv3.norm

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.conv2(functional.relu(self.conv1(x))))
        return functional.relu(self.stochastic_depth(self.conv3(self.dropout(out))) + self.shortcut(x))


class ResNet(nn.Module):
    """Stem, stages of residual blocks, global average pooling and a linear layer.

    Args:
        stem: width, kernel, stride and padding of the first convolution.
        stages: for each stage its block, depth, width, kernel, dropout, reduction and even_kernel.
        shortcut: A, B or b.

    Shape: images (N, in_channels, H, W) to logits (N, num_classes).
    """

    def __init__(
        self,
        stem: Mapping[str, int],
        stages: Sequence[Mapping[str, Any]],
        shortcut: str,
        in_channels: int,
        num_classes: int,
    ) -> None:
        super().__init__()
        width = stem["width"]
        self.stem = ConvNorm(in_channels, width, stem["kernel"], stem["stride"], stem["padding"])
        self.stages = nn.Sequential()
        for index, stage in enumerate(stages):
            kind = BasicBlock if stage["block"] == "basic" else Bottleneck
            options = {key: stage[key] for key in ("kernel", "dropout", "even_kernel", "reduction")}
            blocks = nn.Sequential()
            for position in range(stage["depth"]):
                stride = 2 if index > 0 and position == 0 else 1
                blocks.append(kind(width, stage["width"], stride, shortcut, **options))
                width = stage["width"]
            self.stages.append(blocks)
        self.head = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stages(functional.relu(self.stem(images)))
        logits: Tensor = self.head(torch.mean(x, dim=(2, 3)))
        return logits
