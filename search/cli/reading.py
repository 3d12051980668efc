"""nas trials, space and show: what a study, a space or a network has to tell."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.architecture import ArchitectureError
from search.cli.options import (
    Fill,
    LimitTexts,
    OutputFormat,
    SpaceFile,
    Studies,
    StudyName,
    designed,
    open_study,
    task_of,
    trial_architecture,
)
from search.cli.output import Format, print_rows, print_values
from search.errors import InputError

if TYPE_CHECKING:
    from models.architecture import Architecture


def trials(study: StudyName = None, studies: Studies = Path("studies"), format: OutputFormat = Format.TABLE) -> None:
    """List a study's trials."""
    from search.study.reading import read_view

    files, _ = open_study(studies, study)
    rows: list[dict[str, Any]] = [
        {
            "number": each.number,
            "state": each.state,
            "value": each.value,
            "params": each.params,
            "macs": each.macs,
            "epochs": each.num_epochs,
            "seconds": each.seconds,
            "baseline": each.baseline,
            "architecture": each.architecture.to_dict(),
        }
        for each in read_view(files).trials
    ]
    print_rows([designed(row) for row in rows] if format is Format.TABLE else rows, format)


def space(
    space: SpaceFile = None,
    budget: Annotated[str | None, typer.Option("--budget", help="Most parameters: 5e6, 5M, 500k.")] = None,
    limit: LimitTexts = None,
    fill: Fill = None,
    data: Annotated[str | None, typer.Option("--data", help="Data set whose images the networks take.")] = None,
    study: Annotated[str | None, typer.Option("--study", help="Take space, limits and data of a study.")] = None,
    studies: Studies = Path("studies"),
    format: OutputFormat = Format.TABLE,
) -> None:
    """Count what a search space holds and what limits leave of it, exactly, before anything is trained."""
    from search.report.space_audit import lines
    from search.space.audit import audit
    from search.space.limits import parse_count, parse_fill, parse_limits
    from search.space.space import load_space

    if study is not None:
        if any(given is not None for given in (space, budget, limit, fill, data)):
            raise InputError("space: --study tells space, limits and data; leave out the others")
        question = open_study(studies, study)[1].question
        chosen, task, limits = question.space, question.data.task, question.all_limits
    else:
        if budget is None and (limit or fill):
            raise InputError("space: --limit and --fill need a --budget")
        chosen, task, limits = load_space(space), task_of(data), None
        if budget is not None:
            limits = parse_limits(limit or (), parse_count(budget), parse_fill(fill) if fill is not None else 0.0)
    found = audit(chosen, task, limits)
    if format is Format.TABLE:
        print(
            f"networks for images of {task.image_size} pixels, {task.in_channels} channels, {task.num_classes} classes"
        )
        print("\n".join(lines(found)))
        return
    values = found.as_dict()
    if format is Format.CSV:
        values = {name: value for name, value in values.items() if not isinstance(value, list | tuple)}
    print_values(values, format)


def show(
    trial: Annotated[int | None, typer.Option("--trial", help="Trial of the study.")] = None,
    baseline: Annotated[str | None, typer.Option("--baseline", help="Named baseline, for CIFAR-10.")] = None,
    architecture: Annotated[Path | None, typer.Option("--architecture", help="JSON file of an architecture.")] = None,
    image_size: Annotated[int, typer.Option("--image-size", min=1, help="Pixels, unless --trial.")] = 32,
    study: StudyName = None,
    studies: Studies = Path("studies"),
    format: OutputFormat = Format.TABLE,
) -> None:
    """Show a network stage by stage: shape, parameters, multiply-accumulates."""
    from models.baselines import find_baseline
    from models.count import parts
    from search.report.notation import design

    if sum(given is not None for given in (trial, baseline, architecture)) != 1:
        raise InputError("show: give one of --trial NUMBER, --baseline NAME and --architecture FILE")
    if trial is not None:
        network, image_size = trial_architecture(studies, study, trial)
    elif baseline is not None:
        network = find_baseline(baseline)
    else:
        assert architecture is not None
        network = _read_architecture(architecture)
    rows: list[dict[str, Any]] = [
        {"part": part.name, "channels": part.channels, "size": part.size, "params": part.params, "macs": part.macs}
        for part in parts(network, image_size)
    ]
    if format is not Format.JSON:
        totals = {"params": sum(row["params"] for row in rows), "macs": sum(row["macs"] for row in rows)}
        rows.append({"part": "total", "channels": None, "size": None} | totals)
        print_rows(rows, format, design(network))
        return
    print_values(
        {
            "params": sum(row["params"] for row in rows),
            "macs": sum(row["macs"] for row in rows),
            "architecture": network.to_dict(),
            "parts": rows,
        },
        format,
    )


def _read_architecture(path: Path) -> "Architecture":
    from models.architecture import Architecture
    from search.yamlfile import read_text

    try:
        return Architecture.from_json(read_text(path, InputError))
    except ArchitectureError as error:
        raise InputError(f"{path}: {error}") from None
