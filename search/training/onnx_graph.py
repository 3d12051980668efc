"""The numbers of an ONNX file that may come from anyone, found by what they are used for.

An exported network is a plain graph: no other file, no functions, no branches or loops, and the operators below. A
BatchNorm was folded into the convolution before it, as its bias, or is a scale and a shift, or a node of its own. So of
all that training has learned, the weights of convolutions and linear layers are there one to one, and so is every
channel of a BatchNorm: as a bias, in a node, or as two other numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.quantities import brief

MAX_NODES = 50_000
MAX_SIDE = 2**14  # of an image or a batch
MAX_MAP = 2**26  # numbers of a feature map of one image
MAX_SHAPE = 16  # numbers of a constant that says where to cut, pad or reshape
_WEIGHTED = ("Conv", "Gemm", "MatMul")
_QUANTISING = ("QuantizeLinear", "DequantizeLinear")
OPERATORS = frozenset({
    *_WEIGHTED, *_QUANTISING, "BatchNormalization", "Add", "Sub", "Mul", "Div", "Relu", "Sigmoid", "Gelu", "Erf",
    "Clip", "AveragePool", "GlobalAveragePool", "ReduceMean", "Flatten", "Pad", "Slice", "Cast", "Constant",
    "Identity",
})  # fmt: skip


class GraphError(ValueError):
    """It is no graph that an export may be. The message is the end of a line that names the file."""


@dataclass(frozen=True, slots=True)
class Graph:
    """What is known of a graph.

    Attributes:
        weights: those of convolutions and linear layers, (out, ...), in the order of the graph, as the numbers that
            they stand for.
        num_biases: the numbers of all biases.
        num_normalised: the channels of all BatchNorms that are nodes.
        num_others: the numbers of all other arrays of floats: what images are normalised by, and scales and shifts.
        num_bytes: those of all numbers but shapes and axes, which are of 64 bits.
        is_quantised: whether any weights are whole numbers with a scale.
        input: the name of the images; `input_type` is uint8 or float32, and `input_shape` has None where any will do.
    """

    weights: tuple[NDArray[np.float32], ...]
    num_biases: int
    num_normalised: int
    num_others: int
    num_bytes: int
    is_quantised: bool
    input: str
    input_type: str
    input_shape: tuple[int | None, ...]


def read_graph(content: bytes) -> Graph:
    """The graph of a file's content. Needs the package onnx.

    Raises:
        GraphError: it is not ONNX, or no graph that an export may be.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(content)
        _require_plain(model)
        graph = _Reader(model.graph).graph()
        _require_small(model)
        return graph
    except GraphError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise GraphError(f"damaged, or not ONNX ({brief(error)})") from None


def _require_plain(model: Any) -> None:
    """
    Raises:
        GraphError: the graph names another file, holds graphs or functions, or does what no export does.
    """
    import onnx

    graph = model.graph
    if model.functions or model.training_info or graph.sparse_initializer:
        raise GraphError("holds functions, training or sparse tensors; must be a plain graph")
    if len(graph.node) > MAX_NODES:
        raise GraphError(f"holds {len(graph.node):,} nodes; must be at most {MAX_NODES:,}")
    tensors = list(graph.initializer)
    for node in graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            raise GraphError(f"holds a node {brief(node.op_type)!r}, which no export has")
        for attribute in node.attribute:
            if attribute.type not in (
                onnx.AttributeProto.FLOAT, onnx.AttributeProto.INT, onnx.AttributeProto.STRING,
                onnx.AttributeProto.TENSOR, onnx.AttributeProto.FLOATS, onnx.AttributeProto.INTS,
            ):  # fmt: skip
                raise GraphError(f"holds a graph inside a node {node.op_type}; must be a plain graph")
            if attribute.type == onnx.AttributeProto.TENSOR:
                tensors.append(attribute.t)
    for tensor in tensors:
        if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise GraphError(f"keeps {brief(tensor.name)!r} in another file, which is never read")


def _require_small(model: Any) -> None:
    """
    Raises:
        GraphError: the graph makes a feature map whose size is not known before it runs, or which is too large.
    """
    from onnx import shape_inference

    graph = shape_inference.infer_shapes(model).graph
    shapes = {value.name: value.type.tensor_type.shape.dim for value in (*graph.value_info, *graph.output)}
    for name in (output for node in graph.node for output in node.output if output):
        sides = shapes.get(name)
        if sides is None or any(not side.HasField("dim_value") for side in sides[1:]):
            raise GraphError(f"makes {brief(name)!r}, whose size is not known")
        if prod(max(1, side.dim_value) for side in sides) > MAX_MAP:
            raise GraphError(f"makes {brief(name)!r}, which is too large")


class _Reader:
    """Follows the constants of a graph to their use."""

    def __init__(self, graph: Any) -> None:
        from onnx import numpy_helper

        self._graph = graph
        self._constants: dict[str, NDArray[Any]] = {}
        for tensor in graph.initializer:
            if tensor.name in self._constants:
                raise GraphError(f"holds {brief(tensor.name)!r} twice")
            self._constants[tensor.name] = numpy_helper.to_array(tensor)
        for node in graph.node:
            if node.op_type == "Constant":
                self._constants[node.output[0]] = _value(node.attribute[0])
        self._makers = {output: node for node in graph.node for output in node.output}
        self._used: set[str] = set()
        self._is_quantised = False

    def graph(self) -> Graph:
        weights: list[NDArray[np.float32]] = []
        num_biases = num_normalised = 0
        for node in self._graph.node:
            if node.op_type in _QUANTISING:
                self._used.update(node.input[1:])
            elif node.op_type == "BatchNormalization":
                num_normalised += {self._number(name).size for name in node.input[1:5]}.pop()
            elif node.op_type in _WEIGHTED:
                weight = self._number(node.input[1])
                weights.append(weight.T if _is_transposed(node) else weight)
                if len(node.input) > 2 and node.input[2]:
                    num_biases += self._number(node.input[2]).size
            elif node.op_type == "Add":  # a linear layer's bias may stand beside it
                num_biases += self._bias_of_matmul(node)
        num_bytes = sum(constant.nbytes for constant in self._constants.values() if constant.dtype != np.int64)
        counts = num_biases, num_normalised, self._others(), num_bytes
        return Graph(tuple(weights), *counts, self._is_quantised, *self._input())

    def _number(self, name: str) -> NDArray[np.float32]:
        """The constant of a name, as the numbers that it stands for."""
        if name in self._constants:
            self._used.add(name)
            return self._constants[name].astype(np.float32)
        maker = self._makers.get(name)
        if maker is None or maker.op_type != "DequantizeLinear" or maker.input[0] not in self._constants:
            raise GraphError(f"computes {brief(name)!r}, which must be a constant")
        self._is_quantised = True
        self._used.update(maker.input)
        scale = self._constants[maker.input[1]].astype(np.float32)
        whole = self._constants[maker.input[0]].astype(np.float32)
        zero = self._constants[maker.input[2]].astype(np.float32) if len(maker.input) > 2 else np.float32(0)
        if scale.size > 1:
            axis = next((attribute.i for attribute in maker.attribute if attribute.name == "axis"), 1)
            shape = [-1 if index == axis % whole.ndim else 1 for index in range(whole.ndim)]
            scale, zero = scale.reshape(shape), np.reshape(zero, shape) if np.size(zero) > 1 else zero
        return np.asarray((whole - zero) * scale, dtype=np.float32)

    def _bias_of_matmul(self, node: Any) -> int:
        makers = [self._makers.get(name) for name in node.input]
        if not any(maker is not None and maker.op_type == "MatMul" for maker in makers):
            return 0
        return sum(self._number(name).size for name in node.input if name in self._constants)

    def _others(self) -> int:
        sizes = 0
        for name, constant in self._constants.items():
            if name in self._used or constant.ndim == 0:
                continue
            if constant.dtype.kind == "f":
                sizes += constant.size
            elif constant.size > MAX_SHAPE:
                raise GraphError(f"holds {constant.size:,} numbers {brief(name)!r} that belong to no layer")
        return sizes

    def _input(self) -> tuple[str, str, tuple[int | None, ...]]:
        import onnx

        inputs = [value for value in self._graph.input if value.name not in self._constants]
        if len(inputs) != 1 or len(self._graph.output) != 1:
            raise GraphError(f"has {len(inputs)} inputs and {len(self._graph.output)} outputs; must have one each")
        kinds = {onnx.TensorProto.UINT8: "uint8", onnx.TensorProto.FLOAT: "float32"}
        tensor = inputs[0].type.tensor_type
        if tensor.elem_type not in kinds or len(tensor.shape.dim) != 4:
            raise GraphError("takes no images of uint8 or float32 (N, C, H, W)")
        shape = tuple(side.dim_value if side.HasField("dim_value") else None for side in tensor.shape.dim)
        if any(side is not None and not 1 <= side <= MAX_SIDE for side in shape):
            raise GraphError(f"takes images of {shape}, which no export does")
        return inputs[0].name, kinds[tensor.elem_type], shape


def _is_transposed(node: Any) -> bool:
    """Whether a layer's weights are (in, out)."""
    if node.op_type == "Gemm":
        return not any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return bool(node.op_type == "MatMul")


def _value(attribute: Any) -> NDArray[Any]:
    from onnx import helper, numpy_helper

    if attribute.name == "value":
        return numpy_helper.to_array(attribute.t)
    return np.asarray(helper.get_attribute_value(attribute))


def matching(weights: tuple[NDArray[np.float32], ...], own: list[NDArray[np.float32]]) -> Iterator[float]:
    """For each of `weights`, how well it matches that one of `own` which it stands for: 1 if every channel is the same
    but for a factor, as folding leaves it, and a little less after rounding. None is taken twice."""
    left = list(own)
    for weight in weights:
        alike = [(index, _likeness(weight, other)) for index, other in enumerate(left) if other.shape == weight.shape]
        if not alike:
            yield 0.0
            continue
        index, likeness = max(alike, key=lambda pair: pair[1])
        del left[index]
        yield likeness


def _likeness(weight: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The mean of the channels' cosines, each in the weight of its own squares; 1 for nothing but zeros."""
    one, two = weight.reshape(len(weight), -1).astype(np.float64), other.reshape(len(other), -1).astype(np.float64)
    lengths, others = np.linalg.norm(one, axis=1), np.linalg.norm(two, axis=1)
    products = np.abs((one * two).sum(axis=1))
    cosines = np.divide(products, lengths * others, out=np.zeros_like(products), where=lengths * others > 0)
    total = float((lengths**2).sum())
    return float((cosines * lengths**2).sum() / total) if total > 0 else 1.0
