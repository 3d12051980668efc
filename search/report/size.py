"""How much of the accuracy the size of a network explains."""

import numpy as np
from scipy.special import stdtrit
from scipy.stats import linregress

from search.report.notation import count, percent, plural
from search.report.runs import CONFIDENCE
from search.report.tables import ranked
from search.study.view import StudyView

MIN_TRIALS = 5


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
    half = float(stdtrit(len(trials) - 2, (1 + CONFIDENCE) / 2)) * line.stderr
    return (
        f"Size alone explains {percent(line.rvalue**2, 0)} of the variance of accuracy over "
        f"{plural(len(trials), 'complete trial')} of {count(min(params))} to {count(max(params))} parameters: "
        f"{_points(line.slope)} points for each doubling of parameters ({CONFIDENCE:.0%} interval "
        f"{_points(line.slope - half)} to {_points(line.slope + half)})."
    )


def _points(difference: float) -> str:
    return f"{round(100 * difference, 2) + 0.0:+.2f}"  # nothing is +0.00
