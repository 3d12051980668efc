"""BudgetSampler: an Optuna sampler that proposes only networks within the budget, and none twice."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from models.architecture import Architecture, ArchitectureError
from models.count import count_macs, count_parameters
from search.space.space import Space, Task
from search.space.tally import Tally

MAX_BASE_DRAWS = 50
MAX_UNIFORM_DRAWS = 200


class SpaceExhaustedError(Exception):
    """Every design within the budget has been proposed."""


class BudgetSampler(BaseSampler):
    """Draws from another sampler until a design is within the budget, keeps the space's rules and is new.

    Where the other sampler has nothing to say yet, or has not found such a design in `MAX_BASE_DRAWS` draws, the
    design is a uniform draw: uniform over the vectors of the space, conditioned on feasibility, and exact.

    Args:
        base: the sampler to draw from; None for uniform draws alone.
        seen: architectures that must not be proposed again.
        seed: of this sampler's own draws.

    Attributes:
        draws: vectors drawn so far, accepted or not.
        fallbacks: uniform draws made because the base's draws were all refused.
        vectors, designs: what is within the budget, in both measures.
    """

    def __init__(
        self,
        space: Space,
        task: Task,
        budget: int,
        base: BaseSampler | None,
        seen: Iterable[Architecture] = (),
        seed: int | Sequence[int] = 0,
    ) -> None:
        self.space = space
        self.task = task
        self.budget = budget
        self.draws = 0
        self.fallbacks = 0
        self._base = base
        self._rng = np.random.default_rng(seed)
        self.vectors = Tally(space, task, budget, "vectors")
        self.designs = Tally(space, task, budget, "designs")
        self.num_feasible = self.designs.count()
        self._seen = {architecture.canonical() for architecture in seen}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.space.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A vector of the space.

        Raises:
            SpaceExhaustedError: every design within the budget has been proposed.
        """
        for _ in range(MAX_BASE_DRAWS if self._base is not None else 0):
            assert self._base is not None
            vector = self._base.sample_relative(study, trial, search_space)
            if not vector:
                return self._uniform()
            self.draws += 1
            if self._accept(vector):
                return vector
        self.fallbacks += self._base is not None
        return self._uniform()

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        raise AssertionError(f"{param_name}: the search space is sampled jointly")

    def reseed_rng(self) -> None:
        self._rng = np.random.default_rng()
        if self._base is not None:
            self._base.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        if self._base is not None:
            self._base.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        if self._base is not None:
            self._base.after_trial(study, trial, state, values)

    def _accept(self, vector: Mapping[str, Any]) -> bool:
        try:
            architecture = self.space.decode(vector, self.task)
        except ArchitectureError:
            return False
        if count_parameters(architecture) > self.budget or not self._is_new(architecture):
            return False
        self._seen.add(architecture)
        return True

    def _is_new(self, architecture: Architecture) -> bool:
        """Whether it may be proposed: not yet seen, and possible at this size of image."""
        if architecture in self._seen:
            return False
        try:
            count_macs(architecture, self.task.image_size)
        except ArchitectureError:
            return False
        return True

    def _uniform(self) -> dict[str, int | str]:
        """A uniform feasible draw among the new designs."""
        for tally in (self.vectors, self.designs):
            for _ in range(MAX_UNIFORM_DRAWS):
                try:
                    architecture = tally.draw(self._rng)
                except LookupError:
                    raise SpaceExhaustedError from None
                self.draws += 1
                if self._is_new(architecture):
                    return self._propose(architecture)
        # Nearly every design is seen, so there are few enough to list.
        unseen = [architecture for architecture in self.designs.designs() if self._is_new(architecture)]
        if not unseen:
            raise SpaceExhaustedError
        return self._propose(unseen[int(self._rng.integers(len(unseen)))])

    def _propose(self, architecture: Architecture) -> dict[str, int | str]:
        """A random one of the vectors that decode to the architecture."""
        self._seen.add(architecture)
        free = {slot.name: slot.value(int(self._rng.integers(len(slot.choices)))) for slot in self.space.slots}
        return self.space.encode(architecture, free)
