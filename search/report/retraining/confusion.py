"""Where networks err, class by class, from the confusion matrices of their tested runs."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from search.report.drawing import SERIES, Drawing, accuracy_axis, blank, safe, short_name
from search.report.notation import count, network_name, percent
from search.report.statistics.bootstrap import Counts
from search.report.tables import Column, Table, table
from search.study.networks import Network
from search.study.view import RunView

MAX_MATRIX = 100
MAX_NAMED = 30
MAX_SHOWN_CLASSES = 20


def confusions(networks: Mapping[str, Network]) -> dict[str, Counts]:
    """By label, test images of class i (row) taken for class j (column), summed over the seeds of the label's network.

    A network without a matrix is left out.
    """
    matrices = {label: _confusion(network) for label, network in networks.items()}
    return {label: matrix for label, matrix in matrices.items() if matrix is not None}


def _confusion(network: Network) -> Counts | None:
    matrices = [run.confusion for run in network.runs if run.confusion]
    matrices = [matrix for matrix in matrices if len(matrix) == len(matrices[0])]
    total = np.array(matrices, dtype=np.int64).sum(axis=0) if matrices else None
    return total if total is not None and total.sum() > 0 else None


def num_test_images(finals: Iterable[RunView]) -> int | None:
    """How many images the test set has, where a confusion matrix shows it."""
    for run in finals:
        if run.confusion:
            return sum(map(sum, run.confusion)) or None
    return None


def class_name(names: Sequence[str], index: int) -> str:
    return names[index] if index < len(names) else f"class {index}"


def classes_frame(matrices: Mapping[str, Counts], names: Sequence[str]) -> pd.DataFrame:
    """Accuracy of each class over all seeds of each label: label, index, name, images, accuracy."""
    rows = []
    for label, matrix in matrices.items():
        for index, images in enumerate(matrix.sum(axis=1).tolist()):
            accuracy = float(matrix[index, index]) / images if images else float("nan")
            rows.append((label, index, class_name(names, index), images, accuracy))
    return pd.DataFrame(rows, columns=["label", "index", "name", "images", "accuracy"])


def confused_pairs(matrix: Counts, names: Sequence[str], size: int = 10) -> pd.DataFrame:
    """The mistakes made most often: truth, taken_for, images (over all seeds), share of the true class."""
    totals = matrix.sum(axis=1)
    mistakes = [(int(matrix[i, j]), int(i), int(j)) for i, j in np.argwhere(matrix) if i != j]
    worst = sorted(mistakes, key=lambda mistake: (-mistake[0], *mistake[1:]))[:size]
    rows = [(class_name(names, i), class_name(names, j), times, times / float(totals[i])) for times, i, j in worst]
    return pd.DataFrame(rows, columns=["truth", "taken_for", "images", "share"])


def confused_table(frame: pd.DataFrame, label: str) -> Table:
    columns = [
        Column("truth", "Truth"), Column("taken_for", "Taken for"), Column("images", "Times", count),
        Column("share", "Of the true class", lambda share: percent(share, 1)),
    ]  # fmt: skip
    return table(f"The most frequent errors of {network_name(label)}, over all its seeds.", frame, columns)


def classes_figure(frame: pd.DataFrame) -> Drawing:
    """Draw `classes_frame`: accuracy of each class, the hardest on top; beyond 20 classes the 20 hardest."""
    order = frame.groupby("index")["accuracy"].mean().dropna().sort_values()  # a class may have no test images
    shown = order.index[:MAX_SHOWN_CLASSES].tolist()
    names = frame.drop_duplicates("index").set_index("index")["name"]
    place = {index: position for position, index in enumerate(shown)}
    figure = blank(110 + 24 * len(shown))
    for number, (label, rows) in enumerate(frame[frame["index"].isin(shown)].groupby("label", sort=False)):
        color = SERIES[number % len(SERIES)]
        figure.add_scatter(
            x=rows["accuracy"].round(5).tolist(),
            y=[place[index] for index in rows["index"]],
            mode="markers",
            name=short_name(str(label)),
            marker={
                "color": color,
                "size": 9,
                "symbol": number if number == 0 else 100 + number,
                "line": {"width": 2, "color": color},
            },
            text=[safe(name) for name in rows["name"]],
            hovertemplate="%{text}: %{x:.2%}<extra>" + short_name(str(label)) + "</extra>",
        )
    ticks = [safe(names[index], 20) for index in shown]
    # Positions, not names, are the categories: two classes may bear one name, and plotly would merge them.
    figure.update_yaxes(
        tickvals=list(range(len(shown))), ticktext=ticks, range=[len(shown) - 0.5, -0.5], ticks="", ticklabelstandoff=6
    )
    accuracy_axis(figure, "Test accuracy", "xaxis")
    hardest, easiest = order.index[0], order.index[-1]
    selection = f" Shown are the {len(shown)} hardest of {len(order)} classes." if len(shown) < len(order) else ""
    caption = (
        f"Test accuracy of each class, the hardest first. Averaged over the networks, {names[hardest]} is hardest with "
        f"{percent(order.iloc[0])} and {names[easiest]} easiest with {percent(order.iloc[-1])}.{selection}"
    )
    return Drawing("classes", figure, caption, frame[["label", "name", "images", "accuracy"]])


def confusion_figure(counts: Counts, classes: Sequence[str], label: str) -> Drawing:
    """Draw a matrix of `confusions` as shares of the true class.

    Correct answers are left blank: they would outshine the errors.
    """
    totals, size = counts.sum(axis=1), len(counts)
    names = [class_name(classes, index) for index in range(size)]
    cells = [
        [None if i == j or not counts[i, j] else round(100 * float(counts[i, j] / totals[i]), 2) for j in range(size)]
        for i in range(size)
    ]
    figure = blank(130 + min(42 * size, 480), showlegend=False)
    named = size <= MAX_NAMED
    ticks = {"tickvals": list(range(size)), "ticktext": [safe(name, 14) for name in names]} if named else {}
    figure.add_heatmap(
        z=cells,
        colorscale=[[0, "rgba(59,125,216,0.04)"], [1, "rgba(59,125,216,0.75)"]],
        zmin=0,
        showscale=not named,
        xgap=1,
        ygap=1,
        texttemplate="%{z:.1f}" if size <= 12 else None,
        textfont={"size": 11},
        hoverongaps=False,
        hovertemplate="%{y} taken for %{x}: %{z:.1f}%<extra></extra>",
        colorbar={"title": {"text": "% of class"}, "thickness": 12, "outlinewidth": 0},
    )
    figure.update_xaxes(
        title={"text": "Taken for"},
        ticks="",
        showline=False,
        tickangle=-90 if named and max(map(len, names)) > 3 else None,
        **ticks,
    )
    figure.update_yaxes(
        title={"text": "Truth"},
        ticks="",
        ticklabelstandoff=4,
        showline=False,
        showgrid=False,
        range=[size - 0.5, -0.5],
        **ticks,
    )
    correct = float(counts.trace() / counts.sum())
    caption = (
        f"Errors of {network_name(label)} on the test set, in percent of the true class (row), over all its seeds; "
        f"correct answers, {percent(correct)} of all, are left blank."
    )
    return Drawing("confusion", figure, caption)
