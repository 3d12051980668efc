"""The gate before the first training step: fvcore's count, the arithmetic count and the limit must agree."""

import warnings

from models.architecture import Architecture
from models.build import build_on_meta
from models.count import count_parameters
from search.errors import TrainingError

with warnings.catch_warnings():
    # fvcore 0.1.5 decorates a function with torch.jit.script on import, which newer versions of torch warn about.
    warnings.filterwarnings("ignore", message=r".*torch\.jit\.script.*")
    from fvcore.nn import parameter_count


def certify(architecture: Architecture, max_params: int | None) -> int:
    """The network's parameters as fvcore counts them, without memory or values.

    Raises:
        TrainingError: fvcore and the arithmetic disagree, or the network is over the limit.
    """
    counted = int(parameter_count(build_on_meta(architecture))[""])
    expected = count_parameters(architecture)
    if counted != expected:
        raise TrainingError(f"parameters = {counted:,} by fvcore but {expected:,} by arithmetic: refused")
    if max_params is not None and counted > max_params:
        raise TrainingError(f"parameters = {counted:,}: over the limit of {max_params:,}, refused before training")
    return counted
