"""What a run is, as trackers compare runs: flat, by short names."""

from collections.abc import Mapping

from models.architecture import Architecture
from models.count import count_macs, count_parameters
from search.recipe import Recipe
from search.tracking.tracker import Value


def design_parameters(architecture: Architecture, image_size: int) -> dict[str, Value]:
    """What a network is, flat: params, macs, and its parts as in stage-1.width."""
    design = architecture.to_dict()
    stages = {f"stage-{number}": stage for number, stage in enumerate(design.pop("stages"), 1)}
    costs = {"params": count_parameters(architecture), "macs": count_macs(architecture, image_size)}
    return {**costs, "depth": architecture.depth, **_flat({**design, **stages})}


def recipe_parameters(recipe: Recipe) -> dict[str, Value]:
    """How it is trained, in the terms that people compare."""
    return {"recipe": recipe.name, "epochs": recipe.epochs, "batch_size": recipe.batch_size, "lr": recipe.lr}


def _flat(values: Mapping[str, object]) -> dict[str, Value]:
    flat: dict[str, Value] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{name}": inner for name, inner in _flat(value).items()}
        elif value is not None:
            flat[key] = value if isinstance(value, str | int | float) else str(value)
    return flat
