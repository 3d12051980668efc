"""The search as figures: each draws one frame of `tables` or `importances`."""

import pandas as pd
import plotly.graph_objects as go

from search.report.drawing import (
    BLUE,
    GREY,
    ORANGE,
    RED,
    Drawing,
    accuracy_axis,
    blank,
    joined,
    least,
    most,
    parameters_axis,
    records,
    safe,
)
from search.report.notation import count, percent, plural, short


def accuracy_figure(frame: pd.DataFrame, budget: int) -> Drawing:
    """Draw `tables.accuracy_frame`: accuracy against parameters, the front, the budget."""
    figure = blank(420)
    details = [
        f"trial {row['number']}: {percent(row['value'])}<br>{count(row['params'])} parameters, "
        f"{short(row['macs'])} MACs<br>{safe(row['design'], 90)}"
        for row in records(frame)
    ]
    figure.add_scatter(
        x=frame["params"].tolist(),
        y=frame["value"].round(5).tolist(),
        mode="markers",
        name="complete trial",
        marker={"color": BLUE, "size": 7, "opacity": 0.65},
        text=details,
        hoverinfo="text",
    )
    front = frame[frame["front"]]
    figure.add_scatter(
        x=[*front["params"].tolist(), budget],
        y=[*front["value"].round(5).tolist(), round(float(front["value"].max()), 5)],
        mode="lines",
        name="best with at most this many",
        line={"color": ORANGE, "shape": "hv", "width": 2},
        hoverinfo="skip",
    )
    parameters_axis(figure, frame["params"].tolist(), budget)
    accuracy_axis(figure, "Validation accuracy")
    smallest, best = least(frame, "params"), most(front, "value")
    caption = (
        f"Validation accuracy against parameters for {plural(len(frame), 'complete trial')}. The best, trial "
        f"{best['number']}, reaches {percent(best['value'])} with {count(best['params'])} parameters; the smallest "
        f"reaches {percent(smallest['value'])} with {count(smallest['params'])}. The line is the best accuracy "
        f"found with at most that many parameters ({plural(len(front), 'design')}), the dashed line the budget."
    )
    return Drawing("accuracy-parameters", figure, caption)


def history_figure(frame: pd.DataFrame) -> Drawing:
    """Draw `tables.history_frame`: value by trial and the best so far; below, which trials were pruned or failed.

    Pruned trials have a strip of their own: their accuracy is that of an earlier epoch, and no rival to the others.
    """
    figure = blank(360)
    complete = frame[(frame["state"] == "complete") & frame["value"].notna()]
    if not complete.empty:
        figure.add_scatter(
            x=complete["number"].tolist(),
            y=complete["value"].round(5).tolist(),
            mode="markers",
            name="complete",
            marker={"color": BLUE, "size": 7, "opacity": 0.8},
            hovertemplate="trial %{x}: %{y:.2%}<extra></extra>",
        )
    improved = frame.dropna(subset=["best"])
    if not improved.empty:
        figure.add_scatter(
            x=improved["number"].tolist(),
            y=improved["best"].round(5).tolist(),
            mode="lines",
            name="best so far",
            line={"color": ORANGE, "shape": "hv", "width": 2},
            hoverinfo="skip",
        )
    figure.update_xaxes(title={"text": "Trial"}, tickformat="d", rangemode="tozero")
    accuracy_axis(figure, "Validation accuracy")
    _ended_early(figure, frame)
    return Drawing("history", figure, _history_caption(frame))


def _ended_early(figure: go.Figure, frame: pd.DataFrame) -> None:
    """A strip under the accuracies with a line for pruned and a line for failed trials, if there are any."""
    looks = {
        "pruned": {"color": GREY, "size": 8, "symbol": "x-thin-open", "line": {"width": 1.5, "color": GREY}},
        "failed": {"color": RED, "size": 8, "symbol": "triangle-up"},
    }
    present = [state for state in ("failed", "pruned") if (frame["state"] == state).any()]
    if not present:
        return
    figure.update_layout(
        yaxis={"domain": [0.09 * len(present) + 0.03, 1]},
        yaxis2={
            "domain": [0, 0.09 * len(present)],
            "range": [-0.6, len(present) - 0.4],
            "tickvals": list(range(len(present))),
            "ticktext": present,
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        },
        xaxis={"anchor": "y2"},
    )
    for place, state in enumerate(present):
        rows = frame[frame["state"] == state]
        figure.add_scatter(
            x=rows["number"].tolist(),
            y=[place] * len(rows),
            yaxis="y2",
            mode="markers",
            name=state,
            showlegend=False,
            marker=looks[state],
            text=[f"trial {row['number']}, {state}: {percent(row['value'])}" for row in records(rows)],
            hoverinfo="text",
        )


def _history_caption(frame: pd.DataFrame) -> str:
    states = frame["state"].value_counts().to_dict()
    told = ", ".join(f"{states[state]} {state}" for state in ("complete", "pruned", "failed") if state in states)
    complete = frame[(frame["state"] == "complete") & frame["value"].notna()]
    start = f"Validation accuracy of each trial in the order of the search ({told})."
    if not complete.empty:
        best = most(complete, "value")
        start += f" The best, {percent(best['value'])}, came with trial {best['number']}."
    early = [state for state in ("pruned", "failed") if state in states]
    if early:
        start += f" The {' and '.join(early)} trials are marked below the axis, for they have no final accuracy."
    return start


def curves_figure(frame: pd.DataFrame, total: int) -> Drawing:
    """Draw `tables.curves_frame`; `total` is how many trials could have been drawn."""
    figure = blank(380)
    looks = {
        "pruned": ("pruned", {"color": GREY, "width": 1, "dash": "dot"}, 0.9),
        "complete": ("complete", {"color": BLUE, "width": 1}, 0.6),
        "best": ("best", {"color": ORANGE, "width": 3}, 1.0),
    }
    for role, (name, line, opacity) in looks.items():
        rows = frame[frame["role"] == role]
        if rows.empty:
            continue
        epochs, accuracies, numbers = joined(rows, "number")
        figure.add_scatter(
            x=epochs,
            y=accuracies,
            text=numbers,
            mode="lines",
            name=name,
            line=line,
            opacity=opacity,
            hovertemplate="trial %{text}, epoch %{x}: %{y:.2%}<extra></extra>",
        )
        # A curve of one epoch has no line to be seen by.
        lonely = rows.groupby("number").filter(lambda group: len(group) == 1)
        if not lonely.empty:
            figure.add_scatter(
                x=lonely["epoch"].tolist(),
                y=lonely["accuracy"].round(5).tolist(),
                text=lonely["number"].tolist(),
                mode="markers",
                showlegend=False,
                marker={"color": line["color"], "size": 5},
                opacity=opacity,
                hovertemplate="trial %{text}, epoch %{x}: %{y:.2%}<extra></extra>",
            )
    figure.update_xaxes(title={"text": "Epoch"}, tickformat="d")
    accuracy_axis(figure, "Validation accuracy")
    return Drawing("curves", figure, _curves_caption(frame, total))


def _curves_caption(frame: pd.DataFrame, total: int) -> str:
    shown = frame["number"].nunique()
    roles = frame.drop_duplicates("number")["role"].value_counts().to_dict()
    complete = roles.get("complete", 0) + roles.get("best", 0)
    told = f"{plural(complete, 'complete trial')}" + (f" and {roles['pruned']} pruned" if "pruned" in roles else "")
    caption = f"Validation accuracy by epoch of {told}"
    caption += f", an even selection of {shown} of {total:,} trials." if shown < total else "."
    best = frame[frame["role"] == "best"]
    if not best.empty:
        last = best.iloc[-1]
        caption += f" The best, trial {last['number']}, is at {percent(last['accuracy'])} after epoch {last['epoch']}."
    return caption


def importances_figure(frame: pd.DataFrame) -> Drawing:
    """Draw `importances.importances_frame` as bars, the largest on top."""
    figure = blank(60 + 26 * len(frame), showlegend=False)
    rows = frame.iloc[::-1]
    figure.add_bar(
        x=rows["importance"].round(4).tolist(),
        y=rows["feature"].tolist(),
        orientation="h",
        marker={"color": BLUE},
        text=[percent(value, 0) for value in rows["importance"]],
        textposition="outside",
        cliponaxis=False,
        hoverinfo="skip",
    )
    figure.update_xaxes(visible=False, range=[0, 1.15 * float(frame["importance"].max())])
    figure.update_yaxes(showgrid=False, ticks="", showline=False, ticklabelstandoff=6)
    first = frame.iloc[0]
    caption = (
        f"Share of each property of a network in telling the best trials from the others. First is {first['feature']} "
        f"with {percent(first['importance'], 0)}. Properties that go together, such as parameters and widths, split it."
    )
    return Drawing("importances", figure, caption)
