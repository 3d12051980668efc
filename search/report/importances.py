"""Which properties of a network told good trials from the rest.

Importances are PED-ANOVA's (Watanabe et al. 2023, https://arxiv.org/abs/2304.10255), computed on decoded properties of
the trained networks. Those of raw vector slots would mislead: a slot of a stage that is switched off changes nothing.
Only complete trials enter, for a pruned trial's value was measured at another epoch.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from models.architecture import Architecture
from search.report.tables import ranked
from search.study.view import StudyView, TrialView

MIN_TRIALS = 10
# PED-ANOVA's authors ask for at least five trials above the quantile that counts as good.
_MIN_GOOD = 5
_LOGARITHMIC = ("parameters", "MACs", "stem width", "width of stage")

Features = dict[str, int | float | str]


def features(trial: TrialView) -> Features:
    """Decoded properties of a trial's network; the width of a stage it lacks is missing."""
    architecture = trial.architecture
    stages = architecture.stages
    blocks = {stage.block for stage in stages}
    widths: Features = {f"width of stage {index}": stage.width for index, stage in enumerate(stages, start=1)}
    return {
        "parameters": trial.params,
        "MACs": trial.macs,
        "depth": architecture.depth,
        "number of stages": len(stages),
        "stem width": architecture.stem.width,
        **widths,
        "block": blocks.pop() if len(blocks) == 1 else "mixed",
        "kernel (mean over blocks)": _mean_over_blocks(architecture, "kernel"),
        "dropout (mean over blocks)": _mean_over_blocks(architecture, "dropout"),
    }


def _mean_over_blocks(architecture: Architecture, field: str) -> float:
    total = sum(getattr(stage, field) * stage.depth for stage in architecture.stages)
    return float(total) / sum(stage.depth for stage in architecture.stages)


def why_none(view: StudyView) -> str | None:
    """Why importances cannot be computed, or None if they can."""
    trials = ranked(view)
    if len(trials) < MIN_TRIALS:
        return f"Importances need at least {MIN_TRIALS} complete trials; this study has {len(trials)}."
    if len({trial.value for trial in trials}) < 2:
        return "Importances need trials of different accuracy; all complete trials of this study have the same."
    if not _distributions([features(trial) for trial in trials]):
        return "Importances need designs that differ; those of this study's complete trials do not."
    return None


def importances_frame(view: StudyView) -> pd.DataFrame:
    """The importance of each property, largest first, adding up to one; empty where `why_none` says why."""
    columns = ["feature", "importance"]
    if why_none(view) is not None:
        return pd.DataFrame(columns=columns)
    trials = ranked(view)
    rows = [features(trial) for trial in trials]
    distributions = _distributions(rows)
    with _quiet():
        study = optuna.create_study(direction="maximize")
        for trial, row in zip(trials, rows, strict=True):
            params = {name: row[name] for name in distributions if name in row}
            own = {name: distributions[name] for name in params}
            study.add_trial(optuna.trial.create_trial(params=params, distributions=own, value=trial.value))
        good = min(0.5, max(0.1, _MIN_GOOD / len(trials)))
        result = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=good))
    frame = pd.DataFrame(list(result.items()), columns=columns)
    # Optuna's own order of equal ones is that of a set, which differs from run to run.
    return frame.sort_values(columns[::-1], ascending=[False, True], ignore_index=True)


def _distributions(rows: list[Features]) -> dict[str, BaseDistribution]:
    """The range of each property that takes more than one value."""
    found: dict[str, BaseDistribution] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = sorted({row[name] for row in rows if name in row}, key=lambda value: (str(type(value)), value))
        if len(values) < 2:
            continue
        if isinstance(values[0], str):
            found[name] = CategoricalDistribution([str(value) for value in values])
        else:
            numbers = [float(value) for value in values]
            found[name] = FloatDistribution(min(numbers), max(numbers), log=name.startswith(_LOGARITHMIC))
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna's messages are about its own studies, of which this is none: its log and its warnings are held back."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
