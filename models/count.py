"""The exact cost of an architecture, by integer arithmetic: nothing is built.

Parameters are all trainable numbers: convolutions, BatchNorm scales and shifts, the linear layer. They add up stage by
stage, and a stage depends on the earlier ones only through the width it receives. The audit of a space relies on that.

Multiply-accumulates (MACs) are those of convolutions and the linear layer for one image, as in papers and in fvcore's
`conv` and `linear` entries; BatchNorm, pooling, activations and additions are left out. They add up stage by stage too,
and a stage's share depends on the width and the size in pixels that it receives.

Peak activations are the most numbers that the live feature maps hold at one time, in inference on one image. This is a
property of the network, and a lower bound of what a framework reserves. While a convolution, a pooling or the linear
layer runs, its input and its output are live. A block's input is live until the block's sum, where the shortcut needs
it. A shortcut that changes the shape makes its own tensor after the main path (so does zero-padding), so the block's
input, the main path's output and the shortcut's are live together. BatchNorm, ReLU, dropout and the sum work in place.
Weights are not included; a limit of bytes counts them.

Sizes are heights and widths of square maps in pixels.
"""

from dataclasses import dataclass

from models.architecture import Architecture, ArchitectureError, Shortcut, Stage, Stem


def batch_norm(width: int) -> int:
    """Parameters of a BatchNorm."""
    return 2 * width


def convolution(in_width: int, out_width: int, kernel: int) -> int:
    """Parameters of a bias-free convolution, which are also its MACs for each output pixel."""
    return in_width * out_width * kernel * kernel


def shortcut_parameters(shortcut: Shortcut, in_width: int, out_width: int) -> int:
    """Parameters of a shortcut that changes the shape."""
    if shortcut == "A":
        return 0
    return convolution(in_width, out_width, 1) + (batch_norm(out_width) if shortcut == "B" else 0)


def block_parameters(stage: Stage, in_width: int) -> int:
    """Parameters of the main path of one block that receives `in_width` channels."""
    inner, width, kernel = stage.inner_width, stage.width, stage.kernel
    if stage.block == "basic":
        return (in_width + inner) * inner * kernel * kernel + 4 * inner
    return in_width * inner + inner * inner * kernel * kernel + inner * width + 4 * inner + 2 * width


def stem_parameters(stem: Stem, in_channels: int) -> int:
    """Parameters of the stem's convolution and BatchNorm."""
    return convolution(in_channels, stem.width, stem.kernel) + batch_norm(stem.width)


def stage_parameters(stage: Stage, in_width: int, shortcut: Shortcut, is_first: bool) -> int:
    """Parameters of a stage that receives `in_width` channels. The first stage keeps the size, the others halve it."""
    total = block_parameters(stage, in_width) + (stage.depth - 1) * block_parameters(stage, stage.width)
    if not is_first or in_width != stage.width:
        total += shortcut_parameters(shortcut, in_width, stage.width)
    return total


def head_parameters(width: int, num_classes: int) -> int:
    """Parameters of the linear layer, with its bias."""
    return (width + 1) * num_classes


def count_parameters(architecture: Architecture) -> int:
    """The trainable parameters of the network, exactly."""
    width = architecture.stem.width
    total = stem_parameters(architecture.stem, architecture.in_channels)
    for index, stage in enumerate(architecture.stages):
        total += stage_parameters(stage, width, architecture.shortcut, index == 0)
        width = stage.width
    return total + head_parameters(width, architecture.num_classes)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a network: its stem, a stage, or its head.

    `channels` and `size` are those of its output, `params` and `macs` its own, for one image.
    """

    name: str
    channels: int
    size: int
    params: int
    macs: int


def _output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    return (size + 2 * padding - kernel) // stride + 1


def stem_size(stem: Stem, image_size: int) -> int:
    """The size of the stem's output.

    Raises:
        ArchitectureError: the image is too small for the stem.
    """
    size = _output_size(image_size, stem.kernel, stem.stride, stem.padding)
    if size < 1:
        raise ArchitectureError(f"stem.kernel = {stem.kernel}: larger than the padded image of {image_size} pixels")
    return size


def stem_macs(stem: Stem, in_channels: int, size: int) -> int:
    """MACs of a stem whose output has this size."""
    return convolution(in_channels, stem.width, stem.kernel) * size**2


def takes(stage: Stage, size: int, is_first: bool) -> bool:
    """Whether the stage takes maps of this size: an even kernel of stride 2 needs an even size."""
    return is_first or stage.kernel % 2 == 1 or size % 2 == 0


def size_after(size: int, is_first: bool) -> int:
    """The size of a stage's output: the first stage keeps it, the others halve it, rounded up."""
    return size if is_first else -(-size // 2)


def _block_sizes(stage: Stage, size: int, stride: int) -> tuple[int, int, int]:
    """The output sizes of a block's first and second kxk convolution, before any pooling, and of the block.

    A bottleneck has one kxk convolution; its second size is 0.
    """
    kernel = stage.kernel
    pooled = 1 if kernel % 2 == 0 and stage.even_kernel == "average-pool" else 0
    first = _output_size(size, kernel, stride, kernel // 2)
    if stage.block == "bottleneck":
        return first, 0, first - pooled
    padding = kernel // 2 if kernel % 2 or pooled else kernel // 2 - 1
    second = _output_size(first - pooled, kernel, 1, padding)
    return first, second, second - pooled


def _block_macs(stage: Stage, in_width: int, size: int, stride: int, shortcut: Shortcut) -> int:
    first, second, after = _block_sizes(stage, size, stride)
    inner, width, kernel = stage.inner_width, stage.width, stage.kernel
    if stage.block == "basic":
        macs = convolution(in_width, inner, kernel) * first**2 + convolution(inner, inner, kernel) * second**2
    else:
        macs = convolution(in_width, inner, 1) * size**2 + convolution(inner, inner, kernel) * first**2
        macs += convolution(inner, width, 1) * after**2
    if shortcut != "A" and (stride == 2 or in_width != width):
        macs += convolution(in_width, width, 1) * after**2
    return macs


def stage_macs(stage: Stage, in_width: int, size: int, shortcut: Shortcut, is_first: bool) -> int:
    """MACs of a stage that receives `in_width` channels of a size that it takes."""
    after = size_after(size, is_first)
    others = (stage.depth - 1) * _block_macs(stage, stage.width, after, 1, shortcut)
    return _block_macs(stage, in_width, size, 1 if is_first else 2, shortcut) + others


def _block_peak(stage: Stage, in_width: int, size: int, stride: int) -> int:
    first, second, after = _block_sizes(stage, size, stride)
    inner, received, output = stage.inner_width, in_width * size**2, stage.width * after**2
    is_pooled = stage.kernel % 2 == 0 and stage.even_kernel == "average-pool"
    if stage.block == "basic":
        between = inner * (first - is_pooled) ** 2
        moments = [inner * first**2, between + inner * second**2]
        if is_pooled:
            moments += [inner * first**2 + between, inner * second**2 + output]
    else:
        before, between = inner * size**2, inner * after**2
        moments = [before, before + inner * first**2, between + output]
        if is_pooled:
            moments.append(inner * first**2 + between)
    if stride == 2 or in_width != stage.width:
        moments.append(2 * output)
    return received + max(moments)


def stage_peak(stage: Stage, in_width: int, size: int, is_first: bool) -> int:
    """Peak activations within a stage that receives `in_width` channels of a size that it takes."""
    peak = _block_peak(stage, in_width, size, 1 if is_first else 2)
    if stage.depth > 1:
        peak = max(peak, _block_peak(stage, stage.width, size_after(size, is_first), 1))
    return peak


def stem_peak(stem: Stem, in_channels: int, image_size: int) -> int:
    """Peak activations of the stem: the image and the convolution's output.

    Raises:
        ArchitectureError: the image is too small for the stem.
    """
    return in_channels * image_size**2 + stem.width * stem_size(stem, image_size) ** 2


def head_peak(width: int, num_classes: int, size: int) -> int:
    """Peak activations of the average pooling and the linear layer, for `width` maps of this size."""
    return max(width * size**2 + width, width + num_classes)


def _received(architecture: Architecture, image_size: int) -> list[tuple[int, int]]:
    """The width and size that each stage receives, and the head after them.

    Raises:
        ArchitectureError: the image is too small for the stem, or an even kernel meets an odd size.
    """
    width, size = architecture.stem.width, stem_size(architecture.stem, image_size)
    received = [(width, size)]
    for index, stage in enumerate(architecture.stages):
        if not takes(stage, size, index == 0):
            raise ArchitectureError(
                f"kernel = {stage.kernel}: an even kernel of stride 2 needs an even image size, "
                f"and stage {index + 1} receives {size} pixels"
            )
        width, size = stage.width, size_after(size, index == 0)
        received.append((width, size))
    return received


def parts(architecture: Architecture, image_size: int) -> list[Part]:
    """The parts of the network in order, for one image of `image_size` x `image_size` pixels.

    Raises:
        ArchitectureError: the image is too small for the stem, or an even kernel meets an odd size.
    """
    stem, shortcut, channels = architecture.stem, architecture.shortcut, architecture.in_channels
    received = _received(architecture, image_size)
    size = received[0][1]
    rows = [Part("stem", stem.width, size, stem_parameters(stem, channels), stem_macs(stem, channels, size))]
    for index, stage in enumerate(architecture.stages):
        width, size = received[index]
        params = stage_parameters(stage, width, shortcut, index == 0)
        macs = stage_macs(stage, width, size, shortcut, index == 0)
        rows.append(Part(f"stage {index + 1}", stage.width, received[index + 1][1], params, macs))
    width, num_classes = received[-1][0], architecture.num_classes
    return [*rows, Part("head", num_classes, 1, head_parameters(width, num_classes), width * num_classes)]


def count_macs(architecture: Architecture, image_size: int) -> int:
    """The multiply-accumulates for one image of `image_size` x `image_size` pixels, exactly.

    Raises:
        ArchitectureError: the network does not take images of this size.
    """
    return sum(part.macs for part in parts(architecture, image_size))


def peak_activations(architecture: Architecture, image_size: int) -> int:
    """The most numbers that live feature maps hold at one time, as defined at the top of this file, for one image of
    `image_size` x `image_size` pixels.

    Raises:
        ArchitectureError: the network does not take images of this size.
    """
    received = _received(architecture, image_size)
    stages = [
        stage_peak(stage, width, size, index == 0)
        for index, (stage, (width, size)) in enumerate(zip(architecture.stages, received, strict=False))
    ]
    width, size = received[-1]
    head = head_peak(width, architecture.num_classes, size)
    return max(stem_peak(architecture.stem, architecture.in_channels, image_size), *stages, head)
