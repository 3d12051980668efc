"""Which full-length runs count, and as what: this search's runs, finalists, final networks and the ones to quote.

Nothing here chooses by a test accuracy.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from search.study.meant import is_of
from search.study.networks import Network, quoted, weight
from search.study.view import RunView, TrialView


@dataclass(frozen=True, slots=True)
class KnownRuns:
    """The full-length runs of a study, trials before baselines.

    Attributes:
        finals: final runs of its own networks.
        finalists: runs of its own networks in the rounds that pick a winner.
        earlier: runs that trained other networks than the study's trials. A study that began anew after its database
            broke has other networks under the numbers of the trials before.
    """

    finals: tuple[RunView, ...]
    finalists: tuple[RunView, ...]
    earlier: tuple[RunView, ...]


def known_runs(runs: Iterable[RunView], trials: Mapping[int, TrialView]) -> KnownRuns:
    """The runs by what they are for, in order. `trials` are by number."""
    known: list[RunView] = []
    earlier: list[RunView] = []
    for run in sorted(runs, key=run_order):
        (known if is_known(run, trials) else earlier).append(run)
    finals, finalists = (tuple(run for run in known if run.purpose == purpose) for purpose in ("final", "finalist"))
    return KnownRuns(finals, finalists, tuple(earlier))


def is_known(run: RunView, trials: Mapping[int, TrialView]) -> bool:
    """Whether a run trained the network of its trial; true of a baseline's, and where the trial is missing."""
    trial = trials.get(run.identity.trial) if run.identity.trial is not None else None
    return is_of(run, trial.architecture if trial is not None else None)


def run_order(run: RunView) -> tuple[bool, str, str, int, bool, int]:
    """Sorts runs: trials before baselines, then by label and training."""
    return run.identity.kind == "baseline", run.label, run.recipe, run.epochs, run.holdout, run.seed


def label_recipes(networks: Iterable[Network], finals: Iterable[RunView]) -> list[Network]:
    """The networks of final runs, where a baseline that was trained by several recipes is labelled with each."""
    recipes: dict[str, set[str]] = defaultdict(set)
    for run in finals:
        recipes[run.label].add(run.recipe)
    return [
        replace(network, label=f"{network.label} by {network.recipe}")
        if is_baseline(network) and len(recipes[network.label]) > 1
        else network
        for network in networks
    ]


def is_baseline(network: Network) -> bool:
    return network.runs[0].identity.kind == "baseline"


def name_of(network: Network) -> str:
    """As people say it: trial 42; a baseline by its label."""
    return network.label if is_baseline(network) else network.runs[0].identity.name


def in_order(networks: Iterable[Network]) -> list[Network]:
    """Trials before baselines, then by label; of a label the one that is `quoted` comes last."""
    networks = list(networks)
    to_quote = quoted(networks)

    def order(network: Network) -> tuple[Any, ...]:
        return is_baseline(network), network.label, network is to_quote[network.label], weight(network)

    return sorted(networks, key=order)
