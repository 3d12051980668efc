"""The search against its control: random designs that were trained among its own, and what size alone explains.

Search and control are compared by the best accuracy they reach in equal device time: of the trials that were trained to
the end within it, the best counts. A pruned or failed trial costs its seconds and counts for nothing, and where nothing
counts, guessing does.

The search's own trials are a sequence, for its sampler learns: they are taken in the order in which they were proposed,
and there is one such sequence. The control's are draws from one distribution, and any order of them is as likely as
theirs: what they reach is expected over random orders, without replacement, for with it the best of them is
underestimated (Dodge et al. 2019, https://arxiv.org/abs/1909.03004, as corrected by Tang et al. 2020,
https://arxiv.org/abs/2004.13705, with time in place of a number of trials).

How large a difference chance alone makes is told by a permutation test (Fisher 1935): were the search's trials random
designs too, it would be chance which of them all are whose. So they are dealt out anew many times, as many to each, and
the differences of the bests are the range of chance. It knows nothing of how a repeat of the search would differ.
Hand-made first trials belong to neither group: no search found them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

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
ROUNDING = 1e-9  # sums of the same seconds in another order are as long
PERCENTILES = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Search and control in the same device time: the best accuracy that the search reached and that the control is
    expected to reach, how many trials fit into it (of the control, on average), and the difference of their bests,
    search minus control. `low` to `high` is the range of chance: that of such differences where trials are dealt out to
    both at random."""

    seconds: float
    search: float
    control: float
    num_search: int
    num_control: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Times (times,), the bests of the search (times,) and of the control (orders, times), the mean number of trials in
    the last time, and the differences of chance (orders,) in that time."""

    times: Values
    search: Values
    control: Values
    num_search: int
    num_control: float
    chance: Values


def groups(view: StudyView) -> tuple[list[TrialView], list[TrialView]]:
    """The search's own trials and the control's, those that have ended, in the order in which they were proposed,
    without hand-made ones."""
    trials = sorted(view.trials, key=lambda trial: trial.number)
    ended = [trial for trial in trials if trial.state != "running"]
    own = [trial for trial in ended if not trial.is_control and trial.baseline is None]
    return own, [trial for trial in ended if trial.is_control]


def compare(view: StudyView) -> Comparison | None:
    """The comparison in the time that the group with less of it had; None where `why_not` says why."""
    drawn = _draw(view)
    if drawn is None:
        return None
    # Equal numbers have exactly their own mean: rounding must not lead out of the range of chance.
    search, control = float(drawn.search[-1]), fmean(drawn.control[:, -1].tolist())
    low, high = (float(end) for end in np.quantile(drawn.chance, PERCENTILES))
    return Comparison(
        float(drawn.times[-1]), search, control, drawn.num_search, drawn.num_control, search - control, low, high
    )


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
    """The best against device time, each group by itself: group ('search' or 'control'), seconds, expected, low, high.

    `expected` is what the search reached, which has no `low` and `high`, and what the control is expected to reach,
    with the range of its orders. Times at which less than half of the orders have a trial that counts are left out, but
    for the last. Empty where `why_not` says why.
    """
    columns = ["group", "seconds", "expected", "low", "high"]
    drawn = _draw(view)
    if drawn is None:
        return pd.DataFrame(columns=columns)
    frames = []
    low, high = np.quantile(drawn.control, PERCENTILES, axis=0)
    none = np.full_like(drawn.search, np.nan)
    for group, bests, ends in (("search", drawn.search[None], (none, none)), ("control", drawn.control, (low, high))):
        values = {"seconds": drawn.times, "expected": bests.mean(axis=0), "low": ends[0], "high": ends[1]}
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
    of_search, of_control = _records(own, guessing), _records(control, guessing)
    search, num_search = _bests(of_search, times, guessing)
    orders = [_bests(rng.permutation(of_control), times, guessing) for _ in range(NUM_DRAWS)]
    num_control = fmean(number for _, number in orders)
    dealt = np.concatenate([of_search[:num_search], of_control])[:, 1]
    chance = [_difference(rng.permutation(dealt), num_search, round(num_control), guessing) for _ in range(NUM_DRAWS)]
    return _Drawn(times, search, np.array([bests for bests, _ in orders]), num_search, num_control, np.array(chance))


def _records(trials: Sequence[TrialView], guessing: float) -> Values:
    """Seconds and what counts for the best of each trial (trials, 2)."""
    values = [(trial.value or 0.0) if trial.state == "complete" else guessing for trial in trials]
    return np.array([(trial.seconds, value) for trial, value in zip(trials, values, strict=True)])


def _bests(records: Values, times: Values, guessing: float) -> tuple[Values, int]:
    """The best of trials, one after the other, within each time, and how many of them fit into the last."""
    best = np.maximum.accumulate(np.append(guessing, records[:, 1]))
    within = np.searchsorted(np.cumsum(records[:, 0]), times * (1 + ROUNDING), side="right")
    return best[within], int(within[-1])


def _difference(values: Values, num_search: int, num_control: int, guessing: float) -> float:
    """The best of the first values less the best of those that follow."""
    search, control = values[:num_search], values[num_search : num_search + num_control]
    return float(search.max(initial=guessing) - control.max(initial=guessing))


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
        f"In its first {duration(comparison.seconds)} of device time the search reached {percent(comparison.search)} "
        f"({plural(comparison.num_search, 'trial')}), and in as much the control is expected to reach "
        f"{percent(comparison.control)} (about {comparison.num_control:.0f}): a difference of "
        f"{_signed(comparison.difference)} points."
    )
    chance = (
        f"Were all these trials random designs, chance alone would make a difference of {low} to {high} points "
        f"({CONFIDENCE:.0%} range where they are dealt out to both at random)."
    )
    which = "better" if comparison.difference > comparison.high else "worse"
    verdict = (
        "Search and control are not distinguishable from one search."
        if comparison.low <= comparison.difference <= comparison.high
        else f"In this one search its own designs did {which} than random ones; what a repeat would show, one search "
        "cannot tell."
    )
    return [compared, chance, verdict]


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
    """Draw `control_frame`: the best of the search and the expected best of the control against device time."""
    figure = blank(360)
    most = float(frame["seconds"].max())
    size, unit = (3600, "hours") if most > 7200 else (60, "minutes") if most > 120 else (1, "seconds")
    ends = {}
    for group, colour, dash in (("search", BLUE, "solid"), ("control", ORANGE, "dash")):
        rows = frame[frame["group"] == group]
        times = (rows["seconds"] / size).round(4).tolist()
        if rows["low"].notna().any():
            low, high = rows["low"].round(5).tolist(), rows["high"].round(5).tolist()
            figure.add_scatter(
                x=times + times[::-1], y=high + low[::-1], fill="toself", fillcolor=colour, opacity=0.15, mode="lines",
                line={"width": 0}, hoverinfo="skip", showlegend=False,
            )  # fmt: skip
        figure.add_scatter(
            x=times, y=rows["expected"].round(5).tolist(), mode="lines" if len(rows) > 1 else "markers", name=group,
            line={"color": colour, "dash": dash, "width": 2}, hovertemplate=f"{group}: %{{y:.2%}}<extra></extra>",
        )  # fmt: skip
        ends[group] = percent(rows["expected"].iloc[-1])
    figure.update_xaxes(title={"text": f"Device time ({unit})"}, rangemode="tozero")
    accuracy_axis(figure, "Best validation accuracy")
    caption = (
        "Best validation accuracy that the search reached, and that uniform random designs are expected to reach, in "
        f"the same device time. The band holds {CONFIDENCE:.0%} of the orders in which the control's trials could have "
        "come, and closes where all of them are in: it is not the noise of another control. After "
        f"{duration(most)}: the search {ends['search']}, the control {ends['control']}."
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
