"""Retrained networks against baselines: how much better on the test set, and whether that can be told from noise.

Compared is what was trained alike: by the same recipe, and both with the validation images or both without.
Nothing here chooses by a test accuracy.
"""

from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import pandas as pd

from search.report import resampling, significance
from search.report.notation import exists
from search.report.runs import kind, known_runs
from search.study.networks import Network, alike
from search.study.view import StudyView

Verdict = Literal["better", "worse", "not distinguishable"]
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A trial against a baseline that was trained alike.

    `difference` is the trial's mean test accuracy minus the baseline's, `low` to `high` its Welch interval and `p` the
    p-value of that test; `adjusted_p` is Holm's over all comparisons of the study, and decides the verdict. All four
    are NaN where the seeds tell no noise. `resampled_low` to `resampled_high` is the bootstrap's interval over seeds
    and test images (see `search.report.resampling`), NaN for one seed or where the test images are not known.
    `seeds_needed` of each would tell a difference of this size; None if it is told already, if it cannot be known, or
    if it is more than `significance.MAX_SEEDS`.
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
    resampled: resampling.Resampled | None = None
    seeds_needed: int | None = None
    is_reference: bool = False

    @property
    def is_tested(self) -> bool:
        """Whether the seeds tell how much of the difference is noise."""
        return exists(self.p)


COLUMNS = [
    "trial", "baseline", "recipe", "epochs", "holdout", "difference", "low", "high", "p", "adjusted_p", "verdict",
    "resampled_low", "resampled_high", "resampled", "seeds_needed", "is_reference",
    *(f"{who}_{what}" for who in ("trial", "baseline")
      for what in ("seeds", "mean", "deviation", "params", "macs", "seconds")),
]  # fmt: skip


def comparisons_frame(view: StudyView) -> pd.DataFrame:
    """One row a comparison, as `Comparison` has them, with both networks' seeds, mean, deviation, size and time."""
    rows = []
    for found in compare(view):
        row = {name: getattr(found, name) for name in COLUMNS if name in Comparison.__dataclass_fields__}
        row |= {"trial": found.trial.label, "baseline": found.baseline.label}
        row |= {"recipe": found.trial.recipe, "epochs": found.trial.epochs, "holdout": found.trial.holdout}
        for who, network in (("trial", found.trial), ("baseline", found.baseline)):
            names = ("seeds", "mean", "deviation", "params", "macs", "seconds")
            row |= {f"{who}_{name}": getattr(network, name) for name in names}
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS).astype({"seeds_needed": "Int64"})


def compare(view: StudyView) -> list[Comparison]:
    """Every trial against every baseline that was trained alike, trials and baselines by label."""
    trials, baselines = _networks(view, "trial"), _networks(view, "baseline")
    found = [_compared(a, b, view.budget) for a, b in product(trials, baselines) if are_alike(a, b)]
    ps = [each.p for each in found if each.is_tested]
    adjusted = iter(significance.holm(ps))
    return [_judged(each, next(adjusted), len(ps)) if each.is_tested else each for each in found]


def unalike(view: StudyView) -> list[tuple[Network, Network]]:
    """Trials and baselines that cannot be compared, because they were never trained alike."""
    pairs = list(product(_networks(view, "trial"), _networks(view, "baseline")))
    alike = {(a.label, b.label) for a, b in pairs if are_alike(a, b)}
    apart = {(a.label, b.label): (a, b) for a, b in pairs if (a.label, b.label) not in alike}
    return list(apart.values())


def are_alike(first: Network, second: Network) -> bool:
    return first.way == second.way


def networks(view: StudyView) -> list[Network]:
    """What was tested, trials before baselines, each network once for every way in which it was trained."""
    return [*_networks(view, "trial"), *_networks(view, "baseline")]


def _networks(view: StudyView, wanted: str) -> list[Network]:
    tested = [run for run in known_runs(view)[0] if run.purpose == "final" and exists(run.test_accuracy)]
    return alike(run for run in tested if kind(run.label) == wanted)


def _compared(trial: Network, baseline: Network, budget: int) -> Comparison:
    found = Comparison(trial, baseline, trial.mean - baseline.mean, is_reference=baseline.params > budget)
    if test := significance.welch(trial.accuracies, baseline.accuracies):
        found = replace(found, low=test.low, high=test.high, p=test.p)
    if interval := resampling.resample(trial.runs, baseline.runs):
        found = replace(found, resampled_low=interval.low, resampled_high=interval.high, resampled=interval.resampled)
    return found


def _judged(found: Comparison, adjusted_p: float, num_tests: int) -> Comparison:
    if adjusted_p < significance.LEVEL:
        return replace(found, adjusted_p=adjusted_p, verdict="better" if found.difference > 0 else "worse")
    deviations = (found.trial.deviation, found.baseline.deviation)
    needed = significance.seeds_needed(found.difference, deviations, num_tests)
    return replace(found, adjusted_p=adjusted_p, seeds_needed=needed)
