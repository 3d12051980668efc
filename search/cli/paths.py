"""Options that are paths, among which all treat ~ alike."""

from pathlib import Path
from typing import Any

import typer

from search.errors import InputError
from search.files import expanded


def path_option(name: str, help: str, envvar: str | None = None) -> Any:
    """An option or its variable as a Path. A ~ at its beginning is a home folder, see `search.files.expanded`."""
    return typer.Option(name, help=help, envvar=envvar, parser=_parse, metavar="<path>")


def _parse(text: str | Path) -> Path:
    try:
        return expanded(str(text))
    except InputError as error:
        raise typer.BadParameter(str(error)) from None
