"""Full-length training as frames: runs, networks over their seeds, curves. Nothing here chooses by a test accuracy."""

import math
from dataclasses import replace
from itertools import groupby

import pandas as pd
from scipy.special import stdtrit

from models.architecture import Architecture
from search.identity import Identity
from search.report.notation import exists
from search.study.networks import alike, last_round, quoted, weight
from search.study.view import RunPurpose, RunView, StudyView, TrialView, at_dropout

RUN_COLUMNS = [
    "label", "kind", "purpose", "seed", "recipe", "epochs", "holdout", "params", "macs", "train_accuracy",
    "validation_accuracy", "test_accuracy", "test_loss", "seconds", "device", "precision", "recipe_digest",
]  # fmt: skip
SUMMARY_COLUMNS = [
    "label", "kind", "recipe", "epochs", "holdout", "seeds", "mean", "deviation", "half_width", "params", "macs",
    "seconds", "over", "recipe_digest",
]  # fmt: skip
MAX_RUN_POINTS = 200
CONFIDENCE = 0.95


def kind(label: str) -> str:
    """Whether a label is a trial's or names a baseline."""
    return Identity.parse(label).kind


def _order(run: RunView) -> tuple[bool, str, str, int, bool, int]:
    return (kind(run.label) == "baseline", run.label, run.recipe, run.epochs, run.holdout, run.seed)


def known_runs(view: StudyView) -> tuple[list[RunView], list[RunView]]:
    """The study's runs, trials before baselines, and those of other networks than its trials.

    A study that began anew after its database broke has other networks under the numbers of the trials before.
    """
    trials = {trial.number: trial for trial in view.trials}
    own: list[RunView] = []
    others: list[RunView] = []
    for run in sorted(view.runs, key=_order):
        trial = trials.get(run.identity.trial) if run.identity.trial is not None else None
        (own if trial is None or run.architecture == _network(trial, run.identity.dropout) else others).append(run)
    return own, others


def _network(trial: TrialView, dropout: float | None) -> Architecture:
    return trial.architecture if dropout is None else at_dropout(trial.architecture, dropout)


def final_runs(view: StudyView) -> list[RunView]:
    """Final runs, trials before baselines. A baseline that was trained by several recipes is labelled with each."""
    final = [run for run in known_runs(view)[0] if run.purpose == "final"]
    recipes = {label: {run.recipe for run in group} for label, group in groupby(final, key=lambda run: run.label)}
    return [
        replace(run, identity=Identity(baseline=f"{run.label} by {run.recipe}"))
        if kind(run.label) == "baseline" and len(recipes[run.label]) > 1
        else run
        for run in final
    ]


def tested_runs(view: StudyView) -> list[RunView]:
    """Final runs that have a test accuracy."""
    return [run for run in final_runs(view) if exists(run.test_accuracy)]


def finalist_runs(view: StudyView) -> list[RunView]:
    """The runs of the round that picks a winner."""
    return last_round(known_runs(view)[0])


def runs_frame(view: StudyView) -> pd.DataFrame:
    """One row a full-length run, trials before baselines; accuracies are those of the last epoch."""
    rows = [
        (
            run.label, kind(run.label), run.purpose, run.seed, run.recipe, run.epochs, run.holdout,
            run.params, run.macs,
            run.history[-1].train_accuracy if run.history else None, last_validation(run),
            run.test_accuracy, run.test_loss, run.seconds, run.device, run.precision, run.recipe_digest,
        )
        for run in sorted(view.runs, key=_order)
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=RUN_COLUMNS)
    numbers = ["train_accuracy", "validation_accuracy", "test_accuracy", "test_loss"]
    frame[numbers] = frame[numbers].astype(float)
    return frame


def last_validation(run: RunView) -> float | None:
    return run.history[-1].validation_accuracy if run.history else None


def half_width(deviation: float, number: int) -> float:
    """Half of Student's interval for a mean of `number` values; NaN for a single value, which has none."""
    if number < 2:
        return float("nan")
    return float(stdtrit(number - 1, (1 + CONFIDENCE) / 2)) * deviation / math.sqrt(number)


def final_summary(view: StudyView) -> pd.DataFrame:
    """Test accuracy over seeds, one row a network; runs without a test value are left out.

    `epochs` are those of the longest run, `holdout` marks runs that were asked to leave out the validation split,
    `over` a network over the budget, which can only be a reference, and `recipe_digest` tells recipes of one name
    apart. Where a label was trained in several ways, that which is `quoted` comes last.
    """
    networks = sorted(
        alike(tested_runs(view)), key=lambda each: (kind(each.label) == "baseline", each.label, weight(each))
    )
    rows = [
        (each.label, kind(each.label), each.recipe, each.epochs, each.holdout, each.seeds, each.mean, each.deviation,
         half_width(each.deviation, each.seeds), each.params, each.macs, each.seconds, each.params > view.budget,
         each.runs[0].recipe_digest)
        for each in networks
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=SUMMARY_COLUMNS)


def run_curves_frame(view: StudyView, purpose: RunPurpose = "final") -> pd.DataFrame:
    """Runs by epoch: label, seed, split ('train' or 'validation'), epoch, accuracy; long runs thinned evenly.

    Of a label that was trained in several ways they are the runs of the network that is `quoted`.
    """
    rows = []
    networks = quoted(final_runs(view) if purpose == "final" else finalist_runs(view))
    for run in sorted((run for network in networks.values() for run in network.runs), key=_order):
        step = max(1, len(run.history) // MAX_RUN_POINTS)
        kept = [each for index, each in enumerate(run.history) if index % step == 0 or each is run.history[-1]]
        measured = [("train", each.epoch, each.train_accuracy) for each in kept]
        measured += [
            ("validation", each.epoch, each.validation_accuracy)
            for each in kept
            if each.validation_accuracy is not None
        ]
        rows += [(run.label, run.seed, *point) for point in measured if exists(point[-1])]
    return pd.DataFrame(rows, columns=["label", "seed", "split", "epoch", "accuracy"])
