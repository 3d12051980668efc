"""The round that picks a winner: finalists, by their validation accuracy."""

from collections.abc import Iterable, Sequence

import pandas as pd

from search.report.notation import count, percent, plural, points, short
from search.report.tables import Column, Table, table
from search.study.rounds import SCORES, Finalist


def finalists_frame(finalists: Iterable[Finalist]) -> pd.DataFrame:
    """One row a finalist: label, seeds, mean and deviation of what it is ranked by, params, macs, and `select`, which
    says what that is: validation images as they are (clean) or corrupted ones (robust); last the mean on clean ones."""
    rows = [
        (
            finalist.network.label,
            finalist.network.seeds,
            finalist.mean,
            finalist.deviation,
            finalist.network.params,
            finalist.network.macs,
            finalist.select,
            finalist.clean,
        )
        for finalist in finalists
    ]
    return pd.DataFrame(rows, columns=["label", "seeds", "mean", "deviation", "params", "macs", "select", "clean"])


def finalists_table(finalists: Sequence[Finalist], unfinished: str | None = None) -> Table:
    """`unfinished` says how far a round is that has no winner yet."""
    select = finalists[0].select if finalists else "clean"
    winner = f"the round is unfinished, {unfinished}" if unfinished else "the first is the winner"
    columns = [
        Column("network", "Network"), Column("seeds", "Seeds", str),
        Column("mean", "Validation, mean" if select == "clean" else "Corrupted validation, mean", percent),
        *([Column("clean", "Clean validation, mean", percent)] if select == "robust" else []),
        Column("deviation", "Deviation, points", points),
        Column("params", "Parameters", count), Column("macs", "MACs", short),
    ]  # fmt: skip
    length = plural(max((finalist.network.epochs for finalist in finalists), default=0), "epoch")
    seeds = {finalist.network.seeds for finalist in finalists}
    second = by_seeds = ""
    if len(seeds) > 1:
        second = "" if unfinished else ", the leaders with a second seed"
        by_seeds = "number of seeds and then by their "
    kept = ""
    if any(finalist.keeps_best for finalist in finalists):
        kept = " Accuracies are those of the epochs whose weights are kept, the best ones, and so are optimistic."
    dropouts = ", and the best of them with the other dropouts of the space"
    if all(finalist.identity.dropout is None for finalist in finalists):
        dropouts = ""
    caption = (
        f"Finalists trained for {length} on the training split{second}{dropouts}, "
        f"ranked by their {by_seeds}{SCORES[select]}; {winner}.{kept}"
    )
    named = finalists_frame(finalists).assign(network=[finalist.identity.name for finalist in finalists])
    return table(caption, named, columns)
