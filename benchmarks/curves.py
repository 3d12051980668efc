"""The recorded learning curves, and the best guess of how good each design truly is."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.model_selection import KFold, cross_val_predict
from surrogate import _data, _model, recorded, seed_noise

EPOCHS = 6

Array = npt.NDArray[np.float64]
Curve = Sequence[float]


@dataclass(frozen=True)
class Record:
    """The recorded designs: accuracy after every epoch, seconds an epoch, parameters, and the expected last accuracy
    over seeds."""

    curves: Sequence[Curve]
    costs: Sequence[float]
    params: Array
    truth: Array


def load_record() -> Record:
    rows: list[dict[str, Any]] = recorded()["designs"]
    curves = [tuple(row["curve"]) for row in rows]
    costs = [row["seconds"] / EPOCHS for row in rows]
    return Record(curves, costs, np.array([row["params"] for row in rows], float), expected(curves, []))


def expected(curves: Sequence[Curve], others: Sequence[Mapping[int, float]]) -> Array:
    """Expected last accuracy of each design over seeds, given all that was measured.

    It is the mean of what the surrogate says of the design where it was left out of the fit (ten-fold), of the last
    accuracies of the design's own runs, and of its accuracies in `others`, weighted by the inverses of their variances.
    The others may have been trained by another schedule; they count after the mean difference to the recorded ones is
    taken off. Being an expectation, it does not flatter what a search chose for a lucky run, if that run is in it.

    Args:
        others: accuracies by design; those of one mapping are of one schedule.
    """
    x, y = _data()
    last = np.array([curve[-1] for curve in curves])
    predicted = expit(cross_val_predict(_model(), x, y, cv=KFold(10, shuffle=True, random_state=0)))
    noise = seed_noise() ** 2
    misfit = float(np.mean((predicted - last) ** 2)) - noise
    weights = np.full(len(last), 1 / misfit)
    sums = predicted / misfit
    own = [(index, float(value)) for index, value in enumerate(last)]
    own += [(int(row["design"]), row["curve"][-1]) for row in recorded()["repeats"]]  # type: ignore[call-overload, index]
    for index, value in own:
        weights[index] += 1 / noise
        sums[index] += value / noise
    for values in others:
        chosen = list(values)
        differences = np.array(list(values.values())) - last[chosen]
        variance = max(float(np.var(differences, ddof=1)) - noise, noise)
        weights[chosen] += 1 / variance
        sums[chosen] += (last[chosen] + differences - differences.mean()) / variance
    result: Array = sums / weights
    return result


@dataclass(frozen=True)
class Schedules:
    """Runs of some of the recorded designs by other schedules, curves by design.

    Attributes:
        short: two epochs, annealed to zero.
        resumed: the same two, then four more after a warm restart, annealed to zero again.
        averaged: the recorded schedule, measured with a moving average of the weights.
        plain: the same runs, measured without it.
    """

    short: dict[int, Curve]
    resumed: dict[int, Curve]
    averaged: dict[int, Curve]
    plain: dict[int, Curve]

    @property
    def designs(self) -> list[int]:
        """Those that have all schedules that any has."""
        return sorted(set.intersection(*(set(curves) for curves in self.all.values()))) if self.all else []

    @property
    def all(self) -> dict[str, dict[int, Curve]]:
        every = {"2": self.short, "2+4": self.resumed, "averaged": self.averaged, "plain": self.plain}
        return {name: curves for name, curves in every.items() if curves}

    def judged(self, record: Record) -> Record:
        """The record with these runs in its expected accuracies. Else what is chosen for one of them, and not for the
        recorded run, would seem worse than it is."""
        others = [{design: curve[-1] for design, curve in curves.items()} for curves in (self.resumed, self.plain)]
        return replace(record, truth=expected(record.curves, [values for values in others if len(values) > 1]))


def load_schedules(path: Path) -> Schedules:
    """What rungs.py has recorded so far; nothing if there is no such file."""
    rows = json.loads(path.read_text())["rows"] if path.is_file() else []
    curves: dict[str, dict[int, Curve]] = {"2": {}, "2+4": {}, "ema": {}, "plain": {}}
    for row in rows:
        curves[row["schedule"]][int(row["design"])] = row["curve"]
        if "plain" in row:
            curves["plain"][int(row["design"])] = row["plain"]
    short = {design: curve[:2] for design, curve in curves["2+4"].items()} | curves["2"]
    return Schedules(short, curves["2+4"], curves["ema"], curves["plain"])
