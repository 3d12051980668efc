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
input, the main path's output and the shortcut's are live together. BatchNorm, activations, dropout, gates and the sum
work in place, but for the BatchNorm that begins a preactivated block whose input is added as it is: that one makes its
own tensor, which is live during the first convolution. Squeeze-and-excitation pools the main path's output, which stays
live. Weights are not included; a limit of bytes counts them.

Sizes are heights and widths of square maps in pixels.
"""

from dataclasses import dataclass

from models.architecture import Architecture, ArchitectureError, Shortcut, Stage, Stem, needs_shortcut


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


def squeeze_excitation_parameters(stage: Stage) -> int:
    """Parameters of a block's squeeze-and-excitation, two 1x1 convolutions with biases; 0 where it has none."""
    width, squeezed = stage.width, stage.squeezed_width
    return 2 * width * squeezed + squeezed + width if squeezed else 0


def block_parameters(stage: Stage, in_width: int, preactivation: bool = False) -> int:
    """Parameters of the main path of one block that receives `in_width` channels."""
    inner, width, area = stage.inner_width_after(in_width), stage.width, stage.kernel**2
    total = squeeze_excitation_parameters(stage)
    if stage.block == "inverted":
        expanded = in_width * inner + batch_norm(inner) if stage.expansion > 1 else 0
        return total + expanded + inner * area + batch_norm(inner) + inner * width + batch_norm(width)
    # The norms before all convolutions, or after all.
    total += batch_norm(in_width if preactivation else width)
    if stage.block == "basic":
        return total + (in_width + inner) * inner * area + batch_norm(inner)
    return total + in_width * inner + inner * stage.group_channels * area + inner * width + 2 * batch_norm(inner)


def stem_parameters(stem: Stem, in_channels: int, preactivation: bool = False) -> int:
    """Parameters of the stem's convolution and, without preactivation, its BatchNorm."""
    return convolution(in_channels, stem.width, stem.kernel) + (0 if preactivation else batch_norm(stem.width))


def stage_parameters(stage: Stage, in_width: int, shortcut: Shortcut, stride: int, preactivation: bool = False) -> int:
    """Parameters of a stage that receives `in_width` channels and whose first block has this stride."""
    total = block_parameters(stage, in_width, preactivation)
    total += (stage.depth - 1) * block_parameters(stage, stage.width, preactivation)
    if needs_shortcut(stage, in_width, stride):
        total += shortcut_parameters(shortcut, in_width, stage.width)
    return total


def head_parameters(width: int, num_classes: int, head_width: int | None = None, preactivation: bool = False) -> int:
    """Parameters of all that follows the last stage: the BatchNorm of a preactivated network, the 1x1 convolution to
    `head_width` channels with its BatchNorm, if there is one, and the linear layer with its bias."""
    total = batch_norm(width) if preactivation else 0
    if head_width is not None:
        total += convolution(width, head_width, 1) + batch_norm(head_width)
        width = head_width
    return total + (width + 1) * num_classes


def count_parameters(architecture: Architecture) -> int:
    """The trainable parameters of the network, exactly."""
    width, preactivation = architecture.stem.width, architecture.preactivation
    total = stem_parameters(architecture.stem, architecture.in_channels, preactivation)
    for stage, stride in zip(architecture.stages, architecture.strides, strict=True):
        total += stage_parameters(stage, width, architecture.shortcut, stride, preactivation)
        width = stage.width
    return total + head_parameters(width, architecture.num_classes, architecture.head_width, preactivation)


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


def takes(stage: Stage, size: int, stride: int) -> bool:
    """Whether the stage takes maps of this size: an even kernel of stride 2 needs an even size."""
    return stride == 1 or stage.kernel % 2 == 1 or size % 2 == 0


def size_after(size: int, stride: int) -> int:
    """The size of a stage's output: that of its input divided by the stride, rounded up."""
    return -(-size // stride)


def _block_sizes(stage: Stage, size: int, stride: int) -> tuple[int, int, int]:
    """The output sizes of a block's first and second kxk convolution, before any pooling, and of the block.

    Blocks that are not basic have one kxk convolution; their second size is 0.
    """
    kernel, is_pooled = stage.kernel, stage.is_pooled
    first = _output_size(size, kernel, stride, kernel // 2)
    if stage.block != "basic":
        return first, 0, first - is_pooled
    padding = kernel // 2 if kernel % 2 or is_pooled else kernel // 2 - 1
    second = _output_size(first - is_pooled, kernel, 1, padding)
    return first, second, second - is_pooled


def _block_macs(stage: Stage, in_width: int, size: int, stride: int, shortcut: Shortcut) -> int:
    first, second, after = _block_sizes(stage, size, stride)
    inner, width, kernel = stage.inner_width_after(in_width), stage.width, stage.kernel
    macs = 2 * width * stage.squeezed_width
    if stage.block == "basic":
        macs += convolution(in_width, inner, kernel) * first**2 + convolution(inner, inner, kernel) * second**2
    else:
        macs += convolution(stage.group_channels, inner, kernel) * first**2 + convolution(inner, width, 1) * after**2
        if stage.layers == 3:
            macs += convolution(in_width, inner, 1) * size**2
    if shortcut != "A" and needs_shortcut(stage, in_width, stride):
        macs += convolution(in_width, width, 1) * after**2
    return macs


def stage_macs(stage: Stage, in_width: int, size: int, shortcut: Shortcut, stride: int) -> int:
    """MACs of a stage that receives `in_width` channels of a size that it takes."""
    others = (stage.depth - 1) * _block_macs(stage, stage.width, size_after(size, stride), 1, shortcut)
    return _block_macs(stage, in_width, size, stride, shortcut) + others


def head_macs(width: int, num_classes: int, size: int, head_width: int | None = None) -> int:
    """MACs of all that follows the last stage, which gives `width` maps of this size."""
    if head_width is None:
        return width * num_classes
    return convolution(width, head_width, 1) * size**2 + head_width * num_classes


def _block_peak(stage: Stage, in_width: int, size: int, stride: int, preactivation: bool) -> int:
    first, second, after = _block_sizes(stage, size, stride)
    inner, received, output = stage.inner_width_after(in_width), in_width * size**2, stage.width * after**2
    is_pooled = stage.is_pooled
    changes = stride == 2 or in_width != stage.width
    has_sum = stage.block != "inverted" or not changes
    if stage.block == "basic":
        between = inner * (first - is_pooled) ** 2
        moments = [inner * first**2, between + inner * second**2]
        if is_pooled:
            moments += [inner * first**2 + between, inner * second**2 + output]
    else:
        before, between = inner * size**2, inner * after**2
        moments = [before, before + inner * first**2] if stage.layers == 3 else [inner * first**2]
        moments.append(between + output)
        if is_pooled:
            moments.append(inner * first**2 + between)
    if stage.squeezed_width:
        moments.append(output + stage.width + stage.squeezed_width)
    if changes and has_sum:
        moments.append(2 * output)
    # The first convolution reads the block's input, or a copy of it.
    moments[0] += received if preactivation and stage.block != "inverted" and not changes else 0
    return received + max(moments) if has_sum else max(received + moments[0], *moments[1:])


def stage_peak(stage: Stage, in_width: int, size: int, stride: int, preactivation: bool = False) -> int:
    """Peak activations within a stage that receives `in_width` channels of a size that it takes."""
    peak = _block_peak(stage, in_width, size, stride, preactivation)
    if stage.depth > 1:
        peak = max(peak, _block_peak(stage, stage.width, size_after(size, stride), 1, preactivation))
    return peak


def stem_peak(stem: Stem, in_channels: int, image_size: int) -> int:
    """Peak activations of the stem: the image and the convolution's output.

    Raises:
        ArchitectureError: the image is too small for the stem.
    """
    return in_channels * image_size**2 + stem.width * stem_size(stem, image_size) ** 2


def head_peak(width: int, num_classes: int, size: int, head_width: int | None = None) -> int:
    """Peak activations of all that follows the last stage, which gives `width` maps of this size."""
    before = 0
    if head_width is not None:
        before, width = (width + head_width) * size**2, head_width
    return max(before, width * size**2 + width, width + num_classes)


def _received(architecture: Architecture, image_size: int) -> list[tuple[int, int]]:
    """The width and size that each stage receives, and the head after them.

    Raises:
        ArchitectureError: the image is too small for the stem, or an even kernel meets an odd size.
    """
    width, size = architecture.stem.width, stem_size(architecture.stem, image_size)
    received = [(width, size)]
    for index, (stage, stride) in enumerate(zip(architecture.stages, architecture.strides, strict=True)):
        if not takes(stage, size, stride):
            raise ArchitectureError(
                f"kernel = {stage.kernel}: an even kernel of stride 2 needs an even image size, "
                f"and stage {index + 1} receives {size} pixels"
            )
        width, size = stage.width, size_after(size, stride)
        received.append((width, size))
    return received


def parts(architecture: Architecture, image_size: int) -> list[Part]:
    """The parts of the network in order, for one image of `image_size` x `image_size` pixels.

    Raises:
        ArchitectureError: the image is too small for the stem, or an even kernel meets an odd size.
    """
    stem, shortcut, channels = architecture.stem, architecture.shortcut, architecture.in_channels
    preactivation, head_width = architecture.preactivation, architecture.head_width
    received = _received(architecture, image_size)
    size = received[0][1]
    params, macs = stem_parameters(stem, channels, preactivation), stem_macs(stem, channels, size)
    rows = [Part("stem", stem.width, size, params, macs)]
    for index, (stage, stride) in enumerate(zip(architecture.stages, architecture.strides, strict=True)):
        width, size = received[index]
        params = stage_parameters(stage, width, shortcut, stride, preactivation)
        macs = stage_macs(stage, width, size, shortcut, stride)
        rows.append(Part(f"stage {index + 1}", stage.width, received[index + 1][1], params, macs))
    (width, size), num_classes = received[-1], architecture.num_classes
    params = head_parameters(width, num_classes, head_width, preactivation)
    return [*rows, Part("head", num_classes, 1, params, head_macs(width, num_classes, size, head_width))]


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
        stage_peak(stage, width, size, stride, architecture.preactivation)
        for stage, stride, (width, size) in zip(architecture.stages, architecture.strides, received, strict=False)
    ]
    width, size = received[-1]
    head = head_peak(width, architecture.num_classes, size, architecture.head_width)
    return max(stem_peak(architecture.stem, architecture.in_channels, image_size), *stages, head)
