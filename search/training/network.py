"""The network of an architecture as a recipe begins and trains it."""

from models.architecture import Architecture
from models.blocks import ResNet
from models.build import build
from search.recipe import Recipe


def begin(architecture: Architecture, recipe: Recipe) -> ResNet:
    """The network on torch's default device, with initial weights from torch's global generator."""
    return build(
        architecture,
        zero_init_last_norm=recipe.zero_init_last_norm,
        dirac_init=recipe.dirac_init,
        stochastic_depth=recipe.stochastic_depth,
    )
