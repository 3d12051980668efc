"""Networks that a study has trained finally, on disk with their weights."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from models.architecture import Architecture
from search.errors import NasError, StorageError, StudyError
from search.files import StudyFiles
from search.identity import Identity
from search.recipe import is_mirrored
from search.space.guesses import find_hand_made, is_guess
from search.study.meant import is_of, meant, others
from search.study.networks import is_tested
from search.study.plan import Plan
from search.study.results import read_results, read_values
from search.study.rounds import last_round
from search.study.storage import architecture_of, is_whole, read_study
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
    seeds: Collection[int] | None = None,
    note: Callable[[str], None] = lambda line: None,
) -> list[TrainedRun]:
    """The final runs of the network that is meant by a trial, or else by a baseline, in the order of their seeds.

    `recipe` and `dropout` leave out what was trained otherwise; of the rest `search.study.meant` says which network is
    meant. Of a baseline that was trained by several recipes, one must be named. The files of weights are counted, and a
    trial's must be within the limits of the search.

    Args:
        recipe: a recipe's name, its name and length as in full-40ep, or the whole key of a training.
        seeds: those whose weights are wanted; None for all.
        note: is told, a line each, of results that were put aside, and which network is meant where there are others.

    Raises:
        StudyError: there is no such run, or a recipe must be named.
        TrainingError: weights do not hold the parameters they should.
        StorageError: a file cannot be read.
    """
    assert (trial is None) != (baseline is None)
    if baseline is not None:
        find_hand_made(baseline, plan.question.space, plan.task, plan.question.all_limits)
        what, command = f"baseline = {baseline}", f"--baseline {baseline}"
    else:
        what, command = f"trial = {trial}", f"--trial {trial}"
    results = read_results(files, plan.question.data.ledger_name)
    designs = _designs(files, plan) if trial is not None else {}
    known = [run for run in results.runs if is_of(run, designs.get(run.identity.trial))]
    own = [run for run in known if is_tested(run) and (run.identity.trial, run.identity.baseline) == (trial, baseline)]
    if not own and results.unread:
        raise StorageError(f"{what}: has no trained weights that can be read: {results.unread[0]}")
    if not own:
        raise StudyError(f"{what}: has no trained weights; run `nas retrain {command}` first")
    runs = [run for run in own if recipe in (None, run.recipe, f"{run.recipe}-{run.length}ep", run.key)]
    recipes = sorted({run.recipe for run in own})
    if not runs:
        keys = sorted({run.key for run in own})
        raise StudyError(f"{what}: was not trained by --recipe {recipe}; it was by {', '.join(keys)}")
    if baseline is not None and recipe is None and len(recipes) > 1:
        raise StudyError(f"{what}: was trained by {', '.join(recipes)}; name one of them with --recipe")
    if dropout is not None:
        runs = _of_dropout(runs, dropout, what)
    network = meant(runs, last_round(known))
    for line in results.unread:
        note(line)
    if rest := others(runs, network):
        names = "; ".join(f"{other.training_beside(network)} (--recipe {other.key})" for other in rest)
        seeds_taken = ("seed " if network.seeds == 1 else "seeds ") + _seeds(network.runs)
        taken = f"{network.training_beside(rest[0])}, {seeds_taken}"
        note(f"{what}: taken is {taken}; it was also trained by {names}")
    chosen = [trained_run(run, plan.question.data.name) for run in network.runs]
    for run in chosen:
        if seeds is None or run.view.seed in seeds:
            require_weights(plan, run)
    return chosen


def require_weights(plan: Plan, run: TrainedRun) -> None:
    """
    Raises:
        TrainingError: its weights do not hold the parameters they should, or those of a trial or a guess are over the
            limits of the search.
        StorageError: they cannot be read, or are gone.
    """
    weights, identity = run.network.weights, run.view.identity
    if not weights.is_file():
        raise StorageError(f"{weights}: is gone; the `nas retrain` that trained {run.name} trains it again")
    max_params = plan.question.all_limits.max_params if is_limited(identity) else None
    certify_saved(weights, run.network.architecture, max_params)


def is_limited(identity: Identity) -> bool:
    """Whether the limits of the search hold for a network: for trials and guesses, not for baselines of reports."""
    return identity.baseline is None or is_guess(identity.baseline)


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


def _designs(files: StudyFiles, plan: Plan) -> dict[int | None, Architecture]:
    """The designs of the study's trials, by number; none where its database is out of reach."""
    try:
        trials, _ = read_study(files, plan.circumstances.storage)
    except NasError:
        return {}
    return {trial.number: architecture_of(trial) for trial in trials if is_whole(trial)}


def _of_dropout(runs: list[RunView], dropout: float, what: str) -> list[RunView]:
    """The runs of a trial with this dropout, whether it is the trial's own or not."""

    def dropouts(run: RunView) -> set[float]:
        return {stage.dropout for stage in run.architecture.stages}

    chosen = [run for run in runs if dropouts(run) == {dropout}]
    if not chosen:
        known = ", ".join(f"{value:g}" for value in sorted(set().union(*map(dropouts, runs))))
        raise StudyError(f"{what}: was not trained with dropout {dropout:g}; it was with {known}")
    return chosen


def _seeds(runs: Iterable[RunView]) -> str:
    return ", ".join(str(run.seed) for run in runs)


def trained_run(view: RunView, data: str) -> TrainedRun:
    """A run that has kept its weights, with its network.

    Raises:
        StorageError: its result does not say how its images were normalised.
    """
    assert view.folder is not None
    path = view.folder / "result.json"
    values = read_values(path)
    try:
        mean, std = (tuple(map(float, values[name])) for name in ("mean", "std"))
        channels = view.architecture.in_channels
        if len(mean) != channels or len(std) != channels or not all(map(isfinite, (*mean, *std))) or min(std) <= 0:
            raise ValueError("mean and std")
        precision = next(known for known in PRECISIONS if known == view.precision)
    except (ValueError, LookupError, TypeError, StopIteration) as error:
        raise StorageError(f"{path}: cannot be read ({error or 'precision'})") from None
    mirrored = is_mirrored(view.recipe_values.get("flip"), data)
    network = TrainedNetwork(view.architecture, view.folder / "weights.safetensors", mean, std, precision, mirrored)
    return TrainedRun(view, network, values)
