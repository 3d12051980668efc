"""A trained network as it is shipped: normalisation inside, BatchNorm folded away.

In inference BatchNorm is a scale and a shift for each channel. After a convolution, or after the pooling that follows
one, they go into the convolution's weights and bias. Where BatchNorm comes first, as in preactivated networks, the two
stay, in the place of the four vectors that it kept.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from models.blocks import ResNet


class Affine(nn.Module):
    """A scale and a shift for each channel: (N, C, H, W) to the same shape."""

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale.view(-1, 1, 1))
        self.register_buffer("shift", shift.view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.get_buffer("scale") + self.get_buffer("shift")


class Deployed(nn.Module):
    """The network of uint8 images (N, C, H, W) to logits (N, num_classes), without BatchNorm.

    Args:
        network: in evaluation mode, on the CPU; it is left as it is.
        mean: what its images were normalised by, per channel on the scale 0 to 1; and so `std`.
    """

    def __init__(self, network: ResNet, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        scale = 1 / torch.tensor(std, dtype=torch.float64)
        shift = -torch.tensor(mean, dtype=torch.float64) * scale
        self.normalisation = Affine((scale / 255).float(), shift.float())
        self.network = deepcopy(network)
        _fold(self.network)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(self.normalisation(images.float()))
        return logits


@torch.no_grad()
def _fold(module: nn.Module) -> None:
    """Replace every BatchNorm within a module, and every convolution by torch's own: what `Conv` avoids is training."""
    for name, child in module.named_children():
        if isinstance(child, nn.Sequential) and len(child) and isinstance(convolution := child[0], nn.Conv2d):
            others = list(child)[1:]
            norm = others.pop() if others and isinstance(others[-1], nn.BatchNorm2d) else None
            setattr(module, name, nn.Sequential(_plain(convolution, norm), *others))
        elif isinstance(child, nn.Conv2d):
            setattr(module, name, _plain(child, None))
        elif isinstance(child, nn.BatchNorm2d):
            setattr(module, name, _affine(child))
        else:
            _fold(child)


def _plain(convolution: nn.Conv2d, norm: nn.Module | None) -> nn.Conv2d:
    """The convolution with what the BatchNorm after it does. The mean of pixels in between changes nothing: it takes
    the same scale and shift."""
    assert isinstance(convolution.padding, tuple)
    weight, bias = convolution.weight, convolution.bias
    if norm is not None:
        assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
        mean, variance, eps = norm.running_mean, norm.running_var, norm.eps
        weight, bias = fuse_conv_bn_weights(weight, bias, mean, variance, eps, norm.weight, norm.bias)
    plain = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        (convolution.kernel_size[0], convolution.kernel_size[1]),
        (convolution.stride[0], convolution.stride[1]),
        (convolution.padding[0], convolution.padding[1]),
        groups=convolution.groups,
        bias=bias is not None,
    )
    plain.weight.copy_(weight)
    if bias is not None:
        assert plain.bias is not None
        plain.bias.copy_(bias)
    return plain


def _affine(norm: nn.BatchNorm2d) -> Affine:
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return Affine(scale, norm.bias - norm.running_mean * scale)
