"""The certificate of a network's size: it has what the arithmetic counts, and no more than the limit."""

from models.architecture import Architecture
from models.count import count_parameters
from models.int8 import count_int8_bytes
from search.errors import TrainingError


def certify(network: str, num_params: int, architecture: Architecture, max_params: int | None) -> int:
    """`num_params`, once it is the architecture's count by arithmetic and within the limit.

    Args:
        network: what was counted, built or saved, as the subject of the error message.
        num_params: its parameters, counted in another way than by arithmetic.
        max_params: the limit; None where there is none, as for a baseline.

    Raises:
        TrainingError: the counts differ, or the network is over the limit.
    """
    expected = count_parameters(architecture)
    if num_params != expected:
        raise TrainingError(f"{network} holds {num_params:,} parameters, but the architecture has {expected:,}")
    if max_params is not None and num_params > max_params:
        raise TrainingError(f"{network} holds {num_params:,} parameters, over the limit of {max_params:,}")
    return num_params


def certify_bytes(file: str, num_bytes: int, architecture: Architecture, max_bytes: int | None) -> int:
    """The bytes of an int8 file's numbers, once they are the architecture's by arithmetic and within the limit.

    Args:
        file: the subject of the error message.
        num_bytes: those of the file.
        max_bytes: the limit; None where there is none.

    Raises:
        TrainingError: the counts differ, or the file is over the limit.
    """
    expected = count_int8_bytes(architecture)
    if num_bytes != expected:
        raise TrainingError(f"{file}: its numbers take {num_bytes:,} bytes, but by the architecture {expected:,}")
    if max_bytes is not None and num_bytes > max_bytes:
        raise TrainingError(f"{file}: its numbers take {num_bytes:,} bytes, over the limit of {max_bytes:,}")
    return num_bytes
