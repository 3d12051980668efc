"""The finalists' rounds: who wins on the training split, and with which dropout, by validation alone.

Finalists are trained for longer than trials of the search (`finalist_epochs`), though not at full length: all with one
seed, then the best `NUM_LEADERS` of them with a second. Of 33 small networks the order by 9 epochs agreed far better
with the one by 27 than that by 3 did (benchmarks/LOG.md); other lengths and sizes were not measured.

A round may rank its finalists by their mean accuracy on corrupted validation images instead, `--select robust`, and is
then another round than one that ranks them by clean images.

A finalist's number is the validation accuracy of the weights that it kept: the last epoch's or, where the recipe keeps
the best, the best epoch's, which is optimistic because it was picked for being the best. It ranks finalists, all of
which it flatters alike, and is never quoted as a result.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

from models.architecture import Architecture
from search.identity import Identity
from search.study.networks import Network, alike
from search.study.view import RunView, at_dropout
from search.study.way import Select, Way

NUM_FINALIST_SEEDS = 2  # of each of the leaders in the round that picks a winner
NUM_LEADERS = 3  # of many finalists so many have all seeds; few have them from the start
# What finalists are ranked by, in words.
SCORES: Mapping[Select, str] = {
    "clean": "mean validation accuracy",
    "robust": "mean accuracy on corrupted validation images",
}
FINALIST_FACTOR = 3  # finalists are trained for so many times the epochs of a trial, if not at full length


def finalist_epochs(epochs: int, searched: int) -> int:
    """How long finalists are trained, where the full length and a trial of the search have so many epochs."""
    return min(epochs, FINALIST_FACTOR * searched)


def tells_dropouts(epochs: int, searched: int) -> bool:
    """Whether a finalist's accuracy can tell which dropout is best: at full length alone, for shorter trainings favour
    no dropout even where longer ones want some (benchmarks/LOG.md)."""
    return finalist_epochs(epochs, searched) == epochs


@dataclass(frozen=True, slots=True)
class Finalist:
    """A network of the round, and what it is ranked by over seeds (`SCORES`); the deviation is NaN for one."""

    network: Network
    mean: float
    deviation: float

    @property
    def identity(self) -> Identity:
        return self.network.runs[0].identity

    @property
    def select(self) -> Select:
        return self.network.way.select

    @property
    def clean(self) -> float:
        """The mean of its clean validation accuracies."""
        return fmean(run.validation or 0.0 for run in self.network.runs)

    @property
    def keeps_best(self) -> bool:
        """Whether its number is that of best epochs."""
        return any(run.kept_epoch is not None for run in self.network.runs)


def last_round(runs: Iterable[RunView]) -> list[RunView]:
    """The finalists' runs of the round that picks a winner.

    Values of different recipes, precisions or kinds of device cannot be compared: of several rounds it is the one that
    was trained last or, where results do not hold their time, the one with most finalists; of equal ones, the one of
    the longest schedule.
    """
    return max(_rounds(runs), key=_recency, default=[])


def earlier_rounds(runs: Iterable[RunView]) -> list[Network]:
    """A network of each round but the last, in the order in which they were trained."""
    rounds = sorted(_rounds(runs), key=_recency)
    return [alike(round)[0] for round in rounds[:-1]]


def standings(round: Iterable[Network], ranks: Mapping[int, int]) -> list[Finalist]:
    """The finalists of a round, best first. `ranks` are the search's own, by the trial's number.

    Means over more seeds come first: a finalist whose round is unfinished cannot win by one lucky seed. Of equal means
    the one that ranks higher in the search comes first, then the one that comes first in the round. Other dropouts are
    tried with the winner; those that were tried with a trial that has lost since are left out.
    """
    finalists = _best_first(round, ranks)
    winner = next((finalist.identity.trial for finalist in finalists if finalist.identity.dropout is None), None)
    return [
        finalist
        for finalist in finalists
        if winner is None or finalist.identity.dropout is None or finalist.identity.trial == winner
    ]


def unfinished_round(round: Iterable[RunView]) -> str | None:
    """How far a round is that has no winner yet, in words; None if it has one, or if there was no round.

    It has one once the leaders by the first seed, or all of few finalists, have all their seeds, and there are two of
    them or other dropouts were tried, which comes after. A finalist of which not a single run has ended cannot be seen.
    """
    finalists: dict[Identity, dict[int, float]] = defaultdict(dict)
    for run in round:
        finalists[run.identity][run.seed] = run.score or 0.0
    own = [by_seed for identity, by_seed in finalists.items() if identity.dropout is None]
    # Of equal ones those that have all their seeds.
    leaders = sorted(own, key=lambda by_seed: (by_seed.get(0, 0.0), len(by_seed)), reverse=True)[:NUM_LEADERS]
    finished, needed = sum(len(by_seed) >= NUM_FINALIST_SEEDS for by_seed in leaders), len(leaders)
    if not finalists or (finished == needed > 0 and len(finalists) > 1):
        return None
    have = "has" if finished == 1 else "have"
    begun = f"{len(own):,} finalist{'' if len(own) == 1 else 's'} begun"
    of = begun if needed == len(own) else f"the {needed} that need them, of {begun},"
    return f"{finished} of {of} {have} all of {NUM_FINALIST_SEEDS} seeds"


def chosen_dropout(finalists: Iterable[RunView], trial: int) -> Finalist | None:
    """The trial with the dropout that is best by mean validation accuracy, of equal ones the first of
    `tried_dropouts`; None where no other than its own was tried."""
    return next(iter(_best_first(tried_dropouts(finalists, trial), {})), None)


def tried_dropouts(finalists: Iterable[RunView], trial: int) -> list[Network]:
    """The trial with its own dropout and then with each other that was tried, smallest first; empty where none was.

    Compared are runs of finalists that differ from the trial's in the dropout alone, trained as they were and with the
    same seeds: a dropout whose round is unfinished cannot win by one lucky seed. There is no choice either where the
    trial's own runs were trained in several ways.
    """
    own: list[RunView] = []
    groups: dict[float, list[RunView]] = defaultdict(list)
    for run in finalists:
        dropout = run.identity.dropout
        if run.purpose == "finalist" and run.identity.trial == trial and run.score is not None:
            (own if dropout is None else groups[dropout]).append(run)
    ways, seeds = {_but_for_dropout(run) for run in own}, {run.seed for run in own}
    if len(ways) != 1:
        return []
    others = [[run for run in groups[dropout] if _but_for_dropout(run) in ways] for dropout in sorted(groups)]
    rivals = [group for group in others if group and {run.seed for run in group} == seeds]
    return [Network(group[0].label, tuple(group)) for group in (own, *rivals)] if rivals else []


def audit_round(runs: Iterable[RunView]) -> list[RunView]:
    """The audit's runs that are shown: of several recipes, precisions or kinds of device, whose values cannot be
    compared, those of most trials; of equal ones, of the longest schedule, then the ones that were trained last."""
    rounds: dict[Way, list[RunView]] = defaultdict(list)
    for run in runs:
        rounds[run.way].append(run)

    def size(round: list[RunView]) -> tuple[int, int, str]:
        return len({run.label for run in round}), max(run.epochs for run in round), max(run.time for run in round)

    return max(rounds.values(), key=size, default=[])


def mean_validation(network: Network) -> float:
    """Over seeds, what the weights that were kept are ranked by."""
    return fmean(run.score or 0.0 for run in network.runs)


def _best_first(networks: Iterable[Network], ranks: Mapping[int, int]) -> list[Finalist]:
    """Every choice by validation: means over more seeds first, then the higher mean, then the better rank."""

    def rank(finalist: Finalist) -> int:
        trial = finalist.identity.trial
        return len(ranks) if trial is None else ranks.get(trial, len(ranks))

    finalists = map(_finalist, networks)
    return sorted(finalists, key=lambda finalist: (-finalist.network.seeds, -finalist.mean, rank(finalist)))


def _finalist(network: Network) -> Finalist:
    values = [run.score or 0.0 for run in network.runs]
    return Finalist(network, fmean(values), stdev(values) if len(values) > 1 else float("nan"))


def _rounds(runs: Iterable[RunView]) -> list[list[RunView]]:
    """The finalists' runs that were trained alike, a list for each way."""
    rounds: dict[Way, list[RunView]] = defaultdict(list)
    for run in runs:
        if run.purpose == "finalist" and run.score is not None:
            rounds[run.way].append(run)
    return list(rounds.values())


def _recency(runs: list[RunView]) -> tuple[str, int, int]:
    return max(run.time for run in runs), len({run.label for run in runs}), max(run.epochs for run in runs)


def _but_for_dropout(run: RunView) -> tuple[Architecture, Way]:
    """What runs have in common that differ in dropout and seed alone."""
    return at_dropout(run.architecture, 0.0), run.way
