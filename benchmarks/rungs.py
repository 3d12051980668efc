"""The recorded designs once more, in schedules that are annealed to zero earlier: `python benchmarks/rungs.py`.

Three ways, on the data of `recorded.json.gz`: '2', 2 epochs annealed to zero; '2+4', the same network then warmed up
and annealed once more over 4 epochs; and 'ema', the recorded schedule of 6 epochs, measured after every epoch both as
it is and as a moving average of its weights. Designs are taken in the order of a fixed shuffle, so that the first so
many are a random sample; the file is written after each of them.
"""

import argparse
import time
from typing import Any

import numpy as np
import torch
from runs import RECORDED_RECIPE, curve, keep, small_cifar, training
from surrogate import recorded

from models.architecture import Architecture
from search.recipe import Recipe, with_epochs
from search.training.images import Images
from search.training.loop import evaluate

EMA_WINDOW = 50 / 558  # a decay of 0.98 a step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--designs", type=int, default=60)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    data = small_cifar()
    designs = [Architecture.from_dict(row["architecture"]) for row in recorded()["designs"]]  # type: ignore[arg-type]
    rows: list[dict[str, Any]] = []
    for index in np.random.default_rng(0).permutation(len(designs))[: asked.designs].tolist():
        for schedule, ways in runs_of(designs[index], data).items():
            rows.append({"design": index, "schedule": schedule, **ways})
        keep("rungs", rows)
        print(f"design {index}: {[(row['schedule'], row['curve'][-1]) for row in rows[-3:]]}", flush=True)


def runs_of(design: Architecture, data: tuple[Images, Images]) -> dict[str, dict[str, Any]]:
    """Curves and seconds of the three schedules."""
    started = time.perf_counter()
    run = training(design, with_epochs(RECORDED_RECIPE, 2), data, 0)
    short = curve(run)
    middle = time.perf_counter()
    again = training(design, with_epochs(RECORDED_RECIPE, 4), data, 1)
    again.model.load_state_dict(run.model.state_dict())
    longer = curve(again)
    end = time.perf_counter()
    averaged = averaged_curves(design, with_epochs(RECORDED_RECIPE, 6), data)
    return {
        "2": {"curve": short, "seconds": middle - started},
        "2+4": {"curve": [*short, *longer], "seconds": end - started},
        "ema": averaged,
    }


def averaged_curves(design: Architecture, recipe: Recipe, data: tuple[Images, Images]) -> dict[str, Any]:
    run = training(design, recipe.model_copy(update={"ema_window": EMA_WINDOW}), data, 0)
    averaged, plain = [], []
    for epoch in run.epochs():
        averaged.append(epoch.validation_accuracy)
        plain.append(evaluate(run.model, data[1], run.normalise, run.precision).accuracy)
    return {"curve": averaged, "plain": plain}


if __name__ == "__main__":
    main()
