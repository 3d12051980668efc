"""What teachers gained: the same network, recipe, length and seeds, with them and without."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from search.report.notation import duration, exists, percent, plural, points
from search.report.retraining.known_runs import name_of
from search.report.statistics import significance
from search.study.networks import Network

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Effect:
    """A network that was taught, beside itself as it was trained in the same way without a teacher.

    `difference` is the first's mean test accuracy minus the second's, `low` to `high` its Welch interval, and
    `adjusted_p` the p-value of that test, by Holm over all such pairs of the study. All are NaN without the second.
    Where seeds show no noise, all but the difference are.
    """

    taught: Network
    alone: Network | None
    difference: float = NAN
    low: float = NAN
    high: float = NAN
    p: float = NAN
    adjusted_p: float = NAN


def effects(networks: Iterable[Network]) -> list[Effect]:
    """Every tested network that had a teacher, over the seeds that both have, in the order of the networks."""
    networks = list(networks)
    alone = {own.signature: own for own in networks if own.teaching is None}
    pairs = [_effect(own, alone.get(own.untaught_signature)) for own in networks if own.teaching is not None]
    adjusted = iter(significance.holm([pair.p for pair in pairs if exists(pair.p)]))
    return [replace(pair, adjusted_p=next(adjusted)) if exists(pair.p) else pair for pair in pairs]


def _effect(taught: Network, alone: Network | None) -> Effect:
    if alone is None:
        return Effect(taught, None)
    common = {run.seed for run in taught.runs} & {run.seed for run in alone.runs}
    if not common:
        return Effect(taught, None)
    taught, alone = (
        replace(network, runs=tuple(run for run in network.runs if run.seed in common)) for network in (taught, alone)
    )
    effect = Effect(taught, alone, taught.mean - alone.mean)
    test = significance.welch(taught.accuracies, alone.accuracies)
    return replace(effect, low=test.low, high=test.high, p=test.p) if test else effect


def effect_sentences(pairs: Sequence[Effect], budget: int) -> list[str]:
    """What teachers gained, a paragraph a network; who of them is over the budget, and what is not known of them."""
    return [" ".join([_gain(pair), *_of_teachers(pair.taught, budget)]) for pair in pairs]


def _gain(pair: Effect) -> str:
    taught, alone = pair.taught, pair.alone
    assert taught.teaching is not None
    teachers = "a teacher" if len(taught.teaching.teachers) == 1 else "teachers"
    subject = f"{name_of(taught)}, {taught.training},"
    if alone is None:
        return f"{subject} has {percent(taught.mean)} with {teachers}; without it was not trained in this way."
    seeds = plural(taught.seeds, "seed")
    costs = (f"in {duration(network.seconds)} a run" for network in (taught, alone))
    results = f"{percent(taught.mean)} with {teachers} {next(costs)}, {percent(alone.mean)} without {next(costs)}"
    if not exists(pair.p):
        why = "one run shows no noise between seeds" if taught.seeds == 1 else "no run differs from another"
        return f"{subject} has {results}: nothing can be said of the difference with {seeds}, because {why}."
    interval = f"{significance.CONFIDENCE:.0%} interval {points(pair.low)} to {points(pair.high)}; {seeds} each"
    by = f"{points(abs(pair.difference))} points"
    verdict = f"{'better' if pair.difference > 0 else 'worse'} with {teachers} than without by {by} ({interval})"
    if pair.adjusted_p >= significance.LEVEL:
        difference = f"the difference is {points(pair.difference)} points"
        verdict = f"not distinguishable with {teachers} and without: {difference} ({interval})"
    return f"{subject} is {verdict}: {results}."


def _of_teachers(network: Network, budget: int) -> list[str]:
    assert network.teaching is not None
    sentences = []
    for teacher in network.teaching.teachers:
        if teacher.params > budget:
            over = f"{teacher.params:,} parameters, over the budget of {budget:,}"
            sentences.append(f"Its teacher {teacher.name} has {over}: it teaches, and is no answer.")
        if teacher.caveat:
            sentences.append(f"Its teacher {teacher.name} {teacher.caveat}.")
    return sentences
