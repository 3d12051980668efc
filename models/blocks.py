"""Residual networks as torch modules.

This file imports torch alone, for `nas export` gives users a copy. A network is made from plain values; the arguments
have the names and the meaning of the fields in `models.architecture`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "silu": functional.silu,
    "gelu": functional.gelu,
}


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
        return functional.conv2d(pixels, self.weight, self.bias, groups=self.groups)


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
    """A bias-free convolution, a 2x2 average pooling of stride 1 if `pool`, and BatchNorm if `norm`."""

    def __init__(
        self,
        in_width: int,
        width: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        pool: bool = False,
        groups: int = 1,
        norm: bool = True,
    ) -> None:
        layers: list[nn.Module] = [Conv(in_width, width, kernel, stride, padding, groups=groups, bias=False)]
        if pool:
            layers.append(nn.AvgPool2d(2, stride=1))
        if norm:
            layers.append(nn.BatchNorm2d(width))
        super().__init__(*layers)

    @property
    def norm(self) -> nn.BatchNorm2d:
        norm = self[-1]
        assert isinstance(norm, nn.BatchNorm2d)
        return norm


class SqueezeExcitation(nn.Module):
    """Each channel times a gate from 0 to 1, which two 1x1 convolutions compute from the means of all channels.

    It is torchvision's, with the same names of parameters: this file needs torch alone.
    """

    def __init__(self, width: int, squeezed_width: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, squeezed_width, 1)
        self.fc2 = nn.Conv2d(squeezed_width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        means = torch.mean(x, dim=(2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(functional.relu(self.fc1(means))))


class Block(nn.Module):
    """A main path of convolutions, to which a shortcut is added: (N, in_width, H, W) to (N, width, H / stride,
    W / stride).

    Args:
        path: the convolutions, with activation between them.
        shortcut: what is added, made from the block's input; None for nothing.
        dropout: the probability of zeroing an activation before the last convolution.
        gate: what follows the main path.
        activation: relu, silu or gelu.
        last_activation: whether activation follows the sum.
        norm: the BatchNorm before the first convolution of a preactivated block, with activation; None for neither. The
            shortcut then takes what they give, unless it is the identity.
    """

    def __init__(
        self,
        path: Sequence[ConvNorm],
        shortcut: nn.Module | None,
        dropout: float,
        gate: nn.Module | None,
        activation: str,
        last_activation: bool = True,
        norm: nn.BatchNorm2d | None = None,
    ) -> None:
        super().__init__()
        self.num_convolutions = len(path)
        for number, convolution in enumerate(path, 1):
            self.add_module(f"conv{number}", convolution)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.stochastic_depth: nn.Module = nn.Identity()  # for who trains the network to replace
        self.shortcut = shortcut
        self.gate = gate
        self.norm = norm
        self.activation = ACTIVATIONS[activation]
        self.last_activation = last_activation

    @property
    def path(self) -> Iterator[nn.Module]:
        return (self.get_submodule(f"conv{number}") for number in range(1, self.num_convolutions + 1))

    @property
    def last_scale(self) -> Tensor:
        """What the main path ends with: at zero, there is nothing of it in the sum."""
        *_, last = self.path
        assert isinstance(last, ConvNorm)
        end = last[0] if self.norm is not None else last.norm
        assert isinstance(end, nn.Conv2d | nn.BatchNorm2d)
        return end.weight

    def forward(self, x: Tensor) -> Tensor:
        begun = x if self.norm is None else self.activation(self.norm(x))
        *convolutions, last = self.path
        out = begun
        for convolution in convolutions:
            out = self.activation(convolution(out))
        out = last(self.dropout(out))
        if self.gate is not None:
            out = self.gate(out)
        if self.shortcut is not None:
            added = self.shortcut(x if isinstance(self.shortcut, nn.Identity) else begun)
            out = self.stochastic_depth(out) + added
        return self.activation(out) if self.last_activation else out


class BasicBlock(Block):
    """Two kxk convolutions and a shortcut."""

    def __init__(
        self,
        in_width: int,
        width: int,
        stride: int,
        shortcut: str,
        kernel: int = 3,
        dropout: float = 0.0,
        even_kernel: str = "pad-then-valid",
        activation: str = "relu",
        preactivation: bool = False,
        squeezed_width: int = 0,
    ) -> None:
        pool = kernel % 2 == 0 and even_kernel == "average-pool"
        second_padding = kernel // 2 if kernel % 2 or pool else kernel // 2 - 1
        path = [
            ConvNorm(in_width, width, kernel, stride, kernel // 2, pool),
            ConvNorm(width, width, kernel, 1, second_padding, pool, norm=not preactivation),
        ]
        added, gate = make_shortcut(shortcut, in_width, width, stride), make_gate(width, squeezed_width)
        norm = nn.BatchNorm2d(in_width) if preactivation else None
        super().__init__(path, added, dropout, gate, activation, last_activation=norm is None, norm=norm)


class Bottleneck(Block):
    """1x1, kxk (in groups of `group_width` channels, if it is given) and 1x1 convolutions and a shortcut."""

    def __init__(
        self,
        in_width: int,
        width: int,
        stride: int,
        shortcut: str,
        kernel: int = 3,
        dropout: float = 0.0,
        reduction: int = 4,
        group_width: int | None = None,
        activation: str = "relu",
        preactivation: bool = False,
        squeezed_width: int = 0,
    ) -> None:
        inner = width // reduction
        groups = max(1, inner // group_width) if group_width is not None else 1
        path = [
            ConvNorm(in_width, inner, 1),
            ConvNorm(inner, inner, kernel, stride, kernel // 2, pool=kernel % 2 == 0, groups=groups),
            ConvNorm(inner, width, 1, norm=not preactivation),
        ]
        added, gate = make_shortcut(shortcut, in_width, width, stride), make_gate(width, squeezed_width)
        norm = nn.BatchNorm2d(in_width) if preactivation else None
        super().__init__(path, added, dropout, gate, activation, last_activation=norm is None, norm=norm)


class InvertedBlock(Block):
    """1x1 (unless `expansion` is 1), depthwise kxk and 1x1 convolutions; its input is added where the shape stays."""

    def __init__(
        self,
        in_width: int,
        width: int,
        stride: int,
        kernel: int = 3,
        dropout: float = 0.0,
        expansion: int = 6,
        activation: str = "relu",
        squeezed_width: int = 0,
    ) -> None:
        inner = in_width * expansion
        path = [ConvNorm(in_width, inner, 1)] if expansion > 1 else []
        path += [
            ConvNorm(inner, inner, kernel, stride, kernel // 2, pool=kernel % 2 == 0, groups=inner),
            ConvNorm(inner, width, 1),
        ]
        shortcut = nn.Identity() if stride == 1 and in_width == width else None
        super().__init__(path, shortcut, dropout, make_gate(width, squeezed_width), activation, last_activation=False)


def make_gate(width: int, squeezed_width: int) -> nn.Module | None:
    """Squeeze-and-excitation through so many channels; None for 0."""
    return SqueezeExcitation(width, squeezed_width) if squeezed_width else None


def make_block(
    stage: Mapping[str, Any], in_width: int, stride: int, shortcut: str, activation: str, preactivation: bool
) -> Block:
    """A block of a stage, given the stage's fields, of which those that came later may be missing."""
    width, squeeze = stage["width"], stage.get("squeeze_excitation")
    common = {key: stage[key] for key in ("kernel", "dropout")}
    common |= {"activation": activation, "squeezed_width": 0 if squeeze is None else width // squeeze}
    if stage["block"] == "inverted":
        return InvertedBlock(in_width, width, stride, expansion=stage.get("expansion", 6), **common)
    common["preactivation"] = preactivation
    if stage["block"] == "basic":
        return BasicBlock(in_width, width, stride, shortcut, even_kernel=stage["even_kernel"], **common)
    groups = {"reduction": stage["reduction"], "group_width": stage.get("group_width")}
    return Bottleneck(in_width, width, stride, shortcut, **groups, **common)


class ResNet(nn.Module):
    """Stem, stages of residual blocks, global average pooling and a linear layer.

    Args:
        stem: width, kernel, stride and padding of the first convolution.
        stages: for each stage its block, depth, width, kernel, dropout, reduction and even_kernel, and what else it has
            of stride, group_width, expansion and squeeze_excitation.
        shortcut: A, B or b.
        preactivation: whether BatchNorm and activation stand before convolutions.
        activation: relu, silu or gelu.
        head_width: the channels of a 1x1 convolution before the pooling; None for no such convolution.

    Shape: images (N, in_channels, H, W) to logits (N, num_classes).
    """

    def __init__(
        self,
        stem: Mapping[str, int],
        stages: Sequence[Mapping[str, Any]],
        shortcut: str,
        in_channels: int,
        num_classes: int,
        preactivation: bool = False,
        activation: str = "relu",
        head_width: int | None = None,
    ) -> None:
        super().__init__()
        width = stem["width"]
        sizes = stem["kernel"], stem["stride"], stem["padding"]
        self.stem = ConvNorm(in_channels, width, *sizes, norm=not preactivation)
        self.activation = ACTIVATIONS[activation]
        self.stages = nn.Sequential()
        for index, stage in enumerate(stages):
            first_stride = stage.get("stride") or (2 if index > 0 else 1)
            blocks = nn.Sequential()
            for position in range(stage["depth"]):
                stride = first_stride if position == 0 else 1
                blocks.append(make_block(stage, width, stride, shortcut, activation, preactivation))
                width = stage["width"]
            self.stages.append(blocks)
        self.norm = nn.BatchNorm2d(width) if preactivation else None
        self.head_convolution = ConvNorm(width, head_width, 1) if head_width is not None else None
        self.head = nn.Linear(width if head_width is None else head_width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        x = self.stages(x if self.norm is not None else self.activation(x))
        if self.norm is not None:
            x = self.activation(self.norm(x))
        if self.head_convolution is not None:
            x = self.activation(self.head_convolution(x))
        logits: Tensor = self.head(torch.mean(x, dim=(2, 3)))
        return logits
