"""Networks that a study has trained finally, on disk with their weights."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from models.baselines import find_baseline
from search.errors import StorageError, StudyError
from search.files import StudyFiles
from search.identity import Identity
from search.study.networks import meant
from search.study.plan import Plan
from search.study.results import read_runs, run_view
from search.study.view import RunView
from search.study.weights import certify_saved
from search.trained_network import Precision, TrainedNetwork

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A final run and its network.

    Attributes:
        values: all of its result.json.
    """

    view: RunView
    network: TrainedNetwork
    values: dict[str, Any]

    @property
    def name(self) -> str:
        """As people say it: trial 42, trial 42 with dropout 0.1, or baseline resnet40."""
        identity = self.view.identity
        return identity.name if identity.kind == "trial" else f"baseline {identity.name}"


def trained_runs(
    files: StudyFiles,
    plan: Plan,
    trial: int | None,
    baseline: str | None = None,
    recipe: str | None = None,
    dropout: float | None = None,
) -> list[TrainedRun]:
    """The final runs of the network that is meant by a trial, or else by a baseline, in the order of their seeds.

    `recipe` and `dropout` leave out what was trained otherwise; of the rest `search.study.networks` says which network
    is meant. Of a baseline that was trained by several recipes, one must be named. Every file of weights is counted,
    and a trial's must be within the limits of the search.

    Raises:
        StudyError: there is no such run, or a recipe must be named.
        TrainingError: weights do not hold the parameters they should.
        StorageError: a file cannot be read.
    """
    assert (trial is None) != (baseline is None)
    if baseline is not None:
        find_baseline(baseline)
        identity, pattern = Identity(baseline=baseline), "*/seed-*/result.json"  # a folder for each recipe
        what, command = f"baseline = {baseline}", f"--baseline {baseline}"
    else:
        identity, pattern = Identity(trial=trial), "seed-*/result.json"
        what, command = f"trial = {trial}", f"--trial {trial}"
    max_params = plan.question.all_limits.max_params if baseline is None else None
    runs = [_read(path) for path in files.finals(identity).glob(pattern)]
    if not runs:
        raise StudyError(f"{what}: has no trained weights; run `nas retrain {command}` first")
    recipes = sorted({run.view.recipe for run in runs})
    if recipe is not None:
        runs = [run for run in runs if run.view.recipe == recipe]
    if not runs or (baseline is not None and recipe is None and len(recipes) > 1):
        raise StudyError(f"{what}: was trained by {', '.join(recipes)}; name one of them with --recipe")
    if dropout is not None:
        runs = _of_dropout(runs, dropout, what)
    # Finalists choose among dropouts: without a choice, nobody need read them.
    finalists = read_runs(files) if len({run.view.label for run in runs}) > 1 else []
    network = meant((run.view for run in runs), finalists)
    chosen = [run for view in network.runs for run in runs if run.view is view]
    for run in chosen:
        certify_saved(run.network.weights, run.network.architecture, max_params)
    return chosen


def of_seeds(runs: list[TrainedRun], seeds: Collection[int]) -> list[TrainedRun]:
    """
    Raises:
        StudyError: there is no run of one of these seeds.
    """
    there = [run.view.seed for run in runs]
    for seed in seeds:
        if seed not in there:
            known = ", ".join(map(str, there))
            raise StudyError(f"seed = {seed}: {runs[0].name} was not trained with it; there are {known}")
    return [run for run in runs if run.view.seed in seeds]


def _of_dropout(runs: list[TrainedRun], dropout: float, what: str) -> list[TrainedRun]:
    """The runs of a trial with this dropout, whether it is the trial's own or not."""

    def dropouts(run: TrainedRun) -> set[float]:
        return {stage.dropout for stage in run.network.architecture.stages}

    chosen = [run for run in runs if dropouts(run) == {dropout}]
    if not chosen:
        known = ", ".join(f"{value:g}" for value in sorted(set().union(*map(dropouts, runs))))
        raise StudyError(f"{what}: was not trained with dropout {dropout:g}; it was with {known}")
    return chosen


def _read(path: Path) -> TrainedRun:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        view = run_view(values)
        mean, std = (tuple(map(float, values[name])) for name in ("mean", "std"))
        channels = view.architecture.in_channels
        if len(mean) != channels or len(std) != channels or not all(map(isfinite, (*mean, *std))) or min(std) <= 0:
            raise ValueError("mean and std")
        precision = next(known for known in PRECISIONS if known == view.precision)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration) as error:
        raise StorageError(f"{path}: cannot be read ({error})") from None
    network = TrainedNetwork(view.architecture, path.parent / "weights.safetensors", mean, std, precision)
    return TrainedRun(view, network, values)
