"""Which run is meant where there are several: runs are grouped into networks, and one network is chosen by one rule.

Runs of one architecture that were trained in one way differ in their seeds alone: they are averaged, compared and
quoted together, and no others are. Where a trial or baseline was trained as several networks,

1. a number stands for the architecture that was trained under it last: a study that began anew after its database broke
   has other networks under the numbers of the trials before;
2. of a trial's dropouts the one counts that its finalists' validation accuracy chose, else the trial's own, else the
   one that rule 3 puts last;
3. of several ways of training the one counts that has most seeds; of equal ones the one that had the validation images
   too, then the longest schedule, then the last recipe by name.

The report, `nas export`, `nas predict` and `nas evaluate` all follow it. Nothing here chooses by a test accuracy.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, stdev

from models.architecture import Architecture
from search.study.view import RunView, at_dropout


@dataclass(frozen=True, slots=True)
class Network:
    """Runs of one network that were trained alike and differ in their seeds alone; there is at least one. Accuracies
    are those of the test set, and need runs that were tested."""

    label: str
    runs: tuple[RunView, ...]

    @property
    def accuracies(self) -> list[float]:
        return [run.test_accuracy for run in self.runs if run.test_accuracy is not None]

    @property
    def seeds(self) -> int:
        return len(self.runs)

    @property
    def mean(self) -> float:
        return fmean(self.accuracies)

    @property
    def deviation(self) -> float:
        """Over seeds; NaN for one."""
        return stdev(self.accuracies) if self.seeds > 1 else float("nan")

    @property
    def params(self) -> int:
        return self.runs[0].params

    @property
    def macs(self) -> int:
        return self.runs[0].macs

    @property
    def seconds(self) -> float:
        """Of a run, in the mean."""
        return fmean(run.seconds for run in self.runs)

    @property
    def recipe(self) -> str:
        return self.runs[0].recipe

    @property
    def epochs(self) -> int:
        """Of the longest run: where training stops early, seeds have different ones."""
        return max(run.epochs for run in self.runs)

    @property
    def holdout(self) -> bool:
        return self.runs[0].holdout

    @property
    def way(self) -> tuple[str, bool]:
        """What networks have in common that were trained alike."""
        return self.runs[0].way

    @property
    def training(self) -> str:
        """How it was trained, in words."""
        held_out = ", validation images held out" if self.holdout else ""
        return f"{self.recipe}, {self.epochs} epoch{'' if self.epochs == 1 else 's'}{held_out}"


def alike(runs: Iterable[RunView]) -> list[Network]:
    """Runs as networks, in the order in which they come: one for each label, architecture and way of training."""
    groups: dict[tuple[object, ...], list[RunView]] = defaultdict(list)
    for run in runs:
        groups[run.label, run.architecture, run.way].append(run)
    return [Network(group[0].label, tuple(group)) for group in groups.values()]


def quoted(networks: Iterable[Network]) -> dict[str, Network]:
    """The network of each label whose numbers are given where there is room for one: the last by `weight`.

    Labels come in the order of the networks.
    """
    networks = list(networks)
    heaviest = {network.label: network for network in sorted(networks, key=weight)}
    return {network.label: heaviest[network.label] for network in networks}


def weight(network: Network) -> tuple[int, bool, int, str, tuple[str, bool]]:
    """Sorts networks of one label by what their numbers say: by seeds; of equal ones the one that had the validation
    images too comes later, then the longer schedule, then by recipe."""
    return network.seeds, not network.holdout, network.epochs, network.recipe, network.way


def meant(runs: Iterable[RunView], finalists: Iterable[RunView] = ()) -> Network:
    """The network that a trial or baseline stands for, by the rule above; its runs by seed.

    Args:
        runs: the final runs of one trial or of one baseline; at least one.
        finalists: the study's runs of finalists, which choose among a trial's dropouts.
    """
    networks = quoted(alike(_current(runs)))
    trial = next(iter(networks.values())).runs[0].identity.trial
    chosen = chosen_dropout(last_round(finalists), trial) if trial is not None else None
    own = next((network.label for network in networks.values() if network.runs[0].identity.dropout is None), None)
    preferred = [label for label in (chosen.label if chosen else None, own) if label in networks]
    network = networks[preferred[0]] if preferred else max(networks.values(), key=weight)
    return Network(network.label, tuple(sorted(network.runs, key=lambda run: run.seed)))


def last_round(runs: Iterable[RunView]) -> list[RunView]:
    """The finalists' runs of the round that picks a winner.

    Values of different recipes cannot be compared: of several rounds it is the one that was trained last or, where
    results do not hold their time, the one with most finalists; of equal ones, the one of the longest schedule.
    """
    rounds: dict[tuple[str, bool], list[RunView]] = defaultdict(list)
    for run in runs:
        if run.purpose == "finalist" and last_validation(run) is not None:
            rounds[run.way].append(run)
    return max(rounds.values(), key=_recency, default=[])


def chosen_dropout(finalists: Iterable[RunView], trial: int) -> Network | None:
    """The trial with the dropout that is best by mean validation accuracy, of equal ones the first of
    `tried_dropouts`; None where no other than its own was tried."""
    return max(tried_dropouts(finalists, trial), key=mean_validation, default=None)


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
        if run.purpose == "finalist" and run.identity.trial == trial and last_validation(run) is not None:
            (own if dropout is None else groups[dropout]).append(run)
    ways, seeds = {_but_for_dropout(run) for run in own}, {run.seed for run in own}
    if len(ways) != 1:
        return []
    others = [[run for run in groups[dropout] if _but_for_dropout(run) in ways] for dropout in sorted(groups)]
    rivals = [group for group in others if group and {run.seed for run in group} == seeds]
    return [Network(group[0].label, tuple(group)) for group in (own, *rivals)] if rivals else []


def mean_validation(network: Network) -> float:
    """Over seeds, of the last epoch's validation accuracy."""
    return fmean(last_validation(run) or 0.0 for run in network.runs)


def last_validation(run: RunView) -> float | None:
    """The last epoch's validation accuracy; None if there is none, or not a finite one."""
    value = run.history[-1].validation_accuracy if run.history else None
    return value if value is not None and math.isfinite(value) else None


def _recency(runs: list[RunView]) -> tuple[str, int, int]:
    return max(run.time for run in runs), len({run.label for run in runs}), max(run.epochs for run in runs)


def _but_for_dropout(run: RunView) -> tuple[Architecture, tuple[str, bool]]:
    """What runs have in common that differ in dropout and seed alone."""
    return at_dropout(run.architecture, 0.0), run.way


def _current(runs: Iterable[RunView]) -> list[RunView]:
    """The runs of the architecture that was trained last, whatever its dropout; of equally late ones, of most runs."""
    groups: dict[Architecture, list[RunView]] = defaultdict(list)
    for run in runs:
        groups[at_dropout(run.architecture, 0.0)].append(run)
    return max(groups.values(), key=lambda group: (max(run.time for run in group), len(group)))
