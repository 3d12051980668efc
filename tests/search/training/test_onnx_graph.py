"""What is read of an ONNX file that may come from anyone: its numbers by their use, and nothing outside of it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx", reason="onnx is not installed")

from onnx_graphs import SMALL, make_graph  # noqa: E402

from models.build import build  # noqa: E402
from models.count import count_parameters  # noqa: E402
from search.training.onnx_graph import GraphError, matching, read_graph  # noqa: E402


@pytest.fixture(scope="module")
def state() -> dict[str, Any]:
    torch.manual_seed(0)
    return build(SMALL).state_dict()


@pytest.mark.parametrize("quantised", [False, True])
def test_every_number_of_a_graph_is_known_by_its_use(state: dict[str, Any], quantised: bool) -> None:
    graph = read_graph(make_graph(state, 0.3, 0.25, quantised).SerializeToString())
    assert graph.is_quantised is quantised
    assert (graph.input, graph.input_type, graph.input_shape) == ("images", "uint8", (None, 1, 8, 8))
    assert [weight.shape for weight in graph.weights] == [(4, 1, 3, 3), (4, 4, 3, 3), (4, 4, 3, 3), (10, 4)]
    assert (graph.num_biases, graph.num_normalised, graph.num_others) == (3 * 4 + 10, 0, 2)
    # A folded BatchNorm is one number a channel instead of two.
    assert sum(weight.size for weight in graph.weights) + graph.num_biases + 3 * 4 == count_parameters(SMALL)


def test_weights_match_those_they_stand_for_in_any_order(state: dict[str, Any]) -> None:
    own = [value.numpy() for name, value in state.items() if name.endswith(("0.weight", "head.weight"))]
    graph = read_graph(make_graph(state, 0.3, 0.25, quantised=True).SerializeToString())
    assert min(matching(graph.weights, own[::-1])) > 0.999
    others = [np.random.default_rng(0).normal(size=weight.shape).astype(np.float32) for weight in own]
    assert min(matching(graph.weights, others)) < 0.9
    assert list(matching(graph.weights[1:2], [own[0]])) == [0.0], "of another shape"


def external(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def external_in_a_node(model: Any) -> None:
    node = onnx.helper.make_node("Constant", [], ["c"], value=onnx.numpy_helper.from_array(np.zeros(3, np.float32)))
    node.attribute[0].t.external_data.add(key="location", value="../weights")
    model.graph.node.insert(0, node)


def nested(model: Any) -> None:
    model.graph.node[1].attribute.append(onnx.helper.make_attribute("body", model.graph))


def operator(model: Any) -> None:
    model.graph.node[1].op_type = "Loop"


def foreign(model: Any) -> None:
    model.graph.node[1].domain = "com.somebody"


def function(model: Any) -> None:
    model.functions.add(name="f", domain="")


def sparse(model: Any) -> None:
    model.graph.sparse_initializer.add()


def twice(model: Any) -> None:
    model.graph.initializer.add().CopyFrom(model.graph.initializer[0])


def cut(model: Any) -> None:
    model.graph.initializer[3].raw_data = b"\0" * 8


def large(model: Any) -> None:
    model.graph.initializer[3].dims[:] = [2**40, 2**40]


def computed(model: Any) -> None:
    model.graph.node[3].input[1] = "x0"


def hidden(model: Any) -> None:
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1000, np.int64), "hidden"))


def second(model: Any) -> None:
    model.graph.input.add().CopyFrom(model.graph.input[0])


def padded(model: Any) -> None:
    pads = onnx.numpy_helper.from_array(np.array([0, 0, 0, 0, 0, 0, 20_000, 20_000], np.int64), "pads")
    model.graph.initializer.append(pads)
    model.graph.node.insert(1, onnx.helper.make_node("Pad", ["cast", "pads"], ["padded"]))
    model.graph.node[2].input[0] = "padded"


def unknown(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "H"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (external, "in another file"),
        (external_in_a_node, "in another file"),
        (nested, "holds a graph inside a node"),
        (operator, "a node 'Loop'"),
        (foreign, "which no export has"),
        (function, "holds functions"),
        (sparse, "sparse tensors"),
        (twice, "twice"),
        (cut, "damaged, or not ONNX"),
        (large, "damaged, or not ONNX"),
        (computed, "must be a constant"),
        (hidden, "1,000 numbers 'hidden' that belong to no layer"),
        (second, "has 2 inputs"),
        (padded, "makes 'padded', which is too large"),
        (unknown, "whose size is not known"),
    ],
)
def test_what_no_export_holds_is_refused(state: dict[str, Any], change: Callable[[Any], None], rule: str) -> None:
    model = make_graph(state, 0.3, 0.25)
    change(model)
    with pytest.raises(GraphError, match=rule) as caught:
        read_graph(model.SerializeToString())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"PK\3\4", b"\x0a" * 10_000])
def test_what_is_not_onnx_is_refused(content: bytes) -> None:
    with pytest.raises(GraphError):
        read_graph(content)
