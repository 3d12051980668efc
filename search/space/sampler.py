"""BudgetSampler: an Optuna sampler that proposes only networks within all limits, and none twice."""

from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from models.architecture import Architecture, ArchitectureError
from search.space.choices import Choice
from search.space.counting import DesignCounter, TooManyError
from search.space.draws import Draws, pick
from search.space.limits import Limits
from search.space.parts import Parts
from search.space.repair import repair
from search.space.space import Slot, Space, Task

MAX_BASE_DRAWS = 8  # with repairs it takes 1.1 draws on average, and 3 or more find the same designs
MAX_RANDOM_DRAWS = 200
MAX_LAST_DRAWS = 20_000


class SpaceExhaustedError(Exception):
    """No new design within the limits is left to propose.

    The message says whether all were proposed, or those left are too rare to be met.
    """


def ask(study: Study, distributions: dict[str, BaseDistribution]) -> Trial:
    """A new trial of a study, with a value for every parameter from the study's sampler.

    Where nothing is free to choose, Optuna alone would not ask the sampler: a space of one design would then be
    proposed time and again.

    Raises:
        SpaceExhaustedError: the sampler has no new design to propose.
    """
    trial = study.ask(fixed_distributions=distributions)
    proposed = trial.relative_params  # here the sampler is asked, if it was not before
    assert proposed.items() <= trial.params.items()
    return trial


class BudgetSampler(BaseSampler):
    """Draws from another sampler until a design is within the limits, keeps the space's rules and is new.

    A vector that breaks a limit or the rule on widths is moved to one near it that does not (see
    `search.space.repair`). Where the other sampler has nothing to propose yet, or finds no new design in
    `MAX_BASE_DRAWS` draws, the design is a random draw: of the vectors of the space by its weights, or uniformly where
    it has none, conditioned on the limits, and exact (see `search.space.draws`). If `MAX_RANDOM_DRAWS` of these are all
    known, or none has a weight, as many draws are uniform over designs, and then the design comes from the list of all,
    if there are few. If there are not, `MAX_LAST_DRAWS` further draws without a new design end the search.

    Args:
        space: the search space.
        task: image size, channels and classes of the data.
        limits: what a design may cost; latency is not checked.
        base: the sampler to draw from; None for random draws alone.
        seen: architectures whose networks must not be proposed again.
        seed: of this sampler's own draws.
        first: architectures to propose before any other, in this order, unless the space does not hold them, they break
            a limit or they are not new. They need not fill the budget, since each was asked for by itself.

    Attributes:
        draws: vectors drawn so far, accepted or not.
        repairs: proposals drawn from the base and moved into the limits.
        fallbacks: proposals drawn at random because all of the base's draws were rejected.
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
        self._independent = base or RandomSampler(seed=int(np.random.default_rng(seed).integers(2**31)))
        self._seen = {architecture.block_by_block() for architecture in seen}
        self._first = deque(architecture.canonical() for architecture in first)

    @cached_property
    def vector_draws(self) -> Draws:
        """Draws of the vectors within the limits as the space weighs them: uniform where it has no weights."""
        return Draws.weighed(self.space, self.task, self.limits)

    @cached_property
    def design_draws(self) -> Draws:
        """Draws that are uniform over the designs within the limits."""
        return Draws(self.space, self.task, self.limits, "designs")

    @cached_property
    def _listed(self) -> dict[Hashable, Architecture] | None:
        """All designs within the limits, each network once, if there are few; else None."""
        if not self.design_draws.can_be_listed:
            return None
        return {architecture.block_by_block(): architecture for architecture in self.design_draws.designs()}

    @property
    def num_feasible(self) -> int | None:
        """The exact number of designs within the limits, as the audit counts them where they are too many to list; None
        if it can only be estimated."""
        if self._listed is not None:
            return len(self._listed)
        if self.limits.macs is not None or self.limits.max_int8_bytes is not None:
            return None
        counter = DesignCounter(Parts(self.space, self.task, max_activations=self.limits.max_activations))
        try:
            below, upto = counter.counts([self.limits.min_params - 1, self.limits.max_params])
        except TooManyError:
            return None
        return upto - below

    @property
    def num_left(self) -> int | None:
        """How many designs are left to propose, where there are few; else None."""
        if self._listed is None:
            return None
        first = [architecture for architecture in self._first if self._may_be_first(architecture)]
        return len(({architecture.block_by_block() for architecture in first} | self._listed.keys()) - self._seen)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.space.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A vector of the space that decodes to a new design within the limits.

        Raises:
            SpaceExhaustedError: no new design within the limits is left, or none is met any more.
        """
        while self._first:
            architecture = self._first.popleft()
            if self._is_new(architecture) and self._may_be_first(architecture):
                return self._propose(architecture)
        for _ in range(MAX_BASE_DRAWS if self._base is not None else 0):
            assert self._base is not None
            vector = self._base.sample_relative(study, trial, self.space.distributions)
            if not vector:
                return self._draw_at_random()
            self.draws += 1
            if self._accepts(vector):
                return vector
            repaired = repair(self.space, self.task, self.limits, vector, self._rng)
            if repaired is not None and self._accepts(repaired):
                self.repairs += 1
                return repaired
        self.fallbacks += self._base is not None
        return self._draw_at_random()

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A value of a parameter outside the space, from the base or, without one, at random: no limit concerns it."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        self._rng = np.random.default_rng()
        self._independent.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._independent.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._independent.after_trial(study, trial, state, values)

    def _accepts(self, vector: Mapping[str, Any]) -> bool:
        """Whether the vector may be proposed. If so, its design counts as seen from now on."""
        try:
            architecture = self.space.decode(vector, self.task)
        except ArchitectureError:
            return False
        if not self._is_new(architecture) or not self.limits.admits(architecture, self.task.image_size):
            return False
        self._seen.add(architecture.block_by_block())
        return True

    def _is_new(self, architecture: Architecture) -> bool:
        return architecture.block_by_block() not in self._seen

    def _may_be_first(self, architecture: Architecture) -> bool:
        """Whether the space holds an architecture of `first`, within its limits."""
        return self.space.holds(architecture, self.task) and self._most.admits(architecture, self.task.image_size)

    def _draw_at_random(self) -> dict[str, int | str]:
        """A vector of a random draw among the new designs within the limits."""
        for _ in range(MAX_RANDOM_DRAWS):
            try:
                vector = self._new_from(self.vector_draws)
            except LookupError:
                break
            if vector is not None:
                return vector
        try:
            for _ in range(MAX_RANDOM_DRAWS):
                vector = self._new_from(self.design_draws)
                if vector is not None:
                    return vector
            if self._listed is not None:
                return self._new_from_list(self._listed)
            for _ in range(MAX_LAST_DRAWS):
                vector = self._new_from(self.design_draws)
                if vector is not None:
                    return vector
        except LookupError as error:
            raise SpaceExhaustedError(str(error)) from None
        raise SpaceExhaustedError(f"no new design within the limits was met in {MAX_LAST_DRAWS:,} uniform draws")

    def _new_from(self, draws: Draws) -> dict[str, int | str] | None:
        """A vector of the next draw, or None if its design is not new."""
        architecture = draws.draw(self._rng)
        self.draws += 1
        return self._propose(architecture) if self._is_new(architecture) else None

    def _new_from_list(self, designs: Mapping[Hashable, Architecture]) -> dict[str, int | str]:
        new = [architecture for network, architecture in designs.items() if network not in self._seen]
        if not new:
            if len(designs) == 1:
                raise SpaceExhaustedError("the only design within the limits has been tried")
            raise SpaceExhaustedError(f"all {len(designs):,} designs within the limits have been tried")
        return self._propose(new[int(self._rng.integers(len(new)))])

    def _propose(self, architecture: Architecture) -> dict[str, int | str]:
        """One of the vectors that decode to the architecture, at random, as vectors are drawn."""
        assert self._most.admits(architecture, self.task.image_size)
        self._seen.add(architecture.block_by_block())
        return self.space.encode(architecture, self._choose)

    def _choose(self, slot: Slot, same: Sequence[Choice]) -> Choice:
        """One of the choices of a slot that make the same network, as they are drawn."""
        shares = np.array(self.space.choice_shares[slot.name])
        if self.space.weights is None:
            choice = slot.choices[int(self._rng.integers(len(slot.choices)))]
        else:
            choice = slot.choices[pick(np.cumsum(shares), self._rng)]
        if choice in same:
            return choice
        if len(same) == 1:
            return same[0]
        of_same = shares[[slot.choices.index(each) for each in same]]
        return same[pick(np.cumsum(of_same if of_same.any() else np.ones(len(same))), self._rng)]
