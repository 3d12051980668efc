"""nas show: one network, stage by stage."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.architecture import ArchitectureError
from search.cli.hand_made import GuessBudget, hand_made_of_study, hand_made_within
from search.cli.output import Format, OutputFormat, print_rows, print_values
from search.cli.paths import path_option
from search.cli.studies import Studies, StudyName, open_study, read_architecture_of_trial
from search.errors import InputError

if TYPE_CHECKING:
    from models.architecture import Architecture

_NAMES_AND_BRACES = re.compile(r'(?P<name>"(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}]')


def show(
    trial: Annotated[int | None, typer.Option("--trial", help="Trial of the study.")] = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="Named baseline; for CIFAR-10, unless --study is given.")
    ] = None,
    architecture: Annotated[Path | None, path_option("--architecture", "JSON file of an architecture.")] = None,
    image_size: Annotated[int, typer.Option("--image-size", min=1, help="Pixels, where no study gives them.")] = 32,
    budget: GuessBudget = None,
    study: StudyName = None,
    studies: Studies = Path("studies"),
    format: OutputFormat = Format.TABLE,
) -> None:
    """Show a network stage by stage: shape, parameters, multiply-accumulates; and its bytes in int8."""
    from search.space.space import Task

    if sum(option is not None for option in (trial, baseline, architecture)) != 1:
        raise InputError("show: give one of --trial NUMBER, --baseline NAME and --architecture FILE")
    if budget is not None and (baseline is None or study is not None):
        raise InputError(f"budget = {budget}: is for a --baseline without a --study")
    if trial is not None:
        network, image_size = read_architecture_of_trial(studies, study, trial)
    elif baseline is not None and study is not None:
        files, plan = open_study(studies, study)
        network, image_size = hand_made_of_study(baseline, files, plan), plan.task.image_size
    elif baseline is not None:
        network = hand_made_within(baseline, Task(image_size, in_channels=3, num_classes=10), budget)
    else:
        assert architecture is not None
        network = read_architecture(architecture)
    print_network(network, image_size, format)


def read_architecture(path: Path) -> "Architecture":
    """The architecture of a JSON file.

    Raises:
        InputError: there is no such file, it does not hold an architecture, or it gives a name twice.
    """
    from models.architecture import Architecture
    from search.yamlfile import read_text

    text = read_text(path, InputError)
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        pass  # refused below
    else:
        _require_names_once(path, text)  # first, for the value that is taken may be wrong for this reason
    try:
        return Architecture.from_json(text)
    except ArchitectureError as error:
        raise InputError(f"{path}: {error}") from None


def _require_names_once(path: Path, text: str) -> None:
    """Require that no object in some JSON gives a name twice, of which `json` takes the last."""
    objects: list[dict[str, int]] = []  # those that are open: the line of each name
    for token in _NAMES_AND_BRACES.finditer(text):
        if token[0] == "{":
            objects.append({})
        elif token[0] == "}":
            objects.pop()
        elif token["name"] is not None:
            name, line = json.loads(token["name"]), text.count("\n", 0, token.start()) + 1
            if name in objects[-1]:
                first = f"it stands in line {objects[-1][name]} already"
                raise InputError(f"{path}, line {line}: the key {name!r} is given twice; {first}")
            objects[-1][name] = line


def print_network(network: "Architecture", image_size: int, format: Format) -> None:
    """A row per part, the totals, and what the network takes in int8."""
    from models.count import parts
    from models.int8 import count_int8_bytes
    from search.report.notation import design

    rows: list[dict[str, Any]] = [
        {"part": part.name, "channels": part.channels, "size": part.size, "params": part.params, "macs": part.macs}
        for part in parts(network, image_size)
    ]
    totals = {"params": sum(row["params"] for row in rows), "macs": sum(row["macs"] for row in rows)}
    num_bytes = count_int8_bytes(network)
    if format is Format.JSON:
        values = {"int8_bytes": num_bytes, "architecture": network.to_dict(), "parts": rows}
        print_values(totals | values, format)
        return
    print_rows([*rows, {"part": "total", "channels": None, "size": None} | totals], format, design(network))
    if format is Format.TABLE:
        print(f"{num_bytes:,} bytes in int8: weights, biases, scales and zero points")
