"""nas baseline list and train: networks that people designed by hand, and those that anybody would guess."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.architecture import Architecture, ArchitectureError
from search.cli.final_runs import print_final_runs, train_final_runs
from search.cli.hand_made import DEFAULT_BUDGET, hand_made_within, known_baseline
from search.cli.limits import LimitTexts, parse_all_limits
from search.cli.logs import LogNames, open_logs, prepare_logs
from search.cli.machine import CpusPerWorker, Device, GpusPerWorker, Ray, Workers, parse_machine
from search.cli.output import Format, OutputFormat, print_networks
from search.cli.recipe import BatchSize, Epochs, fit_recipe, parse_recipe
from search.cli.studies import Studies, open_study
from search.errors import InputError
from search.files import StudyFiles

if TYPE_CHECKING:
    from search.space.limits import Limits
    from search.space.space import Space, Task


def list_baselines(
    budget: Annotated[
        str | None, typer.Option("--budget", help=f"Most parameters of the guesses; by default, {DEFAULT_BUDGET}.")
    ] = None,
    limit: LimitTexts = None,
    data: Annotated[str | None, typer.Option("--data", help="Data set; by default, images like CIFAR-10's.")] = None,
    study: Annotated[
        str | None, typer.Option("--study", help="Use this study's images, space, budget and limits.")
    ] = None,
    studies: Studies = Path("studies"),
    format: OutputFormat = Format.TABLE,
) -> None:
    """List the named baselines: cost, recipe, and the accuracy their authors reported. Guesses are the networks that
    anybody would try, as large as the budget and the limits allow.

    Costs are for CIFAR-10 and a budget of 5M, unless a study or others are given.
    """
    from search.data.datasets import open_dataset
    from search.space.space import Task, load_space
    from search.study.plan import Data

    if study is None:
        limits = parse_all_limits(budget or DEFAULT_BUDGET, limit, None)
        task = Data.of(open_dataset(data)).task if data is not None else Task(32, in_channels=3, num_classes=10)
        rows = baseline_rows(load_space(), task, limits)
    elif any(option is not None for option in (budget, limit, data)):
        raise InputError("baseline list: --study gives images, budget and limits; leave out the others")
    else:
        question = open_study(studies, study)[1].question
        rows = baseline_rows(question.space, question.data.task, question.all_limits)
    print_networks(rows, format)


def baseline_rows(space: "Space", task: "Task", limits: "Limits") -> list[dict[str, Any]]:
    """One row per baseline of a report or paper, as a network for these images, then one per guess. MACs are None if it
    cannot take them. Where there is no guess, that is said on stderr."""
    from models.baselines import BASELINES, Baseline, find_baseline
    from models.count import count_macs, count_parameters
    from search.space.guesses import RECIPE, first_guesses, guesses, no_guess

    def macs(network: Architecture) -> int | None:
        try:
            return count_macs(network, task.image_size)
        except ArchitectureError:
            return None

    def row(name: str, network: Architecture, source: str, recipe: str, reported: str, note: str) -> dict[str, Any]:
        return {
            "name": name,
            "source": source,
            "params": count_parameters(network),
            "macs": macs(network),
            "within_budget": limits.has_room_for(network),
            "recipe": recipe,
            "reported": reported,
            "architecture": network.to_dict(),
            "note": note,
        }

    def row_of_report(made: Baseline) -> dict[str, Any]:
        network = find_baseline(made.name, task.in_channels, task.num_classes)
        return row(made.name, network, made.origin, made.recipe, made.reported, made.note)

    family = guesses(space, task, limits)
    if not family:
        print(f"note: {no_guess(space, task, limits)}", file=sys.stderr)
    first = first_guesses(family, task, limits)
    return [
        *map(row_of_report, BASELINES.values()),
        *(
            row(name, network, "guess", RECIPE, "", "among a search's first trials" if name in first else "")
            for name, network in family.items()
        ),
    ]


def train(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Baselines, as listed by `nas baseline list`.")],
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="A name or YAML file; by default, each baseline's own.")
    ] = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=100, help="Runs per baseline.")] = 1,
    workers: Workers = "auto",
    ray: Ray = None,
    gpus_per_worker: GpusPerWorker = None,
    cpus_per_worker: CpusPerWorker = None,
    data: Annotated[str, typer.Option("--data", help="Data set of a new study.")] = "cifar10",
    budget: Annotated[
        str | None, typer.Option("--budget", help=f"Most parameters, for a new study; by default, {DEFAULT_BUDGET}.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed of a new study; by default, 0.")] = None,
    device: Device = "auto",
    log: LogNames = None,
    study: Annotated[
        str | None, typer.Option("--study", help="Study to train them in, new or not; by default, DATA-baselines.")
    ] = None,
    studies: Studies = Path("studies"),
) -> None:
    """Train baselines as their authors did, guesses by the full recipe, and open the test set once per run.

    In the study of a search they are trained on its data and validation split, and reported beside its trials. Without
    --study a study is made for them.
    """
    from models.baselines import BASELINES
    from search.data.datasets import open_dataset
    from search.run.candidates import baseline_candidate
    from search.run.launch import RetrainRequest
    from search.run.plans import baselines_study, open_study_data
    from search.space.guesses import RECIPE, find_hand_made, is_guess
    from search.space.limits import parse_count
    from search.space.space import Task

    logs = prepare_logs(log)
    for name in names:
        if not is_guess(name):  # here, since data may take long
            hand_made_within(name, Task(32, in_channels=3, num_classes=10), None)
    most = parse_count(budget or DEFAULT_BUDGET)
    own_recipes = {name: made.recipe for name, made in BASELINES.items()}
    machine = parse_machine(device, workers, ray, gpus_per_worker, cpus_per_worker)
    files = StudyFiles(studies, study or f"{open_dataset(data).name}-baselines")
    plan = baselines_study(files, data, most, seed or 0)
    question = plan.question
    if budget is not None and most != question.budget:
        rule = f"study {files.name!r} has one of {question.budget:,}; leave out --budget, or choose another --study"
        raise InputError(f"budget = {budget}: {rule}")
    if seed is not None and seed != question.seed:
        rule = f"study {files.name!r} has seed {question.seed}; leave out --seed, or choose another --study"
        raise InputError(f"seed = {seed}: {rule}")
    names = list(dict.fromkeys(known_baseline(name, files, plan) for name in names))
    for name in names:
        find_hand_made(name, question.space, plan.task, question.all_limits)
    recipes = {name: parse_recipe(recipe or own_recipes.get(name, RECIPE), epochs, batch_size) for name in names}
    dataset = open_study_data(plan)
    on_gpu = machine.has_gpu
    fitted = {recipe: fit_recipe(recipe, dataset, False, on_gpu) for recipe in dict.fromkeys(recipes.values())}
    candidates = [baseline_candidate(name, plan, fitted[recipes[name]]) for name in names]
    request = RetrainRequest(baselines=tuple(candidates), num_seeds=seeds)
    with open_logs(logs, files) as to_log:
        print(f"study {files.name} in {files.folder}: {dataset.name}")
        _, runs = train_final_runs(files, plan, request, machine, to_log)
        print_final_runs(files, plan, runs)
