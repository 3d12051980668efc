"""What each choice of a network goes with at equal parameters: which choices earned them, and which cost accuracy.

For every field of blocks, stages and networks the accuracy of complete trials is fitted by least squares to the
logarithm of their parameters and to the shares of blocks that have each value of the field. The coefficient of a value
is what it goes with where all blocks have it, in place of the value that most have. Fields of one kind of block are
compared among the networks that have such blocks, and by the shares of those.

Trials are not an experiment: a sampler follows what did well, and a choice may owe its number to others that come with
it.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from models.architecture import Architecture, Stage
from search.report.notation import count, plural, signed_points
from search.report.statistics.least_squares import Coefficient, coefficients
from search.report.statistics.significance import CONFIDENCE, LEVEL
from search.report.tables import Column, Table, table
from search.report.trials.importances import MIN_TRIALS, as_chosen
from search.study.view import TrialView

COLUMNS = ["choice", "value", "instead_of", "trials", "taken_by", "difference", "low", "high", "verdict"]
MIN_TRIALS_EACH = 5  # that took a value

Values = Counter[str]  # how many blocks, stages or networks have each value of a field


def _of_blocks(value: Callable[[Stage], object], kind: str | None = None) -> Callable[[Architecture], Values]:
    """A field of blocks, of a kind where only that one has it."""

    def values(architecture: Architecture) -> Values:
        found = Values()
        for stage in architecture.stages:
            if kind in (None, stage.block):
                found[_word(value(stage))] += stage.depth
        return found

    return values


def _of_network(value: Callable[[Architecture], object]) -> Callable[[Architecture], Values]:
    return lambda architecture: Values([_word(value(architecture))])


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


FIELDS: dict[str, Callable[[Architecture], Values]] = {
    "block": _of_blocks(lambda stage: stage.block),
    "kernel": _of_blocks(lambda stage: stage.kernel),
    "dropout": _of_blocks(lambda stage: stage.dropout),
    "reduction of bottlenecks": _of_blocks(lambda stage: stage.reduction, "bottleneck"),
    "group width of bottlenecks": _of_blocks(lambda stage: stage.group_width, "bottleneck"),
    "expansion of inverted blocks": _of_blocks(lambda stage: stage.expansion, "inverted"),
    "squeeze-and-excitation": _of_blocks(lambda stage: stage.squeeze_excitation),
    "stride of later stages": lambda architecture: Values(map(str, architecture.strides[1:])),
    "shortcut": lambda architecture: Values([architecture.shortcut] if architecture.has_shortcut else []),
    "preactivation": _of_network(lambda architecture: architecture.preactivation),
    "activation": _of_network(lambda architecture: architecture.activation),
    "head width": _of_network(lambda architecture: architecture.head_width),
}


class _Effect(NamedTuple):
    """A value of a field beside the usual one: how many trials were compared and how many have it, and the fit."""

    choice: str
    value: str
    instead_of: str
    trials: int
    taken_by: int
    fit: Coefficient


def choices_frame(ranked: Sequence[TrialView]) -> pd.DataFrame:
    """The effect of each value on accuracy at equal parameters, one row each, with its interval; all intervals hold
    together. Without a row where there are too few complete trials, or all are as accurate."""
    networks = [(trial, as_chosen(trial)) for trial in ranked] if _can_differ(ranked) else []
    effects = [effect for field in FIELDS for effect in _effects(field, networks)]
    rows = []
    for *known, fit in effects:
        half = fit.half_width(LEVEL / len(effects))
        low, high = fit.value - half, fit.value + half
        verdict = "better" if low > 0 else "worse" if high < 0 else "not distinguishable"
        rows.append([*known, fit.value, low, high, verdict])
    return pd.DataFrame(rows, columns=COLUMNS)


def _can_differ(ranked: Sequence[TrialView]) -> bool:
    return len(ranked) >= MIN_TRIALS and len({trial.value for trial in ranked}) > 1


Shares = dict[str, float]  # of a network's blocks that have each value of a field


def _effects(field: str, networks: Iterable[tuple[TrialView, Architecture]]) -> list[_Effect]:
    trials, shares = [], []
    for trial, network in networks:
        if values := FIELDS[field](network):
            trials.append(trial)
            shares.append({value: number / values.total() for value, number in values.items()})
    trials, shares = _without_rare_values(trials, shares)
    totals = {value: sum(each.get(value, 0.0) for each in shares) for value in {key for each in shares for key in each}}
    if len(totals) < 2:
        return []
    usual = min(totals, key=lambda value: (-totals[value], value))
    others = sorted(totals.keys() - {usual}, key=lambda value: (len(value), value))
    columns = [[each.get(value, 0.0) for each in shares] for value in others]
    sizes = [math.log2(trial.params) for trial in trials]
    # Where all networks are as large, there is nothing to make equal.
    x = np.array([*([sizes] if len(set(sizes)) > 1 else []), *columns], dtype=np.float64).T
    fits = coefficients(x, np.array([trial.value for trial in trials], dtype=np.float64))
    if fits is None:
        return []
    return [
        _Effect(field, value, usual, len(trials), sum(share > 0 for share in column), fit)
        for value, column, fit in zip(others, columns, fits[-len(others) :], strict=True)
    ]


def _without_rare_values(trials: list[TrialView], shares: list[Shares]) -> tuple[list[TrialView], list[Shares]]:
    """The trials all of whose values were taken by `MIN_TRIALS_EACH` of these trials at least, and their shares."""
    taken = Counter(value for each in shares for value in each)
    rare = {value for value, number in taken.items() if number < MIN_TRIALS_EACH}
    if not rare:
        return trials, shares
    kept = [index for index, each in enumerate(shares) if not rare & each.keys()]
    return _without_rare_values([trials[index] for index in kept], [shares[index] for index in kept])


def choices_table(frame: pd.DataFrame) -> Table:
    """The frame of `choices_frame` as readers see it."""
    ends = zip(frame["low"], frame["high"], strict=True)
    written = frame.assign(interval=[f"{signed_points(low)} to {signed_points(high)}" for low, high in ends])
    columns = [
        Column("choice", "Choice"), Column("value", "Value"), Column("instead_of", "Instead of"),
        Column("difference", "Difference, points", signed_points), Column("interval", "Interval", str),
        Column("verdict", "Verdict"), Column("taken_by", "Taken by", count), Column("trials", "Trials", count),
    ]  # fmt: skip
    caption = (
        "What choices go with at equal parameters: the validation accuracy of a network in which all blocks have a "
        f"value, minus one in which all have the usual value. The {plural(len(frame), 'interval')} hold together with "
        f"{CONFIDENCE:.0%}; values that fewer than {MIN_TRIALS_EACH} trials took are left out. The search chose these "
        "networks, so a choice may owe its number to others that came with it."
    )
    return table(caption, written, columns)
