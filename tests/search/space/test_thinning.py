import random
from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.space import thinning
from search.space.thinning import NUM_BEST, CachedTPESampler, ThinnedHistory, ThinningSampler, evenly_spaced

CHOICES: dict[str, BaseDistribution] = {
    "kernel": CategoricalDistribution((3, 5, 7)),
    "lr": FloatDistribution(1e-3, 1.0, log=True),
}
COMPLETE, PRUNED, FAIL, RUNNING = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING


def make_trials(states: Sequence[TrialState]) -> list[FrozenTrial]:
    """Trials in these states, numbered from 0; their values rise and fall."""
    trials = []
    for number, state in enumerate(states):
        value = (number * 37 % 101) / 101 if state in (COMPLETE, PRUNED) else None
        params = {"kernel": (3, 5, 7)[number % 3], "lr": 10 ** -(number % 17 / 6)}
        trial = create_trial(state=state, params=params, distributions=CHOICES, value=value)
        trial.number = number
        trials.append(trial)
    return trials


def study_of(trials: Sequence[FrozenTrial], sampler: optuna.samplers.BaseSampler) -> Study:
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials(trials)
    return study


def ask(study: Study, times: int) -> list[dict[str, object]]:
    return [study.ask(fixed_distributions=CHOICES).params for _ in range(times)]


def test_a_history_within_the_caps_is_shown_as_it_is() -> None:
    trials = make_trials([COMPLETE, PRUNED, FAIL, RUNNING, COMPLETE])
    assert ThinnedHistory(250, 1).of(trials) == trials


def test_of_a_longer_one_the_best_and_others_spread_over_time_are_shown_in_order() -> None:
    trials = make_trials(([COMPLETE, PRUNED, FAIL] * 200) + [RUNNING] * 9)
    shown = ThinnedHistory(250, 4).of(trials)
    numbers = [trial.number for trial in shown]
    assert numbers == sorted(set(numbers))
    assert [trial.number for trial in shown if trial.state == RUNNING] == [601, 603, 605, 608]
    assert len([trial for trial in shown if trial.state != RUNNING]) == 250
    assert FAIL not in {trial.state for trial in shown}
    values = sorted((trial.value for trial in trials if trial.state == COMPLETE), reverse=True)
    assert (
        sorted((trial.value for trial in shown if trial.state == COMPLETE), reverse=True)[:NUM_BEST]
        == values[:NUM_BEST]
    )
    halves = [sum(number < 300 for number in numbers[:-4]), sum(number >= 300 for number in numbers[:-4])]
    assert min(halves) > 100


def test_of_a_study_that_grows_the_same_is_shown_as_of_one_that_is_read_whole() -> None:
    growing = ThinnedHistory(250, 4)
    ends = make_trials(random.Random(0).choices([COMPLETE, PRUNED, FAIL], [4, 4, 1], k=700))
    begun, trials = make_trials([RUNNING] * len(ends)), []
    for number, trial in enumerate(begun):
        trials.append(trial)
        if number >= 20:
            ended = number - (20, 3, 11, 9)[number % 4]  # not in the order in which they began
            trials[ended] = ends[ended]
        if number % 10 == 0:
            assert growing.of(trials) == ThinnedHistory(250, 4).of(trials)
    assert len(growing.of(trials)) == 254


@pytest.mark.parametrize(
    ("length", "most", "expected"), [(10, 5, [1, 3, 5, 7, 9]), (3, 5, [0, 1, 2]), (5, 1, [4]), (0, 3, [])]
)
def test_items_are_spread_evenly_and_end_with_the_last(length: int, most: int, expected: list[int]) -> None:
    assert evenly_spaced(range(length), most) == expected


def test_below_the_caps_the_same_seed_proposes_what_it_did_without_thinning() -> None:
    trials = make_trials([COMPLETE, COMPLETE, PRUNED, FAIL] * 20 + [RUNNING] * 5)
    proposed = [
        ask(study_of(trials, sampler), 5) for sampler in (TPESampler(seed=3), ThinningSampler(TPESampler(seed=3)))
    ]
    assert proposed[0] == proposed[1]


def test_above_them_it_proposes_what_it_would_if_there_were_no_more() -> None:
    trials = make_trials([COMPLETE, PRUNED, FAIL] * 150 + [RUNNING] * 30)
    whole = study_of(trials, ThinningSampler(TPESampler(seed=3), 250, 20))
    part = study_of(ThinnedHistory(250, 20).of(trials), TPESampler(seed=3))
    assert ask(whole, 1) == ask(part, 1)


def test_draws_for_one_trial_are_those_of_tpe_with_densities_that_are_fitted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fits: list[bool] = []
    fit = TPESampler._build_parzen_estimator

    def counted(*args: Any, handle_below: bool) -> Any:
        fits.append(handle_below)
        return fit(*args, handle_below=handle_below)

    monkeypatch.setattr(TPESampler, "_build_parzen_estimator", counted)
    trials = make_trials([COMPLETE, PRUNED, FAIL] * 20 + [RUNNING] * 3)
    drawn = []
    for base in (TPESampler(seed=3), CachedTPESampler(seed=3)):
        sampler = ThinningSampler(base)
        study = study_of(trials, sampler)
        vectors = []
        for _ in range(2):
            number = study.ask().number
            running = study.trials[number]
            del fits[:]
            vectors += [sampler.sample_relative(study, running, CHOICES) for _ in range(4)]
            study.add_trial(trials[0])  # what is shown for the next trial is another history
            assert len(fits) == (2 if isinstance(base, CachedTPESampler) else 8)
        drawn.append(vectors)
    assert drawn[0] == drawn[1]
    assert len({str(vector) for vector in drawn[0]}) == 8


def test_should_optuna_rename_what_is_overridden_the_draws_are_those_of_tpe_on_all_trials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trials = make_trials([COMPLETE] * 300)
    whole = ask(study_of(trials, TPESampler(seed=3)), 1)
    assert ask(study_of(trials, ThinningSampler(CachedTPESampler(seed=3), 250)), 1) != whole
    monkeypatch.delattr(thinning._ThinnedStudy, "_get_trials")
    monkeypatch.delattr(CachedTPESampler, "_build_parzen_estimator")
    assert ask(study_of(trials, ThinningSampler(CachedTPESampler(seed=3), 250)), 1) == whole


def test_should_optuna_call_what_is_overridden_otherwise_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = TPESampler._build_parzen_estimator

    def fit_otherwise(self: TPESampler, *args: Any, below: bool) -> Any:
        return fit(self, *args, handle_below=below)

    trials = make_trials([COMPLETE] * 300)
    sampler = CachedTPESampler(seed=3)
    study = thinning._ThinnedStudy(study_of(trials, sampler), trials)
    monkeypatch.setattr(TPESampler, "_build_parzen_estimator", fit_otherwise)
    fits = [sampler._build_parzen_estimator(study, CHOICES, trials, below=below) for below in (True, False)]
    assert fits[0] is not fits[1]


def test_a_study_that_is_not_frozen_is_fitted_to_every_time() -> None:
    trials = make_trials([COMPLETE] * 30)
    samplers = CachedTPESampler(seed=3), TPESampler(seed=3)
    proposed = []
    for sampler in samplers:
        study = study_of(trials, sampler)
        earlier = ask(study, 2)
        study.add_trials(make_trials([COMPLETE] * 40))
        proposed.append(earlier + ask(study, 2))
    assert proposed[0] == proposed[1]


def test_another_sampler_is_shown_the_part_and_the_study_stays_whole() -> None:
    seen: list[list[int]] = []

    class Looking(RandomSampler):
        def sample_relative(self, study: Study, *_: object) -> dict[str, object]:
            seen.append([trial.number for trial in study.trials])
            return {}

    trials = make_trials([COMPLETE, PRUNED, FAIL] * 150 + [RUNNING] * 30)
    study = study_of(trials, ThinningSampler(Looking(), 250, 20))
    study.ask(fixed_distributions=CHOICES)
    assert seen == [[trial.number for trial in ThinnedHistory(250, 20).of(study.trials)]]
    assert len(seen[0]) == 270 and len(study.trials) == 481


def test_what_is_not_of_the_space_is_sampled_from_the_same_part() -> None:
    trials = make_trials([COMPLETE] * 300)
    samplers = ThinningSampler(TPESampler(seed=3), 250), TPESampler(seed=3)
    studies = study_of(trials, samplers[0]), study_of(ThinnedHistory(250, 1).of(trials), samplers[1])
    values = [
        sampler.sample_independent(study, trials[0], "lr", CHOICES["lr"])
        for sampler, study in zip(samplers, studies, strict=True)
    ]
    assert values[0] == values[1]


def test_caps_below_what_tpe_takes_for_the_best_are_invalid() -> None:
    with pytest.raises(AssertionError):
        ThinningSampler(TPESampler(), 10 * NUM_BEST - 1)
