"""Runs as networks: those of one architecture that were trained in one way differ in their seeds alone.

They are averaged, compared and quoted together, and no others are. Nothing here chooses by a test accuracy.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, stdev

from models.architecture import Architecture
from search.quantities import plural
from search.study.view import RunView
from search.study.way import Way
from search.teaching import Teaching
from search.trained_network import Augmentation, AugmentedResult

Signature = tuple[str, Architecture, Way]
MOST_TEACHERS = 2  # that count: a training of a sixth of the epochs is not worth more for having ten of them


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

    def augmented(self, augmentation: Augmentation) -> AugmentedResult | None:
        """The mean accuracy over seeds with test-time augmentation; None where a run has not measured it."""
        results = [result for run in self.runs for result in run.augmented if result.augmentation == augmentation]
        if len(results) < self.seeds:
            return None
        return AugmentedResult(augmentation, results[0].passes, fmean(result.accuracy for result in results))

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
    def teaching(self) -> Teaching | None:
        """What teachers taught it; None without a teacher."""
        return self.runs[0].teaching

    @property
    def way(self) -> Way:
        """What networks have in common that were trained alike."""
        return self.runs[0].way

    @property
    def signature(self) -> Signature:
        return signature(self.runs[0])

    @property
    def untaught_signature(self) -> Signature:
        """The signature that the same training without teachers has."""
        label, architecture, way = self.signature
        return label, architecture, way._replace(teaching="")

    @property
    def key(self) -> str:
        """Names the network and how it was trained; `--recipe` takes it."""
        return self.runs[0].key

    @property
    def time(self) -> str:
        """When the last of its runs ended; empty where no result holds it."""
        return max(run.time for run in self.runs)

    @property
    def hardware(self) -> str:
        """What it was trained on, in words."""
        return f"{self.way.precision} on a {self.way.device}"

    @property
    def training(self) -> str:
        """How it was trained, in words."""
        held_out = ", validation images held out" if self.holdout else ""
        ranked = ", ranked by corrupted images" if self.way.select == "robust" else ""
        taught = f", {self.teaching.words}" if self.teaching is not None else ""
        return f"{self.recipe}, {plural(self.epochs, 'epoch')}{held_out}{ranked}{taught}"

    def training_beside(self, other: "Network") -> str:
        """How it was trained, with all that tells it apart from another of its trial or baseline."""
        words, dropout = self.training, self.runs[0].identity.dropout
        if dropout is not None and self.label != other.label:
            words += f", dropout {dropout:g}"
        if self.training == other.training and self.way.recipe != other.way.recipe:  # two recipes of one name
            words += f", recipe {self.way.recipe}"
        if self.training == other.training and self.way.teaching != other.way.teaching:  # two teachers of one name
            words += f", teaching {self.way.teaching}"
        if self.hardware != other.hardware:
            words += f", {self.hardware}"
        return words


def is_tested(run: RunView) -> bool:
    return run.purpose == "final" and run.test_accuracy is not None and math.isfinite(run.test_accuracy)


def alike(runs: Iterable[RunView]) -> list[Network]:
    """Runs as networks, in the order in which they come: one for each label, architecture and way of training."""
    groups: dict[Signature, list[RunView]] = defaultdict(list)
    for run in runs:
        groups[signature(run)].append(run)
    return [Network(group[0].label, tuple(group)) for group in groups.values()]


def signature(run: RunView) -> Signature:
    """What was trained and how: the seeds of a network have this in common, and no other network has it."""
    return run.label, run.architecture, run.way


def quoted(networks: Iterable[Network]) -> dict[str, Network]:
    """The network of each label whose numbers are given where there is room for one: the last by `weight`. One with
    teachers is passed over where the same training without them is there, which others are compared with.

    Labels come in the order of the networks.
    """
    networks = list(networks)
    alone = {network.signature for network in networks if network.teaching is None}
    networks = [own for own in networks if own.teaching is None or own.untaught_signature not in alone]
    heaviest = {network.label: network for network in sorted(networks, key=weight)}
    return {network.label: heaviest[network.label] for network in networks}


def weight(network: Network) -> tuple[int, int, bool, str, str, Way]:
    """Sorts networks of one label by how much was put into them: by the epochs of all their seeds, and as many for each
    of two teachers at most, so that neither a short trial with several seeds nor a last quick look outweighs a long
    training. Of equal ones the one with more seeds comes later, then the one that had the validation images too, the
    one that was trained last, and by recipe."""
    epochs = sum(run.epochs for run in network.runs)
    if network.teaching is not None:
        epochs += min(MOST_TEACHERS, len(network.teaching.teachers)) * network.epochs
    return epochs, network.seeds, not network.holdout, network.time, network.recipe, network.way
