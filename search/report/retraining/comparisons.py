"""Retrained networks against baselines: how much better on the test set, and whether that is more than noise.

Only networks that were trained alike are compared: by the same recipe, and both with the validation images or both
without. Nothing here chooses by a test accuracy.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

import pandas as pd

from search.report.notation import count, decimal, exists, points, short
from search.report.retraining.known_runs import is_baseline
from search.report.retraining.resampling import resample
from search.report.statistics import significance
from search.report.statistics.bootstrap import Resampled
from search.report.tables import Column, Table, table
from search.study.networks import Network
from search.study.view import RunView

Verdict = Literal["better", "worse", "not distinguishable"]
NAN = float("nan")
Labels = Container[tuple[str, str]]  # of trials and baselines that are one network


@dataclass(frozen=True, slots=True)
class Comparison:
    """A trial against a baseline that was trained alike.

    `difference` is the trial's mean test accuracy minus the baseline's, `low` to `high` its Welch interval and `p` the
    p-value of that test; `adjusted_p` is Holm's over all comparisons of the study, and decides the verdict. All four
    are NaN where the seeds show no noise. `resampled_low` to `resampled_high` is the bootstrap's interval over seeds
    and test images (see `search.report.statistics.bootstrap`), NaN for one seed or where the test images are not known.
    `seeds_needed` of each would detect a difference of this size; None if it is detected already, if it cannot be
    known, or if it is more than `significance.MAX_SEEDS`.
    """

    trial: Network
    baseline: Network
    difference: float
    low: float = NAN
    high: float = NAN
    p: float = NAN
    adjusted_p: float = NAN
    verdict: Verdict = "not distinguishable"
    resampled_low: float = NAN
    resampled_high: float = NAN
    resampled: Resampled | None = None
    seeds_needed: int | None = None
    is_reference: bool = False

    @property
    def is_tested(self) -> bool:
        """Whether the seeds show how much of the difference is noise."""
        return exists(self.p)


def compare(networks: Iterable[Network], is_over: Callable[[RunView], bool], copies: Labels = ()) -> list[Comparison]:
    """Every trial against every baseline that was trained alike, in the order of the networks.

    A network over the budget is a reference.
    """
    comparisons = [_compared(a, b, is_over(b.runs[0])) for a, b in _pairs(networks, copies) if are_alike(a, b)]
    ps = [comparison.p for comparison in comparisons if comparison.is_tested]
    adjusted = iter(significance.holm(ps))
    return [
        _judged(comparison, next(adjusted), len(ps)) if comparison.is_tested else comparison
        for comparison in comparisons
    ]


def unalike(networks: Iterable[Network], copies: Labels = ()) -> list[tuple[Network, Network]]:
    """Trials and baselines that cannot be compared, because they were never trained alike."""
    pairs = _pairs(networks, copies)
    compared = {(a.label, b.label) for a, b in pairs if are_alike(a, b)}
    apart = {(a.label, b.label): (a, b) for a, b in pairs if (a.label, b.label) not in compared}
    return list(apart.values())


def are_alike(first: Network, second: Network) -> bool:
    return first.way == second.way


def _pairs(networks: Iterable[Network], copies: Labels) -> list[tuple[Network, Network]]:
    """Every trial's network with every baseline's that is another."""
    kinds: tuple[list[Network], list[Network]] = ([], [])
    for network in networks:
        kinds[is_baseline(network)].append(network)
    return [(a, b) for a, b in product(*kinds) if (a.label, b.label) not in copies]


def _compared(trial: Network, baseline: Network, is_reference: bool) -> Comparison:
    comparison = Comparison(trial, baseline, trial.mean - baseline.mean, is_reference=is_reference)
    if test := significance.welch(trial.accuracies, baseline.accuracies):
        comparison = replace(comparison, low=test.low, high=test.high, p=test.p)
    if interval := resample(trial.runs, baseline.runs):
        comparison = replace(
            comparison, resampled_low=interval.low, resampled_high=interval.high, resampled=interval.resampled
        )
    return comparison


def _judged(comparison: Comparison, adjusted_p: float, num_tests: int) -> Comparison:
    if adjusted_p < significance.LEVEL:
        return replace(comparison, adjusted_p=adjusted_p, verdict="better" if comparison.difference > 0 else "worse")
    deviations = (comparison.trial.deviation, comparison.baseline.deviation)
    needed = significance.seeds_needed(comparison.difference, deviations, num_tests)
    return replace(comparison, adjusted_p=adjusted_p, seeds_needed=needed)


COLUMNS = [
    "trial", "baseline", "recipe", "epochs", "holdout", "difference", "low", "high", "p", "adjusted_p", "verdict",
    "resampled_low", "resampled_high", "resampled", "seeds_needed", "is_reference",
    *(f"{who}_{what}" for who in ("trial", "baseline")
      for what in ("seeds", "mean", "deviation", "params", "macs", "seconds")),
]  # fmt: skip


def comparisons_frame(comparisons: Iterable[Comparison]) -> pd.DataFrame:
    """One row a comparison, as `Comparison` has them, with both networks' seeds, mean, deviation, size and time."""
    rows = []
    for comparison in comparisons:
        row = {name: getattr(comparison, name) for name in COLUMNS if name in Comparison.__dataclass_fields__}
        row |= {"trial": comparison.trial.label, "baseline": comparison.baseline.label}
        row |= {
            "recipe": comparison.trial.recipe,
            "epochs": comparison.trial.epochs,
            "holdout": comparison.trial.holdout,
        }
        for who, network in (("trial", comparison.trial), ("baseline", comparison.baseline)):
            names = ("seeds", "mean", "deviation", "params", "macs", "seconds")
            row |= {f"{who}_{name}": getattr(network, name) for name in names}
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS).astype({"seeds_needed": "Int64"})


def comparisons_table(comparisons: Sequence[Comparison]) -> Table:
    frame = comparisons_frame(comparisons)
    ends = zip(frame["low"], frame["high"], strict=True)
    written = frame.assign(
        trial=[
            comparison.trial.runs[0].identity.name + (" (with a teacher)" if comparison.trial.teaching else "")
            for comparison in comparisons
        ],
        interval=[f"{points(low)} to {points(high)}" if exists(low) else "none" for low, high in ends],
        seeds=_both(frame, "seeds", str),
        macs=_both(frame, "macs", short),
    )
    columns = [
        Column("trial", "Network"), Column("baseline", "Baseline"), Column("difference", "Difference, points", points),
        Column("interval", f"{significance.CONFIDENCE:.0%} interval", str),
        Column("adjusted_p", "p, adjusted", decimal), Column("verdict", "Verdict"),
        Column("seeds", "Seeds of each", str), Column("macs", "MACs of each", str),
        Column("recipe", "Recipe"), Column("epochs", "Epochs", count),
    ]  # fmt: skip
    caption = (
        "Each retrained network minus each baseline that was trained alike: mean test accuracy, Welch's interval, "
    )
    return table(caption + "and Holm's p-value over all rows.", written, columns)


def _both(frame: pd.DataFrame, column: str, write: Callable[[Any], str]) -> list[str]:
    """A column of the network and of its baseline."""
    pairs = zip(frame[f"trial_{column}"], frame[f"baseline_{column}"], strict=True)
    return [f"{write(own)}, {write(other)}" for own, other in pairs]
