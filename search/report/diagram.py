"""How a network looks: a frame of its parts, then their shapes in a picture that a template writes as SVG."""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from models.architecture import Architecture
from search.report.drawing import records
from search.report.notation import count, percent
from search.report.tables import parts_frame

WIDTH = 320  # of a picture; one stands beside the other, or under it on a phone, at its own size
TEXT_X = 122
_CENTRE, _WIDEST, _NARROWEST = 56.0, 100.0, 8.0
_LINE, _GAP = 16.0, 18.0
_MAX_STACK, _BLOCK, _BETWEEN = 110.0, 12.0, 3.0
_MAX_DRAWN = 28  # more blocks than this would be thinner than a line
_TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True)
class Part:
    """A part's shapes, as points of SVG polygons, and the lines of text beside them, each with its height."""

    kind: str
    shapes: tuple[str, ...]
    title: tuple[float, str]
    lines: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Diagram:
    """A picture `WIDTH` wide. `title` and `description` say in words what it shows."""

    name: str
    heading: str
    title: str
    description: str
    height: float
    parts: tuple[Part, ...]


def diagram_frame(architecture: Architecture, image_size: int) -> pd.DataFrame:
    """One row a part: name, kind (stem, basic, bottleneck, head), depth, width and inner_width in channels, kernel and
    stride of the stem, dropout, size in pixels, params, share of all parameters.

    Raises:
        ArchitectureError: the network cannot take images of that size.
    """
    frame = parts_frame(architecture, image_size)[["name", "size", "params", "params_share"]]
    stem = architecture.stem
    kinds = [
        ("stem", 1, stem.width, stem.width, stem.kernel, stem.stride, 0.0),
        *((each.block, each.depth, each.width, each.inner_width, each.kernel, 1, each.dropout)
          for each in architecture.stages),
        ("head", 1, architecture.num_classes, architecture.num_classes, 1, 1, 0.0),
    ]  # fmt: skip
    columns = ["kind", "depth", "width", "inner_width", "kernel", "stride", "dropout"]
    return pd.concat([frame, pd.DataFrame(kinds, columns=columns)], axis=1)


def draw(frame: pd.DataFrame, name: str, heading: str, most_channels: int) -> Diagram:
    """Lay out `diagram_frame` from top to bottom: a bar a block, as wide as the square root of its channels.

    A bottleneck is narrow in its middle, by the same rule.

    Args:
        most_channels: the number that gets the widest bar, common to pictures that are to be compared.
    """
    parts, top, told = [], 4.0, []
    for row in records(frame):
        title, lines = _texts(row)
        told.append(f"{title}: {', '.join(lines)}")
        drawn = min(int(row["depth"]), _MAX_DRAWN)
        step = min(_BLOCK + _BETWEEN, _MAX_STACK / drawn)
        text_height = _LINE * (1 + len(lines))
        height = max(step * drawn, text_height)
        first = top + (height - step * drawn) / 2
        thickness = step * _BLOCK / (_BLOCK + _BETWEEN)
        outer, inner = (_extent(row[column], most_channels) for column in ("width", "inner_width"))
        shapes = tuple(_shape(first + step * index, thickness, outer, inner) for index in range(drawn))
        baseline = top + (height - text_height) / 2 + 12
        placed = tuple((baseline + _LINE * index, line) for index, line in enumerate(lines, start=1))
        parts.append(Part(str(row["kind"]), shapes, (baseline, title), placed))
        top += height + _GAP
    title = f"{heading}: its parts from the image to the classes"
    return Diagram(name, heading, title, ". ".join(told), top, tuple(parts))


def _texts(row: dict[str, Any]) -> tuple[str, list[str]]:
    """A part's title, and the lines under it."""
    size, kernel = (f"{row[name]}{_TIMES}{row[name]}" for name in ("size", "kernel"))
    channels = f"{count(row['width'])} channels, kernel {kernel}"
    cost = f"{count(row['params'])} parameters, {percent(row['params_share'], 1)}"
    if row["kind"] == "stem":
        stride = f", stride {row['stride']}" if row["stride"] > 1 else ""
        return "Stem", [channels + stride, f"{size} pixels", cost]
    if row["kind"] == "head":
        return "Head", ["average pooling, linear layer", f"{count(row['width'])} classes", cost]
    dropout = f", dropout {row['dropout']:g}" if row["dropout"] else ""
    return f"{row['name'].capitalize()}: {row['depth']} {_TIMES} {row['kind']}", [
        channels,
        f"{size} pixels{dropout}",
        cost,
    ]


def _extent(channels: int, most_channels: int) -> float:
    return max(_NARROWEST, _WIDEST * math.sqrt(channels / most_channels))


def _shape(top: float, height: float, outer: float, inner: float) -> str:
    """A bar, or one with a waist, as the points of a polygon."""
    bottom = top + height
    left, right = _CENTRE - outer / 2, _CENTRE + outer / 2
    points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    if inner < outer:
        waist, upper, lower = inner / 2, top + 0.35 * height, top + 0.65 * height
        right_side = [(_CENTRE + waist, upper), (_CENTRE + waist, lower)]
        left_side = [(_CENTRE - waist, lower), (_CENTRE - waist, upper)]
        points = [*points[:2], *right_side, *points[2:], *left_side]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
