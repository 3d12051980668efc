"""Every convolution that the default space can build: its output and gradients on this processor are those of float64.

A convolution that writes past its buffers may end its process or never come back. So each set of instructions has a
process of its own: this file, run as a script.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import product
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models import blocks
from models.architecture import Architecture, Stage, Stem
from models.build import build_on_meta

HAS_AVX512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
COMMON = ("native", "AVX2") if HAS_AVX512 else ("native",)  # which is AVX2 on processors of the last ten years
INSTRUCTIONS = (*COMMON, "SSE41")
# The largest error of an element, as a share of the root of their mean square. Sums have up to 25,600 terms.
TOLERANCES = {"fp32": 1e-4, "bf16": 1e-1}
# Without AVX-512, torch computes bf16 by loops of its own, to the bit the same for AVX2 and SSE41, and slowly. They are
# held to narrow shapes, as SSE41 is; no search chooses them.
NARROW_PRECISIONS = {"native": ["fp32", "bf16"], "AVX2": ["fp32", "bf16"], "SSE41": ["fp32"]}
NARROW = 16
KERNELS = (1, 3, 5)  # of the default space


class Shape(NamedTuple):
    """The class that the blocks use, and what it is made from."""

    kind: str
    in_width: int
    width: int
    kernel: int
    stride: int
    padding: int
    groups: int = 1


def shapes_of(architecture: Architecture) -> Iterator[Shape]:
    for module in build_on_meta(architecture).modules():
        if isinstance(module, nn.Conv2d):
            square = module.kernel_size[0], module.stride[0], module.padding[0]
            yield Shape(type(module).__name__, module.in_channels, module.out_channels, *square, module.groups)


@cache
def narrow_shapes() -> list[Shape]:
    """Those of networks of 1 to 16 channels, with the kernels and strides that a space of one's own may ask for too."""
    designs = (("basic", "pad-then-valid"), ("basic", "average-pool"), ("bottleneck", "average-pool"))
    shapes = set[Shape]()
    for width, kernel, (block, even_kernel) in product(range(1, NARROW + 1), (1, 2, 3, 5), designs):
        for in_channels, stride, next_width in ((1, 1, width), (3, 1, NARROW), (1, 2, NARROW), (3, 2, width)):
            stem = Stem(width, kernel, stride, kernel // 2)
            stages = [
                Stage(block, 1, each, kernel, reduction=min(each, 4), even_kernel=even_kernel)  # type: ignore[arg-type]
                for each in (width, next_width)
            ]
            shapes.update(shapes_of(Architecture(stem, tuple(stages), "b", in_channels)))
    return sorted(shapes)


@cache
def grouped_shapes() -> list[Shape]:
    """Depthwise convolutions and those in groups, of narrow and of wider blocks."""
    shapes = set[Shape]()
    for width, kernel in product((1, 3, 8, 12, 48), (1, 3, 7)):
        inverted = Stage("inverted", 2, width, kernel, expansion=2)
        grouped = Stage("bottleneck", 2, 4 * width, kernel, reduction=2, group_width=2)
        shapes.update(shapes_of(Architecture(Stem(width), (inverted, inverted, grouped, grouped), "b")))
    return sorted(shape for shape in shapes if shape.groups > 1)


@cache
def default_shapes() -> list[Shape]:
    """Those of the default space: of every stem, and of every two stages that may follow each other."""
    from search.space.space import load_space

    space = load_space()
    assert space.rules.non_decreasing_width
    assert not space.overrides
    stage = space.stage
    stem = {name: getattr(space.stem, name)[0] for name in ("kernel", "stride", "padding")}
    pairs = set(product(space.stem.width, stage.width)) | set(product(stage.width, stage.width))
    shapes = set[Shape]()
    for block, kernel, (before, after) in product(stage.block, stage.kernel, sorted(pairs)):
        if before <= after:
            last = Stage(block, 2, after, kernel, reduction=stage.reduction[0])
            shapes.update(shapes_of(Architecture(Stem(before), (Stage("basic", 1, before), last), "b")))
            if before in space.stem.width:
                for in_channels in (1, 3):
                    shapes.update(shapes_of(Architecture(Stem(before, **stem), (last,), "b", in_channels)))
    return sorted(shapes)


def tensors_of(
    convolve: Callable[[Tensor], Tensor], weight: Tensor, images: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The output, and the gradients of the images and of the weight."""
    images, weight.grad = images.detach().requires_grad_(), None
    output = convolve(images)
    output.backward(gradient.to(output.dtype))
    assert images.grad is not None
    assert weight.grad is not None
    return output.detach(), images.grad, weight.grad


def errors(shape: Shape, precision: str) -> Iterator[tuple[int, list[float]]]:
    """For one and two threads, the largest errors of output, gradient of the images and gradient of the weight."""
    kind, in_width, width, kernel, stride, padding, groups = shape
    # A batch that two threads cannot share evenly: one of them then starts in the middle of an image.
    num_images, size = 3, 16 if max(in_width, width) <= 64 else 8 if in_width * width * kernel**2 <= 200_000 else 4
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    torch.manual_seed(0)
    layer = (getattr(blocks, kind, None) or getattr(nn, kind))(
        in_width, width, kernel, stride, padding, groups=groups, bias=False
    )
    with torch.no_grad():
        layer.weight.copy_(layer.weight.to(dtype))
    images = torch.randn(num_images, in_width, size, size).to(dtype)
    num_pixels = (size + 2 * padding - kernel) // stride + 1
    gradient = torch.randn(num_images, width, num_pixels, num_pixels).to(dtype)

    weight = layer.weight.detach().double().requires_grad_()
    reference = partial(functional.conv2d, weight=weight, stride=stride, padding=padding, groups=groups)
    # Rounded to fp32, which is far below the tolerances: compared in half the time.
    expected = [each.float() for each in tensors_of(reference, weight, images.double(), gradient)]
    scales = [each.square().mean().sqrt() for each in expected]

    layer.to(memory_format=torch.channels_last)
    images = images.float().contiguous(memory_format=torch.channels_last)
    for num_threads in (1, 2):
        torch.set_num_threads(num_threads)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            found = tensors_of(layer, layer.weight, images, gradient)
        differences = [(ours - theirs).abs_().max() for ours, theirs in zip(found, expected, strict=True)]
        yield num_threads, [(each / scale).item() for each, scale in zip(differences, scales, strict=True)]


def measure(precisions: list[str]) -> None:
    """Reads shapes, and writes each before it is computed and its errors after."""
    for line in sys.stdin:
        shape = Shape(*json.loads(line))
        print(line.strip(), flush=True)
        for precision in precisions:
            for num_threads, found in errors(shape, precision):
                print(json.dumps([num_threads, precision, found]), flush=True)


def wrong_shapes(shapes: list[Shape], instructions: str, precisions: list[str], timeout: float) -> list[str]:
    """What is wrong, a line each. Where the process ends early, the shape in its hands is the last line."""
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"}  # other tests want the processors
    environment.pop("ONEDNN_MAX_CPU_ISA", None)
    if instructions != "native":
        environment["ONEDNN_MAX_CPU_ISA"] = instructions
    asked = "".join(json.dumps(shape) + "\n" for shape in shapes)
    command = [sys.executable, __file__, *precisions]
    try:
        done = subprocess.run(
            command, input=asked, capture_output=True, text=True, env=environment, timeout=timeout, check=False
        )
        written, end = done.stdout, f"exit status {done.returncode}: {done.stderr}" if done.returncode else ""
    except subprocess.TimeoutExpired as expired:
        written, end = (expired.stdout or b"").decode(), f"no end within {timeout} seconds"
    shape, wrong = None, []
    for line in written.splitlines():
        values = json.loads(line)
        if isinstance(values[0], str):
            shape = Shape(*values)
            continue
        num_threads, precision, found = values
        if not max(found) < TOLERANCES[precision]:  # not a number is wrong, too
            wrong.append(f"{shape}, {num_threads} threads, {precision}: errors {found}")
    return [*wrong, f"{shape}: {end}"] if end else wrong


@pytest.mark.parametrize(
    "instructions",
    [pytest.param(each, marks=[] if each == COMMON[-1] else pytest.mark.slow) for each in INSTRUCTIONS],
)
def test_narrow_convolutions_have_the_gradients_of_float64(instructions: str) -> None:
    assert wrong_shapes(narrow_shapes(), instructions, NARROW_PRECISIONS[instructions], timeout=300) == []


@pytest.mark.slow
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_grouped_convolutions_have_the_gradients_of_float64(instructions: str) -> None:
    assert wrong_shapes(grouped_shapes(), instructions, NARROW_PRECISIONS[instructions], timeout=300) == []


@pytest.mark.slow
@pytest.mark.parametrize("instructions", COMMON)
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_convolutions_of_the_default_space_have_the_gradients_of_float64(kernel: int, instructions: str) -> None:
    assert {shape.kernel for shape in default_shapes()} == set(KERNELS)
    shapes = [shape for shape in default_shapes() if shape.kernel == kernel]
    precisions = ["fp32", "bf16"] if instructions == "native" and HAS_AVX512 else ["fp32"]
    assert wrong_shapes(shapes, instructions, precisions, timeout=570) == []


if __name__ == "__main__":
    measure(sys.argv[1:])
