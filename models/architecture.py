"""Residual networks as frozen values: Stem, Stage, Architecture.

An architecture holds all that decides the shape of a network, and nothing else: two with the same canonical form build
the same module. The terms are those of He et al. 2015 (https://arxiv.org/abs/1512.03385): a stem convolution, stages of
residual blocks, global average pooling and one linear layer.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from typing import Any, Literal, get_args

Block = Literal["basic", "bottleneck"]
Shortcut = Literal["A", "B", "b"]
EvenKernel = Literal["pad-then-valid", "average-pool"]

MAX_WIDTH = 65_536
MAX_DEPTH = 1_024
MAX_KERNEL = 31


class ArchitectureError(ValueError):
    """An invalid value of an architecture. The message is one line: name = value, then the rule."""


def _integer(name: str, value: object, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise ArchitectureError(f"{name} = {value!r}: must be an integer from {low} to {high}")


def _choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ArchitectureError(f"{name} = {value!r}: must be one of {', '.join(choices)}")


@dataclass(frozen=True, slots=True)
class Stem:
    """The first convolution, with BatchNorm and ReLU: `in_channels` to `width` channels.

    `padding` is in pixels on each side. A 3x3 stem of stride 1 and padding 1 keeps the image's size.

    Raises:
        ArchitectureError: a value is out of range.
    """

    width: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1

    def __post_init__(self) -> None:
        _integer("stem.width", self.width, 1, MAX_WIDTH)
        _integer("stem.kernel", self.kernel, 1, MAX_KERNEL)
        _integer("stem.stride", self.stride, 1, 4)
        _integer("stem.padding", self.padding, 0, self.kernel - 1)


@dataclass(frozen=True, slots=True)
class Stage:
    """`depth` residual blocks of `width` output channels; the first may change the shape, the others keep it.

    A basic block has two `kernel` x `kernel` convolutions. A bottleneck has three: 1x1 to `width // reduction`
    channels, `kernel` x `kernel` (with the stride), and 1x1 to `width`. Every convolution is bias-free and followed by
    BatchNorm. `dropout` is the probability of zeroing an activation, after a basic block's first conv-BN-ReLU and
    before a bottleneck's last convolution.

    A convolution with an even kernel cannot keep the image's size by padding alone. With 'pad-then-valid' a basic
    block's first convolution pads by kernel / 2 and its second by kernel / 2 - 1; with 'average-pool' both pad by
    kernel / 2 and a 2x2 average pooling of stride 1 follows each.

    Raises:
        ArchitectureError: a value is out of range, or a bottleneck, which has only one such convolution, pads an even
            kernel.
    """

    block: Block
    depth: int
    width: int
    kernel: int = 3
    dropout: float = 0.0
    reduction: int = 4
    even_kernel: EvenKernel = "pad-then-valid"

    def __post_init__(self) -> None:
        _choice("block", self.block, get_args(Block))
        _choice("even_kernel", self.even_kernel, get_args(EvenKernel))
        _integer("depth", self.depth, 1, MAX_DEPTH)
        _integer("width", self.width, 1, MAX_WIDTH)
        _integer("kernel", self.kernel, 1, MAX_KERNEL)
        _integer("reduction", self.reduction, 1, MAX_WIDTH)
        if type(self.dropout) not in (int, float) or not 0 <= self.dropout < 1:
            raise ArchitectureError(f"dropout = {self.dropout!r}: must be a number from 0 to below 1")
        object.__setattr__(self, "dropout", float(self.dropout))
        if self.block == "bottleneck":
            if self.width // self.reduction < 1:
                raise ArchitectureError(f"reduction = {self.reduction}: leaves no channel of width {self.width}")
            if self.kernel % 2 == 0 and self.even_kernel == "pad-then-valid":
                raise ArchitectureError(
                    f"kernel = {self.kernel}: a bottleneck has one such convolution, so an even kernel needs "
                    "even_kernel = average-pool"
                )

    @property
    def inner_width(self) -> int:
        """The channels between a block's convolutions."""
        return self.width if self.block == "basic" else self.width // self.reduction

    def canonical(self) -> "Stage":
        """This stage, with the default for every field that does not change the network."""
        default = {field.name: field.default for field in fields(self)}
        irrelevant = {}
        if self.block == "basic":
            irrelevant["reduction"] = default["reduction"]
        if self.kernel % 2 == 1:
            irrelevant["even_kernel"] = default["even_kernel"]
        return replace(self, **irrelevant)  # type: ignore[arg-type]  # defaults have their fields' types


@dataclass(frozen=True, slots=True)
class Architecture:
    """A residual network for square images: stem, stages, global average pooling, one linear layer with bias.

    The first block of every stage but the first has stride 2. `shortcut` is what a block adds where its shape changes
    (He et al. 2015, section 4.1): 'A' is the input subsampled and zero-padded to the new width, without parameters;
    'B' a 1x1 convolution with BatchNorm; 'b' a 1x1 convolution alone.

    Raises:
        ArchitectureError: there is no stage, a value is out of range, or shortcut A would have to drop channels.
    """

    stem: Stem
    stages: tuple[Stage, ...]
    shortcut: Shortcut = "B"
    in_channels: int = 3
    num_classes: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        _choice("shortcut", self.shortcut, get_args(Shortcut))
        _integer("stages", len(self.stages), 1, 16)
        _integer("in_channels", self.in_channels, 1, 1_024)
        _integer("num_classes", self.num_classes, 2, 1_000_000)
        if self.shortcut == "A":
            widths = [self.stem.width, *(stage.width for stage in self.stages)]
            for before, after in pairwise(widths):
                if after < before:
                    raise ArchitectureError(f"shortcut = A: cannot narrow {before} channels to {after}")

    @property
    def depth(self) -> int:
        """The weighted layers as papers count them: convolutions on the main path, and the linear layer."""
        return 2 + sum(stage.depth * (2 if stage.block == "basic" else 3) for stage in self.stages)

    def canonical(self) -> "Architecture":
        """The form that all architectures of the same network share."""
        changes_shape = len(self.stages) > 1 or self.stem.width != self.stages[0].width
        return replace(
            self,
            stages=tuple(stage.canonical() for stage in self.stages),
            shortcut=self.shortcut if changes_shape else "B",
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, which `from_dict` reads."""
        return asdict(self) | {"stages": [asdict(stage) for stage in self.stages]}

    def to_json(self, indent: int | None = None) -> str:
        """The values of `to_dict` as JSON, which `from_json` reads."""
        return json.dumps(self.to_dict(), indent=indent)

    @classmethod
    def from_dict(cls, values: object) -> "Architecture":
        """The architecture of values as `to_dict` gives them. Fields with a default may be left out.

        Raises:
            ArchitectureError: an unknown or missing field, or a value out of range.
        """
        items = _fields_of(cls, "architecture", values)
        stages = items.get("stages")
        if not isinstance(stages, list | tuple):
            raise ArchitectureError(f"stages = {stages!r}: must be a list")
        items["stem"] = Stem(**_fields_of(Stem, "stem", items["stem"]))
        items["stages"] = tuple(Stage(**_fields_of(Stage, "stage", stage)) for stage in stages)
        return cls(**items)

    @classmethod
    def from_json(cls, text: str) -> "Architecture":
        """The architecture of JSON as `to_json` gives it.

        Raises:
            ArchitectureError: the text is not JSON, or not an architecture.
        """
        try:
            values = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ArchitectureError(f"architecture: not JSON ({error})") from None
        return cls.from_dict(values)


def _fields_of(kind: type, name: str, values: object) -> dict[str, Any]:
    """The items of a mapping, if all are fields of the dataclass `kind` and no field without a default is missing."""
    if not isinstance(values, Mapping):
        raise ArchitectureError(f"{name} = {values!r}: must be a mapping")
    names = [field.name for field in fields(kind)]
    required = [field.name for field in fields(kind) if field.default is field.default_factory]
    for key in values:
        if key not in names:
            raise ArchitectureError(f"{name}.{key}: unknown field; known are {', '.join(names)}")
    for key in required:
        if key not in values:
            raise ArchitectureError(f"{name}.{key}: missing")
    return dict(values)
