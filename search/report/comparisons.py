"""Retrained networks against baselines: how much better on the test set, and whether that can be told from noise.

Compared is what was trained alike: by the same recipe, as long, and both with the validation images or both without.
Nothing here chooses by a test accuracy.
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import product
from statistics import fmean, stdev
from typing import Literal

import pandas as pd

from search.report import resampling, significance
from search.report.notation import exists, plural
from search.report.runs import kind
from search.study.view import RunView, StudyView

Verdict = Literal["better", "worse", "not distinguishable"]
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Network:
    """The final runs of one network that were trained alike; there is at least one."""

    label: str
    runs: tuple[RunView, ...]

    @property
    def accuracies(self) -> list[float]:
        return [run.test_accuracy for run in self.runs if run.test_accuracy is not None]

    @property
    def seeds(self) -> int:
        return len(self.runs)

    @property
    def mean(self) -> float:
        return fmean(self.accuracies)

    @property
    def deviation(self) -> float:
        """Over seeds; NaN for one."""
        return stdev(self.accuracies) if self.seeds > 1 else NAN

    @property
    def params(self) -> int:
        return self.runs[0].params

    @property
    def macs(self) -> int:
        return self.runs[0].macs

    @property
    def seconds(self) -> float:
        """Of a run, in the mean."""
        return fmean(run.seconds for run in self.runs)

    @property
    def training(self) -> str:
        """How it was trained, in words."""
        run, epochs = self.runs[0], max(run.epochs for run in self.runs)
        return f"{run.recipe}, {plural(epochs, 'epoch')}" + (", validation images held out" if run.holdout else "")


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
        run = found.trial.runs[0]
        row = {name: getattr(found, name) for name in COLUMNS if name in Comparison.__dataclass_fields__}
        row |= {"trial": found.trial.label, "baseline": found.baseline.label}
        row |= {"recipe": run.recipe, "epochs": run.epochs, "holdout": run.holdout}
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
    return _training(first.runs[0]) == _training(second.runs[0])


def _training(run: RunView) -> tuple[str, bool]:
    """What decides a training but for network and seed. The digest is of all the recipe's values, its length too."""
    return run.recipe_digest or f"{run.recipe} {run.epochs}", run.holdout


def networks(view: StudyView) -> list[Network]:
    """What was tested, trials before baselines, each network once for every way in which it was trained."""
    return [*_networks(view, "trial"), *_networks(view, "baseline")]


def _networks(view: StudyView, wanted: str) -> list[Network]:
    groups = defaultdict(list)  # by architecture too: a study that began anew has other networks under its numbers
    for run in sorted(view.runs, key=lambda run: (run.label, run.recipe, run.epochs, run.seed)):
        if run.purpose == "final" and kind(run.label) == wanted and exists(run.test_accuracy):
            groups[run.label, run.architecture, _training(run)].append(run)
    return [Network(label, tuple(runs)) for (label, _, _), runs in groups.items()]


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
