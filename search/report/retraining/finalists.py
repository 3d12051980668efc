"""The round that picks a winner: finalists at full length, by their validation accuracy."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from search.identity import Identity
from search.report.notation import count, percent, plural, points, short
from search.report.tables import Column, Table, table
from search.study.networks import Network, last_validation
from search.study.results import NUM_FINALIST_SEEDS
from search.study.view import RunView


@dataclass(frozen=True, slots=True)
class Finalist:
    """A network of the round, and its validation accuracy over seeds; the deviation is NaN for one."""

    network: Network
    mean: float
    deviation: float

    @property
    def identity(self) -> Identity:
        return self.network.runs[0].identity


def standings(round: Iterable[Network], ranks: Mapping[int, int]) -> list[Finalist]:
    """The finalists of a round, best first. `ranks` are the search's own, by the trial's number.

    Means over more seeds come first: a finalist whose round is unfinished cannot win by one lucky seed. Of equal means
    the one that ranks higher in the search comes first. Other dropouts are tried with the winner; those that were tried
    with a trial that has lost since are left out.
    """
    finalists = [_finalist(network) for network in round]
    finalists.sort(
        key=lambda finalist: (-finalist.network.seeds, -finalist.mean, ranks.get(_trial(finalist), len(ranks)))
    )
    winner = next((finalist.identity.trial for finalist in finalists if finalist.identity.dropout is None), None)
    return [
        finalist for finalist in finalists if finalist.identity.dropout is None or finalist.identity.trial == winner
    ]


def _finalist(network: Network) -> Finalist:
    values = np.array([last_validation(run) for run in network.runs], dtype=float)
    return Finalist(network, float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else float("nan"))


def _trial(finalist: Finalist) -> int:
    return -1 if finalist.identity.trial is None else finalist.identity.trial


def unfinished_round(round: Iterable[RunView]) -> str | None:
    """How far a round is that has no winner yet, in words; None if it has one, or if there was no round.

    It has one once every finalist has all its seeds, and there are two of them or other dropouts were tried, which
    comes after. A finalist of which not a single run has ended cannot be seen.
    """
    seeds = Counter(run.identity for run in round)
    own = [number for identity, number in seeds.items() if identity.dropout is None]
    finished = sum(number >= NUM_FINALIST_SEEDS for number in own)
    if not seeds or (finished == len(own) > 0 and len(seeds) > 1):
        return None
    have = "has" if finished == 1 else "have"
    return f"{finished} of {plural(len(own), 'finalist')} begun {have} all of {NUM_FINALIST_SEEDS} seeds"


def finalists_frame(finalists: Iterable[Finalist]) -> pd.DataFrame:
    """One row a finalist: label, seeds, mean and deviation of validation accuracy, params, macs."""
    rows = [
        (
            finalist.network.label,
            finalist.network.seeds,
            finalist.mean,
            finalist.deviation,
            finalist.network.params,
            finalist.network.macs,
        )
        for finalist in finalists
    ]
    return pd.DataFrame(rows, columns=["label", "seeds", "mean", "deviation", "params", "macs"])


def finalists_table(finalists: Sequence[Finalist], unfinished: str | None = None) -> Table:
    """`unfinished` says how far a round is that has no winner yet."""
    winner = f"the round is unfinished, {unfinished}" if unfinished else "the first is the winner"
    columns = [
        Column("network", "Network"), Column("seeds", "Seeds", str), Column("mean", "Validation, mean", percent),
        Column("deviation", "Deviation, points", points),
        Column("params", "Parameters", count), Column("macs", "MACs", short),
    ]  # fmt: skip
    caption = (
        "Finalists trained at full length on the training split, and the best of them with the other dropouts of the "
        f"space; {winner}."
    )
    named = finalists_frame(finalists).assign(network=[finalist.identity.name for finalist in finalists])
    return table(caption, named, columns)
