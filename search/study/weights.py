"""Saved weights: what a file holds, read from its header alone, and their certificate."""

import json
import math
from pathlib import Path
from typing import NamedTuple

from models.architecture import Architecture
from models.tensors import tensors
from search.certificate import certify
from search.errors import StorageError, TrainingError
from search.quantities import brief

STATISTICS = ("running_mean", "running_var")
COUNTERS = "num_batches_tracked"  # of batches that a BatchNorm has seen: a file need not hold them
MAX_HEADER = 100_000_000
MAX_SIDES, MAX_SIDE = 8, 2**63  # of a tensor's shape, so that no product of sides is too long to be written
NUMBERS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}  # bytes


class Saved(NamedTuple):
    """A tensor of a file: the kind of its numbers, as safetensors names it, and its shape."""

    kind: str
    shape: tuple[int, ...]


def read_header(path: Path) -> dict[str, Saved]:
    """The tensors of a safetensors file by name.

    The format is eight bytes of header length, little-endian, and a JSON header
    (https://huggingface.co/docs/safetensors).

    Raises:
        StorageError: the file cannot be read or is not safetensors.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > MAX_HEADER:
                raise ValueError("its header is too long")
            header = json.loads(file.read(length))
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        expected = 8 + length + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
        if (size := path.stat().st_size) != expected:
            raise ValueError(f"it has {size:,} bytes instead of {expected:,}")
        for name, entry in entries.items():
            begin, end = entry["data_offsets"]
            width, shape = NUMBERS.get(entry["dtype"]), entry["shape"]
            if len(shape) > MAX_SIDES or not all(type(side) is int and 0 <= side <= MAX_SIDE for side in shape):
                raise ValueError(f"{name} has the shape {shape}")
            if width is not None and end - begin != width * math.prod(shape):
                raise ValueError(f"{name} has {end - begin:,} bytes for the shape {shape}")
        return {name: Saved(str(entry["dtype"]), tuple(entry["shape"])) for name, entry in entries.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise StorageError(f"{path}: not a readable safetensors file ({brief(error)})") from None


def count_saved(saved: dict[str, Saved]) -> int:
    """Parameters among the tensors of a file: every number but BatchNorm's statistics."""
    return sum(math.prod(tensor.shape) for name, tensor in saved.items() if not name.endswith((*STATISTICS, COUNTERS)))


def certify_saved(path: Path, architecture: Architecture, max_params: int | None) -> int:
    """The count of a saved file, which must be the architecture's and within the limit, and whose tensors must be those
    of the architecture by name and shape.

    Raises:
        StorageError: the file cannot be read.
        TrainingError: it holds another number of parameters, too many, or other tensors.
    """
    saved = read_header(path)
    count = certify(str(path), count_saved(saved), architecture, max_params)
    expected = tensors(architecture)
    for name, shape in expected.items():
        if name not in saved:
            raise TrainingError(f"{path} holds no {name}, which the architecture has")
        if saved[name].shape != shape:
            raise TrainingError(f"{path} holds {name} of shape {saved[name].shape}; the architecture's is {shape}")
        if (kind := saved[name].kind) not in NUMBERS:
            raise TrainingError(f"{path} holds {name} in {brief(kind)}, which are no floating-point numbers")
    for name in saved:
        if name not in expected and not name.endswith(COUNTERS):
            raise TrainingError(f"{path} holds {brief(name)}, which the architecture does not have")
    return count
