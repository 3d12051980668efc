"""A trained network as an ONNX file, in float or in int8, and the bytes of its numbers.

Torch's exporter writes the graph. It leaves out biases that are zero and keeps equal tensors once, so a file's size
would depend on what training gave. It is therefore shown a network of random weights, whose values are then replaced by
the trained ones: networks of one architecture have files of one size.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime import InferenceSession, SessionOptions
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from search.training.deployed import Deployed

OPSET = 20  # the first with Gelu
INPUT, OUTPUT = "images", "logits"
CALIBRATION_BATCH = 64
QUANTISED = ["Conv", "Gemm", "Relu", "ReduceMean"]


def write_float(network: Deployed, shape: tuple[int, int, int], path: Path) -> None:
    """Write a network of uint8 images (N, *shape), for any N."""
    trained = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    for tensor in network.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape, generator=generator))
    example = torch.zeros((2, *shape), dtype=torch.uint8)
    try:
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("N")},),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            verbose=False,
        )
    finally:
        network.load_state_dict(trained)
    assert program is not None
    model = program.model_proto
    numbers = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, values in trained.items():
        replaced = onnx.numpy_helper.from_array(values.numpy(), name)
        assert numbers[name].dims == replaced.dims and numbers[name].data_type == replaced.data_type
        numbers[name].CopyFrom(replaced)
    onnx.save(_without_remarks(model), path)


def write_int8(source: Path, path: Path, images: NDArray[np.uint8]) -> None:
    """Write the int8 form of a float file, its ranges taken from images (N, C, H, W).

    Static quantisation after training, by onnxruntime, the runtime whose int8 kernels the file is measured with. QDQ,
    its form of a graph of float operators between pairs of QuantizeLinear and DequantizeLinear, is plain ONNX, which
    other runtimes read too. Weights have a scale for each output channel, for BatchNorm that was folded into them
    leaves channels of very different sizes. Convolutions, the linear layer and means are quantised; sums, gates and
    activations other than ReLU stay float where a runtime does not fuse them with their neighbours.
    """
    with _without_advice():
        quantize_static(
            source,
            path,
            _Batches(images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTISED,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm"]},
        )
    onnx.save(_with_short_names(_without_zeros(_without_remarks(onnx.load(path)))), path)


def bytes_of_numbers(path: Path) -> int:
    """The bytes of a file's weights, biases, scales and zero points. Shapes and axes, in int64, are of its graph."""
    tensors = onnx.load(path).graph.initializer
    return sum(onnx.numpy_helper.to_array(one).nbytes for one in tensors if one.data_type != onnx.TensorProto.INT64)


def open_file(path: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """The network of a file on the CPU, in as many threads as torch has: images (N, C, H, W) to logits."""
    options = SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def logits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        (values,) = session.run([OUTPUT], {INPUT: images})
        return np.asarray(values)

    return logits


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, images: NDArray[np.uint8]) -> None:
        starts = range(0, len(images), CALIBRATION_BATCH)
        self._batches = iter([images[start : start + CALIBRATION_BATCH] for start in starts])

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def _without_remarks(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without what its writers remark: where each node came from, and shapes that readers infer."""
    graph = model.graph
    model.ClearField("metadata_props")
    graph.ClearField("value_info")
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def _without_zeros(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the zero points of weights and biases, which are zero, as a missing one is."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            zeros = constants[node.input[2]]
            assert not onnx.numpy_helper.to_array(zeros).any()
            graph.initializer.remove(zeros)
            del node.input[2]
    return model


def _with_short_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with numbers for the names of all but its input and output: of a small network's file, names are more
    than half."""
    graph, short = model.graph, {name: name for name in ("", INPUT, OUTPUT)}
    for tensor in graph.initializer:
        tensor.name = short.setdefault(tensor.name, str(len(short)))
    for node in graph.node:
        node.ClearField("name")
        for names in (node.input, node.output):
            names[:] = [short.setdefault(name, str(len(short))) for name in names]
    return model


@contextmanager
def _without_advice() -> Iterator[None]:
    """A block in which the quantiser does not advise to fold BatchNorm first, which is done: it logs that as a
    warning, by the root logger."""

    def others(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return not (message.startswith("Please consider") and "pre-processing" in message)

    root = logging.getLogger()
    root.addFilter(others)
    try:
        yield
    finally:
        root.removeFilter(others)
