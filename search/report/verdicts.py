"""Comparisons with baselines in plain sentences: what can be said, how sure it is, and what it costs."""

from collections.abc import Iterable, Sequence

from search.report.findings import Findings
from search.report.notation import duration, exists, percent, plural, points, short
from search.report.retraining.comparisons import Comparison
from search.report.retraining.known_runs import name_of
from search.report.statistics.significance import CONFIDENCE, MAX_SEEDS
from search.study.networks import Network
from search.study.view import TrialView

# A design that costs much more than what it is compared with has not won on parameters alone.
MAX_MACS_RATIO = 1.5


def comparison_sentences(findings: Findings) -> list[str]:
    """One paragraph a comparison, one for every pair that was trained differently, and last what no interval covers.

    Empty if no trial or no baseline was retrained.
    """
    comparisons = findings.comparisons
    num_tests = sum(comparison.is_tested for comparison in comparisons)
    several = len({comparison.trial.way for comparison in comparisons}) > 1
    sentences = [
        _paragraph(comparison, findings.ranked, num_tests, several or _is_special(comparison.trial))
        for comparison in comparisons
    ]
    sentences += [_not_compared(trial, baseline) for trial, baseline in findings.unalike]
    return [*sentences, _not_covered(comparisons)] if num_tests else sentences


def _is_special(network: Network) -> bool:
    """Whether its training differs from what most expect, and has to be said."""
    return network.holdout or network.teaching is not None


def network_sentences(networks: Iterable[Network]) -> list[str]:
    """Mean and standard deviation of every network that was trained with more than one seed."""
    return [
        f"{name_of(network)}: {percent(network.mean)} in the mean of {network.seeds} seeds, standard deviation "
        f"{points(network.deviation)} points, at {_cost(network)} ({network.training})"
        for network in networks
        if network.seeds > 1
    ]


def _paragraph(comparison: Comparison, ranked: Sequence[TrialView], num_tests: int, with_training: bool) -> str:
    trial, baseline = comparison.trial, comparison.baseline
    training = f"Trained by {trial.training}: " if with_training else ""
    verdict = _verdict(comparison, num_tests)
    sentences = [f"{training}{verdict}: {_result(trial)}, against {_result(baseline)}."]
    if exists(comparison.resampled_low):
        sentences.append(_resampled(comparison))
    if comparison.is_tested and comparison.verdict == "not distinguishable":
        sentences.append(_seeds_needed(comparison))
    if comparison.is_reference:
        sentences.append("The baseline is over the study's limits: a reference.")
    if is_costlier(trial.macs, baseline.macs):
        sentences.append(costlier_sentence("The trial", trial.macs, name_of(baseline), baseline.macs, ranked))
    return " ".join(sentences)


def _verdict(comparison: Comparison, num_tests: int) -> str:
    trial, baseline, seeds = name_of(comparison.trial), name_of(comparison.baseline), _seeds(comparison)
    if not comparison.is_tested:
        alone = min(comparison.trial.seeds, comparison.baseline.seeds) == 1
        why = "one run shows no noise between seeds" if alone else "no run differs from another of its network"
        return f"nothing can be said of {trial} against {baseline} with {seeds}, because {why}"
    interval = f"{CONFIDENCE:.0%} interval {points(comparison.low)} to {points(comparison.high)}"
    adjusted = f"Holm-adjusted {_p(comparison.adjusted_p)}"
    if comparison.verdict != "not distinguishable":
        by = points(abs(comparison.difference))
        return f"{trial} is {comparison.verdict} than {baseline} by {by} points ({interval}; {seeds}; {adjusted})"
    leaves_out = comparison.low > 0 or comparison.high < 0
    but = f", which leaves out 0, but not after the adjustment for {num_tests} comparisons" if leaves_out else ""
    difference = points(comparison.difference)
    return (
        f"{trial} and {baseline} are not distinguishable with {seeds}: the difference is {difference} points "
        f"({interval}{but}; {adjusted})"
    )


def _resampled(comparison: Comparison) -> str:
    low, high = comparison.resampled_low, comparison.resampled_high
    sentence = f"With seeds and test images resampled the interval is {points(low)} to {points(high)}"
    if comparison.verdict != "not distinguishable" and low <= 0 <= high:
        sentence += ", which includes 0: another test set of this size might not show the difference"
    return f"{sentence}."


def _seeds_needed(comparison: Comparison) -> str:
    needed = comparison.seeds_needed
    number = f"about {needed:,}" if needed else f"more than {MAX_SEEDS:,}"
    return f"To detect a difference of this size, {number} seeds of each would be needed."


def is_costlier(macs: int, baseline_macs: int) -> bool:
    """Whether a network needs so many more MACs than a baseline that it has to be said."""
    return macs > MAX_MACS_RATIO * baseline_macs


def costlier_sentence(subject: str, macs: int, baseline: str, baseline_macs: int, ranked: Sequence[TrialView]) -> str:
    """How many times the MACs of a baseline a network needs, and the best trial that needs few enough."""
    within = next((trial for trial in ranked if not is_costlier(trial.macs, baseline_macs)), None)
    best = f"no complete trial stays within {MAX_MACS_RATIO} times"
    if within is not None:
        result = f"validation {percent(within.value)}, {short(within.macs)} MACs"
        best = f"the best trial within {MAX_MACS_RATIO} times is trial {within.number} ({result})"
    return f"{subject} needs {macs / baseline_macs:.1f} times the MACs of {baseline}; {best}."


def _not_compared(trial: Network, baseline: Network) -> str:
    own, other = trial.training, baseline.training
    if trial.hardware != baseline.hardware:
        own, other = f"{own}, {trial.hardware}", f"{other}, {baseline.hardware}"
    elif own == other:
        own, other = f"{own} ({trial.way.recipe})", f"{other} ({baseline.way.recipe})"
    return (
        f"{name_of(trial)} and {name_of(baseline)} are not compared, because they were trained differently: "
        f"{_result(trial)}, by {own}; {_result(baseline)}, by {other}."
    )


def _not_covered(comparisons: Iterable[Comparison]) -> str:
    kinds = {comparison.resampled for comparison in comparisons}
    sentence = "These intervals show the noise between seeds"
    if kinds & {"images", "classes"}:
        sentence += ", and where test images are resampled that of the test set"
    if "classes" in kinds:
        sentence += " (class by class, as if no two networks had errors in common, which makes them wider)"
    return f"{sentence}; none of them covers a repeat of the search, which would find other networks."


def _result(network: Network) -> str:
    """An accuracy with what it costs."""
    return f"{percent(network.mean)} at {_cost(network)}"


def _cost(network: Network) -> str:
    return f"{short(network.macs)} MACs and {duration(network.seconds)} a run"


def _seeds(comparison: Comparison) -> str:
    first, second = comparison.trial.seeds, comparison.baseline.seeds
    return f"{plural(first, 'seed')} each" if first == second else f"{first} and {second} seeds"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
