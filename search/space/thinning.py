"""A long history, thinned for a sampler that takes longer the more trials it sees.

TPE (Bergstra et al. 2011, https://papers.nips.cc/paper/4443) compares the density of the best trials with that of all
others. In Optuna the best are 25 from 250 trials on, however many there are, and the others are weighted by age, the
newest most. A longer history therefore adds only a finer picture of the others, which a sample of them gives as well.
What this saves, and what it costs in quality, was measured (benchmarks/README.md).
"""

from bisect import insort
from collections.abc import Container, Sequence
from copy import deepcopy as deep_copy
from functools import partial
from heapq import nlargest
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

NUM_BEST = 25  # of 250 or more trials, that TPE takes for the good ones
MOST_FINISHED = 500
MOST_RUNNING = 100
TRAINED = (TrialState.COMPLETE, TrialState.PRUNED)

T = TypeVar("T")


class ThinningSampler(BaseSampler):
    """Shows another sampler a part of a study (see `ThinnedHistory`).

    It serves one study, which may grow, but not between two draws for the same trial.

    Args:
        base: a sampler for one objective, to be maximized.
        most_finished: how many finished trials are shown at most; at least ten times `NUM_BEST`.
        most_running: how many running trials are shown at most.
    """

    def __init__(self, base: BaseSampler, most_finished: int = MOST_FINISHED, most_running: int = MOST_RUNNING) -> None:
        self._base = base
        self._history = ThinnedHistory(most_finished, most_running)
        self._last: tuple[int, Study] | None = None  # the last trial's number, and the study shown for it

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._base.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if self._last is None or self._last[0] != trial.number:
            self._last = trial.number, self._part_of(study)
        return self._base.sample_relative(self._last[1], trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._base.sample_independent(self._part_of(study), trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        self._base.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._base.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._base.after_trial(study, trial, state, values)

    def _part_of(self, study: Study) -> Study:
        return _ThinnedStudy(study, self._history.of(study.get_trials(deepcopy=False)))


class CachedTPESampler(TPESampler):
    """TPE that fits its densities once for all draws for a trial, if it is the base of a `ThinningSampler`.

    A proposal that is not new or does not fit is drawn again, which is common while a thousand trials run: there it
    saves a quarter of the time (benchmarks/README.md). The class overrides a private method: should Optuna rename or
    change it, the draws are the same, but slower.
    """

    _fitted_to: Study | None = None

    def _build_parzen_estimator(self, study: Study, *arguments: Any, **options: Any) -> Any:
        fit = partial(super()._build_parzen_estimator, study, *arguments, **options)
        if "handle_below" not in options or not isinstance(study, _ThinnedStudy):
            return fit()
        if study is not self._fitted_to:
            self._fitted_to, self._fitted = study, dict[bool, Any]()
        below = options["handle_below"]
        if below not in self._fitted:
            self._fitted[below] = fit()
        return self._fitted[below]


class ThinnedHistory:
    """The best `NUM_BEST` completed trials of a study, and a sample of the others.

    Finished trials, `most_finished` in all, are evenly spaced in time but for the best. So are running ones,
    `most_running` in all. As long as there are no more of either kind, the history is whole.

    A trial that has ended is not read again, so the time this takes does not grow with the history.
    """

    def __init__(self, most_finished: int, most_running: int) -> None:
        assert most_finished >= 10 * NUM_BEST, "TPE takes a tenth of the trials, up to NUM_BEST, for the good ones"
        self._most_finished = most_finished
        self._most_running = most_running
        self._num_known = 0
        self._open: list[int] = []
        self._best: list[FrozenTrial] = []
        self._others: list[FrozenTrial] = []  # in the order of their numbers

    def of(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """The trials shown of all trials of the study, in the order of their numbers. Failed ones are not counted."""
        numbers = [*self._open, *range(self._num_known, len(trials))]
        self._num_known = len(trials)
        self._open = [number for number in numbers if not trials[number].state.is_finished()]
        self._add_finished([trials[number] for number in numbers if trials[number].state in TRAINED])
        running = [trials[number] for number in self._open if trials[number].state == TrialState.RUNNING]
        num_finished = len(self._best) + len(self._others)
        if num_finished <= self._most_finished and len(running) <= self._most_running:
            return list(trials)
        others = evenly_spaced(self._others, self._most_finished - len(self._best))
        return sorted([*self._best, *others, *evenly_spaced(running, self._most_running)], key=_number)

    def _add_finished(self, trials: list[FrozenTrial]) -> None:
        complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        # Of equal values the earlier, as in TPE.
        best = nlargest(NUM_BEST, [*self._best, *complete], key=lambda trial: (trial.values[0], -trial.number))
        chosen = {trial.number for trial in best}
        for trial in [*self._best, *trials]:
            if trial.number not in chosen:
                insort(self._others, trial, key=_number)
        self._best = best


def _number(trial: FrozenTrial) -> int:
    return trial.number


def evenly_spaced(items: Sequence[T], most: int) -> list[T]:
    """At most `most` of the items, evenly spaced, the last among them."""
    number = min(len(items), most)
    return [items[(index + 1) * len(items) // number - 1] for index in range(number)]


class _ThinnedStudy(Study):
    """A study that shows only some of its trials, like the brackets of Optuna's Hyperband.

    It overrides a private method: should Optuna rename it, all trials are shown, which is slower.
    """

    def __init__(self, study: Study, trials: list[FrozenTrial]) -> None:
        vars(self).update(vars(study))
        self._shown = trials

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, *_: Any, **__: Any
    ) -> list[FrozenTrial]:
        trials = [trial for trial in self._shown if states is None or trial.state in states]
        return deep_copy(trials) if deepcopy else trials
