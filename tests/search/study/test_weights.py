"""The certificate of saved weights: parameters counted from the header of a safetensors file."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from models.architecture import Architecture, Stage, Stem
from models.count import count_parameters
from search.errors import StorageError, TrainingError
from search.study.weights import MAX_HEADER, certify_saved, count_saved

ARCHITECTURE = Architecture(Stem(4), (Stage("basic", 1, 8), Stage("bottleneck", 2, 16)), in_channels=1)


def save(path: Path, architecture: Architecture = ARCHITECTURE) -> Path:
    """Zeros in one tensor of the right size, beside the statistics of a BatchNorm, which do not count."""
    tensors = {
        "weight": np.zeros(count_parameters(architecture), np.float32),
        "norm.running_mean": np.zeros(8, np.float32),
        "norm.running_var": np.ones(8, np.float32),
        "norm.num_batches_tracked": np.array(7),
    }
    save_file(tensors, path, metadata={"format": "pt"})
    return path


def saved_error(path: Path) -> str:
    with pytest.raises(StorageError) as caught:
        count_saved(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: not a readable safetensors file (")
    assert "\n" not in message
    return message


def test_parameters_are_counted_and_statistics_are_not(tmp_path: Path) -> None:
    tensors = {
        "conv.weight": np.zeros((4, 3, 3, 3), np.float32),
        "norm.weight": np.zeros(4, np.float32),
        "norm.running_mean": np.zeros(4, np.float32),
        "norm.running_var": np.zeros(4, np.float32),
        "norm.num_batches_tracked": np.array(0),
        "scale": np.array(1.0, np.float32),
    }
    save_file(tensors, tmp_path / "weights.safetensors")
    assert count_saved(tmp_path / "weights.safetensors") == 4 * 3 * 3 * 3 + 4 + 1


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
