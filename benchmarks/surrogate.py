"""An accuracy that costs microseconds: a smooth function fitted to networks that were really trained.

It is fitted to benchmarks/recorded.json.gz (LOG.md says how that was made): a ridge regression of second order from the
size and shape of a design to the logit of its last validation accuracy. Designs outside the recorded range of a feature
are moved to its edge, so that nothing is extrapolated. The recorded designs have at most 300,000 parameters; for
another budget, parameters and MACs count relative to it.
"""

import gzip
import json
from dataclasses import dataclass
from functools import cache
from math import log, log2
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from models.architecture import Architecture
from models.count import count_macs, count_parameters

RECORDED = Path(__file__).with_name("recorded.json.gz")
RECORDED_BUDGET = 300_000
RECORDED_SIZE = 16

Array = npt.NDArray[np.float64]


def features(architecture: Architecture, budget: int, image_size: int) -> Array:
    """The features of a design, (9,); sizes are relative to the recorded budget and image."""
    stages = architecture.stages
    blocks = sum(stage.depth for stage in stages)
    scale = RECORDED_BUDGET / budget
    macs = count_macs(architecture, image_size) * (RECORDED_SIZE / image_size) ** 2
    return np.array(
        [
            log(count_parameters(architecture) * scale),
            log(macs * scale),
            log2(blocks),
            len(stages),
            sum(stage.depth for stage in stages if stage.block == "bottleneck") / blocks,
            sum(stage.depth for stage in stages if stage.kernel == 5) / blocks,
            max(stage.dropout for stage in stages),
            log2(stages[-1].width / stages[0].width),
            ("A", "B", "b").index(architecture.shortcut) == 0,
        ]
    )


@dataclass(frozen=True)
class Surrogate:
    """Accuracy of a design in a search under `budget`, without noise."""

    model: Pipeline
    low: Array
    high: Array
    budget: int
    image_size: int

    def __call__(self, architecture: Architecture) -> float:
        point = features(architecture, self.budget, self.image_size).clip(self.low, self.high)
        return float(expit(self.model.predict(point[None])[0]))


@cache
def recorded() -> dict[str, list[dict[str, object]]]:
    """The recording: 'designs', each with its curve of validation accuracies, and 'repeats' of some by other seeds."""
    content: dict[str, list[dict[str, object]]] = json.loads(gzip.decompress(RECORDED.read_bytes()))
    return content


@cache
def _data() -> tuple[Array, Array]:
    rows = recorded()["designs"]
    designs = [Architecture.from_dict(row["architecture"]) for row in rows]  # type: ignore[arg-type]
    x = np.stack([features(design, RECORDED_BUDGET, RECORDED_SIZE) for design in designs])
    return x, logit(np.array([row["curve"][-1] for row in rows]))  # type: ignore[index]


def _model() -> Pipeline:
    alphas = np.logspace(-2, 4, 25)
    return make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False), StandardScaler(), RidgeCV(alphas))


def make_surrogate(budget: int, image_size: int = 32) -> Surrogate:
    """The surrogate for searches under `budget`, fitted to all recorded designs."""
    x, y = _data()
    return Surrogate(_model().fit(x, y), x.min(axis=0), x.max(axis=0), budget, image_size)


def seed_noise() -> float:
    """Standard deviation of an accuracy between seeds, pooled over the designs that were trained several times."""
    content = recorded()
    groups: dict[int, list[float]] = {}
    for repeat in content["repeats"]:
        index = int(repeat["design"])  # type: ignore[call-overload]
        first = content["designs"][index]["curve"][-1]  # type: ignore[index]
        groups.setdefault(index, [first]).append(repeat["curve"][-1])  # type: ignore[index]
    variances = [np.var(values, ddof=1) for values in groups.values()]
    return float(np.sqrt(np.mean(variances)))


def left_out_predictions() -> tuple[Array, Array]:
    """Last accuracies of the recorded designs: as predicted by fits that left them out (ten-fold), and as recorded."""
    x, y = _data()
    folds = KFold(10, shuffle=True, random_state=0)
    return expit(cross_val_predict(_model(), x, y, cv=folds)), expit(y)
