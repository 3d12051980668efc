"""An exported model.py as text: the values in it, and what this version writes for them. Nothing of it is run."""

import re
from ast import literal_eval
from dataclasses import dataclass
from math import isfinite
from typing import Any

from models.architecture import Architecture
from search.run.export import program

_TITLE = re.compile(r'"""((?:[ !#-\[\]-~]|\\[ -~])*)\n')  # no quotes but escaped ones: it cannot end the docstring
_IMAGES = re.compile(r"images: uint8 \(N, \d{1,4}, (\d{1,5}), \d{1,5}\)")
_PARAMS = re.compile(r": ([0-9,]{1,30}) parameters, ")


@dataclass(frozen=True, slots=True)
class ProgramValues:
    """The values of a model.py, each of which may be missing.

    Attributes:
        title: as it is escaped there.
        params: the number of parameters that the title says.
        image_size: in pixels.
        mean: what it normalises images by, per channel on the scale 0 to 1, and so `std`; both are empty where they are
            not there for every channel.
    """

    title: str | None
    params: int | None
    image_size: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...] | None

    def written(self, architecture: Architecture) -> str | None:
        """The text that this version writes for the values and an architecture; None where one is missing."""
        if self.title is None or self.image_size is None or not self.mean or self.classes is None:
            return None
        return program(self.title, architecture, self.image_size, self.classes, self.mean, self.std)


def read_program(text: str, num_channels: int) -> ProgramValues:
    title, images = _TITLE.match(text), _IMAGES.search(text)
    said = _PARAMS.search(title[1]) if title is not None else None
    classes = _constant(text, "CLASSES")
    are_names = isinstance(classes, tuple) and all(isinstance(name, str) for name in classes)
    return ProgramValues(
        title[1] if title is not None else None,
        int("0" + said[1].replace(",", "")) if said is not None else None,
        int(images[1]) or None if images is not None else None,
        *normalisation(_constant(text, "MEAN"), _constant(text, "STD"), num_channels),
        classes if are_names else None,
    )


def normalisation(mean: Any, std: Any, num_channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Both as tuples of numbers by which so many channels can be normalised; empty where they are anything else."""
    try:
        mean, std = tuple(map(float, mean)), tuple(map(float, std))
    except (TypeError, ValueError, OverflowError):
        return (), ()
    is_good = len(mean) == len(std) == num_channels and all(map(isfinite, (*mean, *std))) and min(std) > 0
    return (mean, std) if is_good else ((), ())


def _constant(text: str, name: str) -> Any:
    """The literal value of a line of a program; None if there is none."""
    line = re.search(rf"^{name} = (\(.*\))$", text, re.MULTILINE)
    try:
        return literal_eval(line[1]) if line is not None else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
