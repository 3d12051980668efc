"""The audit of a space: what it holds and what a budget leaves of it, before anything is trained."""

from dataclasses import asdict, dataclass
from typing import Any

from models.count import count_parameters
from search.errors import SpaceError
from search.space.space import Space, Task
from search.space.tally import Tally


@dataclass(frozen=True, slots=True)
class Audit:
    """`total` and `feasible` count different architectures, exactly; `smallest` and `largest` are parameters."""

    total: int
    feasible: int
    share: float
    budget: int | None
    smallest: int
    largest: int
    slots: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def audit(space: Space, task: Task, budget: int | None) -> Audit:
    """Count the space; without a budget everything is feasible.

    Raises:
        SpaceError: the space holds no design at all.
    """
    tally = Tally(space, task, budget if budget is not None else 0)
    try:
        smallest, largest = (count_parameters(tally.extreme(largest)) for largest in (False, True))
    except LookupError:
        raise SpaceError("space: no choice of its values is a network") from None
    total = tally.total()
    feasible = total if budget is None else tally.count()
    return Audit(total, feasible, feasible / total, budget, smallest, largest, len(space.slots))
