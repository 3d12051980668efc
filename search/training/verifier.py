"""A network that is rebuilt from its architecture beside the files that say they are it."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.architecture import ArchitectureError
from models.blocks import ResNet
from models.build import build_on_meta
from models.count import count_macs, count_parameters, peak_activations
from models.int8 import count_int8_bytes
from search.errors import TrainingError, VerificationError
from search.files import open_regular
from search.quantities import brief, plural
from search.trained_network import INT8_FILE, Check, TrainedNetwork, Verify
from search.training.certify import certify_built
from search.training.onnx_graph import Graph, GraphError, matching, read_graph

NUM_IMAGES = 4
MAX_ACTIVATIONS = 2**28  # of the images together: 1 GB
MAX_MACS = 2**40
TOLERANCE = 1e-3  # of the largest logit, or of 1: what the order of sums may change
LIKENESS = 0.99  # of weights, which whole numbers of 8 bits change by less
MAX_GRAPH = 2**24  # bytes of a graph, beside eight for each parameter


def verify(task: Verify, load: Callable[[TrainedNetwork], nn.Module]) -> Iterator[Check]:
    """What fvcore, the weights, the program and the graphs say of the network.

    Args:
        load: gives the module with its weights.
    """
    expected = count_parameters(task.architecture)
    try:
        yield Check(
            "architecture.json", "parameters by fvcore", certify_built(task.architecture, None), expected, "agrees"
        )
    except TrainingError as error:
        yield Check("architecture.json", "parameters by fvcore", brief(error), expected, "differs")
        return
    model = None
    if task.weights is not None:
        network = TrainedNetwork(task.architecture, task.weights, task.mean, task.std, "fp32")
        try:
            model = load(network)
        except TrainingError as error:
            yield Check(task.weights.name, "weights", _cause(error), "those of the architecture", "differs")
            return
        yield _tensors(task.weights, model)
    images, why_not = _images(task)
    logits = None
    if task.weights is None or model is None:
        why_not = "there are no weights beside it"
    elif images is None:
        yield Check(task.weights.name, "logits", why_not, None, "left out")
    else:
        logits = _logits(task, model, images)
        is_finite = bool(torch.isfinite(logits).all())
        yield Check(task.weights.name, "logits", "finite" if is_finite else "not finite", "finite", _say(is_finite))
        if not is_finite:
            return
    if task.program is not None:
        yield _program(task.program, logits, images, why_not)
    for path in task.graphs:
        yield from _graph(path, task, model, logits, why_not)


def _tensors(path: Path, model: nn.Module) -> Check:
    expected = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    found = path.stat().st_size - 8 - length
    return Check(path.name, "bytes of all tensors", found, expected, _say(found == expected))


def _images(task: Verify) -> tuple[Tensor | None, str]:
    """The fixed batch, uint8 (N, C, H, W); None, and why, where a network of this size is not run."""
    if not task.mean or not task.std:
        return None, "it is not known how images are normalised"
    channels, size = task.architecture.in_channels, task.image_size
    try:
        activations = NUM_IMAGES * max(peak_activations(task.architecture, size), channels * size**2)
        if activations > MAX_ACTIVATIONS or NUM_IMAGES * count_macs(task.architecture, size) > MAX_MACS:
            return None, f"too large to be run on images of {size:,} pixels"
    except ArchitectureError as error:
        return None, brief(error)
    return torch.from_numpy(fixed_images(channels, size)), ""


def fixed_images(channels: int, size: int) -> NDArray[np.uint8]:
    """Images of noise (N, C, H, W), always the same."""
    return np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, channels, size, size), dtype=np.uint8)


@torch.inference_mode()
def _logits(task: Verify, model: nn.Module, images: Tensor) -> Tensor:
    device = next(model.parameters()).device
    mean, std = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (task.mean, task.std))
    logits: Tensor = model((images.to(device).float() / 255 - mean) / std)
    return logits.float().cpu()


def _program(path: Path, logits: Tensor | None, images: Tensor | None, why_not: str) -> Check:
    what = f"logits of {plural(NUM_IMAGES, 'image')}"
    if logits is None or images is None:
        return Check(path.name, what, why_not, None, "left out")
    try:
        with torch.inference_mode():
            module = _imported(path)
            own = module.load()(module.preprocess(images))
    except (Exception, SystemExit) as error:  # it may be anybody's program
        return Check(path.name, what, f"cannot be run ({brief(error)})", "those of the architecture", "differs")
    return _compared(path.name, what, own, logits)


def _imported(path: Path) -> ModuleType:
    """The module of a file, of which nothing is written beside it."""
    spec = importlib.util.spec_from_file_location("exported_model", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def _graph(path: Path, task: Verify, model: nn.Module | None, logits: Tensor | None, why_not: str) -> Iterator[Check]:
    name = path.name
    if importlib.util.find_spec("onnx") is None:
        yield Check(name, "initialisers", "the package onnx is not installed", None, "left out")
        return
    try:
        with open_regular(path, MAX_GRAPH + 8 * count_parameters(task.architecture)) as file:
            content = file.read()
        graph = read_graph(content)
    except (VerificationError, GraphError) as error:
        yield Check(name, "graph", str(error), "a plain graph", "differs")
        return
    counts = list(_counted(name, graph, task, model))
    yield from counts
    if all(count.outcome == "agrees" for count in counts):  # nothing of another size than it says is run
        yield _run(name, content, graph, logits, task, why_not)


def _counted(name: str, graph: Graph, task: Verify, model: nn.Module | None) -> Iterator[Check]:
    """The numbers of a graph, by what they are used for, beside those of the network."""
    network = model if model is not None else build_on_meta(task.architecture)
    assert isinstance(network, ResNet)
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    shapes = sorted(tuple(layer.weight.shape) for layer in layers)
    num_weights = sum(layer.weight.numel() for layer in layers)
    found = sum(weight.size for weight in graph.weights)
    same = sorted(weight.shape for weight in graph.weights) == shapes
    kind = "int8 initialisers" if graph.is_quantised else "initialisers"
    words = f"{plural(len(layers), 'layer')}, {num_weights:,} numbers"
    yield Check(
        name, f"{kind}: weights", f"{plural(len(graph.weights), 'layer')}, {found:,} numbers", words, _say(same)
    )
    if not same:
        return
    channels = sum(norm.num_features for norm in network.modules() if isinstance(norm, nn.BatchNorm2d))
    biases = [layer.bias for layer in layers if layer.bias is not None]
    num_biases = sum(bias.numel() for bias in biases)
    # A bias of zeros alone adds nothing, and may have been left out.
    zeros = sum(bias.numel() for bias in biases if model is not None and not bias.any())
    # Images are normalised by two numbers a channel. What is left is two numbers for each channel of a BatchNorm.
    num_scaled, odd = divmod(graph.num_others - 2 * task.architecture.in_channels, 2)
    found, expected = graph.num_biases + graph.num_normalised + num_scaled, num_biases + channels
    agrees = num_scaled >= 0 and not odd and expected - zeros <= found <= expected
    yield Check(name, f"{kind}: biases and channels of BatchNorm", found, expected, _say(agrees))
    if name == INT8_FILE:
        num_bytes = count_int8_bytes(task.architecture)
        yield Check(name, f"{kind}: bytes", graph.num_bytes, num_bytes, _say(graph.num_bytes == num_bytes))
    if model is not None:
        own = [layer.weight.detach().cpu().numpy() for layer in layers]
        likeness = min(matching(graph.weights, own), default=0.0)
        yield Check(name, f"{kind}: likeness to weights", likeness, f"at least {LIKENESS}", _say(likeness >= LIKENESS))


def _run(name: str, content: bytes, graph: Graph, logits: Tensor | None, task: Verify, why_not: str) -> Check:
    what = f"logits of {plural(NUM_IMAGES, 'image')}"
    if logits is None:
        return Check(name, what, why_not, None, "left out")
    if importlib.util.find_spec("onnxruntime") is None:
        return Check(name, what, "the package onnxruntime is not installed", None, "left out")
    images = fixed_images(task.architecture.in_channels, task.image_size)
    batch, *rest = graph.input_shape
    if any(side not in (None, own) for side, own in zip(rest, images.shape[1:], strict=True)):
        shape = " by ".join(map(str, images.shape[1:]))
        return Check(name, what, f"takes other images than {shape}", shape, "differs")
    try:
        own = _by_onnxruntime(content, graph, images.astype(graph.input_type), batch or NUM_IMAGES)
    except Exception as error:  # a damaged file may raise anything
        return Check(name, what, f"cannot be run ({brief(error)})", "those of the architecture", "differs")
    if graph.is_quantised:
        difference = _difference(own, logits)
        is_finite = np.isfinite(difference)
        limit = "told, not compared: rounded to 8 bits"
        return Check(name, what, f"differ by {difference:.2g}", limit if is_finite else "finite", _say(bool(is_finite)))
    return _compared(name, what, own, logits)


def _by_onnxruntime(content: bytes, graph: Graph, images: NDArray[np.generic], batch: int) -> Tensor:
    """Logits of all images, in batches of the size that the graph takes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    # From its content, so that no path in it leads anywhere.
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    logits = []
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        padded = np.concatenate([part, np.repeat(part[:1], batch - len(part), axis=0)])
        logits.append(session.run(None, {graph.input: padded})[0][: len(part)])
    return torch.from_numpy(np.concatenate(logits)).float()


def _compared(name: str, what: str, own: object, logits: Tensor) -> Check:
    if not isinstance(own, Tensor) or own.shape != logits.shape:
        return Check(name, what, "of another shape", "those of the architecture", "differs")
    difference = _difference(own, logits)
    allowed = TOLERANCE * max(1.0, float(logits.abs().max()))
    agrees = difference <= allowed
    return Check(name, what, f"differ by {difference:.2g}", f"at most {allowed:.2g}", _say(agrees))


def _difference(own: Tensor, logits: Tensor) -> float:
    """The largest, where shapes are the same; else infinite."""
    return float((own.detach().float().cpu() - logits).abs().max()) if own.shape == logits.shape else float("inf")


def _say(agrees: bool) -> Literal["agrees", "differs"]:
    return "agrees" if agrees else "differs"


def _cause(error: TrainingError) -> str:
    return brief(error.__cause__ or error)
