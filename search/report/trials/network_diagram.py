"""How a network looks: its parts as a frame, a table and a figure, and in a picture that a template writes as SVG."""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from models.architecture import Architecture, Stage
from models.count import parts
from search.report.drawing import BLUE, ORANGE, Drawing, blank, most, records
from search.report.notation import MULTIPLIED, count, percent, short
from search.report.tables import Column, Table, table

WIDTH = 320  # of a picture; one stands beside the other, or under it on a phone, at its own size
_CENTRE, _WIDEST, _NARROWEST = 56.0, 100.0, 8.0
_LINE, _GAP = 16.0, 18.0
_MAX_STACK, _BLOCK, _BETWEEN = 110.0, 12.0, 3.0
_PLAIN = Stage("bottleneck", 1, 64)
_MAX_DRAWN = 28  # more blocks than this would be thinner than a line


def parts_frame(architecture: Architecture, image_size: int) -> pd.DataFrame:
    """Where parameters and MACs go: name, channels, size, params, params_share, macs, macs_share.

    Raises:
        ArchitectureError: the network cannot take images of that size.
    """
    rows = [(part.name, part.channels, part.size, part.params, part.macs) for part in parts(architecture, image_size)]
    frame = pd.DataFrame(rows, columns=["name", "channels", "size", "params", "macs"])
    frame["params_share"] = frame["params"] / frame["params"].sum()
    frame["macs_share"] = frame["macs"] / frame["macs"].sum()
    return frame


def parts_table(frame: pd.DataFrame) -> Table:
    def share(value: float) -> str:
        return percent(value, 1)

    sums = {"params": frame["params"].sum(), "macs": frame["macs"].sum()}
    total = {"name": "total", **sums, "params_share": 1.0, "macs_share": 1.0}
    columns = [
        Column("name", "Part"), Column("channels", "Channels", count), Column("size", "Output size", count),
        Column("params", "Parameters", count), Column("params_share", "Share", share),
        Column("macs", "MACs", count), Column("macs_share", "Share", share),
    ]  # fmt: skip
    rows = pd.concat([frame, pd.DataFrame([total])], ignore_index=True)
    return table("The network part by part; output size is height and width in pixels.", rows, columns)


def parts_figure(frame: pd.DataFrame) -> Drawing:
    """Draw `parts_frame`: the share of parameters and of MACs in each part."""
    figure = blank(90 + 44 * len(frame), barmode="group", bargap=0.25)
    rows = frame.iloc[::-1]
    for column, name, color in (("macs", "MACs", ORANGE), ("params", "parameters", BLUE)):
        shares = rows[f"{column}_share"]
        figure.add_bar(
            x=shares.round(5).tolist(),
            y=rows["name"].tolist(),
            orientation="h",
            name=name,
            marker={"color": color},
            text=[f"{short(value)}" for value in rows[column]],
            textposition="outside",
            cliponaxis=False,
            hovertemplate=f"%{{y}}: %{{x:.1%}} of {name}<extra></extra>",
        )
    widest = float(frame[["params_share", "macs_share"]].to_numpy().max())
    figure.update_xaxes(title={"text": "Share of the network"}, tickformat=".0%", range=[0, 1.2 * widest])
    figure.update_yaxes(showgrid=False, ticks="", ticklabelstandoff=6)
    figure.update_layout(legend={"traceorder": "reversed"})
    heavy, busy = most(frame, "params"), most(frame, "macs")
    caption = (
        f"Where the parameters and multiply-accumulates are. Most parameters, {percent(heavy['params_share'], 0)} of "
        f"{count(frame['params'].sum())}, are in {heavy['name']}; most MACs, {percent(busy['macs_share'], 0)} of "
        f"{short(frame['macs'].sum())}, in {busy['name']}."
    )
    return Drawing("parts", figure, caption)


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
    """One row a part: name, kind (stem, basic, bottleneck, inverted, head), depth, width and inner_width in channels,
    kernel, stride of the stem, dropout, size in pixels, params, share of all parameters, and in `details` what else it
    has.

    Raises:
        ArchitectureError: the network cannot take images of that size.
    """
    frame = parts_frame(architecture, image_size)[["name", "size", "params", "params_share"]]
    stem = architecture.stem
    before = [stem.width, *(stage.width for stage in architecture.stages)]
    kinds = [
        ("stem", 1, stem.width, stem.width, stem.kernel, stem.stride, 0.0, ""),
        *((stage.block, stage.depth, stage.width, _inner_width(stage, in_width), stage.kernel, 1, stage.dropout,
           _details(stage)) for stage, in_width in zip(architecture.stages, before, strict=False)),
        ("head", 1, architecture.num_classes, architecture.num_classes, 1, 1, 0.0, _head_details(architecture)),
    ]  # fmt: skip
    columns = ["kind", "depth", "width", "inner_width", "kernel", "stride", "dropout", "details"]
    return pd.concat([frame, pd.DataFrame(kinds, columns=columns)], axis=1)


def _inner_width(stage: Stage, in_width: int) -> int:
    """The channels between the convolutions of most of its blocks: all but the first, if there are others."""
    return stage.inner_width if stage.depth > 1 else stage.inner_width_after(in_width)


def _details(stage: Stage) -> str:
    """What sets a stage's blocks apart from plain ones of their kind, in words."""
    stage = stage.canonical()
    words = ["average pooling after the convolutions"] if stage.is_pooled else []
    if stage.block == "bottleneck" and stage.reduction != _PLAIN.reduction:
        words.append(f"{count(stage.inner_width)} inner channels")
    if stage.group_width is not None:
        words.append("depthwise" if stage.group_width == 1 else f"groups of {stage.group_width}")
    if stage.block == "inverted":
        words.append(f"expansion {stage.expansion}")
    if stage.squeeze_excitation is not None:
        words.append(f"gates through {count(stage.squeezed_width)}")
    if stage.stride is not None:
        words.append(f"stride {stage.stride}")
    return ", ".join(words)


def _head_details(architecture: Architecture) -> str:
    width = architecture.head_width
    return "" if width is None else f"1{MULTIPLIED}1 convolution to {count(width)} channels"


def draw_network(frame: pd.DataFrame, name: str, heading: str, most_channels: int) -> Diagram:
    """Lay out `diagram_frame` from top to bottom: a bar a block, as wide as the square root of its channels.

    A bottleneck is narrow in its middle, and an inverted block wide, by the same rule.

    Args:
        most_channels: the number that gets the widest bar, common to pictures that are to be compared.
    """
    drawn_parts, top, descriptions = [], 4.0, []
    for row in records(frame):
        title, lines = _texts(row)
        descriptions.append(f"{title}: {', '.join(lines)}")
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
        drawn_parts.append(Part(str(row["kind"]), shapes, (baseline, title), placed))
        top += height + _GAP
    title = f"{heading}: its parts from the image to the classes"
    return Diagram(name, heading, title, ". ".join(descriptions), top, tuple(drawn_parts))


def _texts(row: dict[str, Any]) -> tuple[str, list[str]]:
    """A part's title, and the lines under it."""
    size, kernel = (f"{row[name]}{MULTIPLIED}{row[name]}" for name in ("size", "kernel"))
    channels = f"{count(row['width'])} channels, kernel {kernel}"
    cost = f"{count(row['params'])} parameters, {percent(row['params_share'], 1)}"
    details = [row["details"]] if row["details"] else []
    if row["kind"] == "stem":
        stride = f", stride {row['stride']}" if row["stride"] > 1 else ""
        return "Stem", [channels + stride, f"{size} pixels", cost]
    if row["kind"] == "head":
        return "Head", [*details, "average pooling, linear layer", f"{count(row['width'])} classes", cost]
    dropout = f", dropout {row['dropout']:g}" if row["dropout"] else ""
    return f"{row['name'].capitalize()}: {row['depth']} {MULTIPLIED} {row['kind']}", [
        channels,
        *details,
        f"{size} pixels{dropout}",
        cost,
    ]


def _extent(channels: int, most_channels: int) -> float:
    return max(_NARROWEST, _WIDEST * math.sqrt(channels / most_channels))


def _shape(top: float, height: float, outer: float, inner: float) -> str:
    """A bar, or one with a waist or a belly, as the points of a polygon."""
    bottom = top + height
    left, right = _CENTRE - outer / 2, _CENTRE + outer / 2
    points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    if inner != outer:
        waist, upper, lower = inner / 2, top + 0.35 * height, top + 0.65 * height
        right_side = [(_CENTRE + waist, upper), (_CENTRE + waist, lower)]
        left_side = [(_CENTRE - waist, lower), (_CENTRE - waist, upper)]
        points = [*points[:2], *right_side, *points[2:], *left_side]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
