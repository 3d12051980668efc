"""The exact cost of an architecture by integer arithmetic: nothing is built.

Parameters are all trainable numbers: convolutions, BatchNorm scales and shifts, the linear layer. They add up stage by
stage, and a stage depends on what came before only through the width it receives; the audit of a space rests on that.

Multiply-accumulates (MACs) are those of convolutions and the linear layer for one image, the convention of papers and
of fvcore's `conv` and `linear` entries; BatchNorm, pooling, activations and additions are left out.
"""

from dataclasses import dataclass

from models.architecture import Architecture, ArchitectureError, Shortcut, Stage, Stem


def batch_norm(width: int) -> int:
    return 2 * width


def convolution(in_width: int, out_width: int, kernel: int) -> int:
    return in_width * out_width * kernel * kernel


def shortcut_parameters(shortcut: Shortcut, in_width: int, out_width: int) -> int:
    """Parameters of a shortcut where the shape changes."""
    if shortcut == "A":
        return 0
    return convolution(in_width, out_width, 1) + (batch_norm(out_width) if shortcut == "B" else 0)


def block_parameters(stage: Stage, in_width: int) -> int:
    """Parameters of one block's main path."""
    inner, width, kernel = stage.inner_width, stage.width, stage.kernel
    if stage.block == "basic":
        return (in_width + inner) * inner * kernel * kernel + 4 * inner
    return in_width * inner + inner * inner * kernel * kernel + inner * width + 4 * inner + 2 * width


def stem_parameters(stem: Stem, in_channels: int) -> int:
    return convolution(in_channels, stem.width, stem.kernel) + batch_norm(stem.width)


def stage_parameters(stage: Stage, in_width: int, shortcut: Shortcut, is_first: bool) -> int:
    """Parameters of a stage that receives `in_width` channels; the first stage keeps the resolution."""
    total = block_parameters(stage, in_width) + (stage.depth - 1) * block_parameters(stage, stage.width)
    if not is_first or in_width != stage.width:
        total += shortcut_parameters(shortcut, in_width, stage.width)
    return total


def head_parameters(width: int, num_classes: int) -> int:
    return (width + 1) * num_classes


def count_parameters(architecture: Architecture) -> int:
    """Trainable parameters of the network, exactly."""
    width = architecture.stem.width
    total = stem_parameters(architecture.stem, architecture.in_channels)
    for index, stage in enumerate(architecture.stages):
        total += stage_parameters(stage, width, architecture.shortcut, index == 0)
        width = stage.width
    return total + head_parameters(width, architecture.num_classes)


@dataclass(frozen=True, slots=True)
class Part:
    """One row of the table of a network: its stem, a stage, or its head.

    `size` is the height and width in pixels of the part's output, `params` and `macs` the part's own.
    """

    name: str
    channels: int
    size: int
    params: int
    macs: int


def _output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    return (size + 2 * padding - kernel) // stride + 1


def _block_sizes(stage: Stage, size: int, stride: int) -> tuple[int, int, int]:
    """Output sizes of a block's first and second kxk convolution and of the block, for an input of `size` pixels.

    A bottleneck has one kxk convolution, reported as the first.
    """
    kernel = stage.kernel
    pooled = 1 if kernel % 2 == 0 and stage.even_kernel == "average-pool" else 0
    first = _output_size(size, kernel, stride, kernel // 2)
    if stage.block == "bottleneck":
        return first, 0, first - pooled
    padding = kernel // 2 if kernel % 2 or pooled else kernel // 2 - 1
    second = _output_size(first - pooled, kernel, 1, padding)
    return first, second, second - pooled


def parts(architecture: Architecture, image_size: int) -> list[Part]:
    """The network part by part, for one image of `image_size` x `image_size` pixels.

    Raises:
        ArchitectureError: the image is too small for the stem, or an even kernel meets an odd size.
    """
    stem, shortcut, width = architecture.stem, architecture.shortcut, architecture.stem.width
    size = _output_size(image_size, stem.kernel, stem.stride, stem.padding)
    if size < 1:
        raise ArchitectureError(f"stem.kernel = {stem.kernel}: larger than the padded image of {image_size} pixels")
    macs = convolution(architecture.in_channels, width, stem.kernel) * size * size
    rows = [Part("stem", width, size, stem_parameters(stem, architecture.in_channels), macs)]
    for index, stage in enumerate(architecture.stages):
        params = stage_parameters(stage, width, shortcut, index == 0)
        macs = 0
        for block in range(stage.depth):
            stride = 2 if index > 0 and block == 0 else 1
            first, second, after = _block_sizes(stage, size, stride)
            if after != -(-size // stride):
                raise ArchitectureError(
                    f"kernel = {stage.kernel}: an even kernel of stride 2 needs an even image size, "
                    f"and stage {index + 1} receives {size} pixels"
                )
            inner, kernel = stage.inner_width, stage.kernel
            if stage.block == "basic":
                macs += convolution(width, inner, kernel) * first**2 + convolution(inner, inner, kernel) * second**2
            else:
                macs += convolution(width, inner, 1) * size**2 + convolution(inner, inner, kernel) * first**2
                macs += convolution(inner, stage.width, 1) * after**2
            if shortcut != "A" and (stride == 2 or width != stage.width):
                macs += convolution(width, stage.width, 1) * after**2
            width, size = stage.width, after
        rows.append(Part(f"stage {index + 1}", width, size, params, macs))
    head = head_parameters(width, architecture.num_classes)
    return [*rows, Part("head", architecture.num_classes, 1, head, width * architecture.num_classes)]


def count_macs(architecture: Architecture, image_size: int) -> int:
    """Multiply-accumulates for one image of `image_size` x `image_size` pixels, exactly.

    Raises:
        ArchitectureError: the network cannot take images of that size.
    """
    return sum(part.macs for part in parts(architecture, image_size))
