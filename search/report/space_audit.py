"""An audit of a space as text and as a drawing."""

import math

import pandas as pd

from search.quantities import plural, significant
from search.report.drawing import BLUE, Drawing, blank, cost_axis, records
from search.report.notation import count, percent, short
from search.space.audit import Audit

MAX_IMPOSSIBLE = 12
BEYOND = "rgba(138,143,152,0.5)"  # grey, through which the budget's line is seen
BAR = 40


def lines(audit: Audit) -> list[str]:
    """The audit for a terminal, a line each."""
    text = [
        f"designs    {plural(audit.total, 'different architecture')} of {count(audit.smallest)} to "
        f"{count(audit.largest)} parameters",
        f"vectors    {count(audit.vectors)} of {plural(audit.slots, 'place')}; {count(audit.vectors_valid)} of them "
        f"{'is a network' if audit.vectors_valid == 1 else 'are networks'}",
    ]
    if audit.impossible:
        text.append(f"impossible {plural(audit.impossible, 'more design')} cannot take images of this size")
    if audit.budget is not None:
        text += ["", *_fitting(audit)]
    text += ["", "parameters of all designs", *_bars(audit)]
    if audit.impossible_choices:
        text += [
            "",
            "what no design within the limits has",
            *(f"  {choice.text}" for choice in audit.impossible_choices[:MAX_IMPOSSIBLE]),
        ]
        if len(audit.impossible_choices) > MAX_IMPOSSIBLE:
            more = plural(len(audit.impossible_choices) - MAX_IMPOSSIBLE, "more choice")
            text.append(f"  and {more}: --format json lists them")
    return text


def _fitting(audit: Audit) -> list[str]:
    assert audit.budget is not None
    near, added = ("too many designs to be counted",) * 2
    if audit.near_budget is not None and audit.added is not None:
        near, added = plural(audit.near_budget, "design"), plural(audit.added, "design")
    of = "them" if audit.least else "the bytes"
    further = [*audit.limits, *([f"at least {audit.fill} of {of} used"] if audit.fill else [])]
    exact = "" if not audit.error else f" (estimated, standard error {count(audit.error)})"
    return [
        f"limit      {count(audit.budget)} parameters" + "".join(f", {text}" for text in further),
        f"fitting    {plural(audit.feasible, 'design')}, {_share(audit.share)}{exact}; "
        f"{_share(audit.vectors_share)} of the vectors that are networks",
        f"near it    {near} of {100 * max(0.9, audit.fill if audit.least else 0):g} to 100% of the parameters",
        f"10% more   parameters would add {added}",
    ]


def _share(share: float) -> str:
    return percent(share, 1) if share >= 0.001 or share == 0 else significant(share, 2)


def _bars(audit: Audit) -> list[str]:
    if not audit.histogram:
        return ["  too many to be counted by their parameters"]
    most = max(bin.designs for bin in audit.histogram)
    rows = []
    for bin in audit.histogram:
        mark = " <" if audit.budget is not None and bin.low <= audit.budget <= bin.high else ""
        bar = "#" * round(BAR * bin.designs / most)
        rows.append(
            f"  {short(bin.low):>6} to {short(bin.high):>6}  {percent(bin.designs / audit.total, 1):>6} {bar}{mark}"
        )
    return rows


def histogram_frame(audit: Audit) -> pd.DataFrame:
    """The designs of a space by parameters: low, high, designs, share of all designs."""
    rows = [(bin.low, bin.high, bin.designs, bin.designs / audit.total) for bin in audit.histogram]
    return pd.DataFrame(rows, columns=["low", "high", "designs", "share"])


def audit_figure(audit: Audit) -> Drawing:
    """Draw `histogram_frame` of an audit that has one, with the budget's line. Both axes are logarithmic: few designs
    are small."""
    frame = histogram_frame(audit)
    figure = blank(280, bargap=0, showlegend=False, margin={"l": 8, "r": 16, "t": 26, "b": 8})
    least, most = audit.least or 0, audit.budget if audit.budget is not None else audit.largest
    drawn = frame[frame["designs"] > 0]
    lows, highs = drawn["low"].astype(float), drawn["high"].astype(float) + 1
    cost_axis(figure, "Parameters", [float(lows.min()), float(highs.max())], audit.budget, "budget", label_above=True)
    figure.add_bar(
        x=((lows + highs) / 2).tolist(),
        # A little less than the bin, so that bars stand apart.
        width=(0.94 * (highs - lows)).tolist(),
        y=drawn["designs"].astype(float).tolist(),
        marker={
            "color": [BLUE if high > least and low <= most else BEYOND for low, high in zip(lows, highs, strict=True)],
            "line": {"width": 0},
        },
        text=[
            f"{short(row['low'])} to {short(row['high'])} parameters:<br>{plural(int(row['designs']), 'design')}"
            for row in records(drawn)
        ],
        textposition="none",
        hoverinfo="text",
    )
    top = math.log10(float(drawn["designs"].max()))
    figure.update_yaxes(
        type="log", range=[-0.3, 1.06 * top + 0.1], title={"text": "Designs"}, tickformat="~s", nticks=6
    )
    are = "is" if audit.feasible == 1 else "are"
    about = "about " if audit.error else ""
    caption = (
        f"The search space holds {plural(audit.total, 'different network')} of {short(audit.smallest)} to "
        f"{short(audit.largest)} parameters; {about}{count(audit.feasible)} of them, {_odds(audit.share)}, {are} "
        "within the limits. Bars with sizes that the budget and its share allow are blue; both axes are logarithmic."
    )
    return Drawing("audit", figure, caption, frame)


def _odds(share: float) -> str:
    return _share(share) if share >= 0.001 or share == 0 else f"one in {count(1 / share)}"
