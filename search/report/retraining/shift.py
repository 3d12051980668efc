"""How far accuracies fall on corrupted images, as `nas evaluate --corrupted` has measured it of final runs."""

from collections.abc import Iterable
from statistics import fmean

import pandas as pd

from search.report.notation import percent, points
from search.report.retraining.known_runs import in_order
from search.report.tables import Column, Table, named, table
from search.study.networks import Network
from search.trained_network import Robustness, Split

COLUMNS = ["label", "key", "split", "seen", "seeds", "clean", "corrupted", "fall"]


def shift_frame(networks: Iterable[Network]) -> pd.DataFrame:
    """One row for each network and split that was measured: the mean accuracy over measured seeds on clean images and
    over all corrupted ones, how far it falls, and the mean under each corruption. `seen` says whether the network was
    trained on these images, and `key` names it and how it was trained."""
    rows = []
    splits: tuple[Split, ...] = ("test", "validation")
    for network in in_order(networks):
        for split in splits:
            measured = [one for run in network.runs for one in run.robustness if one.split == split]
            if measured:
                rows.append(_row(network, split, measured))
    return pd.DataFrame(rows, columns=COLUMNS if not rows else None)


def _row(network: Network, split: Split, measured: list[Robustness]) -> dict[str, object]:
    names = [name for name in measured[0].corruptions if all(one.under(name) for one in measured)]
    by_corruption = {name: fmean(fmean(one.under(name)) for one in measured) for name in names}
    return {
        "label": network.label,
        "key": network.key,
        "split": split,
        "seen": any(one.seen for one in measured),
        "seeds": len(measured),
        "clean": fmean(one.clean for one in measured),
        "corrupted": fmean(one.mean for one in measured),
        "fall": fmean(one.fall for one in measured),
        **by_corruption,
    }


def shift_table(frame: pd.DataFrame) -> Table:
    rows = named(frame)
    rows["split"] += [" (trained on)" if seen else "" for seen in frame["seen"]]
    several = frame.duplicated(["label", "split"], keep=False)
    rows["network"] += [f" ({key})" if other else "" for key, other in zip(frame["key"], several, strict=True)]
    corruptions = [name for name in frame.columns if name not in COLUMNS]
    columns = [
        Column("network", "Network"), Column("split", "Images"), Column("seeds", "Seeds", str),
        Column("clean", "Clean", percent), Column("corrupted", "Corrupted, mean", percent),
        Column("fall", "Fall, points", points),
        *(Column(name, "JPEG" if name == "jpeg" else name.capitalize(), percent) for name in corruptions),
    ]  # fmt: skip
    caption = (
        "Accuracy on corrupted images, in the mean over three strengths of each corruption and over seeds, beside the "
        "one on these images as they are. Nothing is compared or chosen by it."
    )
    return table(caption, rows, columns)
