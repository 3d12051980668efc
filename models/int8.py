"""The bytes of a network's numbers in an int8 file, by integer arithmetic: nothing is built.

The file is what `search.training.onnx_files` writes. BatchNorm after a convolution is folded into its weights and
biases. Weights take a byte each and a float scale for each output channel; biases are 32-bit integers with a float
scale each. A BatchNorm that stands first, in preactivated networks, stays as two floats a channel, and so does the
normalisation of images. Zero points of weights and biases are zero and left out. Every feature map that a convolution,
a mean or the linear layer takes has a scale and a zero point of its own, 5 bytes, and so has every convolution's output
unless a ReLU follows at once: then the ReLU's output has them.

All but those 5 bytes add up stage by stage, as parameters do, and a stage's share depends on the earlier ones only
through the width that it receives. They are a close lower bound of the whole. What a network takes is at least its
number of parameters.
"""

from models.architecture import Architecture, Shortcut, Stage, Stem, needs_shortcut

_MAPS_OF_A_BLOCK, _OTHER_MAPS = 10, 6  # at most
SCALE = 4  # bytes of a float scale
FEATURE_MAP = SCALE + 1  # its scale and its zero point


def _layer(in_width: int, out_width: int, kernel: int, has_bias: bool = True) -> int:
    """Bytes of a convolution whose outputs are computed from `in_width` channels each, or of the linear layer."""
    return in_width * out_width * kernel**2 + SCALE * out_width + (2 * SCALE * out_width if has_bias else 0)


def _scale_and_shift(width: int) -> int:
    """Bytes of what stays of a BatchNorm that stands first."""
    return 8 * width


def stem_bytes(stem: Stem, in_channels: int, preactivation: bool = False) -> int:
    """Bytes of the images' normalisation and of the stem."""
    return _scale_and_shift(in_channels) + _layer(in_channels, stem.width, stem.kernel, not preactivation)


def shortcut_bytes(shortcut: Shortcut, in_width: int, out_width: int) -> int:
    """Bytes of a shortcut that changes the shape."""
    return 0 if shortcut == "A" else _layer(in_width, out_width, 1, shortcut == "B")


def _block_bytes(stage: Stage, in_width: int, preactivation: bool) -> int:
    inner, width, kernel, squeezed = stage.inner_width_after(in_width), stage.width, stage.kernel, stage.squeezed_width
    total = _layer(width, squeezed, 1) + _layer(squeezed, width, 1) if squeezed else 0
    if stage.block == "inverted":
        total += _layer(in_width, inner, 1) if stage.expansion > 1 else 0
        return total + _layer(1, inner, kernel) + _layer(inner, width, 1)
    total += _scale_and_shift(in_width) if preactivation else 0
    if stage.block == "basic":
        return total + _layer(in_width, inner, kernel) + _layer(inner, width, kernel, not preactivation)
    total += _layer(in_width, inner, 1) + _layer(stage.group_channels, inner, kernel)
    return total + _layer(inner, width, 1, not preactivation)


def stage_bytes(stage: Stage, in_width: int, shortcut: Shortcut, stride: int, preactivation: bool = False) -> int:
    """Bytes of a stage that receives `in_width` channels and whose first block has this stride."""
    total = _block_bytes(stage, in_width, preactivation)
    total += (stage.depth - 1) * _block_bytes(stage, stage.width, preactivation)
    return total + (shortcut_bytes(shortcut, in_width, stage.width) if needs_shortcut(stage, in_width, stride) else 0)


def head_bytes(width: int, num_classes: int, head_width: int | None = None, preactivation: bool = False) -> int:
    """Bytes of all that follows the last stage."""
    total = _scale_and_shift(width) if preactivation else 0
    if head_width is not None:
        total, width = total + _layer(width, head_width, 1), head_width
    return total + _layer(width, num_classes, 1)


def count_int8_bytes(architecture: Architecture) -> int:
    """The bytes of all numbers in the int8 file of the network, exactly."""
    width, preactivation = architecture.stem.width, architecture.preactivation
    total = stem_bytes(architecture.stem, architecture.in_channels, preactivation)
    for stage, stride in zip(architecture.stages, architecture.strides, strict=True):
        total += stage_bytes(stage, width, architecture.shortcut, stride, preactivation)
        width = stage.width
    total += head_bytes(width, architecture.num_classes, architecture.head_width, preactivation)
    return total + FEATURE_MAP * _num_feature_maps(architecture)


def most_feature_map_bytes(num_blocks: int) -> int:
    """The most bytes that the feature maps of a network of so many blocks add to those of its parts."""
    return FEATURE_MAP * (_MAPS_OF_A_BLOCK * num_blocks + _OTHER_MAPS)


def _num_feature_maps(architecture: Architecture) -> int:
    """How many feature maps have a scale of their own."""
    is_merged = architecture.activation == "relu"  # with the convolution before it
    # Whether what comes next has a scale already, which no second reader adds.
    total, has_scale = 2, is_merged or architecture.preactivation  # the image, and the stem's output
    width = architecture.stem.width
    for stage, stride in zip(architecture.stages, architecture.strides, strict=True):
        for position in range(stage.depth):
            changes = position == 0 and (stride != 1 or width != stage.width)
            is_inverted = stage.block == "inverted"
            # A preactivated block's first convolution reads what BatchNorm and activation make of the input.
            is_first_normed = architecture.preactivation and not is_inverted
            total += is_first_normed or not has_scale
            for convolution in range(1, stage.layers):
                # Of these the last is kxk, and may be pooled before its activation.
                total += 1 if is_merged and not (stage.is_pooled and convolution == stage.layers - 1) else 2
            total += 1  # the last convolution's output, which no activation follows at once
            if stage.squeezed_width:
                total += 3 + (stage.is_pooled and stage.block == "basic")
            if changes and not is_inverted and architecture.shortcut != "A":
                total += 1
            # An inverted block without sum and gate ends in a convolution.
            has_scale = is_inverted and changes and not stage.squeezed_width
            width = stage.width
    if architecture.preactivation:
        has_scale = False
    if architecture.head_width is not None:
        total, has_scale = total + (not has_scale) + 1, is_merged
    return total + (not has_scale) + 1  # what the mean reads and what it gives
