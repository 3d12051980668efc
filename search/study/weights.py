"""Saved weights: how many parameters a file holds, read from its header alone, and their certificate."""

import json
import math
from pathlib import Path

from models.architecture import Architecture
from search.certificate import certify
from search.errors import StorageError

BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
MAX_HEADER = 100_000_000


def count_saved(path: Path) -> int:
    """Parameters in a safetensors file: every number but BatchNorm's statistics.

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
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        expected = 8 + length + max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
        if (size := path.stat().st_size) != expected:
            raise ValueError(f"it has {size:,} bytes instead of {expected:,}")
        return sum(math.prod(entry["shape"]) for name, entry in tensors.items() if not name.endswith(BUFFERS))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise StorageError(f"{path}: not a readable safetensors file ({error})") from None


def certify_saved(path: Path, architecture: Architecture, max_params: int | None) -> int:
    """The count of a saved file, which must be the architecture's and within the limit.

    Raises:
        StorageError: the file cannot be read.
        TrainingError: it holds another number of parameters, or too many.
    """
    return certify(str(path), count_saved(path), architecture, max_params)
