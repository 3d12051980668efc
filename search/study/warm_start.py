"""Networks that people made by hand, as the first trials of a search."""

from models.architecture import Architecture
from models.baselines import BASELINES, find_baseline
from models.count import count_parameters
from search.space.space import Task


def hand_made(task: Task) -> dict[Architecture, str]:
    """The baselines for images of this kind, in canonical form, the largest first, each with its name.

    Of two names for one network the earlier is taken.
    """
    found: dict[Architecture, str] = {}
    for name in BASELINES:
        architecture = find_baseline(name, task.in_channels, task.num_classes).canonical()
        found.setdefault(architecture, name)
    return dict(sorted(found.items(), key=lambda item: -count_parameters(item[0])))
