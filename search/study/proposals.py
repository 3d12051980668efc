"""What a question's search draws its designs from, and what ends its poor trials early."""

from collections.abc import Sequence

import numpy as np
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from pydantic import ValidationError

from models.architecture import Architecture
from search.errors import InputError
from search.space.feasibility import require_design
from search.space.sampler import BudgetSampler
from search.study.plan import PrunerName, Question

DEFAULT_FILL = 0.5
MIN_DESIGNS = 1_000


def make_sampler(question: Question, seen: list[Architecture], first: Sequence[Architecture] = ()) -> BudgetSampler:
    """The question's sampler. Its draws depend on the seed and on how many trials there are, so that a study that is
    continued does not repeat its draws. Designs of `first` that may be proposed come before all others.

    Raises:
        SpaceError: no design of the space is within the limits.
    """
    entropy = [question.seed, len(seen)]
    base_seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    base = TPESampler(seed=base_seed) if question.sampler == "tpe" else None
    space, data, limits = question.space, question.data, question.all_limits
    sampler = BudgetSampler(space, data.task, limits, base, seen, entropy, first)
    require_design(space, data.task, limits, data.name, lambda: sampler.vectors)
    return sampler


def require_feasible(question: Question) -> None:
    """
    Raises:
        SpaceError: no design of the space is within the limits; the message says which limit is to blame, and what the
            smallest network costs.
    """
    require_design(question.space, question.data.task, question.all_limits, question.data.name)


def with_default_fill(question: Question) -> Question:
    """The question for designs that use at least `DEFAULT_FILL` of the budget, or as it is in a space that holds fewer
    than `MIN_DESIGNS` of them.

    It is a choice by measurement (benchmarks/README.md): searches that leave out what uses less than half of the budget
    find better designs at every budget; more than half was not distinguishable from it, and costs time and choice.
    """
    try:
        filled = Question.model_validate(question.model_dump() | {"fill": DEFAULT_FILL})
        num_feasible = make_sampler(filled, []).num_feasible
    except (InputError, ValidationError):
        return question
    return filled if num_feasible is None or num_feasible >= MIN_DESIGNS else question


def make_pruner(name: PrunerName, epochs: int) -> BasePruner:
    """Ends trials that fall behind others at the same epoch.

    'median' stops a trial whose best accuracy so far is below the median of the completed trials at that epoch, not in
    the first third of the schedule and not before five trials have completed. 'asha' keeps the better half at a
    quarter and at half of the schedule (Li et al. 2018, https://arxiv.org/abs/1810.05934).
    """
    if name == "median":
        return MedianPruner(n_startup_trials=5, n_warmup_steps=epochs // 3 + 1)
    if name == "asha":
        return SuccessiveHalvingPruner(min_resource=max(1, epochs // 4), reduction_factor=2)
    return NopPruner()
