from inspect import signature
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from search.study.bulk import BulkStorage

DISTRIBUTIONS: dict[str, optuna.distributions.BaseDistribution] = {
    "width": optuna.distributions.CategoricalDistribution((4, 8, 16)),
    "depth": optuna.distributions.IntDistribution(1, 3),
    "dropout": optuna.distributions.FloatDistribution(0.0, 0.5, step=0.25),
}


@pytest.mark.parametrize("number", [1, 2])
def test_a_trial_that_is_recorded_at_once_is_read_as_one_that_optuna_recorded(tmp_path: Path, number: int) -> None:
    recorded = create_trial(
        state=TrialState.RUNNING,
        params={"width": 16, "depth": 2, "dropout": 0.25},
        distributions=DISTRIBUTIONS,
        user_attrs={"macs": 1_000},
    )
    found = []
    for storage_class in (BulkStorage, RDBStorage):
        url = f"sqlite:///{tmp_path / storage_class.__name__}.db"
        storage = storage_class(url)
        study = optuna.create_study(study_name="toy", storage=storage)
        for _ in range(number):
            storage.create_new_trial(study._study_id, recorded)
        storage.remove_session()
        storage.engine.dispose()
        trials = optuna.load_study(study_name="toy", storage=url).get_trials()
        found.append([(each.number, each.state, each.params, each.distributions, each.user_attrs) for each in trials])
    assert found[0] == found[1]
    assert len(found[0]) == number and found[0][-1][2] == recorded.params


def test_what_it_overrides_is_called_by_optuna_as_before() -> None:
    name = "_set_trial_param_without_commit"
    own, theirs = (list(signature(getattr(each, name)).parameters) for each in (BulkStorage, RDBStorage))
    assert own == theirs
