"""The winner and full-length training as drawing."""

import math

import pandas as pd
import plotly.graph_objects as go

from search.report import drawing
from search.report.classes import Counts
from search.report.drawing import BLUE, ORANGE, SERIES, Drawing, accuracy_axis, blank, safe
from search.report.notation import count, network, percent, short

MAX_MATRIX = 100
MAX_NAMED = 30
MAX_SHOWN_CLASSES = 20


def parts_figure(frame: pd.DataFrame) -> Drawing:
    """Draw `tables.parts_frame`: the share of parameters and of MACs in each part."""
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
    heavy, busy = drawing.most(frame, "params"), drawing.most(frame, "macs")
    caption = (
        f"Where the parameters and multiply-accumulates are. Most parameters, {percent(heavy['params_share'], 0)} of "
        f"{count(frame['params'].sum())}, are in {heavy['name']}; most MACs, {percent(busy['macs_share'], 0)} of "
        f"{short(frame['macs'].sum())}, in {busy['name']}."
    )
    return Drawing("parts", figure, caption)


def tested_figure(frame: pd.DataFrame, budget: int) -> Drawing:
    """Draw `runs.final_summary`: test accuracy against parameters, searched designs beside baselines."""
    figure = blank(380)
    drawing.cost_axis(figure, "Parameters", frame["params"].tolist(), budget, "budget")
    accuracy_axis(figure, "Test accuracy")
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
            text=[f"  {_name(label)}  " for label in rows["label"]],
            textposition=[_side(figure, params) for params in rows["params"]],
            hovertemplate="%{text}: %{y:.2%}, %{x:,d} parameters<extra></extra>",
            cliponaxis=False,
        )
    # A single point has no range of its own, and plotly would take one that runs past 100%.
    spread = frame["deviation"].fillna(0)
    low, high = (frame["mean"] - spread).min(), (frame["mean"] + spread).max()
    margin = max(0.01, 0.1 * (high - low))
    figure.update_yaxes(range=[low - margin, min(1.0, high + margin)])
    told = "; ".join(f"{network(row['label'])}, {percent(row['mean'])}" for row in drawing.records(frame))
    caption = (
        "Test accuracy, not validation, against parameters: mean and standard deviation over seeds of the networks "
        f"trained at full length. In numbers: {told}."
    )
    return Drawing("test-parameters", figure, caption)


def _side(figure: go.Figure, params: int) -> str:
    """Where a label has room: right of a marker in the left half, left of one in the right half."""
    low, high = figure.layout.xaxis.range
    place = math.log10(params) if figure.layout.xaxis.type == "log" else params
    return "middle right" if place < (low + high) / 2 else "middle left"


def run_curves_figure(frame: pd.DataFrame, name: str = "run-curves") -> Drawing:
    """Draw `runs.run_curves_frame`: training accuracy dotted, validation accuracy solid, one colour a label."""
    figure = blank(400)
    labels = list(dict.fromkeys(frame["label"]))
    has_validation = bool((frame["split"] == "validation").any())
    for index, label in enumerate(labels):
        color = SERIES[index % len(SERIES)]
        for split, dash in (("train", "dot" if has_validation else "solid"), ("validation", "solid")):
            rows = frame[(frame["label"] == label) & (frame["split"] == split)]
            if rows.empty:
                continue
            epochs, accuracies, seeds = drawing.joined(rows, "seed")
            title = f"{_name(label)}, {split}" if has_validation else _name(label)
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
    drawing.epoch_axis(figure, int(frame["epoch"].max()))
    accuracy_axis(figure, "Accuracy")
    ends = frame[frame["split"] == "train"].groupby(["label", "seed"], sort=False)["accuracy"].last()
    told = ", ".join(f"{network(label)} {percent(ends[label].mean())}" for label in labels if label in ends)
    caption = (
        f"Training accuracy{' (dotted) and validation accuracy (solid)' if has_validation else ''} by epoch, one line "
        f"a seed. Training accuracy at the end: {told}."
        + (
            ""
            if has_validation
            else " These runs train on training and validation images together: nothing validates them."
        )
    )
    return Drawing(name, figure, caption)


def _name(label: str) -> str:
    return safe(network(label), 28)


def classes_figure(frame: pd.DataFrame) -> Drawing:
    """Draw `runs.classes_frame`: accuracy of each class, the hardest on top; beyond 20 classes the 20 hardest."""
    order = frame.groupby("index")["accuracy"].mean().sort_values()
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
            name=_name(str(label)),
            marker={
                "color": color,
                "size": 9,
                "symbol": number if number == 0 else 100 + number,
                "line": {"width": 2, "color": color},
            },
            text=[safe(name) for name in rows["name"]],
            hovertemplate="%{text}: %{x:.2%}<extra>" + _name(str(label)) + "</extra>",
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


def confusion_figure(counts: Counts, names: list[str], label: str) -> Drawing:
    """Draw `runs.confusion` as shares of the true class.

    Correct answers are left blank: they would outshine the errors.
    """
    totals, size = counts.sum(axis=1), len(counts)
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
        f"Errors of {network(label)} on the test set, in percent of the true class (row), over all its seeds; correct "
        f"answers, {percent(correct)} of all, are left blank."
    )
    return Drawing("confusion", figure, caption)
