"""Training and validation accuracy of full-length runs, epoch by epoch."""

from collections.abc import Mapping

import pandas as pd

from search.report.drawing import SERIES, Drawing, accuracy_axis, blank, epoch_axis, joined, short_name
from search.report.notation import exists, network_name, percent
from search.report.retraining.known_runs import is_baseline, run_order
from search.study.networks import Network

MAX_RUN_POINTS = 200


def training_curves_frame(networks: Mapping[str, Network]) -> pd.DataFrame:
    """Runs by epoch: label, seed, split ('train' or 'validation'), epoch, accuracy; long runs thinned evenly.

    `networks` are by label, one each.
    """
    rows = []
    for label, network in sorted(networks.items(), key=lambda pair: (is_baseline(pair[1]), pair[0])):
        for run in sorted(network.runs, key=run_order):
            step = max(1, len(run.history) // MAX_RUN_POINTS)
            kept = [epoch for index, epoch in enumerate(run.history) if index % step == 0 or epoch is run.history[-1]]
            measured = [("train", epoch.epoch, epoch.train_accuracy) for epoch in kept]
            measured += [
                ("validation", epoch.epoch, epoch.validation_accuracy)
                for epoch in kept
                if epoch.validation_accuracy is not None
            ]
            rows += [(label, run.seed, *point) for point in measured if exists(point[-1])]
    return pd.DataFrame(rows, columns=["label", "seed", "split", "epoch", "accuracy"])


def training_curves_figure(frame: pd.DataFrame, name: str = "run-curves") -> Drawing:
    """Draw `training_curves_frame`: training accuracy dotted, validation accuracy solid, one colour a label."""
    figure = blank(400)
    labels = list(dict.fromkeys(frame["label"]))
    has_validation = bool((frame["split"] == "validation").any())
    for index, label in enumerate(labels):
        color = SERIES[index % len(SERIES)]
        for split, dash in (("train", "dot" if has_validation else "solid"), ("validation", "solid")):
            rows = frame[(frame["label"] == label) & (frame["split"] == split)]
            if rows.empty:
                continue
            epochs, accuracies, seeds = joined(rows, "seed")
            title = f"{short_name(label)}, {split}" if has_validation else short_name(label)
            figure.add_scatter(
                x=epochs,
                y=accuracies,
                text=seeds,
                mode="lines",
                name=title,
                opacity=0.8,
                line={"color": color, "dash": dash, "width": 1.5},
                hovertemplate=f"{title}, seed %{{text}}, epoch %{{x}}: %{{y:.2%}}<extra></extra>",
            )
    epoch_axis(figure, int(frame["epoch"].max()))
    accuracy_axis(figure, "Accuracy")
    ends = frame[frame["split"] == "train"].groupby(["label", "seed"], sort=False)["accuracy"].last()
    last = ", ".join(f"{network_name(label)} {percent(ends[label].mean())}" for label in labels if label in ends)
    caption = (
        f"Training accuracy{' (dotted) and validation accuracy (solid)' if has_validation else ''} by epoch, one line "
        f"a seed. Training accuracy at the end: {last}."
        + (
            ""
            if has_validation
            else " These runs train on training and validation images together: nothing validates them."
        )
    )
    return Drawing(name, figure, caption)
