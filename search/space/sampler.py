"""BudgetSampler: an Optuna sampler that proposes only networks within all limits, and none twice."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from models.architecture import Architecture, ArchitectureError
from search.space.draws import Draws
from search.space.limits import Limits
from search.space.menu import Menu
from search.space.repair import repair
from search.space.space import Space, Task
from search.space.tally import Tally, TooManyError

MAX_BASE_DRAWS = 8  # with repairs 1.1 draws are made on average; 3 or more find the same
MAX_UNIFORM_DRAWS = 200
MAX_LISTED = 20_000
MAX_LAST_DRAWS = 20_000


class SpaceExhaustedError(Exception):
    """There is no new design within the limits to propose. The message says whether all were proposed, or that those
    left are too rare to be met."""


class BudgetSampler(BaseSampler):
    """Draws from another sampler until a design is within the limits, keeps the space's rules and is new.

    A vector that breaks a limit or the rule of widths is moved to one near it that does not (see
    `search.space.repair`). Where the other sampler has nothing to say yet, or has not found a new design in
    `MAX_BASE_DRAWS` draws, the design is a uniform draw: uniform over the vectors of the space, conditioned on the
    limits, and exact (see `search.space.draws`). If `MAX_UNIFORM_DRAWS` of these are all seen, draws are
    uniform over designs, for the same number, and then from the list of all designs, if rounding leaves at most
    `MAX_LISTED`. Where there are more, `MAX_LAST_DRAWS` further draws without a new design end the search.

    Args:
        limits: what a design may cost; its latency is not checked here.
        base: the sampler to draw from; None for uniform draws alone.
        seen: architectures that must not be proposed again.
        seed: of this sampler's own draws.
        first: architectures to propose before any other, in this order, as far as the space holds them, they are
            within the limits and new. They need not fill the budget: it is known what they are.

    Attributes:
        draws: vectors drawn so far, accepted or not.
        repairs: proposals that the base drew and that had to be moved to keep the limits.
        fallbacks: uniform draws made because the base's draws were all refused.
    """

    def __init__(
        self,
        space: Space,
        task: Task,
        limits: Limits,
        base: BaseSampler | None,
        seen: Iterable[Architecture] = (),
        seed: int | Sequence[int] = 0,
        first: Sequence[Architecture] = (),
    ) -> None:
        self.space = space
        self.task = task
        self.limits = limits
        self._most = replace(limits, fill=0.0)  # what no proposal may exceed
        self.draws = 0
        self.repairs = 0
        self.fallbacks = 0
        self._base = base
        self._rng = np.random.default_rng(seed)
        self._others = base or RandomSampler(seed=int(np.random.default_rng(seed).integers(2**31)))
        self._seen = {architecture.canonical() for architecture in seen}
        self._first = deque(first)

    @cached_property
    def vectors(self) -> Draws:
        """Uniform draws over the vectors within the limits."""
        return Draws(self.space, self.task, self.limits, "vectors")

    @cached_property
    def designs(self) -> Draws:
        """Uniform draws over the designs within the limits."""
        return Draws(self.space, self.task, self.limits, "designs")

    @cached_property
    def _listed(self) -> list[Architecture] | None:
        """All designs within the limits, where they are few."""
        return list(self.designs.designs()) if self.designs.upper <= MAX_LISTED else None

    @property
    def num_feasible(self) -> int | None:
        """How many designs are within the limits, exactly; None if that cannot be counted (see the audit)."""
        if self._listed is not None:
            return len(self._listed)
        if self.limits.macs is not None:
            return None
        tally = Tally(Menu(self.space, self.task, max_activations=self.limits.max_activations))
        try:
            below, upto = tally.counts([self.limits.min_params - 1, self.limits.max_params])
        except TooManyError:
            return None
        return upto - below

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.space.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A vector of the space.

        Raises:
            SpaceExhaustedError: no new design within the limits is left, or none is met any more.
        """
        while self._first:
            vector = self._wanted(self._first.popleft().canonical())
            if vector is not None:
                return vector
        for _ in range(MAX_BASE_DRAWS if self._base is not None else 0):
            assert self._base is not None
            vector = self._base.sample_relative(study, trial, self.space.distributions)
            if not vector:
                return self._uniform()
            self.draws += 1
            if self._accepts(vector):
                return vector
            moved = repair(self.space, self.task, self.limits, vector, self._rng)
            if moved is not None and self._accepts(moved):
                self.repairs += 1
                return moved
        self.fallbacks += self._base is not None
        return self._uniform()

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Parameters that are not of the space are no concern of the limits: the base samples them, or chance."""
        return self._others.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        self._rng = np.random.default_rng()
        self._others.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._others.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._others.after_trial(study, trial, state, values)

    def _accepts(self, vector: Mapping[str, Any]) -> bool:
        try:
            architecture = self.space.decode(vector, self.task)
        except ArchitectureError:
            return False
        if architecture in self._seen or not self.limits.admits(architecture, self.task.image_size):
            return False
        self._seen.add(architecture)
        return True

    def _wanted(self, architecture: Architecture) -> dict[str, int | str] | None:
        """A vector of an architecture that was asked for, if it may be proposed."""
        if architecture in self._seen or not self.space.holds(architecture, self.task):
            return None
        if not self._most.admits(architecture, self.task.image_size):
            return None
        return self._propose(architecture)

    def _uniform(self) -> dict[str, int | str]:
        """A uniform draw among the new designs within the limits."""
        try:
            for measure in ("vectors", "designs"):
                draws = self.vectors if measure == "vectors" else self.designs
                for _ in range(MAX_UNIFORM_DRAWS):
                    vector = self._drawn(draws)
                    if vector is not None:
                        return vector
            if self._listed is not None:
                return self._of_list(self._listed)
            for _ in range(MAX_LAST_DRAWS):
                vector = self._drawn(self.designs)
                if vector is not None:
                    return vector
        except LookupError as error:
            raise SpaceExhaustedError(str(error)) from None
        raise SpaceExhaustedError(f"no new design within the limits was met in {MAX_LAST_DRAWS:,} uniform draws")

    def _drawn(self, draws: Draws) -> dict[str, int | str] | None:
        architecture = draws.draw(self._rng)
        self.draws += 1
        return self._propose(architecture) if architecture not in self._seen else None

    def _of_list(self, designs: list[Architecture]) -> dict[str, int | str]:
        unseen = [architecture for architecture in designs if architecture not in self._seen]
        if not unseen:
            raise SpaceExhaustedError(f"all {len(designs):,} designs within the limits have been tried")
        return self._propose(unseen[int(self._rng.integers(len(unseen)))])

    def _propose(self, architecture: Architecture) -> dict[str, int | str]:
        """A random one of the vectors that decode to the architecture."""
        assert self._most.admits(architecture, self.task.image_size)
        self._seen.add(architecture)
        free = {slot.name: slot.value(int(self._rng.integers(len(slot.choices)))) for slot in self.space.slots}
        return self.space.encode(architecture, free)
