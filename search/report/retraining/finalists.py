"""The round that picks a winner: finalists, by their validation accuracy."""

from collections.abc import Iterable, Sequence

import pandas as pd

from search.report.notation import count, percent, plural, points, short
from search.report.tables import Column, Table, table
from search.study.rounds import Finalist


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
    length = plural(max((finalist.network.epochs for finalist in finalists), default=0), "epoch")
    seeds = {finalist.network.seeds for finalist in finalists}
    second = ", the leaders with a second seed" if len(seeds) > 1 and not unfinished else ""
    kept = ""
    if any(finalist.keeps_best for finalist in finalists):
        kept = " Accuracies are those of the epochs whose weights are kept, the best ones, and so are optimistic."
    caption = (
        f"Finalists trained for {length} on the training split{second}, and the best of them with the other dropouts "
        f"of the space; {winner}.{kept}"
    )
    named = finalists_frame(finalists).assign(network=[finalist.identity.name for finalist in finalists])
    return table(caption, named, columns)
