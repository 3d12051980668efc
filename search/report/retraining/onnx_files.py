"""ONNX files of final runs, float and int8 side by side, as `nas export` has written and measured them."""

from collections.abc import Iterable

import pandas as pd

from search.report.notation import count, percent, points
from search.report.retraining.known_runs import in_order
from search.report.tables import Column, Table, named, table
from search.study.networks import Network

COLUMNS = [
    "label", "key", "seed", "split", "seen", "images", "float_accuracy", "int8_accuracy", "int8_change", "float_bytes",
    "int8_bytes", "int8_number_bytes", "difference",
]  # fmt: skip


def onnx_frame(networks: Iterable[Network]) -> pd.DataFrame:
    """One row for each run whose files were measured and each split: the accuracy of either file in onnxruntime and how
    the second changes it, the bytes of the files and those of the numbers in the int8 file, and the largest difference
    of logits between the float file and torch. Values of an int8 file that was not written are missing."""
    rows = []
    for network in in_order(networks):
        for run in network.runs:
            for result in run.onnx:
                first, *others = result.files
                second = others[0] if others else None
                rows.append((
                    network.label, network.key, run.seed, result.split, result.seen, result.num_images, first.accuracy,
                    second.accuracy if second else None,
                    second.accuracy - first.accuracy if second else None,
                    first.num_bytes,
                    second.num_bytes if second else None,
                    second.number_bytes if second else None,
                    result.difference,
                ))  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def onnx_table(frame: pd.DataFrame) -> Table:
    rows = named(frame)
    rows["split"] += [" (trained on)" if seen else "" for seen in frame["seen"]]
    columns = [
        Column("network", "Network"), Column("seed", "Seed", str), Column("split", "Images"),
        Column("float_accuracy", "Float", percent), Column("int8_accuracy", "int8", percent),
        Column("int8_change", "Change, points", points), Column("float_bytes", "Float file, bytes", count),
        Column("int8_bytes", "int8 file, bytes", count),
        Column("int8_number_bytes", "of these, numbers", count),
    ]  # fmt: skip
    caption = (
        "Accuracy of exported ONNX files, measured in onnxruntime on the same images. A limit of bytes in int8 holds "
        "for weights, biases, scales and zero points; the rest of a file is its graph."
    )
    return table(caption, rows, columns)
