"""Optuna's storage, with the parameters of a new trial written at once."""

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import TrialParamModel
from sqlalchemy.orm import Session


class BulkStorage(RDBStorage):
    """Skips what Optuna asks the database before each parameter of a trial: whether the trial may be changed, and
    whether the distribution is that of earlier trials. Both are known here: trials are written whole, and a study has
    one space. A trial of 30 parameters is written in a third of the time.

    It overrides a private method. Should Optuna rename it, trials are recorded as before, and slower.
    """

    def _set_trial_param_without_commit(
        self,
        session: Session,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None = None,
    ) -> None:
        session.add(
            TrialParamModel(
                trial_id=trial_id,
                param_name=param_name,
                param_value=param_value_internal,
                distribution_json=distribution_to_json(distribution),
            )
        )
