"""Comparisons with baselines in plain sentences: what can be said, how sure it is, and what it costs."""

from search.report.comparisons import Comparison, compare, networks, unalike
from search.report.notation import duration, exists, network, percent, plural, points, short
from search.report.runs import CONFIDENCE
from search.report.significance import MAX_SEEDS
from search.report.tables import ranked
from search.study.networks import Network
from search.study.view import StudyView

# A design that costs much more than what it is compared with has not won on parameters alone.
MAX_MACS_RATIO = 1.5


def comparison_sentences(view: StudyView) -> list[str]:
    """One paragraph a comparison, one for every pair that was trained differently, and last what no interval covers.

    Empty if no trial or no baseline was retrained.
    """
    found = compare(view)
    num_tests = sum(each.is_tested for each in found)
    several = len({each.trial.training for each in found}) > 1
    said = [_comparison(view, each, num_tests, several or each.trial.runs[0].holdout) for each in found]
    said += [_unalike(trial, baseline) for trial, baseline in unalike(view)]
    return [*said, _uncovered(found)] if num_tests else said


def network_sentences(view: StudyView) -> list[str]:
    """Mean and standard deviation of every network that was trained with more than one seed."""
    return [
        f"{_name(each)}: {percent(each.mean)} in the mean of {each.seeds} seeds, standard deviation "
        f"{points(each.deviation)} points, at {_cost(each)} ({each.training})"
        for each in networks(view)
        if each.seeds > 1
    ]


def _comparison(view: StudyView, found: Comparison, num_tests: int, tell_training: bool) -> str:
    training = f"Trained by {found.trial.training}: " if tell_training else ""
    sentences = [f"{training}{_verdict(found, num_tests)}: {_told(found.trial)}, against {_told(found.baseline)}."]
    sentences += [_resampled(found)] if exists(found.resampled_low) else []
    sentences += [_needed(found)] if found.is_tested and found.verdict == "not distinguishable" else []
    if found.is_reference:
        sentences.append("The baseline is over the budget: a reference.")
    if found.trial.macs > MAX_MACS_RATIO * found.baseline.macs:
        sentences.append(_costlier(view, found))
    return " ".join(sentences)


def _verdict(found: Comparison, num_tests: int) -> str:
    trial, baseline, seeds = _name(found.trial), _name(found.baseline), _seeds(found)
    if not found.is_tested:
        alone = min(found.trial.seeds, found.baseline.seeds) == 1
        why = "one run tells no noise between seeds" if alone else "no run differs from another of its network"
        return f"nothing can be said of {trial} against {baseline} with {seeds}, for {why}"
    interval = f"{CONFIDENCE:.0%} interval {points(found.low)} to {points(found.high)}"
    adjusted = f"Holm-adjusted {_p(found.adjusted_p)}"
    if found.verdict != "not distinguishable":
        by = points(abs(found.difference))
        return f"{trial} is {found.verdict} than {baseline} by {by} points ({interval}; {seeds}; {adjusted})"
    leaves_out = found.low > 0 or found.high < 0
    but = f", which leaves out 0, but not once {num_tests} comparisons are reckoned with" if leaves_out else ""
    return (
        f"{trial} and {baseline} are not distinguishable with {seeds}: the difference is {points(found.difference)} "
        f"points ({interval}{but}; {adjusted})"
    )


def _resampled(found: Comparison) -> str:
    low, high = found.resampled_low, found.resampled_high
    told = f"With seeds and test images resampled the interval is {points(low)} to {points(high)}"
    if found.verdict != "not distinguishable" and low <= 0 <= high:
        told += ", which includes 0: another test set of this size might not show the difference"
    return f"{told}."


def _needed(found: Comparison) -> str:
    number = f"about {found.seeds_needed:,}" if found.seeds_needed else f"more than {MAX_SEEDS:,}"
    return f"To tell a difference of this size, {number} seeds of each would be needed."


def _costlier(view: StudyView, found: Comparison) -> str:
    baseline = found.baseline
    within = [trial for trial in ranked(view) if trial.macs <= MAX_MACS_RATIO * baseline.macs]
    best = f"no complete trial stays within {MAX_MACS_RATIO} times"
    if within:
        told = f"validation {percent(within[0].value)}, {short(within[0].macs)} MACs"
        best = f"the best trial within {MAX_MACS_RATIO} times is trial {within[0].number} ({told})"
    times = found.trial.macs / baseline.macs
    return f"The trial needs {times:.1f} times the MACs of {_name(baseline)}; {best}."


def _unalike(trial: Network, baseline: Network) -> str:
    return (
        f"{_name(trial)} and {_name(baseline)} are not compared, for they were trained differently: "
        f"{_told(trial)}, by {trial.training}; {_told(baseline)}, by {baseline.training}."
    )


def _uncovered(found: list[Comparison]) -> str:
    told = "These intervals tell the noise between seeds"
    if any(each.resampled for each in found):
        told += ", and where test images are resampled that of the test set"
    if any(each.resampled == "classes" for each in found):
        told += " (class by class, as if no two networks had errors in common, which makes them wider)"
    return f"{told}; none of them covers a repeat of the search, which would find other networks."


def _told(network: Network) -> str:
    """An accuracy with what it costs."""
    return f"{percent(network.mean)} at {_cost(network)}"


def _cost(network: Network) -> str:
    return f"{short(network.macs)} MACs and {duration(network.seconds)} a run"


def _name(told: Network) -> str:
    return network(told.label)


def _seeds(found: Comparison) -> str:
    first, second = found.trial.seeds, found.baseline.seeds
    return f"{plural(first, 'seed')} each" if first == second else f"{first} and {second} seeds"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
