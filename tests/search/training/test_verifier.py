"""A network that is rebuilt from its architecture, beside the files that say they are it."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from models.architecture import Architecture, Stage, Stem
from models.build import build
from models.count import count_parameters
from search.protocol import Setup
from search.trained_network import Check, Verified, Verify
from search.training import verifier
from search.training.predictor import Predictor, load
from search.training.verifier import verify

NETWORK = Architecture(Stem(4), (Stage("basic", 1, 4),), "B", 1, 10)


@pytest.fixture
def task(tmp_path: Path) -> Verify:
    torch.manual_seed(0)
    module = build(NETWORK)
    for name, buffer in module.named_buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + (0.5 if name.endswith("var") else -0.5))
    torch.nn.init.normal_(module.head.bias)
    save_file(module.state_dict(), tmp_path / "weights.safetensors")
    return Verify(NETWORK, tmp_path / "weights.safetensors", (0.3,), (0.25,), 8)


def checks(task: Verify) -> list[Check]:
    return list(verify(task, partial(load, device=torch.device("cpu"))))


def outcomes(task: Verify) -> dict[str, str]:
    return {check.what: check.outcome for check in checks(task)}


def test_a_sound_network_agrees_with_itself(task: Verify) -> None:
    assert outcomes(task) == {"parameters by fvcore": "agrees", "bytes of all tensors": "agrees", "logits": "agrees"}
    assert checks(task)[0].found == count_parameters(NETWORK)
    answer = Predictor(Setup(None, 0, "cpu", torch.get_num_threads())).perform(task, lambda message: None)
    assert answer == Verified(tuple(checks(task)))


def weights_changed(task: Verify, change: Callable[[dict[str, Any]], None]) -> Verify:
    assert task.weights is not None
    state = dict(build(NETWORK).state_dict())
    change(state)
    save_file(state, task.weights)
    return task


def test_weights_of_another_shape_or_type_or_that_are_not_finite_differ(task: Verify) -> None:
    def transposed(state: dict[str, Any]) -> None:
        state["head.weight"] = state["head.weight"].T.contiguous()

    def half(state: dict[str, Any]) -> None:
        state["head.weight"] = state["head.weight"].half()

    def poisoned(state: dict[str, Any]) -> None:
        state["head.weight"] = state["head.weight"] * float("nan")

    assert outcomes(weights_changed(task, transposed))["weights"] == "differs"
    assert outcomes(weights_changed(task, half))["bytes of all tensors"] == "differs"
    assert outcomes(weights_changed(task, poisoned))["logits"] == "differs"


PROGRAM = """
import torch
def load():
    return lambda images: {logits}
def preprocess(images):
    return images
"""


@pytest.mark.parametrize(
    "logits", ["torch.zeros(4, 10)", "torch.zeros(4, 9)", "torch.full((4, 10), torch.nan)", "1", "exit(0)"]
)
def test_a_program_with_other_logits_differs_and_leaves_nothing_behind(
    task: Verify, tmp_path: Path, logits: str
) -> None:
    path = tmp_path / "model.py"
    path.write_text(PROGRAM.format(logits=logits))
    assert checks(replace(task, program=path))[-1].outcome == "differs"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["model.py", "weights.safetensors"]


def test_a_network_that_is_too_large_is_counted_and_not_run(task: Verify, tmp_path: Path) -> None:
    large = outcomes(replace(task, image_size=30_000, program=tmp_path / "model.py"))
    assert large["parameters by fvcore"] == "agrees"
    assert large["logits"] == large["logits of 4 images"] == "left out"


def graph_checks(task: Verify, path: Path) -> dict[str, str]:
    return {check.what: check.outcome for check in checks(replace(task, graphs=(path,))) if check.file == path.name}


def written(task: Verify, path: Path, quantised: bool = False, change: Callable[[Any], None] | None = None) -> Path:
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from onnx_graphs import make_graph
    from safetensors.torch import load_file

    assert task.weights is not None
    model = make_graph(load_file(task.weights), 0.3, 0.25, quantised)
    if change is not None:
        change(model)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("quantised", [False, True])
def test_a_graph_of_the_network_is_counted_likened_and_run(task: Verify, tmp_path: Path, quantised: bool) -> None:
    found = graph_checks(task, written(task, tmp_path / "model.onnx", quantised))
    kind = "int8 initialisers" if quantised else "initialisers"
    assert found == {
        f"{kind}: weights": "agrees",
        f"{kind}: biases and channels of BatchNorm": "agrees",
        f"{kind}: likeness to weights": "agrees",
        "logits of 4 images": "agrees",
    }


def test_a_graph_of_other_numbers_differs(task: Verify, tmp_path: Path) -> None:
    from search.training.onnx_graph import read_graph

    def other_weights(model: Any) -> None:
        tensor = next(one for one in model.graph.initializer if one.name == "stages.0.0.conv1.weight")
        tensor.raw_data = torch.randn(4, 4, 3, 3).numpy().tobytes()

    def other_bias(model: Any) -> None:
        tensor = next(one for one in model.graph.initializer if one.name == "head.bias")
        tensor.raw_data = torch.ones(10).numpy().tobytes()

    def no_bias(model: Any) -> None:
        del model.graph.node[-1].input[2]

    def no_sum(model: Any) -> None:
        model.graph.node[-4].input[1] = "x5"

    path = tmp_path / "model.onnx"
    assert (
        graph_checks(task, written(task, path, False, other_weights))["initialisers: likeness to weights"] == "differs"
    )
    assert graph_checks(task, written(task, path, False, other_bias))["logits of 4 images"] == "differs"
    found = graph_checks(task, written(task, path, False, no_bias))
    assert found["initialisers: biases and channels of BatchNorm"] == "differs"
    assert graph_checks(task, written(task, path, False, no_sum))["logits of 4 images"] == "differs"
    assert read_graph(path.read_bytes()).num_biases == 22


def test_what_cannot_be_done_with_a_graph_is_said(
    task: Verify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(task, tmp_path / "model.onnx")
    unknown = checks(replace(task, graphs=(path,), mean=(), std=()))[-1]
    assert (unknown.file, unknown.outcome) == ("model.onnx", "left out")
    assert unknown.found == "it is not known how images are normalised"
    path.write_bytes(b"\0" * (verifier.MAX_GRAPH + 8 * count_parameters(NETWORK) + 1))
    assert graph_checks(task, path) == {"graph": "differs"}
    monkeypatch.setattr(verifier.importlib.util, "find_spec", lambda name: None)
    (left_out,) = [check for check in checks(replace(task, graphs=(path,))) if check.file == path.name]
    assert (left_out.outcome, left_out.found) == ("left out", "the package onnx is not installed")
