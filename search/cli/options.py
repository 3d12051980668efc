"""Options that several commands take, and what they stand for."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.output import Format
from search.errors import InputError, StudyError
from search.files import StudyFiles

if TYPE_CHECKING:
    from models.architecture import Architecture
    from search.recipe import Recipe
    from search.space.space import Task
    from search.study.plan import Plan
    from search.study.view import RunView
    from search.workers.machine import Machine

Studies = Annotated[Path, typer.Option("--studies", envvar="NAS_STUDIES", help="Folder of studies.")]
StudyName = Annotated[str | None, typer.Option("--study", help="Name of the study; without it, the one used last.")]
OutputFormat = Annotated[Format, typer.Option("--format", help="How to print.")]
SpaceFile = Annotated[Path | None, typer.Option("--space", help="Search space; without it, the default space.yaml.")]
LimitTexts = Annotated[
    list[str] | None,
    typer.Option("--limit", help="Further limit: macs=6e8, bytes=300KB@int8, activations=1MiB or latency=5ms."),
]
Fill = Annotated[str | None, typer.Option("--fill", help="Least share of the budget to use, as 0.8.")]
LogName = Annotated[str | None, typer.Option("--log", help="Also log every epoch: tensorboard.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
MAX_WORKERS = 64
MAX_RAY_WORKERS = 1_000  # one coordinator was measured with as many simulated ones
Workers = Annotated[
    str,
    typer.Option("--workers", help="Networks trained at the same time; auto: one a core or GPU, all with --ray."),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray", help="Train on a Ray cluster: auto (this machine's), local, or HOST:PORT.", metavar="ADDRESS"
    ),
]
GpusPerWorker = Annotated[
    float | None, typer.Option("--gpus-per-worker", help="With --ray: GPUs of each worker, 0.25 for four on one.")
]
CpusPerWorker = Annotated[
    float | None, typer.Option("--cpus-per-worker", help="With --ray: CPUs of each worker; 1 without it.")
]
BatchSize = Annotated[
    str | None,
    typer.Option("--batch-size", help="Images in a batch; auto: the recipe's, halved once where memory is short."),
]


def recipe_of(name: str, epochs: int | None, batch_size: str | None = None) -> "Recipe":
    from search.recipe import with_batch_size, with_epochs
    from search.recipes import load_recipe
    from search.space.limits import parse_count

    recipe = load_recipe(name)
    if batch_size == "auto":
        recipe = recipe.model_copy(update={"halve_batch": True})
    elif batch_size is not None:
        recipe = with_batch_size(recipe, parse_count(batch_size, "batch-size"))
    return recipe if epochs is None else with_epochs(recipe, epochs)


def machine_of(
    device: str,
    workers: str,
    ray: str | None = None,
    gpus_per_worker: float | None = None,
    cpus_per_worker: float | None = None,
) -> "Machine":
    from search.workers.machine import Machine

    most = MAX_WORKERS if ray is None else MAX_RAY_WORKERS
    if workers != "auto" and workers not in map(str, range(1, most + 1)):
        raise InputError(f"workers = {workers!r}: must be auto, or a number from 1 to {most}")
    num_workers = None if workers == "auto" else int(workers)
    one_of("device", device, ("auto", "cpu", "cuda"))
    if ray is None:
        for name, value in (("gpus-per-worker", gpus_per_worker), ("cpus-per-worker", cpus_per_worker)):
            if value is not None:
                raise InputError(f"{name} = {value:g}: is for workers on a cluster; give --ray too")
        return Machine(device, num_workers)

    from search.workers.ray_cluster import Cluster

    cpus = 1.0 if cpus_per_worker is None else cpus_per_worker
    return Machine(device, num_workers, Cluster(ray, _to_stderr, gpus_per_worker, cpus))


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr)


def one_of(name: str, value: str, choices: tuple[str, ...]) -> Any:
    if value not in choices:
        raise InputError(f"{name} = {value!r}: must be one of {', '.join(choices)}")
    return value


def open_study(studies: Path, name: str | None) -> "tuple[StudyFiles, Plan]":
    """The named study, or the one used last, which is then said."""
    from search.study.plan import Plan

    if name is None:
        last = studies / ".last-study"
        if not last.is_file():
            raise StudyError(f"study: none has been used in {studies}; name one with --study")
        name = last.read_text(encoding="utf-8").strip()
        print(f"study: {name}", file=sys.stderr)
    files = StudyFiles(studies, name)
    return files, Plan.load(files)


def task_of(data: str | None) -> "Task":
    from search.space.space import Task
    from search.study.plan import Data

    if data is None:
        return Task(image_size=32, in_channels=3, num_classes=10)
    from search.data.datasets import open_dataset

    return Data.of(open_dataset(data)).task


def designed(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its architecture on one line, for people."""
    from models.architecture import Architecture
    from search.report.notation import design

    return row | {"architecture": design(Architecture.from_dict(row["architecture"]))}


def trial_architecture(studies: Path, study: str | None, number: int) -> "tuple[Architecture, int]":
    from search.study.reading import read_view

    files, _ = open_study(studies, study)
    view = read_view(files)
    found = [each.architecture for each in view.trials if each.number == number]
    if not found:
        raise StudyError(f"trial = {number}: no such trial in study {files.name!r}")
    return found[0], view.image_size


def print_runs(files: StudyFiles, plan: "Plan", runs: "list[RunView]") -> None:
    """What final runs came to, where they are, and what they say of the study's networks beside its baselines."""
    from search.report.findings import find
    from search.report.notation import duration, plural
    from search.report.verdicts import comparison_sentences, network_sentences
    from search.study.reading import read_view

    budget = plan.question.budget
    for run in runs:
        folder = files.final(run.identity, run.recipe, run.seed, run.holdout)
        name = run.identity.name + (f" by {run.recipe}" if run.identity.baseline else "")
        within = f"budget {budget:,}" if run.params <= budget else f"a reference, over the budget of {budget:,}"
        kept = f" with the weights of epoch {run.kept_epoch}" if run.kept_epoch is not None else ""
        kept += ", validation images held out" if run.holdout else ""
        print(
            f"{name} seed {run.seed}: test accuracy {run.test_accuracy:.2%}{kept}, {run.params:,} parameters "
            f"({within}), {run.macs:,} MACs, {duration(run.seconds)}; weights in {folder}"
        )
    view = read_view(files)
    findings = find(view)
    for sentence in (*network_sentences(findings.compared), *comparison_sentences(findings)):
        print(sentence)
    openings, ledger = plural(len(view.ledger), "opening"), files.ledger(plan.question.data.ledger_name)
    print(f"test set openings are listed in {ledger}: {openings} by all studies")
