"""nas search: find the best network within a budget."""

import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.choices import one_of
from search.cli.limits import LimitTexts, SpaceFile, parse_all_limits
from search.cli.logs import LogNames, open_logs, prepare_logs
from search.cli.machine import CpusPerWorker, Device, GpusPerWorker, Ray, Workers, parse_machine
from search.cli.output import Format, OutputFormat, print_networks
from search.cli.recipe import BatchSize, fit_recipe, parse_recipe
from search.cli.studies import Studies
from search.errors import InputError
from search.files import StudyFiles
from search.quantities import plural

if TYPE_CHECKING:
    from search.data.datasets import Dataset
    from search.recipe import Recipe
    from search.run.launch import SearchRequest
    from search.run.listener import Outcome
    from search.run.plans import Option
    from search.study.plan import Question
    from search.tracking.trackers import Trackers
    from search.workers.machine import Machine


def search(
    budget: Annotated[str, typer.Option("--budget", help="Most parameters a network may have: 5e6, 5M, 500k.")],
    trials: Annotated[
        str | None, typer.Option("--trials", help="Trained networks, in total over all runs.", show_default="100")
    ] = None,
    time: Annotated[
        str | None,
        typer.Option("--time", help="Instead of --trials: how long to search, which chooses their number and length."),
    ] = None,
    space: SpaceFile = None,
    data: Annotated[
        str,
        typer.Option("--data", help="digits, cifar10, cifar100, fashion-mnist, svhn, or the path of a data set."),
    ] = "cifar10",
    study: Annotated[str | None, typer.Option("--study", help="Name; by default, data and budget.")] = None,
    studies: Studies = Path("studies"),
    storage: Annotated[str | None, typer.Option("--storage", help="Database URL; by default, a file.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Epochs per trial; by default, the recipe's.")] = None,
    recipe: Annotated[str, typer.Option("--recipe", help="How trials are trained: a name or YAML file.")] = "fast",
    pruner: Annotated[
        str, typer.Option("--pruner", help="What stops poor trials early: asha, median or none.")
    ] = "asha",
    sampler: Annotated[str, typer.Option("--sampler", help="What proposes designs: tpe or random.")] = "tpe",
    batch_size: BatchSize = None,
    workers: Workers = "auto",
    ray: Ray = None,
    gpus_per_worker: GpusPerWorker = None,
    cpus_per_worker: CpusPerWorker = None,
    device: Device = "auto",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Fixes split, proposals and training.")] = 0,
    timeout: Annotated[str | None, typer.Option("--timeout", help="Stop after this time: 90s, 30m, 2h.")] = None,
    limit: LimitTexts = None,
    fill: Annotated[
        str | None,
        typer.Option(
            "--fill",
            help="Least share to use of what budget and bytes leave, or none; by default 0.8, none in a small space.",
        ),
    ] = None,
    warm_start: Annotated[
        bool, typer.Option(" /--no-warm-start", help="Leave out the hand-made networks that are the first trials.")
    ] = True,
    log: LogNames = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Sample and count the designs, train none.")] = False,
    format: OutputFormat = Format.TABLE,
) -> None:
    """Search for the best network within the budget. Run the same command again to continue an interrupted search."""
    began = monotonic()
    from search.run import launch, plans
    from search.space.limits import parse_duration

    num_trials, time_given = parse_length(trials, time, dry_run)
    seconds, logs = parse_duration(timeout) if timeout is not None else None, prepare_logs(log)
    chosen = parse_recipe(recipe, epochs, batch_size)
    dataset, asked = parse_question(data, budget, limit, fill, space, chosen, sampler, pruner, seed, warm_start)
    machine = parse_machine(device, workers, ray, gpus_per_worker, cpus_per_worker)
    files = StudyFiles(studies, study or default_study(dataset.name, asked.budget))
    if not dry_run and plans.is_for_gpu(files, machine):
        asked = asked.changed(recipe=plans.fit_recipe(chosen, dataset, on_gpu=True))
    given = given_options(space, limit, fill, epochs, time)
    question = plans.settle(asked, given, plans.begun(files), lambda text: print(text, file=sys.stderr))
    if dry_run:
        if logs:
            print("note: log: a dry run trains nothing, and no log is told", file=sys.stderr)
        assert num_trials is not None
        sampled = launch.dry_run(question, num_trials)
        print_networks(sampled.rows, format)
        counted = f"{plural(len(sampled.rows), 'different design')} within {plural(question.budget, 'parameter')}"
        print(f"{counted} from {plural(sampled.num_draws, 'draw')}, none trained", file=sys.stderr)
        print(f"limits: {', '.join(limit_words(question))}", file=sys.stderr)
        if sampled.early_stop:
            print(f"stopped early: {sampled.early_stop}", file=sys.stderr)
        return
    request = launch.SearchRequest(question, data, num_trials, storage, seconds, time_given, began, epochs is None)
    with open_logs(logs, files) as to_log:
        outcome = _run(files, request, machine, to_log)
        print_outcome(outcome)
        print_best(files, storage)


def parse_question(
    data: str,
    budget: str,
    limit: Sequence[str] | None,
    fill: str | None,
    space: Path | None,
    recipe: "Recipe",
    sampler: str,
    pruner: str,
    seed: int,
    warm_start: bool,
) -> "tuple[Dataset, Question]":
    """The data set, and what the study asks about it. What is not given is still to be settled.

    Raises:
        InputError: an option does not parse, or the recipe does not fit the data.
    """
    from search.data.datasets import open_dataset
    from search.space.space import load_space
    from search.study.plan import Data, Question

    limits = parse_all_limits(budget, limit, None if fill == "none" else fill)  # first, since data may take long
    dataset = open_dataset(data)
    question = Question(
        budget=limits.budget,
        data=Data.of(dataset),
        space=load_space(space),
        recipe=fit_recipe(recipe, dataset),
        sampler=one_of("sampler", sampler, ("tpe", "random")),
        pruner=one_of("pruner", pruner, ("asha", "median", "none")),
        seed=seed,
        limits=limits.texts,
        fill=limits.fill,
        warm_start=warm_start,
    )
    return dataset, question


def parse_length(trials: str | None, time: str | None, dry_run: bool) -> tuple[int | None, float | None]:
    """How many trials are asked for, 100 by default, or None and the seconds that are asked for instead.

    Raises:
        InputError: one of them does not parse, both are given, or a dry run, which trains nothing, is given a time.
    """
    from search.space.limits import parse_count, parse_duration

    if time is None:
        return parse_count("100" if trials is None else trials, "trials"), None
    seconds = parse_duration(time, "time")
    if trials is not None:
        raise InputError(f"time = {time!r}: is instead of --trials; leave out one of them")
    if dry_run:
        raise InputError(f"time = {time!r}: a dry run trains nothing; give it --trials")
    return None, seconds


def given_options(
    space: Path | None, limit: Sequence[str] | None, fill: str | None, epochs: int | None, time: str | None
) -> "set[Option]":
    """The options with changing defaults that were given, for `search.run.plans.settle`."""
    from search.space.limits import macs_choice

    macs = macs_choice(limit or ())
    given: dict[Option, bool] = {
        "space": space is not None,
        "macs": macs is not None,
        "rule": macs == "auto",
        "fill": fill is not None,
        "epochs": epochs is not None,
        "time": time is not None,
    }
    return {option for option, is_given in given.items() if is_given}


def default_study(data: str, budget: int) -> str:
    """The name of a study that was given none: cifar10-5M."""
    from search.space.limits import short_count

    return f"{data}-{short_count(budget)}"


def _run(files: StudyFiles, request: "SearchRequest", machine: "Machine", log: "Trackers") -> "Outcome":
    """Call `search.run.launch.search` with its progress on the screen, and stop politely on a signal."""
    from rich.console import Console

    from search.cli.progress import SearchProgress
    from search.recipes import FULL
    from search.run import launch
    from search.run.interruption import Interruption

    question, num_trials = request.question, request.num_trials
    headline, pruner = _headline(files, request), question.pruner
    with (
        Interruption() as interruption,
        SearchProgress(headline, num_trials, question.recipe, FULL, pruner, Console(), log, interruption) as progress,
    ):
        outcome = launch.search(files, request, machine, progress, interruption)
    interruption.require_none()
    return outcome


def _headline(files: StudyFiles, request: "SearchRequest") -> str:
    from search.report.notation import duration

    question = request.question
    if request.num_trials is not None:
        length = f"{plural(request.num_trials, 'trial')} of {plural(question.recipe.epochs, 'epoch')}"
    else:
        length = f"as many trials as there is time for in {duration(request.time)}"
    return f"study {files.name} in {files.folder}: {', '.join(limit_words(question))}, {question.data.name}, {length}"


def limit_words(question: "Question") -> list[str]:
    """The limits as people read them, the budget first."""
    from search.space.limits import fill_words, macs_words

    limits = question.all_limits
    words = [f"at most {plural(question.budget, 'parameter')}"]
    if question.fill:
        words.append(f"at least {question.fill:.0%} of {fill_words(limits)} used")
    if limits.macs is not None:
        words.append(f"at most {macs_words(limits.macs, limits.max_params, question.data.image_size)}")
    return [*words, *(text for text in question.limits if not text.startswith("macs="))]


def print_outcome(outcome: "Outcome") -> None:
    """How many networks were proposed and trained, and why the search stopped early, if it did."""
    if outcome.too_slow:
        were = "was" if outcome.too_slow == 1 else "were"
        print(f"{plural(outcome.too_slow, 'design')} missed the limit of latency and {were} not trained")
    if outcome.early_stop:
        print(f"stopped early: {outcome.early_stop}")
    if outcome.num_unfinished:
        how = "the same command" if outcome.early_stop else "the same command with more --trials"
        which = "it" if outcome.num_unfinished == 1 else "them"
        print(f"{plural(outcome.num_unfinished, 'interrupted trial')} left: {how} goes on with {which}")
    proposed = f"{plural(outcome.num_proposed, 'design')} proposed from {plural(outcome.draws, 'draw')}"
    print(
        f"{plural(outcome.num_trained, 'trial')} trained; {proposed} ({outcome.repairs:,} moved into the limits, "
        f"{outcome.fallbacks:,} random instead), none of them over the budget or a repeat"
    )


def print_best(files: StudyFiles, storage: str | None) -> None:
    """The best trial, and the commands that come next."""
    from search.report.notation import design
    from search.study.reading import read_view
    from search.study.view import merit

    view = read_view(files, storage)
    complete = [trial for trial in view.trials if trial.state == "complete" and trial.value is not None]
    if not complete:
        print("no trial was trained to the end")
        return
    best = min(complete, key=lambda trial: merit(trial.value or 0.0, trial.params, trial.number))
    share, limit = view.used(best.architecture)
    print(
        f"best: trial {best.number}, validation accuracy {best.value:.2%}, {plural(best.params, 'parameter')} "
        f"({share:.0%} of {limit}), {plural(best.macs, 'MAC')}: {design(best.architecture)}"
    )
    several = (
        f", or nas retrain --top {min(9, len(complete))} to choose by longer training" if len(complete) > 1 else ""
    )
    print(f"next: nas retrain --trial {best.number}{several}; then nas report")
