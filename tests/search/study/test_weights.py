"""The certificate of saved weights: parameters counted from the header of a safetensors file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from models.architecture import Architecture, Stage, Stem
from models.count import count_parameters
from models.tensors import tensors
from search.errors import StorageError, TrainingError
from search.study.weights import MAX_HEADER, certify_saved, count_saved, read_header

ARCHITECTURE = Architecture(Stem(4), (Stage("basic", 1, 8), Stage("bottleneck", 2, 16)), in_channels=1)


def save(path: Path, architecture: Architecture = ARCHITECTURE, **changes: NDArray[Any] | None) -> Path:
    """Zeros of the shapes of the architecture, with these changes; None takes a tensor away."""
    zeros = {name: np.zeros(shape, np.float32) for name, shape in tensors(architecture).items()}
    changed = {name.replace("__", "."): tensor for name, tensor in changes.items()}
    kept = {name: tensor for name, tensor in (zeros | changed).items() if tensor is not None}
    save_file(kept, path, metadata={"format": "pt"})
    return path


def saved_error(path: Path) -> str:
    with pytest.raises(StorageError) as caught:
        read_header(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: not a readable safetensors file (")
    assert "\n" not in message and len(message) < len(str(path)) + 250
    return message


def test_parameters_are_counted_and_statistics_are_not(tmp_path: Path) -> None:
    saved = {
        "conv.weight": np.zeros((4, 3, 3, 3), np.float32),
        "norm.weight": np.zeros(4, np.float32),
        "norm.running_mean": np.zeros(4, np.float32),
        "norm.running_var": np.zeros(4, np.float32),
        "norm.num_batches_tracked": np.array(0),
        "scale": np.array(1.0, np.float32),
    }
    save_file(saved, tmp_path / "weights.safetensors")
    assert count_saved(read_header(tmp_path / "weights.safetensors")) == 4 * 3 * 3 * 3 + 4 + 1


def test_the_weights_of_a_built_network_hold_what_the_arithmetic_says(tmp_path: Path) -> None:
    from safetensors.torch import save_file as save_torch

    from models.build import build

    save_torch(build(ARCHITECTURE).state_dict(), tmp_path / "weights.safetensors")
    assert certify_saved(tmp_path / "weights.safetensors", ARCHITECTURE, None) == count_parameters(ARCHITECTURE)


def test_weights_at_the_limit_are_certified(tmp_path: Path) -> None:
    expected = count_parameters(ARCHITECTURE)
    assert certify_saved(save(tmp_path / "w"), ARCHITECTURE, expected) == expected


def test_weights_over_the_limit_are_refused(tmp_path: Path) -> None:
    expected = count_parameters(ARCHITECTURE)
    with pytest.raises(TrainingError, match=f"holds {expected:,} parameters, over the limit of {expected - 1:,}"):
        certify_saved(save(tmp_path / "w"), ARCHITECTURE, expected - 1)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    other = Architecture(Stem(8), ARCHITECTURE.stages, in_channels=1)
    with pytest.raises(TrainingError, match=f"but the architecture has {count_parameters(ARCHITECTURE):,}"):
        certify_saved(save(tmp_path / "w", other), ARCHITECTURE, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head__bias": None, "head__offset": np.zeros(10, np.float32)}, "holds no head.bias, which the architecture"),
        (
            {"head__weight": np.zeros((16, 10), np.float32)},
            r"head.weight of shape \(16, 10\); the architecture's is \(10, 16\)",
        ),
        ({"head__weight": np.zeros((10, 16), np.int32)}, "head.weight in I32, which are no floating-point numbers"),
        ({"stem__1__running_var": None}, "holds no stem.1.running_var"),
        (
            {"stages__7__running_var": np.zeros(4, np.float32)},
            "stages.7.running_var, which the architecture does",
        ),
        ({"a\nb.running_var": np.zeros(4, np.float32)}, "holds a b.running_var, which the architecture does"),
    ],
)
def test_as_many_parameters_in_other_tensors_are_refused(
    tmp_path: Path, changes: dict[str, NDArray[Any] | None], message: str
) -> None:
    with pytest.raises(TrainingError, match=message) as caught:
        certify_saved(save(tmp_path / "w", **changes), ARCHITECTURE, None)
    assert "\n" not in str(caught.value)


def test_counters_of_batches_and_half_precision_are_no_difference(tmp_path: Path) -> None:
    halved = {"stem__1__num_batches_tracked": np.array(7), "head__bias": np.zeros(10, np.float16)}
    assert certify_saved(save(tmp_path / "w", **halved), ARCHITECTURE, None) == count_parameters(ARCHITECTURE)


@pytest.mark.parametrize("kept", [0, 3, 8, 20])
def test_a_file_cut_in_its_header_is_not_readable(tmp_path: Path, kept: int) -> None:
    path = save(tmp_path / "w")
    path.write_bytes(path.read_bytes()[:kept])
    assert saved_error(path)


def test_a_file_cut_in_its_numbers_is_not_readable(tmp_path: Path) -> None:
    path = save(tmp_path / "w")
    path.write_bytes(path.read_bytes()[:-1])
    assert "bytes" in saved_error(path)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"7",
        b"\xff\xfe",
        b"{",
        b'{"a": 1}',
        b'{"a": {"shape": [3]}}',
        b'{"a": {"shape": 3, "data_offsets": [0, 0]}}',
        b'{"a": {"shape": ["x"], "data_offsets": [0, 0]}}',
        b'{"a": {"shape": [3], "data_offsets": []}}',
        b'{"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 0]}}',
        b'{"a": {"dtype": "I8", "shape": [1e999], "data_offsets": [0, 0]}}',
        b'{"a": {"dtype": "I8", "shape": [-1], "data_offsets": [0, 0]}}',
        b'{"a": {"dtype": "I8", "shape": [1.5], "data_offsets": [0, 0]}}',
        b'{"a": {"dtype": "I8", "shape": [%s], "data_offsets": [0, 0]}}' % b", ".join([b"9" * 4000] * 2),
        b'{"a": {"dtype": "I8", "shape": [%s], "data_offsets": [0, 0]}}' % b", ".join([b"9"] * 5000),
        b'{"a\\n%s": {"dtype": "F32", "shape": [3], "data_offsets": [0, 0]}}' % (b"a" * 5000),
        b'{"a": ' * 100_000,
    ],
)
def test_a_header_that_lists_no_tensors_is_not_readable(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "w"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert saved_error(path)


def test_garbage_is_not_readable_and_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes((MAX_HEADER + 1).to_bytes(8, "little") + json.dumps({}).encode())
    assert "too long" in saved_error(path)


def test_a_missing_file_is_not_readable(tmp_path: Path) -> None:
    assert saved_error(tmp_path / "nothing")
