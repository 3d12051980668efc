"""The gate before the first training step: fvcore counts the network that would be trained."""

import warnings

from models.architecture import Architecture
from models.build import build_on_meta
from search.certificate import certify

with warnings.catch_warnings():
    # fvcore 0.1.5 decorates a function with torch.jit.script on import, which newer versions of torch warn about.
    warnings.filterwarnings("ignore", message=r".*torch\.jit\.script.*")
    from fvcore.nn import parameter_count


def certify_built(architecture: Architecture, max_params: int | None) -> int:
    """The network's parameters as fvcore counts them, on the meta device: no memory is taken and no value drawn.

    Raises:
        TrainingError: fvcore and the arithmetic disagree, or the network is over the limit.
    """
    num_params = int(parameter_count(build_on_meta(architecture))[""])
    return certify("the built network", num_params, architecture, max_params)
