"""Test accuracies seed by seed, with the interval of each network's mean."""

from collections.abc import Iterable

import pandas as pd

from search.report.drawing import BLUE, ORANGE, Drawing, accuracy_axis, blank, records, safe, short_name
from search.report.notation import exists, interval, network_name, percent
from search.report.statistics.significance import CONFIDENCE, half_width
from search.report.tables import trainings
from search.study.networks import Network

COLUMNS = ["place", "label", "kind", "recipe", "epochs", "holdout", "seed", "accuracy", "mean", "half_width", "key"]


def seeds_frame(networks: Iterable[Network]) -> pd.DataFrame:
    """One row a run of tested networks, network by network: the network's place from 0, how the run was trained, and
    its test accuracy beside the network's mean and half the width of Student's interval, NaN for a single seed."""
    rows = [
        (place, network.label, run.identity.kind, network.recipe, run.epochs, network.holdout, run.seed,
         run.test_accuracy, network.mean, half_width(network.deviation, network.seeds), network.key)
        for place, network in enumerate(networks)
        for run in network.runs
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def seeds_figure(frame: pd.DataFrame) -> Drawing:
    """Draw `seeds_frame`: a dot a seed, and for each network a diamond at the mean with the line of its interval."""
    networks = [group for _, group in frame.groupby("place", sort=False)]
    trained = trainings(pd.DataFrame([group.iloc[0] for group in networks]))
    figure = blank(100 + 46 * len(networks))
    figure.add_scatter(
        x=frame["accuracy"].round(5).tolist(),
        y=frame["place"].tolist(),
        mode="markers",
        name="one seed",
        marker={"color": BLUE, "size": 9, "symbol": "circle-open", "line": {"width": 1.5}},
        text=[
            f"{network_name(row['label'])}{trained[row['place']]}, seed {row['seed']}: {percent(row['accuracy'])}"
            for row in records(frame)
        ],
        hoverinfo="text",
    )
    means = [group.iloc[0] for group in networks]
    pairs = list(zip(means, trained, strict=True))
    figure.add_scatter(
        x=[round(float(row["mean"]), 5) for row in means],
        y=list(range(len(means))),
        mode="markers",
        name=f"mean and {CONFIDENCE:.0%} interval",
        marker={"color": ORANGE, "size": 10, "symbol": "diamond"},
        error_x={
            "type": "data",
            "array": [round(float(row["half_width"]), 5) if exists(row["half_width"]) else 0 for row in means],
            "color": ORANGE,
            "thickness": 2,
            "width": 5,
        },
        hoverinfo="skip",
    )
    figure.update_yaxes(
        tickvals=list(range(len(means))),
        ticktext=[short_name(row["label"]) + safe(how).replace(", ", "<br>", 1) for row, how in pairs],
        range=[len(means) - 0.5, -0.5],
        ticks="",
        ticklabelstandoff=6,
    )
    accuracy_axis(figure, "Test accuracy", "xaxis")
    figure.update_xaxes(range=_range(frame), showgrid=True)
    results = [f"{network_name(row['label'])}{how} {percent(row['mean'])}{_bracketed(row)}" for row, how in pairs]
    caption = (
        f"Test accuracy of every seed, and the mean of each network with its {CONFIDENCE:.0%} interval (Student's, "
        f"over seeds; one seed has none): {'; '.join(results)}."
    )
    behind = frame.assign(training=[trained[place].removeprefix(", ") for place in frame["place"]])
    columns = ["label", "training", "seed", "accuracy"] if any(trained) else ["label", "seed", "accuracy"]
    return Drawing("seeds", figure, caption, behind[columns])


def _bracketed(row: pd.Series) -> str:
    return f" ({interval(row['mean'], row['half_width'])})" if exists(row["half_width"]) else ""


def _range(frame: pd.DataFrame) -> list[float]:
    """All dots, and as much of the intervals as leaves the dots apart: that of two seeds may span all accuracies."""
    low, high = float(frame["accuracy"].min()), float(frame["accuracy"].max())
    spread = max(3 * (high - low), 0.01)
    half = frame["half_width"].fillna(0)
    ends = float((frame["mean"] - half).min()), float((frame["mean"] + half).max())
    margin = 0.1 * max(high - low, 0.01)
    return [max(ends[0], low - spread) - margin, min(1.0, min(ends[1], high + spread) + margin)]
