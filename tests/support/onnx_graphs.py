"""ONNX files of one small network, written by hand: as an exporter folds it, in float or with weights of 8 bits."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.architecture import Architecture, Stage, Stem

# A block without a shortcut that changes the shape: every convolution is followed by BatchNorm.
SMALL = Architecture(Stem(4), (Stage("basic", 1, 4),), "B", 1, 10)
LAYERS = ("stem", "stages.0.0.conv1", "stages.0.0.conv2")


def folded(state: dict[str, Any], layer: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """The weight and the bias of a convolution and its BatchNorm."""
    values = {name: state[f"{layer}.1.{name}"].numpy() for name in ("weight", "bias", "running_mean", "running_var")}
    scale = values["weight"] / np.sqrt(values["running_var"] + 1e-5)
    weight = state[f"{layer}.0.weight"].numpy() * scale[:, None, None, None]
    return weight, values["bias"] - values["running_mean"] * scale


def make_graph(
    state: dict[str, Any], mean: float, std: float, quantised: bool = False, nodes: tuple[Any, ...] = ()
) -> onnx.ModelProto:
    """The model of SMALL with these weights; `nodes` stand before its own."""
    constants: dict[str, NDArray[Any]] = {
        "factor": np.full((1, 1, 1), 1 / (255 * std), np.float32),
        "offset": np.full((1, 1, 1), -mean / std, np.float32),
        "axes": np.array([2, 3], np.int64),
    }
    made = [*nodes, helper.make_node("Cast", ["images"], ["cast"], to=TensorProto.FLOAT)]
    made += [
        helper.make_node("Mul", ["cast", "factor"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["x0"]),
    ]

    def numbers(name: str, values: NDArray[Any]) -> str:
        if not quantised:
            constants[name] = values.astype(np.float32)
            return name
        most = 127 if values.ndim > 1 else 2**20  # biases are whole numbers of 32 bits
        scale = np.abs(values.reshape(len(values), -1)).max(axis=1).clip(1e-8) / most
        shape = (-1, *[1] * (values.ndim - 1))
        constants[f"{name}_scale"] = scale.astype(np.float32)
        constants[f"{name}_whole"] = np.rint(values / scale.reshape(shape)).astype(np.int8 if most == 127 else np.int32)
        made.append(helper.make_node("DequantizeLinear", [f"{name}_whole", f"{name}_scale"], [name], axis=0))
        return name

    def convolve(source: str, layer: str, target: str) -> None:
        weight, bias = folded(state, layer)
        inputs = [source, numbers(f"{layer}.weight", weight), numbers(f"{layer}.bias", bias)]
        made.append(helper.make_node("Conv", inputs, [target], pads=[1, 1, 1, 1], kernel_shape=[3, 3]))

    convolve("x0", LAYERS[0], "x1")
    made.append(helper.make_node("Relu", ["x1"], ["x2"]))
    convolve("x2", LAYERS[1], "x3")
    made.append(helper.make_node("Relu", ["x3"], ["x4"]))
    convolve("x4", LAYERS[2], "x5")
    made.append(helper.make_node("Add", ["x5", "x2"], ["x6"]))
    made.append(helper.make_node("Relu", ["x6"], ["x7"]))
    made.append(helper.make_node("ReduceMean", ["x7", "axes"], ["x8"], keepdims=0))
    head = [
        "x8",
        numbers("head.weight", state["head.weight"].numpy()),
        numbers("head.bias", state["head.bias"].numpy()),
    ]
    made.append(helper.make_node("Gemm", head, ["logits"], transB=1))
    graph = helper.make_graph(
        made,
        "network",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
