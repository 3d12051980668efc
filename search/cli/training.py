"""nas search, nas retrain."""

import sys
from pathlib import Path
from statistics import fmean
from typing import Annotated

import typer

from search.cli.options import (
    BatchSize,
    CpusPerWorker,
    Device,
    GpusPerWorker,
    LimitTexts,
    LogName,
    OutputFormat,
    Ray,
    SpaceFile,
    Studies,
    StudyName,
    Workers,
    designed,
    machine_of,
    one_of,
    open_study,
    print_runs,
    recipe_of,
)
from search.cli.output import Format, print_rows
from search.errors import InputError
from search.files import StudyFiles


def search(
    budget: Annotated[str, typer.Option("--budget", help="Most parameters a network may have: 5e6, 5M, 500k.")],
    trials: Annotated[str, typer.Option("--trials", help="Trained networks, in total across runs.")] = "100",
    space: SpaceFile = None,
    data: Annotated[
        str,
        typer.Option("--data", help="digits, cifar10, cifar100, fashion-mnist, svhn, or the path of a data set."),
    ] = "cifar10",
    study: Annotated[str | None, typer.Option("--study", help="Name; without it, data and budget.")] = None,
    studies: Studies = Path("studies"),
    storage: Annotated[str | None, typer.Option("--storage", help="Database URL; without it, a file.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Epochs of a trial; without it, the recipe's.")] = None,
    recipe: Annotated[str, typer.Option("--recipe", help="How trials train: a name or YAML file.")] = "fast",
    pruner: Annotated[str, typer.Option("--pruner", help="Ends poor trials: asha, median or none.")] = "asha",
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
        typer.Option("--fill", help="Least share of the budget to use, or none; 0.5 unless the space is small."),
    ] = None,
    warm_start: Annotated[
        bool, typer.Option(" /--no-warm-start", help="Leave out the hand-made networks that are the first trials.")
    ] = True,
    log: LogName = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Sample and count the designs, train none.")] = False,
    format: OutputFormat = Format.TABLE,
) -> None:
    """Search for the best network within the budget. The same command again goes on where it stopped."""
    from search.data.datasets import open_dataset
    from search.recipes import FULL
    from search.run import launch
    from search.run.plans import fit_recipe
    from search.run.proposals import with_default_fill
    from search.space.limits import parse_count, parse_duration, parse_fill, parse_limits
    from search.space.space import load_space
    from search.study.plan import Data, Question

    num_trials = parse_count(trials, "trials")
    seconds = parse_duration(timeout) if timeout is not None else None
    max_params = parse_count(budget)
    limits = parse_limits(limit or (), max_params, 0.0 if fill in (None, "none") else parse_fill(fill))
    dataset = open_dataset(data)
    question = Question(
        budget=max_params,
        data=Data.of(dataset),
        space=load_space(space),
        recipe=fit_recipe(recipe_of(recipe, epochs, batch_size), dataset),
        sampler=one_of("sampler", sampler, ("tpe", "random")),
        pruner=one_of("pruner", pruner, ("asha", "median", "none")),
        seed=seed,
        limits=limits.texts,
        fill=limits.fill,
        warm_start=warm_start,
    )
    if fill is None:
        question = with_default_fill(question)
    machine = machine_of(device, workers, ray, gpus_per_worker, cpus_per_worker)
    if dry_run:
        rows, draws = launch.dry_run(question, num_trials)
        if format is Format.TABLE:
            rows = [designed(row) for row in rows]
        print_rows(rows, format)
        note = f"{len(rows)} different designs within {max_params:,} parameters from {draws} draws, none trained"
        print(note, file=sys.stderr)
        return

    from rich.console import Console

    from search.cli.logs import open_log
    from search.cli.progress import SearchProgress
    from search.run.interruption import Interruption

    files = StudyFiles(studies, study or f"{dataset.name}-{_short_count(max_params)}")
    least = [f"at least {question.fill:.0%} of them used"] if question.fill else []
    further = "".join(f", {text}" for text in [*question.limits, *least])
    headline = (
        f"study {files.name} in {files.folder}: at most {max_params:,} parameters{further}, {dataset.name}, "
        f"{num_trials} trials of {question.recipe.epochs} epochs"
    )
    with (
        open_log(log, files) as to_log,
        Interruption() as interruption,
        SearchProgress(headline, num_trials, question.recipe, FULL, dataset.image_size, Console(), to_log) as progress,
    ):
        request = launch.SearchRequest(question, data, num_trials, storage, seconds)
        outcome = launch.search(files, request, machine, progress, interruption)
    interruption.require_none()
    if outcome.too_slow:
        print(f"{outcome.too_slow} designs missed the limit of latency and were not trained")
    if outcome.early_stop:
        print(f"stopped early: {outcome.early_stop}")
    print(
        f"{outcome.num_trained} trials trained; {outcome.num_proposed} designs proposed from {outcome.draws} draws "
        f"({outcome.repairs} moved into the limits, {outcome.fallbacks} uniform instead), none of them over the budget "
        "or a repeat"
    )
    _print_best(files, storage)


def retrain(
    trial: Annotated[list[int] | None, typer.Option("--trial", help="Trial to retrain; may be given again.")] = None,
    per_budget: Annotated[
        str | None, typer.Option("--per-budget", help="Retrain the best trial under each of 0.3M,1M,2M.")
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", min=1, help="Choose among the best K at full length; 1: the best trial.")
    ] = None,
    baseline: Annotated[
        list[str] | None, typer.Option("--baseline", help="Named baseline to train beside them; may be given again.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=100, help="Final runs of each network.")] = 1,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Epochs; without it, the recipe's.")] = None,
    recipe: Annotated[str, typer.Option("--recipe", help="Training recipe: a name or YAML file.")] = "full",
    dropout: Annotated[
        float | None, typer.Option("--dropout", help="Of the trials, instead of their own; --top 2 or more chooses it.")
    ] = None,
    holdout: Annotated[
        bool, typer.Option("--holdout", help="Keep the validation images out of the final training.")
    ] = False,
    batch_size: BatchSize = None,
    workers: Workers = "auto",
    ray: Ray = None,
    gpus_per_worker: GpusPerWorker = None,
    cpus_per_worker: CpusPerWorker = None,
    device: Device = "auto",
    log: LogName = None,
    study: StudyName = None,
    studies: Studies = Path("studies"),
) -> None:
    """Train found networks at full length and open the test set, once per run.

    With --top K of 2 or more the K best trials are first trained at full length on the training split alone, two seeds
    each, and the best by mean validation accuracy is the one to be trained finally. So is its dropout chosen, from all
    that the study's space offers: the short schedule of a search favours none. With --top 1 the best trial of the
    search is trained finally as it is. What was trained with --holdout is compared with other such runs alone.
    """
    from rich.console import Console

    from search.cli.logs import open_log
    from search.cli.progress import RetrainProgress
    from search.report.dropouts import dropout_choice
    from search.report.notation import duration
    from search.run import launch
    from search.run.candidates import baseline_candidate, best_trials, best_within, candidate_of, with_dropout
    from search.run.interruption import Interruption
    from search.run.listener import Observer
    from search.run.plans import fit_recipe, open_study_data
    from search.space.limits import parse_count
    from search.study.results import read_runs
    from search.study.storage import read_study

    asked = (bool(trial), top is not None, per_budget is not None)
    if sum(asked) > 1 or not (any(asked) or baseline):
        raise InputError(
            "retrain: give either --trial NUMBER (once or more), --top K or --per-budget LIST, or a --baseline"
        )
    if dropout is not None and not (trial or per_budget):
        raise InputError(
            f"dropout = {dropout:g}: is for --trial and --per-budget; --top 2 or more chooses it, and --top 1 and "
            "baselines keep theirs"
        )
    files, plan = open_study(studies, study)
    records, _ = read_study(files, plan.circumstances.storage)
    full = fit_recipe(recipe_of(recipe, epochs, batch_size), open_study_data(plan))
    numbers = best_trials(records, top) if top is not None else list(dict.fromkeys(trial or []))
    if per_budget is not None:
        numbers = list(
            dict.fromkeys(best_within(records, parse_count(text, "per-budget")) for text in per_budget.split(","))
        )
    candidates = [candidate_of(records, number, plan, full) for number in numbers]
    if dropout is not None:
        candidates = [with_dropout(candidate, dropout) for candidate in candidates]
    baselines = [baseline_candidate(name, plan, full) for name in dict.fromkeys(baseline or [])]
    machine = machine_of(device, workers, ray, gpus_per_worker, cpus_per_worker)
    choose = top is not None and top > 1
    with open_log(log, files) as to_log, Interruption() as interruption:
        progress = RetrainProgress(Console(), to_log)
        request = launch.RetrainRequest(tuple(candidates), tuple(baselines), seeds, choose, holdout)
        observer = Observer(progress.epoch, progress.note)
        ranking, runs = launch.retrain(files, plan, request, machine, observer, interruption)
    rounds = [run for run in read_runs(files) if run.purpose == "finalist"]
    for candidate, accuracy in ranking:
        own = [run for run in rounds if run.identity == candidate.identity]
        cost = f"{own[0].macs:,} MACs, {duration(fmean(run.seconds for run in own))} a run"
        name = candidate.identity.name.removeprefix("trial ")
        print(f"finalist {name}: mean validation accuracy {accuracy:.2%} at full length, {cost}")
    winner = ranking[0][0].identity.trial if ranking else None
    if winner is not None and (choice := dropout_choice(rounds, winner)):
        print(f"chosen is trial {winner} with {choice.told}")
    print_runs(files, plan, runs)


def _print_best(files: StudyFiles, storage: str | None) -> None:
    from search.report.notation import design
    from search.study.reading import read_view
    from search.study.view import merit

    view = read_view(files, storage)
    complete = [each for each in view.trials if each.state == "complete" and each.value is not None]
    if not complete:
        print("no trial was trained to the end")
        return
    best = min(complete, key=lambda each: merit(each.value or 0.0, each.params, each.number))
    print(
        f"best: trial {best.number}, validation accuracy {best.value:.2%}, {best.params:,} parameters "
        f"({best.params / view.budget:.0%} of the budget), {best.macs:,} MACs: {design(best.architecture)}"
    )
    print(f"next: nas retrain --trial {best.number}, or nas retrain --top 3 to choose at full length; then nas report")


def _short_count(number: int) -> str:
    """5000000 as 5M, 20000 as 20k, anything else in full."""
    for size, unit in ((10**6, "M"), (10**3, "k")):
        if number % (size // 10) == 0 and number >= size:
            whole, tenth = divmod(number * 10 // size, 10)
            return f"{whole}.{tenth}{unit}" if tenth else f"{whole}{unit}"
    return str(number)
