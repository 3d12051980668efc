"""nas show: one network, stage by stage."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.architecture import ArchitectureError
from search.cli.output import Format, OutputFormat, print_rows, print_values
from search.cli.studies import Studies, StudyName, read_architecture_of_trial
from search.errors import InputError

if TYPE_CHECKING:
    from models.architecture import Architecture


def show(
    trial: Annotated[int | None, typer.Option("--trial", help="Trial of the study.")] = None,
    baseline: Annotated[str | None, typer.Option("--baseline", help="Named baseline, for CIFAR-10.")] = None,
    architecture: Annotated[Path | None, typer.Option("--architecture", help="JSON file of an architecture.")] = None,
    image_size: Annotated[int, typer.Option("--image-size", min=1, help="Pixels, unless --trial is given.")] = 32,
    study: StudyName = None,
    studies: Studies = Path("studies"),
    format: OutputFormat = Format.TABLE,
) -> None:
    """Show a network stage by stage: shape, parameters, multiply-accumulates."""
    from models.baselines import find_baseline

    if sum(option is not None for option in (trial, baseline, architecture)) != 1:
        raise InputError("show: give one of --trial NUMBER, --baseline NAME and --architecture FILE")
    if trial is not None:
        network, image_size = read_architecture_of_trial(studies, study, trial)
    elif baseline is not None:
        network = find_baseline(baseline)
    else:
        assert architecture is not None
        network = read_architecture(architecture)
    print_network(network, image_size, format)


def read_architecture(path: Path) -> "Architecture":
    """The architecture of a JSON file.

    Raises:
        InputError: there is no such file, or it does not hold an architecture.
    """
    from models.architecture import Architecture
    from search.yamlfile import read_text

    try:
        return Architecture.from_json(read_text(path, InputError))
    except ArchitectureError as error:
        raise InputError(f"{path}: {error}") from None


def print_network(network: "Architecture", image_size: int, format: Format) -> None:
    """A row per part, and the totals."""
    from models.count import parts
    from search.report.notation import design

    rows: list[dict[str, Any]] = [
        {"part": part.name, "channels": part.channels, "size": part.size, "params": part.params, "macs": part.macs}
        for part in parts(network, image_size)
    ]
    totals = {"params": sum(row["params"] for row in rows), "macs": sum(row["macs"] for row in rows)}
    if format is Format.JSON:
        print_values(totals | {"architecture": network.to_dict(), "parts": rows}, format)
    else:
        print_rows([*rows, {"part": "total", "channels": None, "size": None} | totals], format, design(network))
