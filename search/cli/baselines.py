"""nas baseline: networks that people designed by hand."""

from pathlib import Path
from typing import Annotated, Any

import typer

from models.architecture import Architecture, ArchitectureError
from search.cli.options import (
    BatchSize,
    CpusPerWorker,
    Device,
    GpusPerWorker,
    LogName,
    OutputFormat,
    Ray,
    Studies,
    Workers,
    designed,
    machine_of,
    open_study,
    print_runs,
    recipe_of,
)
from search.cli.output import Format, print_rows
from search.files import StudyFiles


def list_baselines(
    study: Annotated[str | None, typer.Option("--study", help="For a study's images and budget.")] = None,
    studies: Studies = Path("studies"),
    format: OutputFormat = Format.TABLE,
) -> None:
    """List the named baselines: cost, recipe, and the accuracy their authors reported.

    Costs are those for CIFAR-10 and the budget 5M, unless a study is named.
    """
    from models.baselines import BASELINES, BUDGET, find_baseline
    from models.count import count_macs, count_parameters

    budget, size, channels, classes = BUDGET, 32, 3, 10
    if study is not None:
        question = open_study(studies, study)[1].question
        budget, (size, channels, classes) = question.budget, question.data.task
    networks = {name: find_baseline(name, channels, classes) for name in BASELINES}

    def macs(network: Architecture) -> int | None:
        try:
            return count_macs(network, size)
        except ArchitectureError:
            return None  # it cannot take images of that size

    rows: list[dict[str, Any]] = [
        {
            "name": baseline.name,
            "source": f"report {baseline.report}",
            "params": (params := count_parameters(networks[baseline.name])),
            "macs": macs(networks[baseline.name]),
            "within_budget": params <= budget,
            "recipe": baseline.recipe,
            "reported": baseline.reported,
            "architecture": networks[baseline.name].to_dict(),
            "note": baseline.note,
        }
        for baseline in BASELINES.values()
    ]
    print_rows([designed(row) for row in rows] if format is Format.TABLE else rows, format)


def train(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Baselines, as `nas baseline list` has them.")],
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="A name or YAML file; without it, each baseline's own.")
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Epochs; without it, the recipe's.")] = None,
    batch_size: BatchSize = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=100, help="Runs of each.")] = 1,
    workers: Workers = "auto",
    ray: Ray = None,
    gpus_per_worker: GpusPerWorker = None,
    cpus_per_worker: CpusPerWorker = None,
    data: Annotated[str, typer.Option("--data", help="Data set of a new study.")] = "cifar10",
    budget: Annotated[str, typer.Option("--budget", help="Limit of a new study.")] = "5M",
    device: Device = "auto",
    log: LogName = None,
    study: Annotated[
        str | None, typer.Option("--study", help="A study to train them in, new or not; without it, DATA-baselines.")
    ] = None,
    studies: Studies = Path("studies"),
) -> None:
    """Train baselines as their authors did, and open the test set once per run.

    In a study that a search has begun they stand beside its trials, on its data and validation split; without one, a
    study is made for them.
    """
    from rich.console import Console

    from models.baselines import BASELINES, find_baseline
    from search.cli.logs import open_log
    from search.cli.progress import RetrainProgress
    from search.data.datasets import open_dataset
    from search.run import launch
    from search.run.candidates import baseline_candidate
    from search.run.interruption import Interruption
    from search.run.listener import Observer
    from search.run.plans import baselines_study, fit_recipe, open_study_data
    from search.space.limits import parse_count

    names = list(dict.fromkeys(names))
    for name in names:
        find_baseline(name)
    recipes = {name: recipe_of(recipe or BASELINES[name].recipe, epochs, batch_size) for name in names}
    machine = machine_of(device, workers, ray, gpus_per_worker, cpus_per_worker)
    files = StudyFiles(studies, study or f"{open_dataset(data).name}-baselines")
    plan = baselines_study(files, data, parse_count(budget))
    dataset = open_study_data(plan)
    fitted = {name: fit_recipe(recipes[name], dataset) for name in names}
    candidates = [baseline_candidate(name, plan, fitted[name]) for name in names]
    with open_log(log, files) as to_log, Interruption() as interruption:
        print(f"study {files.name} in {files.folder}: {dataset.name}")
        progress = RetrainProgress(Console(), to_log)
        request = launch.RetrainRequest(baselines=tuple(candidates), num_seeds=seeds)
        observer = Observer(progress.epoch, progress.note)
        _, runs = launch.retrain(files, plan, request, machine, observer, interruption)
    print_runs(files, plan, runs)
