"""How numbers and networks are written for readers. A value that does not exist is an en dash."""

import math
from itertools import pairwise

from models.architecture import Architecture, Stage, Stem
from search.identity import Identity
from search.quantities import plural as plural
from search.quantities import sentence_list as sentence_list
from search.quantities import significant as significant

MISSING = "\N{EN DASH}"
MULTIPLIED = "\N{MULTIPLICATION SIGN}"


def exists(value: float | None) -> bool:
    """Whether there is a number to show: neither None nor NaN nor infinite."""
    return value is not None and math.isfinite(value)


def percent(fraction: float | None, digits: int = 2) -> str:
    return f"{fraction:.{digits}%}" if fraction is not None and exists(fraction) else MISSING


def points(fraction: float | None) -> str:
    """A difference or spread of accuracies, in percentage points without the unit."""
    return f"{100 * fraction:.2f}" if fraction is not None and exists(fraction) else MISSING


def signed_points(difference: float) -> str:
    """A difference in percentage points with its sign, without the unit."""
    return f"{round(100 * difference, 2) + 0.0:+.2f}"  # nothing is +0.00


def interval(mean: float, half_width: float) -> str:
    """The two ends of an interval of an accuracy, of which there is none below 0 or above 1."""
    if not exists(mean) or not exists(half_width):
        return MISSING
    return f"{percent(max(0.0, mean - half_width))} to {percent(min(1.0, mean + half_width))}"


def decimal(value: float | None, digits: int = 4) -> str:
    return f"{value:.{digits}f}" if value is not None and exists(value) else MISSING


def count(value: float | None) -> str:
    """An exact count with thousands separated: 4,912,330."""
    return f"{int(value):,}" if value is not None and exists(value) else MISSING


def short(value: float | None) -> str:
    """A count of three digits and a unit: 4.91M, 412M, 1.2G, 3.52T."""
    if value is None or not exists(value):
        return MISSING
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9995:
            return f"{significant(value / size)}{unit}"
    return significant(value)


def duration(seconds: float | None) -> str:
    """Wall clock in its two largest units: 3 h 12 min, 4 min 5 s, 8.2 s."""
    if seconds is None or not exists(seconds):
        return MISSING
    if seconds < 60:
        return f"{seconds:.1f} s"
    units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")]
    whole = round(seconds)
    for (large, large_name), (small, small_name) in pairwise(units):
        if whole >= large:
            rest = whole % large // small
            return f"{whole // large} {large_name}" + (f" {rest} {small_name}" if rest else "")
    raise AssertionError(seconds)


def network_name(label: str) -> str:
    """As people say the network of a table's `label`: a trial by its number, a baseline as it is."""
    return Identity.parse(label).name


def design(architecture: Architecture) -> str:
    """A network on one line: `stem 16; basic 3x16, 3x32 k5, bottleneck 4x256 p0.1; shortcut A`.

    A stage is depth times width. The block is named where it changes; what else a stage or network has, where it is not
    the default: the kernel (k5), dropout (p0.1), average-pool after even kernels, a bottleneck's ratio (/2) and group
    width (g16), an inverted block's expansion (x3), squeeze-and-excitation (se4) and the stride (s1); the stem's
    kernel, stride and padding (pad0); preactivation, the activation, the head's width, and the shortcut.
    """
    words, block = [], ""
    for stage in architecture.stages:
        words.append((f"{stage.block} " if stage.block != block else "") + _stage(stage))
        block = stage.block
    rest = [f"head {architecture.head_width}"] if architecture.head_width is not None else []
    rest += ["preactivated"] if architecture.preactivation else []
    rest += [architecture.activation] if architecture.activation != "relu" else []
    rest += [f"shortcut {architecture.shortcut}"] if architecture.shortcut != "B" else []
    return "; ".join([_stem(architecture.stem), ", ".join(words), *rest])


def _stage(stage: Stage) -> str:
    kernel = f" k{stage.kernel}" if stage.kernel != 3 else ""
    dropout = f" p{stage.dropout:g}" if stage.dropout else ""
    return f"{stage.depth}{MULTIPLIED}{stage.width}{kernel}{dropout}{stage_extras(stage)}"


def stage_extras(stage: Stage) -> str:
    """What sets a stage's blocks apart from plain ones of their kind, each with a space before it: ` /2 g16 se4 s1`."""
    stage = stage.canonical()
    texts = ["average-pool"] if stage.is_pooled and stage.block == "basic" else []
    texts += [f"/{stage.reduction}"] if stage.block == "bottleneck" and stage.reduction != 4 else []
    texts += [f"g{stage.group_width}"] if stage.group_width is not None else []
    texts += [f"x{stage.expansion}"] if stage.block == "inverted" and stage.expansion != 6 else []
    texts += [f"se{stage.squeeze_excitation}"] if stage.squeeze_excitation is not None else []
    texts += [f"s{stage.stride}"] if stage.stride is not None else []
    return "".join(f" {text}" for text in texts)


def _stem(stem: Stem) -> str:
    kernel = f" k{stem.kernel}" if stem.kernel != 3 else ""
    stride = f" s{stem.stride}" if stem.stride != 1 else ""
    padding = f" pad{stem.padding}" if stem.padding != 1 else ""
    return f"stem {stem.width}{kernel}{stride}{padding}"
