"""Networks as they were trained: runs that differ in their seeds alone stand together, and no others.

This is the one rule by which runs are averaged, compared and quoted. Nothing here chooses by a test accuracy.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, stdev

from search.study.view import RunView


@dataclass(frozen=True, slots=True)
class Network:
    """Runs of one network that were trained alike, and differ in their seeds alone; there is at least one. What is told
    of accuracies is of the test set, and takes runs that were tested."""

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
    """Runs as networks, in the order in which they come: of a label, an architecture and a way of training each."""
    groups: dict[tuple[object, ...], list[RunView]] = defaultdict(list)
    for run in runs:
        groups[run.label, run.architecture, run.way].append(run)
    return [Network(found[0].label, tuple(found)) for found in groups.values()]


def quoted(runs: Iterable[RunView]) -> dict[str, Network]:
    """The network of each label whose numbers are told where there is room for one: the last by `weight`."""
    return {network.label: network for network in sorted(alike(runs), key=weight)}


def weight(network: Network) -> tuple[int, bool, int, str, tuple[str, bool]]:
    """Sorts networks of one label by what their numbers say: by seeds; of equal ones that which had the validation
    images too comes later, then the longer schedule, then by recipe."""
    return network.seeds, not network.holdout, network.epochs, network.recipe, network.way
