"""What was a default once: studies that were begun with it go on with it."""

from typing import Any

from search.recipe import Recipe
from search.space.limits import macs_by_rule
from search.space.space import Space, load_space
from search.study.plan import Question

# Of November 2026, before stems of more widths and choices that weigh less than others.
_FIRST_SPACE: dict[str, Any] = {
    "stem": {"width": [8, 16, 32, 64], "kernel": 3, "stride": 1, "padding": 1},
    "num_stages": [2, 3, 4],
    "stage": {
        "block": ["basic", "bottleneck"],
        "depth": [*range(1, 19)],
        "width": [8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024],
        "kernel": [3, 5],
        "reduction": 4,
        "even_kernel": "pad-then-valid",
    },
    "dropout": [0.0, 0.1, 0.2],
    "shortcut": ["A", "B", "b"],
    "rules": {"non_decreasing_width": True},
}

# Of November 2026, when the rule for multiply-accumulates was half of today's.
_LEAST_MACS = 0.6
_MACS_PER_PARAMETER = 160

# Of November 2026, before Muon, reflection and alternating flips.
_FIRST_FAST = Recipe(
    name="fast", epochs=8, batch_size="auto", lr=0.8, ema_window=0.09, crop_padding="auto", flip="auto",
    label_smoothing=0.1,
)  # fmt: skip
_FITTED = ("crop_padding", "flip")  # to the data

# What options decide, and how they are fitted to the data, is the same in today's `fast`.
ASKED = ("epochs", "batch_size", "halve_batch", "lr")


def was_default(space: Space) -> bool:
    """Whether this was the default space of an earlier nas."""
    second: dict[str, Any] = load_space().model_dump()
    second["weights"]["least_macs"] = _LEAST_MACS
    return space in (Space.model_validate(_FIRST_SPACE), Space.model_validate(second))


def had_rule(question: Question) -> bool:
    """Whether multiply-accumulates were limited by the rule of an earlier nas, or may have been."""
    limits = question.all_limits
    earlier = macs_by_rule(limits.max_params, question.data.image_size, _MACS_PER_PARAMETER)
    return limits.macs == earlier


def was_default_recipe(recipe: Recipe) -> bool:
    """Whether trials were trained so by default in an earlier nas, at any length, in any batches and on any data."""
    return recipe.model_copy(update={name: getattr(_FIRST_FAST, name) for name in _FITTED + ASKED}) == _FIRST_FAST
