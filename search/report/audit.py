"""An audit of a space as text and as a drawing."""

import pandas as pd

from search.report.drawing import BLUE, GREY, Drawing, blank
from search.report.notation import count, percent, short
from search.space.audit import Audit

MAX_NEVER = 12
BAR = 40


def lines(audit: Audit) -> list[str]:
    """The audit for a terminal, a line each."""
    found = [
        f"designs    {count(audit.total)} different architectures of {count(audit.smallest)} to "
        f"{count(audit.largest)} parameters",
        f"vectors    {count(audit.vectors)} of {audit.slots} places; {count(audit.vectors_valid)} of them are networks",
    ]
    if audit.impossible:
        found.append(f"impossible {count(audit.impossible)} more designs cannot take images of this size")
    if audit.budget is not None:
        found += ["", *_fitting(audit)]
    found += ["", "parameters of all designs", *_bars(audit)]
    if audit.never:
        found += ["", "what no design within the limits has", *(f"  {one.text}" for one in audit.never[:MAX_NEVER])]
        if len(audit.never) > MAX_NEVER:
            found.append(f"  and {len(audit.never) - MAX_NEVER} more choices: --format json lists them")
    return found


def _fitting(audit: Audit) -> list[str]:
    assert audit.budget is not None and audit.near_budget is not None and audit.added is not None
    further = [*audit.limits, *([f"at least {audit.fill} of them used"] if audit.fill else [])]
    exact = "" if not audit.error else f" (estimated, standard error {count(audit.error)})"
    return [
        f"limit      {count(audit.budget)} parameters" + "".join(f", {text}" for text in further),
        f"fitting    {count(audit.feasible)} designs, {_share(audit.share)}{exact}; "
        f"{_share(audit.vectors_share)} of the vectors that are networks",
        f"near it    {count(audit.near_budget)} designs use 90 to 100% of the parameters",
        f"10% more   parameters would add {count(audit.added)} designs",
    ]


def _share(share: float) -> str:
    return percent(share, 1) if share >= 0.001 or share == 0 else f"{share:.2g}"


def _bars(audit: Audit) -> list[str]:
    most = max(each.designs for each in audit.histogram)
    rows = []
    for each in audit.histogram:
        mark = " <" if audit.budget is not None and each.low <= audit.budget <= each.high else ""
        bar = "#" * round(BAR * each.designs / most)
        rows.append(
            f"  {short(each.low):>6} to {short(each.high):>6}  {percent(each.designs / audit.total, 1):>6} {bar}{mark}"
        )
    return rows


def histogram_frame(audit: Audit) -> pd.DataFrame:
    """The designs of a space by parameters: low, high, share of all designs."""
    rows = [(each.low, each.high, each.designs / audit.total) for each in audit.histogram]
    return pd.DataFrame(rows, columns=["low", "high", "share"])


def audit_figure(audit: Audit) -> Drawing:
    """Draw `histogram_frame`, with the budget's line."""
    frame = histogram_frame(audit)
    figure = blank(260, bargap=0.08, showlegend=False)
    names = [f"{short(low)} to {short(high)}" for low, high in zip(frame["low"], frame["high"], strict=True)]
    budget = audit.budget if audit.budget is not None else audit.largest
    colors = [BLUE if high <= budget else GREY for high in frame["high"]]
    figure.add_bar(
        x=names,
        y=frame["share"].round(6).tolist(),
        marker={"color": colors},
        hovertemplate="%{x} parameters: %{y:.2%} of all designs<extra></extra>",
    )
    figure.update_yaxes(title={"text": "Share of designs"}, tickformat=".2~%")
    figure.update_xaxes(title={"text": "Parameters"}, tickangle=-45)
    caption = (
        f"The search space holds {count(audit.total)} different networks of {short(audit.smallest)} to "
        f"{short(audit.largest)} parameters; {count(audit.feasible)} of them, {_share(audit.share)}, are within the "
        "limits. Bars that lie within the budget as a whole are blue."
    )
    return Drawing("audit", figure, caption)
