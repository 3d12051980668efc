"""Repair: from a vector that breaks the limits or the rule on widths to one near it that does not."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.architecture import Architecture, ArchitectureError
from search.space.choices import rank
from search.space.limits import Limits
from search.space.space import Space, Task, stage_number

MAX_STEPS = 100


def repair(
    space: Space, task: Task, limits: Limits, vector: Mapping[str, Any], rng: np.random.Generator
) -> dict[str, Any] | None:
    """A vector within the limits near a given one, or None if `MAX_STEPS` steps find none.

    Widths that break the rule are raised first. Then one number of the network at a time, drawn at random from those
    that it depends on (widths, depths, kernels and the like), moves to its next choice: down while the network is over
    a limit, up while it does not fill the budget. The number of stages, blocks, shortcut, dropout, activation
    and preactivation are kept.
    """
    repaired = _with_ordered_widths(space, dict(vector))
    kept = ("num_stages", "dropout", "preactivation")
    slots = {slot.name: slot for slot in space.slots if slot.ordered and slot.name not in kept}
    for _ in range(MAX_STEPS):
        architecture = _decoded(space, task, repaired)
        if architecture is None:
            return None
        if limits.admits(architecture, task.image_size):
            return repaired
        step = -1 if limits.is_filled_by(architecture) else 1
        present = [slot for slot in slots.values() if stage_number(slot.name) <= len(architecture.stages)]
        for index in rng.permutation(len(present)):
            slot = present[index]
            changed = repaired | {slot.name: repaired[slot.name] + step}
            if 0 <= changed[slot.name] < len(slot.choices) and _decoded(space, task, changed) is not None:
                repaired = changed
                break
        else:
            return None
    return None


def _decoded(space: Space, task: Task, vector: Mapping[str, Any]) -> Architecture | None:
    try:
        return space.decode(vector, task)
    except ArchitectureError:
        return None


def _with_ordered_widths(space: Space, vector: dict[str, Any]) -> dict[str, Any]:
    """The vector with each width raised to the one before it, where the rule or shortcut A requires and the choices
    allow it."""
    slots = {slot.name: slot for slot in space.slots}
    chosen = space.choices(vector)
    before = chosen["stem_width"]
    for number in range(1, chosen["num_stages"] + 1):
        name = f"stage{number}_width"
        is_allowed = space.rules.allow(chosen[name], before, number == chosen["num_stages"])
        pads = chosen["shortcut"] == "A" and chosen[f"stage{number}_block"] != "inverted"
        if name in slots and (not is_allowed or (pads and chosen[name] < before)):
            wide = [index for index, choice in enumerate(slots[name].choices) if rank(choice) >= before]
            if wide:
                vector[name] = wide[0]
                chosen[name] = slots[name].choices[wide[0]]
        before = chosen[name]
    return vector
