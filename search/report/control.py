"""The search against its control: random designs that were trained among its own, and what size alone explains.

Search and control are compared by the best accuracy they reach in equal device time. Trials of each group are drawn
with replacement until the time is over; of those trained to the end within it the best counts. A pruned or failed trial
costs its seconds and counts for nothing, and where nothing counts, guessing does. The mean over many such draws is the
expected best (Dodge et al. 2019, https://arxiv.org/abs/1909.03004, with time in place of a number of trials), and
their percentiles are its interval. All this takes trials as independent, which those of a search are not, for its
sampler learns: the interval is an approximation, and knows nothing of how a repeat would differ. Hand-made first trials
belong to neither group: no search found them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import stdtrit
from scipy.stats import linregress

from search.report.drawing import BLUE, ORANGE, Drawing, accuracy_axis, blank
from search.report.notation import count, duration, percent, plural
from search.report.runs import CONFIDENCE
from search.report.tables import ranked
from search.study.view import StudyView, TrialView

NUM_DRAWS = 2_000
NUM_TIMES = 40
MIN_TRIALS = 5  # of each group; fewer are no sample to draw from
SEED = 0
PERCENTILES = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Search and control in the same device time: the expected best accuracy of each, how many trials fit into it on
    average, and the difference of their bests, search minus control, with its interval."""

    seconds: float
    search: float
    control: float
    num_search: float
    num_control: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Times (times,), and for each group the bests (draws, times) and the mean number of trials in the last time."""

    times: Values
    search: Values
    control: Values
    num_search: float
    num_control: float


def groups(view: StudyView) -> tuple[list[TrialView], list[TrialView]]:
    """The search's own trials and the control's, those that have ended, without hand-made ones."""
    ended = [trial for trial in view.trials if trial.state != "running"]
    own = [trial for trial in ended if not trial.is_control and trial.baseline is None]
    return own, [trial for trial in ended if trial.is_control]


def compare(view: StudyView) -> Comparison | None:
    """The comparison in the time that the group with less of it had; None where `why_not` says why."""
    drawn = _draw(view)
    if drawn is None:
        return None
    search, control = drawn.search[:, -1], drawn.control[:, -1]
    low, high = np.quantile(search - control, PERCENTILES)
    return Comparison(
        float(drawn.times[-1]), float(search.mean()), float(control.mean()), drawn.num_search, drawn.num_control,
        float(search.mean() - control.mean()), float(low), float(high),
    )  # fmt: skip


def why_not(view: StudyView) -> str | None:
    """Why search and control cannot be compared, or None if they can."""
    own, control = groups(view)
    for name, trials in (("the search's own trials", own), ("the control trials", control)):
        complete = sum(trial.state == "complete" for trial in trials)
        if len(trials) < MIN_TRIALS or not complete:
            return (
                f"Of {name} {len(trials)} have ended, {complete} of them trained to the end: too few for a comparison, "
                f"which needs {MIN_TRIALS} and 1."
            )
        if sum(trial.seconds for trial in trials) <= 0:
            return f"Of {name} no device time is recorded, so there is no comparison."
    return None


def control_frame(view: StudyView) -> pd.DataFrame:
    """The expected best against device time, each group by itself: group ('search' or 'control'), seconds, expected,
    low, high. Times at which less than half of the draws have a trial that counts are left out, but for the last. Empty
    where `why_not` says why."""
    columns = ["group", "seconds", "expected", "low", "high"]
    drawn = _draw(view)
    if drawn is None:
        return pd.DataFrame(columns=columns)
    frames = []
    for group, bests in (("search", drawn.search), ("control", drawn.control)):
        low, high = np.quantile(bests, PERCENTILES, axis=0)
        values = {"seconds": drawn.times, "expected": bests.mean(axis=0), "low": low, "high": high}
        kept = np.flatnonzero((np.median(bests, axis=0) > 1 / len(view.classes)) | (drawn.times == drawn.times[-1]))
        frames.append(pd.DataFrame({"group": group, **values}, columns=columns).iloc[kept])
    return pd.concat(frames, ignore_index=True)


def _draw(view: StudyView) -> _Drawn | None:
    if why_not(view) is not None:
        return None
    own, control = groups(view)
    most = min(sum(trial.seconds for trial in trials) for trials in (own, control))
    times = np.linspace(0, most, NUM_TIMES + 1)[1:]
    rng, guessing = np.random.default_rng(SEED), 1 / len(view.classes)
    of_search, num_search = _bests(own, times, guessing, rng)
    of_control, num_control = _bests(control, times, guessing, rng)
    return _Drawn(times, of_search, of_control, num_search, num_control)


def _bests(
    trials: Sequence[TrialView], times: Values, guessing: float, rng: np.random.Generator
) -> tuple[Values, float]:
    """The best within each time, for every draw, and the mean number of trials within the last."""
    seconds = np.array([trial.seconds for trial in trials])
    values = np.array([(trial.value or 0.0) if trial.state == "complete" else guessing for trial in trials])
    most = float(times[-1])
    size = round(1.2 * most / float(seconds.mean())) + 10  # nearly always enough
    bests, number = np.empty((NUM_DRAWS, len(times))), 0
    for draw in range(NUM_DRAWS):
        drawn = rng.integers(len(trials), size=size)
        ends = np.cumsum(seconds[drawn])
        while ends[-1] <= most:
            more = rng.integers(len(trials), size=size)
            drawn, ends = np.append(drawn, more), np.append(ends, ends[-1] + np.cumsum(seconds[more]))
        best = np.maximum.accumulate(np.append(guessing, values[drawn]))
        within = np.searchsorted(ends, times, side="right")
        bests[draw] = best[within]
        number += int(within[-1])
    return bests, number / NUM_DRAWS


def control_sentences(view: StudyView) -> list[str]:
    """What the control is and what the comparison with it says; nothing where no control was asked for."""
    control = [trial for trial in view.trials if trial.is_control]
    if not view.control and not control:
        return []
    seconds = duration(sum(trial.seconds for trial in control))
    learns = (
        "The sampler saw how they ended, as it sees every trial: the control is as good as a random search, and the "
        "search had its help."
        if view.sampler != "random"
        else "The sampler learns from no trial: search and control are drawn alike, and differ by chance alone."
    )
    drew = (
        f"{count(len(control))} of {plural(len(view.trials), 'trial')} (asked for: a share of {view.control:g}) drew "
        f"uniform random designs within the same limits, pruned by the same rule, in {seconds} of device time."
    )
    comparison = compare(view)
    if comparison is None:
        return [drew, learns, str(why_not(view))]
    return [drew, learns, *_told(comparison), *_hand_made(view)]


def _told(comparison: Comparison) -> list[str]:
    low, high = _signed(comparison.low), _signed(comparison.high)
    compared = (
        f"In {duration(comparison.seconds)} of device time the best of the search is expected at "
        f"{percent(comparison.search)} (about {comparison.num_search:.0f} trials) and the best of the control at "
        f"{percent(comparison.control)} (about {comparison.num_control:.0f}): a difference of "
        f"{_signed(comparison.difference)} points, {CONFIDENCE:.0%} bootstrap interval {low} to {high}."
    )
    which = "better" if comparison.low > 0 else "worse"
    verdict = (
        "Search and control are not distinguishable from one search."
        if comparison.low <= 0 <= comparison.high
        else f"In this one search its own designs did {which} than random ones; what a repeat would show, one search "
        "cannot tell."
    )
    approximate = (
        "The bootstrap draws trials as if they were independent, which those of a search are not, for its sampler "
        "learns from them: the interval is an approximation."
    )
    return [compared, verdict, approximate]


def _signed(difference: float) -> str:
    return f"{round(100 * difference, 2) + 0.0:+.2f}"  # points; nothing is +0.00


def _hand_made(view: StudyView) -> list[str]:
    made = [trial for trial in view.trials if trial.baseline is not None and not trial.is_control]
    if not made:
        return []
    best = max((trial.value or 0.0 for trial in made if trial.state == "complete"), default=None)
    reached = f" (the best reached {percent(best)})" if best is not None else ""
    return [f"Left out on both sides: {plural(len(made), 'hand-made first trial')}{reached}, which no search found."]


def control_figure(frame: pd.DataFrame) -> Drawing:
    """Draw `control_frame`: the expected best of search and control against device time, with bands."""
    figure = blank(360)
    most = float(frame["seconds"].max())
    size, unit = (3600, "hours") if most > 7200 else (60, "minutes") if most > 120 else (1, "seconds")
    ends = {}
    for group, colour, dash in (("search", BLUE, "solid"), ("control", ORANGE, "dash")):
        rows = frame[frame["group"] == group]
        times = (rows["seconds"] / size).round(4).tolist()
        low, high = rows["low"].round(5).tolist(), rows["high"].round(5).tolist()
        figure.add_scatter(
            x=times + times[::-1], y=high + low[::-1], fill="toself", fillcolor=colour, opacity=0.15, mode="lines",
            line={"width": 0}, hoverinfo="skip", showlegend=False,
        )  # fmt: skip
        figure.add_scatter(
            x=times, y=rows["expected"].round(5).tolist(), mode="lines" if len(rows) > 1 else "markers", name=group,
            line={"color": colour, "dash": dash, "width": 2}, hovertemplate=f"{group}: %{{y:.2%}}<extra></extra>",
        )  # fmt: skip
        ends[group] = f"{percent(rows['expected'].iloc[-1])} ({percent(low[-1])} to {percent(high[-1])})"
    figure.update_xaxes(title={"text": f"Device time ({unit})"}, rangemode="tozero")
    accuracy_axis(figure, "Expected best validation accuracy")
    caption = (
        f"Best validation accuracy to be expected of the search and of uniform random designs in the same device time, "
        f"with {CONFIDENCE:.0%} bands of a bootstrap over trials. After {duration(most)}: the search {ends['search']}, "
        f"the control {ends['control']}."
    )
    return Drawing("control", figure, caption)


def size_sentence(view: StudyView) -> str:
    """What size alone explains: accuracy of the complete trials on the logarithm of their parameters, by least squares,
    with Student's interval of the slope."""
    trials = ranked(view)
    if len(trials) < MIN_TRIALS or len({trial.params for trial in trials}) < 2:
        return f"Size alone: {plural(len(trials), 'complete trial')} cannot tell how accuracy goes with parameters."
    params, values = [trial.params for trial in trials], [float(trial.value or 0.0) for trial in trials]
    if len(set(values)) < 2:
        return f"Size alone explains nothing: all {plural(len(trials), 'complete trial')} have the same accuracy."
    line = linregress(np.log2(params), values)
    half = float(stdtrit(len(trials) - 2, PERCENTILES[1])) * line.stderr
    return (
        f"Size alone explains {percent(line.rvalue**2, 0)} of the variance of accuracy over "
        f"{plural(len(trials), 'complete trial')} of {count(min(params))} to {count(max(params))} parameters: "
        f"{_signed(line.slope)} points for each doubling of parameters ({CONFIDENCE:.0%} interval "
        f"{_signed(line.slope - half)} to {_signed(line.slope + half)})."
    )
