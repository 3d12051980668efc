"""Which network is meant by a trial or a baseline that was trained as several: one is chosen by one rule.

1. A trial's number stands for the design that the study records under it: a study that began anew after its database
   broke has other networks under the numbers of the trials before. Where it records none, the design trained last.
2. Of a trial's dropouts the one counts that its finalists' validation accuracy chose, else the trial's own, else the
   one that rule 3 puts last.
3. Of several ways of training one with teachers is passed over where the same training without them is there. Of the
   others the one counts that was trained for most epochs, over all its seeds and with as many for each of two teachers
   at most; of equal ones the one with most seeds, then the one that had the validation images too, then the one that
   was trained last.

The report, `nas export`, `nas predict` and `nas evaluate` all follow it. Nothing here chooses by a test accuracy.
"""

from collections import defaultdict
from collections.abc import Iterable

from models.architecture import Architecture
from search.study.networks import Network, alike, quoted, weight
from search.study.rounds import chosen_dropout
from search.study.view import RunView, at_dropout

RULE = (
    "the one trained for most epochs counts, over all its seeds and with those of two teachers at most, but one with "
    "teachers only where the same training without them is not there; of equal ones that with most seeds, then with "
    "all images, then the latest"
)


def is_of(run: RunView, design: Architecture | None) -> bool:
    """Whether a run trained the design of its trial, at the dropout that it says. Without a design it counts."""
    if design is None or run.identity.trial is None:
        return True
    dropout = run.identity.dropout
    return run.architecture == (design if dropout is None else at_dropout(design, dropout))


def meant(runs: Iterable[RunView], round: Iterable[RunView] = ()) -> Network:
    """The network that a trial or baseline stands for, by the rule above; its runs by seed.

    Args:
        runs: the tested runs of one trial or of one baseline, of its recorded design (`is_of`); at least one.
        round: the finalists' last round (`search.study.rounds.last_round`), which chooses among a trial's dropouts.
    """
    networks = quoted(alike(_latest_design(runs)))
    trial = next(iter(networks.values())).runs[0].identity.trial
    chosen = chosen_dropout(round, trial) if trial is not None else None
    own = next((network.label for network in networks.values() if network.runs[0].identity.dropout is None), None)
    preferred = [label for label in (chosen.network.label if chosen else None, own) if label in networks]
    network = networks[preferred[0]] if preferred else max(networks.values(), key=weight)
    return Network(network.label, tuple(sorted(network.runs, key=lambda run: run.seed)))


def others(runs: Iterable[RunView], network: Network) -> list[Network]:
    """What the same trial or baseline was trained as besides the network that is meant, the last by `weight` first.

    Args:
        runs: as `meant` has them.
    """
    rest = [run for run in runs if run not in network.runs]
    return sorted(alike(rest), key=weight, reverse=True)


def _latest_design(runs: Iterable[RunView]) -> list[RunView]:
    """The runs of the architecture that was trained last, whatever its dropout; of equally late ones, of most runs."""
    groups: dict[Architecture, list[RunView]] = defaultdict(list)
    for run in runs:
        groups[at_dropout(run.architecture, 0.0)].append(run)
    return max(groups.values(), key=lambda group: (max(run.time for run in group), len(group)))
