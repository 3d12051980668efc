"""nas audit-proxy: how far a trial's value can be trusted."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.logs import LogNames, open_logs, prepare_logs
from search.cli.machine import CpusPerWorker, Device, GpusPerWorker, Ray, Workers, parse_machine
from search.cli.output import Format, OutputFormat, print_rows
from search.cli.recipe import Epochs, RecipeName, fit_recipe, parse_recipe
from search.cli.studies import Studies, StudyName, open_study
from search.errors import TrainingError
from search.quantities import plural

if TYPE_CHECKING:
    from search.study.view import StudyView


def audit_proxy(
    trials: Annotated[str, typer.Option("--trials", help="How many trials to train again at full length.")],
    epochs: Epochs = None,
    recipe: RecipeName = "full",
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=100, help="Runs per trial.")] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Fixes which trials are drawn.")] = 0,
    workers: Workers = "auto",
    ray: Ray = None,
    gpus_per_worker: GpusPerWorker = None,
    cpus_per_worker: CpusPerWorker = None,
    device: Device = "auto",
    log: LogNames = None,
    study: StudyName = None,
    studies: Studies = Path("studies"),
    format: OutputFormat = Format.TABLE,
) -> None:
    """Measure how well a trial's value after the search's short schedule ranks designs as full length would.

    A sample of complete and pruned trials, stratified by value, is trained at full length on the training split and
    measured on the validation split; the test set stays closed. Run the same command again to continue after a stop.
    """
    from rich.console import Console

    from search.cli.progress import RetrainProgress
    from search.run import launch
    from search.run.candidates import audit_candidates, stratified_sample
    from search.run.interruption import Interruption
    from search.run.plans import open_study_data
    from search.space.limits import parse_count
    from search.study.reading import read_view

    logs = prepare_logs(log)
    files, plan = open_study(studies, study)
    view = read_view(files)
    sample = stratified_sample(view.trials, parse_count(trials, "trials"), seed)
    machine = parse_machine(device, workers, ray, gpus_per_worker, cpus_per_worker)
    full = fit_recipe(parse_recipe(recipe, epochs), open_study_data(plan), on_gpu=machine.has_gpu)
    candidates = audit_candidates(sample, full, plan)
    numbers = ", ".join(str(trial.number) for trial in sample)
    print(f"trials {numbers} at full length: recipe {full.name}, {plural(full.epochs, 'epoch')}", file=sys.stderr)
    with open_logs(logs, files) as to_log:
        with Interruption() as interruption:
            progress = RetrainProgress(Console(stderr=True), to_log, interruption)
            request = launch.AuditRequest(tuple(candidates), seeds)
            runs = launch.audit_proxy(files, plan, request, machine, progress.observer, interruption)
        if not runs:
            raise TrainingError("none of these trials could be trained at full length")
        print_audit(replace(view, proxy=tuple(runs)), format)


def print_audit(audited: "StudyView", format: Format) -> None:
    """What the audit says, and a row per trial. The sentences go to stderr where stdout is for values."""
    from search.report.drawing import records
    from search.report.proxy_audit import proxy_frame, proxy_verdict

    frame = proxy_frame(audited)
    verdict = proxy_verdict(frame, audited.epochs)
    for sentence in verdict.sentences if verdict else ():
        print(sentence, file=sys.stdout if format is Format.TABLE else sys.stderr)
    rows = records(frame.drop(columns="design"))
    if format is Format.TABLE:
        rows = [row | {"full_values": " ".join(f"{value:.4f}" for value in row["full_values"])} for row in rows]
    print_rows(rows, format)
