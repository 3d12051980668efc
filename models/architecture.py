"""Residual networks as frozen values: Stem, Stage, Architecture.

An architecture holds all that decides the shape of a network, and nothing else: two with the same canonical form build
the same module. The terms are those of He et al. 2015 (https://arxiv.org/abs/1512.03385): a stem convolution, stages of
residual blocks, global average pooling and one linear layer.

Fields that came after architectures had been written into results are left out of what is written where they are the
default, so that a network without them is known as before.
"""

import json
from collections.abc import Hashable
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from typing import Any, Literal, get_args

from models.fields import ArchitectureError as ArchitectureError
from models.fields import items_of, require_choice, require_integer, require_integer_or_none, written

Block = Literal["basic", "bottleneck", "inverted"]
Shortcut = Literal["A", "B", "b"]
EvenKernel = Literal["pad-then-valid", "average-pool"]
Activation = Literal["relu", "silu", "gelu"]

MAX_WIDTH = 65_536
MAX_DEPTH = 1_024
MAX_KERNEL = 31
MAX_EXPANSION = 64
LATER = frozenset({
    "stride", "group_width", "expansion", "squeeze_excitation", "preactivation", "activation", "head_width",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stem:
    """The first convolution, with BatchNorm and activation: `in_channels` to `width` channels.

    `padding` is in pixels on each side. A 3x3 stem of stride 1 and padding 1 keeps the image's size.

    Raises:
        ArchitectureError: a value is out of range.
    """

    width: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1

    def __post_init__(self) -> None:
        require_integer("stem.width", self.width, 1, MAX_WIDTH)
        require_integer("stem.kernel", self.kernel, 1, MAX_KERNEL)
        require_integer("stem.stride", self.stride, 1, 4)
        require_integer("stem.padding", self.padding, 0, self.kernel - 1)


@dataclass(frozen=True, slots=True)
class Stage:
    """`depth` residual blocks of `width` output channels; the first may change the shape, the others keep it.

    A basic block has two `kernel` x `kernel` convolutions. A bottleneck has three: 1x1 to `width // reduction`
    channels, `kernel` x `kernel` (with the stride), and 1x1 to `width`. An inverted one (MobileNetV2: Sandler et al.
    2018, https://arxiv.org/abs/1801.04381) has three too: 1x1 to `expansion` times the channels it receives (left out
    where `expansion` is 1), `kernel` x `kernel` of each channel by itself (with the stride), and 1x1 to `width`, with
    no activation after it; where it changes the shape it has no shortcut. Every convolution is bias-free and followed
    by BatchNorm. `dropout` is the probability of zeroing an activation, before a block's last convolution.

    A bottleneck's `kernel` x `kernel` convolution has groups of `group_width` channels (ResNeXt: Xie et al. 2016,
    https://arxiv.org/abs/1611.05431), from 1 (depthwise) up; where that is None, or all channels or more, it has none.

    With `squeeze_excitation` every block's main path ends in a gate for each channel (Hu et al. 2017,
    https://arxiv.org/abs/1709.01507), computed through `width // squeeze_excitation` channels.

    `stride` is that of the first block; None is 1 in a network's first stage and 2 in the others.

    A convolution with an even kernel cannot keep the image's size by padding alone. With 'pad-then-valid' a basic
    block's first convolution pads by kernel / 2 and its second by kernel / 2 - 1; with 'average-pool' both pad by
    kernel / 2 and a 2x2 average pooling of stride 1 follows each.

    Raises:
        ArchitectureError: a value is out of range; a ratio leaves no channel; groups do not divide the channels; or a
            block with only one such convolution, all but the basic, pads an even kernel.
    """

    block: Block
    depth: int
    width: int
    kernel: int = 3
    dropout: float = 0.0
    reduction: int = 4
    even_kernel: EvenKernel = "pad-then-valid"
    stride: int | None = None
    group_width: int | None = None
    expansion: int = 6
    squeeze_excitation: int | None = None

    def __post_init__(self) -> None:
        require_choice("block", self.block, get_args(Block))
        require_choice("even_kernel", self.even_kernel, get_args(EvenKernel))
        require_integer("depth", self.depth, 1, MAX_DEPTH)
        require_integer("width", self.width, 1, MAX_WIDTH)
        require_integer("kernel", self.kernel, 1, MAX_KERNEL)
        require_integer("reduction", self.reduction, 1, MAX_WIDTH)
        require_integer_or_none("stride", self.stride, 1, 2)
        require_integer_or_none("group_width", self.group_width, 1, MAX_WIDTH)
        require_integer("expansion", self.expansion, 1, MAX_EXPANSION)
        require_integer_or_none("squeeze_excitation", self.squeeze_excitation, 1, MAX_WIDTH)
        if type(self.dropout) not in (int, float) or not 0 <= self.dropout < 1:
            raise ArchitectureError(f"dropout = {self.dropout!r}: must be a number from 0 to below 1")
        object.__setattr__(self, "dropout", float(self.dropout))
        if self.squeeze_excitation is not None and self.squeezed_width < 1:
            raise ArchitectureError(
                f"squeeze_excitation = {self.squeeze_excitation}: leaves no channel of width {self.width}"
            )
        if self.block == "bottleneck":
            if self.width // self.reduction < 1:
                raise ArchitectureError(f"reduction = {self.reduction}: leaves no channel of width {self.width}")
            inner, group = self.width // self.reduction, self.group_width
            if group is not None and group < inner and inner % group:
                raise ArchitectureError(f"group_width = {group}: does not divide a bottleneck's {inner} inner channels")
        if self.block != "basic" and self.kernel % 2 == 0 and self.even_kernel == "pad-then-valid":
            kind = "a bottleneck" if self.block == "bottleneck" else "an inverted block"
            raise ArchitectureError(
                f"kernel = {self.kernel}: {kind} has one such convolution, so an even kernel needs "
                "even_kernel = average-pool"
            )

    @property
    def inner_width(self) -> int:
        """The channels between the convolutions of a block that keeps its shape."""
        return self.inner_width_after(self.width)

    def inner_width_after(self, in_width: int) -> int:
        """The channels between the convolutions of a block that receives `in_width` channels."""
        if self.block == "inverted":
            return in_width * self.expansion
        return self.width if self.block == "basic" else self.width // self.reduction

    @property
    def group_channels(self) -> int:
        """The channels of a group of the convolution between two of 1x1, in blocks that are not basic."""
        inner = self.inner_width
        return 1 if self.block == "inverted" else min(self.group_width or inner, inner)

    @property
    def is_pooled(self) -> bool:
        """Whether an average pooling follows the kxk convolutions of its blocks."""
        return self.kernel % 2 == 0 and self.even_kernel == "average-pool"

    @property
    def squeezed_width(self) -> int:
        """The channels that squeeze-and-excitation goes through; 0 where there is none."""
        return 0 if self.squeeze_excitation is None else self.width // self.squeeze_excitation

    @property
    def layers(self) -> int:
        """The convolutions on a block's main path."""
        return 2 if self.block == "basic" or (self.block == "inverted" and self.expansion == 1) else 3

    def canonical(self) -> "Stage":
        """This stage, with the default for every field that does not change the network."""
        same: dict[str, Any] = {}
        if self.block == "bottleneck":
            inner = self.width // self.reduction
            same["reduction"] = _usual_divisor(self.width, inner)
            if self.group_width is not None and self.group_width >= inner:
                same["group_width"] = None
        else:
            same |= {"reduction": _DEFAULTS["reduction"], "group_width": None}
        if self.block != "inverted":
            same["expansion"] = _DEFAULTS["expansion"]
        if self.squeeze_excitation is not None:
            same["squeeze_excitation"] = _usual_divisor(self.width, self.squeezed_width)
        if self.kernel % 2 == 1:
            same["even_kernel"] = _DEFAULTS["even_kernel"]
        return replace(self, **same)


_DEFAULTS = {field.name: field.default for field in fields(Stage)}


def _usual_divisor(width: int, part: int) -> int:
    """The number that stands for all by which `width` divides to `part`, rounded down: a power of two, of which there
    is one at most, else the smallest."""
    least, most = width // (part + 1) + 1, width // part
    power: int = 1 << (most.bit_length() - 1)
    return power if power >= least else least


@dataclass(frozen=True, slots=True)
class Architecture:
    """A residual network for square images: stem, stages, global average pooling, one linear layer with bias.

    The first block of every stage but the first has stride 2, unless the stage says otherwise. `shortcut` is what a
    block adds where its shape changes (He et al. 2015, section 4.1): 'A' is the input subsampled and zero-padded to the
    new width, without parameters; 'B' a 1x1 convolution with BatchNorm; 'b' a 1x1 convolution alone.

    With `preactivation` (He et al. 2016, https://arxiv.org/abs/1603.05027) BatchNorm and activation stand before every
    convolution of basic blocks and bottlenecks instead of after it, and before a shortcut that changes the shape, as in
    wide ResNets (https://arxiv.org/abs/1605.07146). The stem is then a convolution alone, and BatchNorm and activation
    follow the last stage. Inverted blocks are the same in both forms.

    With `head_width`, a 1x1 convolution to so many channels, BatchNorm and activation stand before the pooling.

    Raises:
        ArchitectureError: there is no stage, a value is out of range, or shortcut A would have to drop channels.
    """

    stem: Stem
    stages: tuple[Stage, ...]
    shortcut: Shortcut = "B"
    in_channels: int = 3
    num_classes: int = 10
    preactivation: bool = False
    activation: Activation = "relu"
    head_width: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        require_choice("shortcut", self.shortcut, get_args(Shortcut))
        require_choice("activation", self.activation, get_args(Activation))
        require_integer_or_none("head_width", self.head_width, 1, MAX_WIDTH)
        if type(self.preactivation) is not bool:
            raise ArchitectureError(f"preactivation = {self.preactivation!r}: must be true or false")
        require_integer("stages", len(self.stages), 1, 16)
        require_integer("in_channels", self.in_channels, 1, 1_024)
        require_integer("num_classes", self.num_classes, 2, 1_000_000)
        if self.shortcut == "A":
            widths = [self.stem.width, *(stage.width for stage in self.stages)]
            for (before, after), stage in zip(pairwise(widths), self.stages, strict=True):
                if after < before and stage.block != "inverted":
                    raise ArchitectureError(f"shortcut = A: cannot narrow {before} channels to {after}")

    @property
    def depth(self) -> int:
        """The weighted layers as papers count them: convolutions on the main path, and the linear layer."""
        return 2 + (self.head_width is not None) + sum(stage.depth * stage.layers for stage in self.stages)

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride of each stage's first block."""
        return tuple(stage_stride(stage.stride, index == 0) for index, stage in enumerate(self.stages))

    @property
    def has_shortcut(self) -> bool:
        """Whether a block has a shortcut A, B or b, so that it matters which."""
        widths = (self.stem.width, *(stage.width for stage in self.stages))
        return any(map(needs_shortcut, self.stages, widths, self.strides))

    def canonical(self) -> "Architecture":
        """The form that all architectures of the same network share."""
        stages = []
        for index, (stage, stride) in enumerate(zip(self.stages, self.strides, strict=True)):
            own = stage.canonical()
            if own.stride is not None and stride == stage_stride(None, index == 0):
                own = replace(own, stride=None)
            stages.append(own)
        return replace(self, stages=tuple(stages), shortcut=self.shortcut if self.has_shortcut else "B")

    def block_by_block(self) -> tuple[Hashable, ...]:
        """What architectures of one network share even where their blocks are grouped otherwise: a stage that keeps the
        size of the image and is like the one before might as well be more blocks of that one."""
        canonical = self.canonical()
        blocks = [
            replace(stage, depth=1, stride=1 if place else stride)
            for stage, stride in zip(canonical.stages, canonical.strides, strict=True)
            for place in range(stage.depth)
        ]
        others = (getattr(canonical, field.name) for field in fields(canonical) if field.name != "stages")
        return *blocks, *others

    def to_dict(self) -> dict[str, Any]:
        """Plain values, which `from_dict` reads."""
        return written(self, LATER) | {
            "stem": asdict(self.stem),
            "stages": [written(stage, LATER) for stage in self.stages],
        }

    def to_json(self, indent: int | None = None) -> str:
        """The values of `to_dict` as JSON, which `from_json` reads."""
        return json.dumps(self.to_dict(), indent=indent)

    @classmethod
    def from_dict(cls, values: object) -> "Architecture":
        """The architecture of values as `to_dict` gives them. Fields with a default may be left out.

        Raises:
            ArchitectureError: an unknown or missing field, or a value out of range.
        """
        items = items_of(cls, "architecture", values)
        stages = items.get("stages")
        if not isinstance(stages, list | tuple):
            raise ArchitectureError(f"stages = {stages!r}: must be a list")
        items["stem"] = Stem(**items_of(Stem, "stem", items["stem"]))
        items["stages"] = tuple(Stage(**items_of(Stage, "stage", stage)) for stage in stages)
        return cls(**items)

    @classmethod
    def from_json(cls, text: str) -> "Architecture":
        """The architecture of JSON as `to_json` gives it.

        Raises:
            ArchitectureError: the text is not JSON, or not an architecture.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:  # ValueError: JSON it may be, with a number of 5,000 digits
            raise ArchitectureError(f"architecture: not JSON ({error})") from None
        return cls.from_dict(values)


def stage_stride(stride: int | None, is_first: bool) -> int:
    """The stride of a stage's first block, given the field's value."""
    return stride if stride is not None else 1 if is_first else 2


def needs_shortcut(stage: Stage, in_width: int, stride: int) -> bool:
    """Whether the stage's first block, of this stride, has a shortcut A, B or b: it changes the shape of what it
    receives, and is not an inverted block."""
    return stage.block != "inverted" and (stride != 1 or in_width != stage.width)
