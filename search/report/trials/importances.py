"""Which properties of a network set good trials apart from the rest.

Importances are PED-ANOVA's (Watanabe et al. 2023, https://arxiv.org/abs/2304.10255), computed on decoded properties of
the trained networks. Those of raw vector slots would mislead: a slot of a stage that is switched off changes nothing.
Only complete trials enter, because a pruned trial's value was measured at another epoch.
"""

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from models.architecture import Architecture, Stage
from search.report.drawing import BLUE, Drawing, blank
from search.report.notation import percent, plural
from search.study.view import TrialView

COLUMNS = ["feature", "importance"]
MIN_TRIALS = 10
# PED-ANOVA's authors ask for at least five trials above the quantile that counts as good.
_MIN_GOOD = 5
_LOGARITHMIC = ("parameters", "MACs", "stem width", "first width", "last width")

Features = dict[str, int | float | str]


def features(trial: TrialView) -> Features:
    """Properties of a trial's network, each over all its stages; those of what it lacks are missing."""
    architecture = as_chosen(trial)
    stages = architecture.stages
    bottlenecks = [stage for stage in stages if stage.block == "bottleneck"]
    inverted = [stage for stage in stages if stage.block == "inverted"]
    grouped = [stage for stage in bottlenecks if stage.group_width is not None]
    means = {
        "kernel (mean)": _mean(stages, lambda stage: stage.kernel),
        "dropout (mean)": _mean(stages, lambda stage: stage.dropout),
        "reduction of bottlenecks (mean)": _mean(bottlenecks, lambda stage: stage.reduction),
        "group width of grouped bottlenecks (mean)": _mean(grouped, lambda stage: stage.group_width or 0),
        "expansion of inverted blocks (mean)": _mean(inverted, lambda stage: stage.expansion),
        "bottlenecks (share of blocks)": _mean(stages, lambda stage: stage.block == "bottleneck"),
        "inverted (share of blocks)": _mean(stages, lambda stage: stage.block == "inverted"),
        "grouped (share of bottlenecks)": _mean(bottlenecks, lambda stage: stage.group_width is not None),
        "squeeze-and-excitation (share of blocks)": _mean(stages, lambda stage: stage.squeeze_excitation is not None),
    }
    return {
        "parameters": trial.params,
        "MACs": trial.macs,
        "depth": architecture.depth,
        "number of stages": len(stages),
        "stem width": architecture.stem.width,
        "first width": stages[0].width,
        "last width": stages[-1].width,
        "last width / widest": stages[-1].width / max(stage.width for stage in stages),
        **{name: mean for name, mean in means.items() if mean is not None},
        "later stages of stride 1": architecture.strides[1:].count(1),
        **({"shortcut": architecture.shortcut} if architecture.has_shortcut else {}),
        "preactivation": "yes" if architecture.preactivation else "no",
        "activation": architecture.activation,
        "head width": architecture.head_width or 0,
    }


def as_chosen(trial: TrialView) -> Architecture:
    """The network in canonical form, but with the ratios that the trial took: canonical ones depend on the width."""
    architecture = trial.architecture.canonical()
    stages = []
    for number, stage in enumerate(architecture.stages, 1):
        ratios: dict[str, Any] = {}
        if stage.block == "bottleneck":
            ratios["reduction"] = trial.choices.get(f"stage{number}_reduction", stage.reduction)
        if (own := stage.squeeze_excitation) is not None:
            ratios["squeeze_excitation"] = trial.choices.get(f"stage{number}_squeeze_excitation", own)
        stages.append(replace(stage, **ratios))
    return replace(architecture, stages=tuple(stages))


def _mean(stages: Sequence[Stage], value: Callable[[Stage], float]) -> float | None:
    """The mean of a value over the blocks of these stages; None where there is none."""
    blocks = sum(stage.depth for stage in stages)
    return sum(value(stage) * stage.depth for stage in stages) / blocks if blocks else None


@dataclass(frozen=True, slots=True)
class Importances:
    """The importance of each property, largest first, adding up to one; none where `why_none` says why."""

    frame: pd.DataFrame
    why_none: str | None = None


def importances(ranked: Sequence[TrialView]) -> Importances:
    """The importances of the properties of complete trials: feature, importance."""
    empty = pd.DataFrame(columns=COLUMNS)
    if len(ranked) < MIN_TRIALS:
        reason = f"Importances need at least {MIN_TRIALS} complete trials; this study has {len(ranked)}."
        return Importances(empty, reason)
    if len({trial.value for trial in ranked}) < 2:
        reason = "Importances need trials of different accuracy; all complete trials of this study have the same."
        return Importances(empty, reason)
    if _num_good(ranked) == len(ranked):
        reason = "Importances need good trials to be told from others; too many of this study's are equally accurate."
        return Importances(empty, reason)
    rows = [features(trial) for trial in ranked]
    distributions = _distributions(rows)
    if not distributions:
        reason = "Importances need designs that differ; those of this study's complete trials do not."
        return Importances(empty, reason)
    return Importances(_ped_anova(ranked, rows, distributions))


def _ped_anova(
    ranked: Sequence[TrialView], rows: list[Features], distributions: dict[str, BaseDistribution]
) -> pd.DataFrame:
    with _quiet():
        study = optuna.create_study(direction="maximize")
        for trial, row in zip(ranked, rows, strict=True):
            params = {name: row[name] for name in distributions if name in row}
            own = {name: distributions[name] for name in params}
            study.add_trial(optuna.trial.create_trial(params=params, distributions=own, value=trial.value))
        evaluator = PedAnovaImportanceEvaluator(target_quantile=_share_of_good(len(ranked)))
        result = get_param_importances(study, evaluator=evaluator)
    frame = pd.DataFrame(list(result.items()), columns=COLUMNS)
    # Optuna's own order of equal ones is that of a set, which differs from run to run.
    return frame.sort_values(COLUMNS[::-1], ascending=[False, True], ignore_index=True)


def _share_of_good(number: int) -> float:
    """The share of so many trials that counts as good."""
    return min(0.5, max(0.1, _MIN_GOOD / number))


def _distributions(rows: list[Features]) -> dict[str, BaseDistribution]:
    """The range of each property that takes more than one value."""
    distributions: dict[str, BaseDistribution] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = sorted({row[name] for row in rows if name in row}, key=lambda value: (str(type(value)), value))
        if len(values) < 2:
            continue
        if isinstance(values[0], str):
            distributions[name] = CategoricalDistribution([str(value) for value in values])
        else:
            numbers = [float(value) for value in values]
            distributions[name] = FloatDistribution(min(numbers), max(numbers), log=name.startswith(_LOGARITHMIC))
    return distributions


def _num_good(ranked: Sequence[TrialView]) -> int:
    """How many trials count as good, of complete ones, the best first: Optuna's filter takes all that tie with the
    last."""
    values = [trial.value for trial in ranked]
    last = values[math.ceil(_share_of_good(len(ranked)) * len(ranked)) - 1]
    return len(values) - values[::-1].index(last)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back Optuna's log and warnings: they are about studies of its own, and this is not one."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def importances_figure(frame: pd.DataFrame, ranked: Sequence[TrialView]) -> Drawing:
    """Draw the frame of `importances` of complete trials, the best first, as bars, the largest on top."""
    figure = blank(60 + 26 * len(frame), showlegend=False)
    rows = frame.iloc[::-1]
    figure.add_bar(
        x=rows["importance"].round(4).tolist(),
        y=rows["feature"].tolist(),
        orientation="h",
        marker={"color": BLUE},
        text=[percent(value, 0) for value in rows["importance"]],
        textposition="outside",
        cliponaxis=False,
        hoverinfo="skip",
    )
    figure.update_xaxes(visible=False, range=[0, 1.15 * float(frame["importance"].max())])
    figure.update_yaxes(showgrid=False, ticks="", showline=False, ticklabelstandoff=6)
    first, good = frame.iloc[0], _num_good(ranked)
    caption = (
        f"Share of each property of a network in setting the best {good} of {plural(len(ranked), 'complete trial')} "
        f"apart from the others. First is {first['feature']} with {percent(first['importance'], 0)}. Properties that "
        "go together, such as parameters and widths, split it. The shares add up to one even where nothing matters, so "
        "small ones may be noise."
    )
    return Drawing("importances", figure, caption, frame)
