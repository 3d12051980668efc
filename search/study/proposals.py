"""What a question's search draws its designs from, and what ends its poor trials early."""

import numpy as np
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler

from models.architecture import Architecture
from models.count import count_parameters
from search.errors import SpaceError
from search.space.sampler import BudgetSampler
from search.space.tally import Tally
from search.study.plan import PrunerName, Question


def make_sampler(question: Question, seen: list[Architecture]) -> BudgetSampler:
    """The question's sampler. Its draws depend on the seed and on how many trials there are, so that a study that is
    continued does not repeat its draws.

    Raises:
        SpaceError: no design of the space is within the budget.
    """
    require_feasible(question)
    entropy = [question.seed, len(seen)]
    base_seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    base = TPESampler(seed=base_seed) if question.sampler == "tpe" else None
    return BudgetSampler(question.space, question.data.task, question.budget, base, seen, entropy)


def require_feasible(question: Question) -> None:
    """
    Raises:
        SpaceError: no design of the space is within the budget; the message says what the smallest costs.
    """
    tally = Tally(question.space, question.data.task, question.budget)
    try:
        smallest = count_parameters(tally.extreme(largest=False))
    except LookupError:
        raise SpaceError("space: no choice of its values is a network") from None
    if smallest > question.budget:
        raise SpaceError(
            f"budget = {question.budget:,}: the smallest network of this space on {question.data.name} "
            f"has {smallest:,} parameters"
        )


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
