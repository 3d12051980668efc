"""nas space: how many networks a space holds, and how many of them the limits leave."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.limits import LimitTexts, SpaceFile, parse_all_limits
from search.cli.output import Format, OutputFormat, print_values
from search.cli.studies import Studies, open_study
from search.errors import InputError
from search.quantities import plural

if TYPE_CHECKING:
    from search.space.audit import Audit
    from search.space.limits import Limits
    from search.space.profile import Profile
    from search.space.space import Space, Task


def space(
    space: SpaceFile = None,
    budget: Annotated[str | None, typer.Option("--budget", help="Most parameters: 5e6, 5M, 500k.")] = None,
    limit: LimitTexts = None,
    fill: Annotated[
        str | None, typer.Option("--fill", help="Least share to use of what budget and bytes leave: 0.8, or none.")
    ] = None,
    data: Annotated[str | None, typer.Option("--data", help="Data set whose images the networks take.")] = None,
    copy: Annotated[
        str | None,
        typer.Option("--copy", help="Write a named space to a file, modern to modern.yaml, to change it."),
    ] = None,
    study: Annotated[str | None, typer.Option("--study", help="Use this study's space, limits and data.")] = None,
    studies: Studies = Path("studies"),
    format: OutputFormat = Format.TABLE,
) -> None:
    """Count exactly, before anything is trained, what a search space holds and what the limits leave of it, and show
    what random draws from it look like."""
    from search.space.audit import audit
    from search.space.profile import profile

    if copy is not None:
        if any(option is not None for option in (space, budget, limit, fill, data, study)):
            raise InputError(f"copy = {copy}: writes a file; leave out the other options")
        print(f"wrote {copy_space(copy, Path())}")
        return
    if study is None:
        chosen, task, limits = parse_space(space, budget, limit, fill, data)
        unsaid = unsaid_limits(limits, limit, fill, task)
    elif any(option is not None for option in (space, budget, limit, fill, data)):
        raise InputError("space: --study gives space, limits and data; leave out the others")
    else:
        question = open_study(studies, study)[1].question
        chosen, task, limits, unsaid = question.space, question.data.task, question.all_limits, None
    audited = audit(chosen, task, limits)
    print_audit(audited, profile(chosen, task, limits) if audited.feasible else None, task, format)
    if unsaid and format is Format.TABLE:
        print("", unsaid, sep="\n")


def copy_space(name: str, folder: Path) -> Path:
    """The file of a named space, written to a folder.

    Raises:
        InputError: there is no such space, or the file is there already or cannot be written.
    """
    from search.space.space import NAMES, space_text

    if name not in NAMES:
        raise InputError(f"copy = {name!r}: no such space; there are {', '.join(NAMES)}")
    path = folder / f"{name}.yaml"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(space_text(name))
    except FileExistsError:
        raise InputError(f"copy = {name}: {path} is there already; move it away first") from None
    except OSError as error:
        raise InputError(f"copy = {name}: {path} cannot be written ({error.strerror})") from None
    return path


def parse_space(
    space: Path | None, budget: str | None, limit: Sequence[str] | None, fill: str | None, data: str | None
) -> "tuple[Space, Task, Limits | None]":
    """The space, the images it is for (CIFAR-10's by default), and the limits, if there are any.

    Raises:
        InputError: an option does not parse, or there are limits without a budget.
    """
    from search.data.datasets import open_dataset
    from search.space.space import Task, load_space
    from search.study.plan import Data

    if budget is None and (limit or fill):
        raise InputError("space: --limit and --fill need a --budget")
    chosen = load_space(space)
    task = Task(image_size=32, in_channels=3, num_classes=10) if data is None else Data.of(open_dataset(data)).task
    if budget is None:
        return chosen, task, None
    return chosen, task, parse_all_limits(budget, limit, None if fill == "none" else fill, task.image_size)


def unsaid_limits(limits: "Limits | None", given: Sequence[str] | None, fill: str | None, task: "Task") -> str | None:
    """The limits that `nas search` would add, in a line; None if all of them were spoken of."""
    from search.run.proposals import DEFAULT_FILL, MIN_DESIGNS
    from search.space.limits import fill_words, macs_by_rule, macs_choice, macs_words

    if limits is None:
        return None
    words = []
    if macs_choice(given or ()) is None:
        macs = macs_by_rule(limits.max_params, task.image_size)
        words.append(f"at most {macs_words(macs, limits.max_params, task.image_size)}")
    if fill is None:
        at_least = f"at least {DEFAULT_FILL:.0%} of {fill_words(limits)} used"
        words.append(f"{at_least}, if {MIN_DESIGNS:,} designs do (--fill none lifts it)")
    return f"nas search adds: {'; '.join(words)}" if words else None


def print_audit(audit: "Audit", draws: "Profile | None", task: "Task", format: Format) -> None:
    """What the audit counted and what draws look like: in words, or as values. CSV leaves out what is not one value."""
    from search.report import space_audit, space_draws

    if format is Format.TABLE:
        channels, classes = plural(task.in_channels, "channel"), plural(task.num_classes, "class", "classes")
        images = f"{plural(task.image_size, 'pixel')}, {channels}, {classes}"
        drawn = ["", *space_draws.lines(draws)] if draws is not None else []
        print(f"networks for images of {images}", *space_audit.lines(audit), *drawn, sep="\n")
        return
    values = audit.as_dict() | {"draws": draws.as_dict() if draws is not None else None}
    if format is Format.CSV:
        values = {name: value for name, value in values.items() if not isinstance(value, list | tuple | dict)}
    print_values(values, format)
