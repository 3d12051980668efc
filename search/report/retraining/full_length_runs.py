"""Full-length runs one by one, and test accuracies of networks over their seeds."""

import math
from collections.abc import Callable, Iterable

import pandas as pd
import plotly.graph_objects as go

from search.report.drawing import BLUE, ORANGE, Drawing, accuracy_axis, blank, cost_axis, records, safe, short_name
from search.report.notation import (
    MISSING,
    count,
    decimal,
    duration,
    exists,
    interval,
    network_name,
    percent,
    points,
    short,
)
from search.report.retraining.known_runs import in_order, run_order
from search.report.statistics.significance import CONFIDENCE, half_width
from search.report.tables import Column, Table, named, table, trainings
from search.study.meant import RULE
from search.study.networks import Network
from search.study.view import RunView
from search.trained_network import Augmentation

AUGMENTED = ("mirror", "shifts")
LINE, LABEL = 0.07, 0.3  # height of a label's line and width of a label, as shares of the figure of results
RUN_COLUMNS = [
    "label", "kind", "purpose", "seed", "recipe", "epochs", "holdout", "params", "macs", "train_accuracy",
    "validation_accuracy", "test_accuracy", "test_loss", "seconds", "device", "precision", "recipe_digest", "key",
    "teaching",
]  # fmt: skip
RESULT_COLUMNS = [
    "label", "kind", "recipe", "epochs", "holdout", "seeds", "mean", "deviation", "half_width", "params", "macs",
    "seconds", "over", "recipe_digest", "precision", "device", "key", "teaching", "mirror", "mirror_passes", "shifts",
    "shifts_passes",
]  # fmt: skip


def runs_frame(runs: Iterable[RunView]) -> pd.DataFrame:
    """One row a full-length run, trials before baselines; accuracies are those of the weights that were kept. `key`
    names what was trained and how; `teaching` is empty without a teacher."""
    rows = [
        (
            run.label, run.identity.kind, run.purpose, run.seed, run.recipe, run.epochs, run.holdout,
            run.params, run.macs,
            run.kept.train_accuracy if run.kept else None, run.validation,
            run.test_accuracy, run.test_loss, run.seconds, run.device, run.precision, run.recipe_digest, run.key,
            run.way.teaching,
        )
        for run in sorted(runs, key=run_order)
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=RUN_COLUMNS)
    numbers = ["train_accuracy", "validation_accuracy", "test_accuracy", "test_loss"]
    frame[numbers] = frame[numbers].astype(float)
    return frame


def runs_table(frame: pd.DataFrame) -> Table:
    columns = [
        Column("network", "Network"), Column("purpose", "Purpose"), Column("seed", "Seed", str),
        Column("test_accuracy", "Test", percent), Column("test_loss", "Test loss", decimal),
        Column("validation_accuracy", "Validation", percent), Column("train_accuracy", "Training", percent),
        Column("recipe", "Recipe"), Column("epochs", "Epochs", count), Column("seconds", "Time", duration),
        Column("device", "Device"), Column("precision", "Precision"),
    ]  # fmt: skip
    rows = named(frame)
    rows["network"] += [" (validation images held out)" if held else "" for held in frame["holdout"]]
    rows["network"] += [" (with a teacher)" if taught else "" for taught in frame["teaching"]]
    caption = (
        "Every run; accuracies are those of the last epoch or, where the recipe keeps the best weights, of "
        "the epoch with the best validation accuracy, which is optimistic."
    )
    return table(caption, rows, columns)


def results_frame(networks: Iterable[Network], is_over: Callable[[RunView], bool]) -> pd.DataFrame:
    """Test accuracy over seeds, one row a tested network, trials before baselines.

    `epochs` are those of the longest run, `holdout` marks runs that were asked to leave out the validation split,
    `over` a network over the budget, which can only be a reference, and `recipe_digest` distinguishes recipes of one
    name, `teaching` teachers, `device` kinds of device, and `key` names the network and how it was trained. Where a
    label was trained in several ways, the one that is `quoted` comes last. `mirror` and `shifts` are means with
    test-time augmentation, and `mirror_passes` and `shifts_passes` what it takes an image.
    """
    rows = [
        (network.label, network.runs[0].identity.kind, network.recipe, network.epochs, network.holdout, network.seeds,
         network.mean, network.deviation, half_width(network.deviation, network.seeds), network.params, network.macs,
         network.seconds, is_over(network.runs[0]), network.runs[0].recipe_digest, network.way.precision,
         network.way.device, network.key, network.way.teaching, *_augmented(network, "mirror"),
         *_augmented(network, "shifts"))
        for network in in_order(networks)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=RESULT_COLUMNS)


def _augmented(network: Network, augmentation: Augmentation) -> tuple[float, float]:
    """Mean accuracy and passes; NaN where they were not measured."""
    result = network.augmented(augmentation)
    return (result.accuracy, result.passes) if result is not None else (math.nan, math.nan)


def _or_missing(text: object) -> str:
    return text if isinstance(text, str) else MISSING


def results_table(frame: pd.DataFrame) -> Table:
    ends = zip(frame["mean"], frame["half_width"], strict=True)
    intervals = [interval(mean, half) if exists(half) else "none" for mean, half in ends]
    columns = [
        Column("network", "Network"), Column("seeds", "Seeds", str),
        Column("mean", "Test, mean", percent), Column("deviation", "Deviation, points", points),
        Column("interval", f"{CONFIDENCE:.0%} interval", str),
        Column("mirror", "Mirrored", _or_missing), Column("shifts", "Shifted", _or_missing),
        Column("params", "Parameters", count), Column("macs", "MACs", short), Column("seconds", "Time a run", duration),
        Column("recipe", "Recipe"), Column("epochs", "Epochs", count), Column("hardware", "Trained in"),
    ]  # fmt: skip
    caption = "Test accuracy after full training: mean, standard deviation and Student's interval over seeds."
    if frame[[*AUGMENTED]].notna().to_numpy().any():
        caption += (
            " Beside it stands the mean with test-time augmentation: logits averaged over mirrored images, or over"
            " images shifted by a pixel too, in so many passes an image. Nothing is compared or chosen by it."
        )
    if frame["label"].duplicated().any():
        caption += f" Of several rows of a network the last one is quoted: {RULE}."
    rows = named(frame)
    rows["network"] += [" (over the limits: a reference)" if over else "" for over in frame["over"]]
    rows["network"] += [" (validation images held out)" if held else "" for held in frame["holdout"]]
    rows["network"] += [" (with a teacher)" if taught else "" for taught in frame["teaching"]]
    alike = frame.duplicated(["label", "recipe", "epochs", "holdout", "teaching"], keep=False)  # recipes of one name
    digests = zip(frame["recipe_digest"], alike, strict=True)
    for name in AUGMENTED:
        rows[name] = [
            f"{percent(mean)} in {passes:.0f} passes" if exists(mean) else None
            for mean, passes in zip(frame[name], frame[f"{name}_passes"], strict=True)
        ]
    rows["recipe"] += [f" ({digest})" if digest and is_alike else "" for digest, is_alike in digests]
    hardware = rows["precision"] + " on a " + rows["device"]
    return table(caption, rows.assign(interval=intervals, hardware=hardware), columns)


def results_figure(frame: pd.DataFrame, budget: int) -> Drawing:
    """Draw `results_frame`: test accuracy against parameters, searched designs beside baselines."""
    figure = blank(380)
    frame = frame.assign(how=trainings(frame))
    cost_axis(figure, "Parameters", frame["params"].tolist(), budget, "budget")
    accuracy_axis(figure, "Test accuracy")
    # A single point has no range of its own, and plotly would take one that runs past 100%.
    spread = frame["deviation"].fillna(0)
    low, high = (frame["mean"] - spread).min(), (frame["mean"] + spread).max()
    margin = max(0.01, 0.1 * (high - low))
    figure.update_yaxes(range=[low - margin, min(1.0, high + margin)])
    frame["position"] = _label_positions(figure, frame)
    looks = {"trial": ("retrained trial", BLUE, "circle"), "baseline": ("baseline", ORANGE, "diamond-open")}
    for kind, (name, color, symbol) in looks.items():
        rows = frame[frame["kind"] == kind]
        if rows.empty:
            continue
        deviations = rows["deviation"].fillna(0).round(5).tolist()
        figure.add_scatter(
            x=rows["params"].tolist(),
            y=rows["mean"].round(5).tolist(),
            mode="markers+text",
            name=name,
            marker={"color": color, "size": 10, "symbol": symbol, "line": {"width": 2, "color": color}},
            error_y={"type": "data", "array": deviations, "color": color, "thickness": 1.5},
            # The spaces keep a label off its marker on either side.
            text=[f"  {short_name(label)}{safe(how)}  " for label, how in zip(rows["label"], rows["how"], strict=True)],
            textposition=rows["position"].tolist(),
            hovertemplate="%{text}: %{y:.2%}, %{x:,d} parameters<extra></extra>",
            cliponaxis=False,
        )
    results = "; ".join(f"{network_name(row['label'])}{row['how']}, {percent(row['mean'])}" for row in records(frame))
    caption = (
        "Test accuracy, not validation, against parameters: mean and standard deviation over seeds of the networks "
        f"trained at full length. In numbers: {results}."
    )
    return Drawing("test-parameters", figure, caption)


def _label_positions(figure: go.Figure, frame: pd.DataFrame) -> list[str]:
    """Where labels have room: right of a marker in the left half, left of one in the right half; above and below it
    where two of them would stand on one line."""
    left, right = figure.layout.xaxis.range
    bottom, top = figure.layout.yaxis.range
    is_log = figure.layout.xaxis.type == "log"
    places = [((math.log10(params) if is_log else params) - left) / (right - left) for params in frame["params"]]
    heights = [(mean - bottom) / (top - bottom) for mean in frame["mean"]]
    positions = []
    for index, (place, height) in enumerate(zip(places, heights, strict=True)):
        beside = [
            (other, number)
            for number, other in enumerate(heights)
            if number != index and abs(other - height) < LINE and abs(places[number] - place) < LABEL
        ]
        level = "middle"
        if beside and (height, index) > max(beside):
            level = "top"
        elif beside and (height, index) < min(beside):
            level = "bottom"
        positions.append(f"{level} {'right' if place < 0.5 else 'left'}")
    return positions
