"""What random draws from a space look like, as text and as a drawing of four small histograms."""

import math

import pandas as pd

from search.quantities import plural
from search.report.drawing import BLUE, Drawing, blank
from search.report.notation import percent, sentence_list, short
from search.space.profile import Bin, Profile, Spread

BAR = 30


def _spreads(profile: Profile) -> dict[str, Spread]:
    return {
        "stages": profile.stages,
        "layers": profile.layers,
        "MACs": profile.macs,
        "parameters": profile.params,
    }


def lines(profile: Profile) -> list[str]:
    """The draws for a terminal, a line each."""
    text = [f"what {profile.number:,} random designs {_where(profile)} look like", f"weighed    {profile.weights}"]
    for name, spread in _spreads(profile).items():
        text.append(f"{name:<10} {_middle(spread)}")
        most = max(bin.draws for bin in spread.bins)
        for bin in spread.bins:
            bar = "#" * round(BAR * bin.draws / most)
            text.append(f"  {_range(bin):>16}  {percent(bin.draws / profile.number, 1):>6} {bar}".rstrip())
    return text


def _where(profile: Profile) -> str:
    return "within the limits" if profile.are_limited else "of the whole space"


def _middle(spread: Spread) -> str:
    if spread.p5 == spread.p95:
        return f"median {short(spread.p50)}"
    return f"median {short(spread.p50)}, nine in ten from {short(spread.p5)} to {short(spread.p95)}"


def _range(bin: Bin) -> str:
    return short(bin.low) if bin.low == bin.high else f"{short(bin.low)} to {short(bin.high)}"


def draws_frame(profile: Profile) -> pd.DataFrame:
    """The bins of all four histograms: property, low, high, draws, share of all draws."""
    rows = [
        (name, bin.low, bin.high, bin.draws, bin.draws / profile.number)
        for name, spread in _spreads(profile).items()
        for bin in spread.bins
    ]
    return pd.DataFrame(rows, columns=["property", "low", "high", "draws", "share"])


def draws_figure(profile: Profile) -> Drawing:
    """Draw `draws_frame`, two histograms in a row."""
    figure = blank(360, bargap=0, showlegend=False)
    style = {axis: figure.layout[axis].to_plotly_json() for axis in ("xaxis", "yaxis")}
    for index, (name, spread) in enumerate(_spreads(profile).items()):
        row, column = divmod(index, 2)
        number = "" if index == 0 else str(index + 1)
        low, high = spread.bins[0].low - 0.5, spread.bins[-1].high + 0.5
        is_logarithmic = name != "stages" and high > 10 * low
        across = {
            "type": "log" if is_logarithmic else "linear",
            "range": [math.log10(low), math.log10(high)] if is_logarithmic else [low, high],
            "domain": [0.54 * column, 0.54 * column + 0.46],
            "anchor": f"y{number}",
            "title": {"text": name[0].upper() + name[1:], "font": {"size": 13}, "standoff": 4},
            "tickformat": "~s",
            "nticks": 6,
        }
        if name == "stages":
            across |= {"tickvals": [bin.low for bin in spread.bins], "tickformat": "d"}
        elif is_logarithmic:
            across |= {"dtick": "D2" if high < 100 * low else 1}  # at 1, 2 and 5, or at powers of ten
        upward = {
            "domain": [0.62 - 0.62 * row, 1 - 0.62 * row],
            "anchor": f"x{number}",
            "tickformat": ".0%",
            "nticks": 4,
            "rangemode": "tozero",
        }
        figure.update_layout({f"xaxis{number}": style["xaxis"] | across, f"yaxis{number}": style["yaxis"] | upward})
        figure.add_bar(
            x=[(bin.low + bin.high) / 2 for bin in spread.bins],
            # A little less than the bin, so that bars stand apart.
            width=[0.94 * (bin.high - bin.low + 1) for bin in spread.bins],
            y=[bin.draws / profile.number for bin in spread.bins],
            xaxis=f"x{number}",
            yaxis=f"y{number}",
            marker={"color": BLUE, "line": {"width": 0}},
            text=[f"{name}: {_range(bin)}<br>{plural(bin.draws, 'draw')}" for bin in spread.bins],
            textposition="none",
            hoverinfo="text",
        )
    return Drawing("draws", figure, _caption(profile), draws_frame(profile))


def _caption(profile: Profile) -> str:
    middles = [f"{name} {_of_middle(spread)}" for name, spread in _spreads(profile).items()]
    return (
        f"What {profile.number:,} random designs {_where(profile)} look like, drawn as the first trials of a search "
        f"are. Weights: {profile.weights}. Median and, in brackets, the middle nine tenths: {sentence_list(middles)}."
    )


def _of_middle(spread: Spread) -> str:
    return f"{short(spread.p50)} ({short(spread.p5)} to {short(spread.p95)})"
