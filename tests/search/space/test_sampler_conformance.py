"""Optuna's own tests of samplers, run against BudgetSampler as far as they apply.

BudgetSampler's joint space is the one it was made with, so that tests which hand `sample_relative` a search space of
their own have no meaning for it; they are left out below, each with its reason. Parameters of other names are sampled
independently, and for these Optuna's rules hold.
"""

from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler, TPESampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, MultiObjectiveSamplerTestCase, RelativeSamplerTestCase

from search.space.limits import Limits
from search.space.sampler import BudgetSampler
from search.space.space import Space, Task

optuna.logging.set_verbosity(optuna.logging.ERROR)

# Enough designs for the trials of any of these tests, and quick to draw from.
SPACE = Space.model_validate(
    {
        "stem": {"width": [4, 8]},
        "num_stages": [1, 2],
        "stage": {"block": ["basic", "bottleneck"], "depth": [1, 2, 3], "width": [4, 8, 16]},
        "shortcut": ["A", "B", "b"],
    }
)


@pytest.fixture(params=["random", "tpe"])
def sampler(request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
    def make() -> BaseSampler:
        base = TPESampler(seed=0) if request.param == "tpe" else None
        return BudgetSampler(SPACE, Task(8, 3, 10), Limits(6_000), base)

    return make


class TestBasic(BasicSamplerTestCase):
    @pytest.fixture
    def sampler(self, sampler: Callable[[], BaseSampler]) -> Callable[[], BaseSampler]:
        return sampler


class TestRelative(RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self, sampler: Callable[[], BaseSampler]) -> Callable[[], BaseSampler]:
        return sampler

    # These three call sample_relative with a search space of two parameters, x and y, and read x and y from what it
    # returns: a vector of the space it was made with, and of no other, is what BudgetSampler promises.
    test_sample_relative_numerical = None
    test_sample_relative_categorical = None
    test_sample_relative_mixed = None

    # With two threads, trials are asked for at the same time. Only the coordinator proposes, in one thread; a sampler
    # that remembers what it has proposed is not made to be shared without a lock.
    @pytest.mark.parametrize("n_jobs", [1])
    def test_trial_relative_params(self, n_jobs: int, sampler: Callable[[], BaseSampler]) -> None:
        super().test_trial_relative_params(n_jobs, sampler)


class TestSeveralObjectives(MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self, sampler: Callable[[], BaseSampler]) -> Callable[[], BaseSampler]:
        return sampler


# SingleOnlySamplerTestCase demands that a second objective is refused, which BudgetSampler leaves to its base.


def test_what_the_left_out_tests_ask_of_any_space_holds_for_its_own(sampler: Any) -> None:
    study = optuna.create_study(sampler=sampler())
    for _ in range(30):
        trial = study.ask(fixed_distributions=SPACE.distributions)
        assert trial.params.keys() == SPACE.distributions.keys()
        for name, value in trial.params.items():
            assert type(value) in (int, str)  # never a type of numpy's
            distribution = SPACE.distributions[name]
            assert distribution._contains(distribution.to_internal_repr(value))
        study.tell(trial, 1.0)
