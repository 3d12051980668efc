"""nas baseline list and train: networks that people designed by hand."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.architecture import Architecture, ArchitectureError
from search.cli.final_runs import print_final_runs, train_final_runs
from search.cli.logs import LogName, open_log
from search.cli.machine import CpusPerWorker, Device, GpusPerWorker, Ray, Workers, parse_machine
from search.cli.output import Format, OutputFormat, print_networks
from search.cli.recipe import BatchSize, Epochs, fit_recipe, parse_recipe
from search.cli.studies import Studies, open_study
from search.files import StudyFiles

if TYPE_CHECKING:
    from search.space.space import Task


def list_baselines(
    study: Annotated[str | None, typer.Option("--study", help="Use this study's images and budget.")] = None,
    studies: Studies = Path("studies"),
    format: OutputFormat = Format.TABLE,
) -> None:
    """List the named baselines: cost, recipe, and the accuracy their authors reported.

    Costs are for CIFAR-10 and a budget of 5M, unless a study is given.
    """
    from models.baselines import BUDGET
    from search.space.space import Task

    budget, task = BUDGET, Task(image_size=32, in_channels=3, num_classes=10)
    if study is not None:
        question = open_study(studies, study)[1].question
        budget, task = question.all_limits.max_params, question.data.task
    print_networks(baseline_rows(budget, task), format)


def baseline_rows(budget: int, task: "Task") -> list[dict[str, Any]]:
    """One row per baseline, as a network for these images. MACs are None if it cannot take them."""
    from models.baselines import BASELINES, find_baseline
    from models.count import count_macs, count_parameters

    def macs(network: Architecture) -> int | None:
        try:
            return count_macs(network, task.image_size)
        except ArchitectureError:
            return None

    networks = {name: find_baseline(name, task.in_channels, task.num_classes) for name in BASELINES}
    return [
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
    budget: Annotated[str, typer.Option("--budget", help="Most parameters, for a new study.")] = "5M",
    device: Device = "auto",
    log: LogName = None,
    study: Annotated[
        str | None, typer.Option("--study", help="Study to train them in, new or not; by default, DATA-baselines.")
    ] = None,
    studies: Studies = Path("studies"),
) -> None:
    """Train baselines as their authors did, and open the test set once per run.

    In the study of a search they are trained on its data and validation split, and reported beside its trials. Without
    --study a study is made for them.
    """
    from models.baselines import BASELINES, find_baseline
    from search.data.datasets import open_dataset
    from search.run.candidates import baseline_candidate
    from search.run.launch import RetrainRequest
    from search.run.plans import baselines_study, open_study_data
    from search.space.limits import parse_count

    names = list(dict.fromkeys(names))
    for name in names:
        find_baseline(name)
    recipes = {name: parse_recipe(recipe or BASELINES[name].recipe, epochs, batch_size) for name in names}
    machine = parse_machine(device, workers, ray, gpus_per_worker, cpus_per_worker)
    files = StudyFiles(studies, study or f"{open_dataset(data).name}-baselines")
    plan = baselines_study(files, data, parse_count(budget))
    dataset = open_study_data(plan)
    on_gpu = machine.has_gpu
    fitted = {recipe: fit_recipe(recipe, dataset, False, on_gpu) for recipe in dict.fromkeys(recipes.values())}
    candidates = [baseline_candidate(name, plan, fitted[recipes[name]]) for name in names]
    request = RetrainRequest(baselines=tuple(candidates), num_seeds=seeds)
    with open_log(log, files) as to_log:
        print(f"study {files.name} in {files.folder}: {dataset.name}")
        _, runs = train_final_runs(files, plan, request, machine, to_log)
    print_final_runs(files, plan, runs)
