"""The shapes of a network's weights by their names in its file, without torch: nothing is built.

The names are those of `models.blocks`. BatchNorm's running means and variances are among them; its counters of batches,
which torch does not need, are not.
"""

from collections.abc import Iterator

from models.architecture import Architecture, Shortcut, Stage, needs_shortcut

Shape = tuple[int, ...]


def tensors(architecture: Architecture) -> dict[str, Shape]:
    """The shape of every tensor of the network's weights, by its name."""
    return dict(_network(architecture))


def _network(network: Architecture) -> Iterator[tuple[str, Shape]]:
    stem, width, preactivation = network.stem, network.stem.width, network.preactivation
    yield from _convolution("stem", network.in_channels, width, stem.kernel, norm=not preactivation)
    for index, (stage, stride) in enumerate(zip(network.stages, network.strides, strict=True)):
        for position in range(stage.depth):
            name = f"stages.{index}.{position}"
            yield from _block(name, stage, width, preactivation)
            if needs_shortcut(stage, width, stride if position == 0 else 1):
                yield from _shortcut(f"{name}.shortcut", network.shortcut, width, stage.width)
            width = stage.width
    if preactivation:
        yield from _norm("norm", width)
    if network.head_width is not None:
        yield from _convolution("head_convolution", width, network.head_width, 1)
        width = network.head_width
    yield "head.weight", (network.num_classes, width)
    yield "head.bias", (network.num_classes,)


def _block(name: str, stage: Stage, in_width: int, preactivation: bool) -> Iterator[tuple[str, Shape]]:
    """The main path of a block that receives `in_width` channels, and its gate."""
    width, inner, kernel, pool = stage.width, stage.inner_width_after(in_width), stage.kernel, stage.is_pooled
    preactivation = preactivation and stage.block != "inverted"
    if preactivation:
        yield from _norm(f"{name}.norm", in_width)
    if stage.block == "basic":
        yield from _convolution(f"{name}.conv1", in_width, width, kernel, pool)
        yield from _convolution(f"{name}.conv2", width, width, kernel, pool, norm=not preactivation)
    else:
        first = stage.layers - 2  # the 1x1 convolution that an inverted block may lack
        if first:
            yield from _convolution(f"{name}.conv1", in_width, inner, 1)
        yield from _convolution(f"{name}.conv{first + 1}", stage.group_channels, inner, kernel, pool)
        yield from _convolution(f"{name}.conv{first + 2}", inner, width, 1, norm=not preactivation)
    if squeezed := stage.squeezed_width:
        yield f"{name}.gate.fc1.weight", (squeezed, width, 1, 1)
        yield f"{name}.gate.fc1.bias", (squeezed,)
        yield f"{name}.gate.fc2.weight", (width, squeezed, 1, 1)
        yield f"{name}.gate.fc2.bias", (width,)


def _shortcut(name: str, shortcut: Shortcut, in_width: int, width: int) -> Iterator[tuple[str, Shape]]:
    if shortcut == "B":
        yield from _convolution(name, in_width, width, 1)
    elif shortcut == "b":
        yield f"{name}.weight", (width, in_width, 1, 1)


def _convolution(
    name: str, in_width: int, width: int, kernel: int, pool: bool = False, norm: bool = True
) -> Iterator[tuple[str, Shape]]:
    """A convolution, of groups of `in_width` channels, and its BatchNorm behind a pooling, if there is one."""
    yield f"{name}.0.weight", (width, in_width, kernel, kernel)
    if norm:
        yield from _norm(f"{name}.{2 if pool else 1}", width)


def _norm(name: str, width: int) -> Iterator[tuple[str, Shape]]:
    for tensor in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{tensor}", (width,)
