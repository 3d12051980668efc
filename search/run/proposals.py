"""The sampler that proposes a search's designs, and the pruner that ends its poor trials early."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.study import Study
from optuna.trial import FrozenTrial
from pydantic import ValidationError

from models.architecture import Architecture
from models.baselines import BASELINES, find_baseline
from models.count import count_parameters
from search.errors import InputError
from search.space.feasibility import require_design
from search.space.guesses import first_guesses, guesses, no_guess
from search.space.limits import macs_by_rule
from search.space.sampler import BudgetSampler
from search.space.thinning import CachedTPESampler, ThinningSampler
from search.study.plan import PrunerName, Question

DEFAULT_FILL = 0.8
MIN_DESIGNS = 1_000
NUM_STARTUP = 5


_log = logging.getLogger(__name__)


def hand_made(question: Question) -> dict[Architecture, str]:
    """The networks that a search proposes before all others, in canonical form, each with its name: a few guesses, then
    the baselines of reports, the largest first. Empty without a warm start.

    A network with two names has the earlier one. Where no guess is within the limits, that is told as a warning.
    """
    if not question.warm_start:
        return {}
    space, task, limits = question.space, question.data.task, question.all_limits
    first = first_guesses(guesses(space, task, limits), task, limits)
    if not first:
        _log.warning("%s; the search goes on without", no_guess(space, task, limits))
    names = {architecture: name for name, architecture in first.items()}
    networks = [(find_baseline(name, task.in_channels, task.num_classes).canonical(), name) for name in BASELINES]
    for architecture, name in sorted(networks, key=lambda item: -count_parameters(item[0])):
        names.setdefault(architecture, name)
    return names


def make_sampler(question: Question, seen: list[Architecture], first: Sequence[Architecture] = ()) -> BudgetSampler:
    """The question's sampler. Its draws depend on the seed and on how many trials there are, so that a continued study
    does not repeat its draws. Those designs of `first` that are within the limits are proposed before all others.

    Raises:
        SpaceError: no design of the space is within the limits. That is not asked where some were `seen`: a study goes
            on, whatever an earlier version took for within them.
    """
    entropy = [question.seed, len(seen)]
    base_seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    base = ThinningSampler(CachedTPESampler(seed=base_seed)) if question.sampler == "tpe" else None
    space, data, limits = question.space, question.data, question.all_limits
    sampler = BudgetSampler(space, data.task, limits, base, seen, entropy, first)
    if not seen:
        require_design(space, data.task, limits, data.name, lambda: sampler.vector_draws)
    return sampler


def require_feasible(question: Question) -> None:
    """
    Raises:
        SpaceError: no design of the space is within the limits; the message names the limit to blame and the cost of
            the smallest network.
    """
    require_design(question.space, question.data.task, question.all_limits, question.data.name)


def with_defaults(
    question: Question, rule: bool, fill: bool, say: Callable[[str], None] = lambda text: None
) -> Question:
    """The question with the limit of `macs_by_rule`, if there is to be a `rule`, and with the default share of the
    budget, if `fill` is to be chosen.

    The rule is lifted, and `say` is told so, where no design that it leaves uses that share of the budget though others
    do, or where it leaves none at all: a space of wide networks on tiny images.
    """
    if not rule:
        return with_default_fill(question) if fill else question
    macs = macs_by_rule(question.all_limits.max_params, question.data.image_size)
    limited = question.changed(limits=(f"macs={macs}", *question.limits))
    filled = with_default_fill(limited) if fill else limited
    if fill and filled.fill:
        return filled  # it holds many designs
    for share in (DEFAULT_FILL, 0.0) if fill else (question.fill,):
        if _holds_design(limited, share):
            return filled
        if _holds_design(question, share):
            using = f" that uses {share:.0%} of the budget" if share else ""
            say(f"limit macs = auto: lifted, since no network of this space{using} keeps to {macs:,} MACs")
            break
    return with_default_fill(question) if fill else question


def _holds_design(question: Question, fill: float) -> bool:
    """Whether any design is within the limits and uses such a share of the budget."""
    try:
        require_feasible(question.changed(fill=fill))
    except (InputError, ValidationError):
        return False
    return True


def with_default_fill(question: Question) -> Question:
    """The question for designs that use at least `DEFAULT_FILL` of the budget, or as it is in a space that holds fewer
    than `MIN_DESIGNS` of them.

    The default was measured (benchmarks/LOG.md): at full length accuracy grows with parameters, and under a limit on
    multiply-accumulates most designs would use little more than what is asked for.
    """
    try:
        filled = question.changed(fill=DEFAULT_FILL)
        num_feasible = make_sampler(filled, []).num_feasible
    except (InputError, ValidationError):
        return question
    return filled if num_feasible is None or num_feasible >= MIN_DESIGNS else question


def make_pruner(name: PrunerName, epochs: int) -> BasePruner:
    """Ends trials that fall behind others at the same epoch.

    'asha' ends a trial at half of its schedule unless it is among the best third there so far: asynchronous successive
    halving with one rung (Li et al. 2018, https://arxiv.org/abs/1810.05934). Earlier epochs rank poorly under a
    one-cycle schedule. 'median' ends a trial whose best accuracy so far is below the median of the completed trials at
    that epoch, not in the first third of the schedule. Neither ends one of the first `NUM_STARTUP` trials. What they
    save and lose was measured on recorded learning curves (benchmarks/LOG.md).
    """
    if name == "median":
        return MedianPruner(n_startup_trials=NUM_STARTUP, n_warmup_steps=epochs // 3 + 1)
    if name == "asha":
        # The next rung would be at 3 / 2 of the schedule.
        return AfterStartup(SuccessiveHalvingPruner(min_resource=(epochs + 1) // 2, reduction_factor=3), NUM_STARTUP)
    return NopPruner()


class AfterStartup(BasePruner):
    """Ends the trials that another pruner ends, but none of the first `num_trials`: a search of few trials needs some
    that were trained to the end, to choose among."""

    def __init__(self, pruner: BasePruner, num_trials: int) -> None:
        self.pruner = pruner
        self.num_trials = num_trials

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        ends = self.pruner.prune(study, trial)  # it must see all of them
        return ends and trial.number >= self.num_trials
