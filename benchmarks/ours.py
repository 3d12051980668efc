"""Our own training, as the benchmarks run it, and the networks that they name."""

from collections.abc import Sequence
from pathlib import Path

import torch

from models.architecture import Architecture, ArchitectureError, Block, Stage, Stem
from models.baselines import find_baseline
from search.recipe import Recipe
from search.training.graph import capture_on
from search.training.images import Images, Normalisation
from search.training.loop import Training
from search.training.mixed_precision import precision_of
from search.training.network import begin
from search.training.small_images import small_size
from search.training.step import Teach


def _network(block: Block, depth: int, widths: Sequence[int]) -> Architecture:
    return Architecture(Stem(widths[0]), tuple(Stage(block, depth, width) for width in widths))


DESIGNS = {  # for 16x16 pixels
    "shallow": _network("basic", 1, (16, 32, 64)),  # 78,042 parameters, 8 layers
    "deep": _network("basic", 3, (8, 16, 32)),  # 68,786, 20
    "bottleneck": _network("bottleneck", 2, (32, 64, 128)),  # 57,306, 20
}


def begin_training(
    network: Architecture,
    recipe: Recipe,
    data: Images,
    *,
    seed: int,
    precision: str = "bf16",
    validation: Images | None = None,
    teach: Teach | None = None,
) -> Training:
    """A training from its start, as `nas` begins it: by a recipe that is fitted to the data, captured where the device
    can."""
    torch.manual_seed(seed)
    model = begin(network, recipe).to(data.device)
    normalise, captured = Normalisation.of(recipe, data), capture_on(data.device)
    return Training(
        model,
        recipe,
        data,
        validation,
        normalise,
        seed=seed,
        precision=precision,
        small_size=small_size(network, recipe, data.images.shape[-1]),
        capture=captured,
        note=print,
        teach=teach,
    )


def auto_precision(device: torch.device) -> str:
    """The precision that `auto` stands for on a GPU; bf16 on a CPU."""
    return precision_of(torch.cuda.get_device_capability(device)) if device.type == "cuda" else "bf16"


def find_network(name: str) -> Architecture:
    """The network of a design or of a baseline by its name, or of the JSON file of an architecture.

    Raises:
        ArchitectureError: there is none.
    """
    if name in DESIGNS:
        return DESIGNS[name]
    if not name.endswith(".json"):
        return find_baseline(name)
    try:
        return Architecture.from_json(Path(name).read_text())
    except OSError as error:
        raise ArchitectureError(f"{name}: {error.strerror}") from None
