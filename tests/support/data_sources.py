"""Small data sets of every layout, written for a test, and the line with which one is refused."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from search.data.datasets import open_dataset
from search.errors import DataError

STRUCT = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def pixels(value: int, size: int = 8, mode: str = "RGB") -> Image.Image:
    return Image.fromarray(np.full((size, size, 3), value, dtype=np.uint8)).convert(mode)


def encoded(value: int, size: int = 8, mode: str = "RGB", format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    pixels(value, size, mode).save(buffer, format)
    return buffer.getvalue()


def write_images(
    folder: Path, num_images: int = 5, classes: tuple[str, ...] = ("cat", "dog"), mode: str = "RGB", size: int = 8
) -> None:
    """Image i of class c has the value 10 c + i."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(num_images):
            pixels(10 * number + i, size, mode).save(folder / name / f"{i}.png")


def write_parquet(
    path: Path,
    labels: list[int | None],
    images: list[bytes | None] | None = None,
    names: list[str] | None = None,
    columns: tuple[str, str] = ("img", "label"),
    struct_column: bool = True,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = images or [encoded(i) for i in range(len(labels))]
    column = (
        pa.array([{"bytes": b, "path": None} for b in raw], STRUCT) if struct_column else pa.array(raw, pa.binary())
    )
    table = pa.table({columns[0]: column, columns[1]: pa.array(labels, pa.int64())})
    if names:
        features = {"info": {"features": {columns[1]: {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    pq.write_table(table, path)


def write_npz(path: Path, **changes: Any) -> Path:
    generator = np.random.default_rng(0)
    arrays = {
        "x_train": generator.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8),
        "y_train": np.arange(12) % 3,
        "x_test": generator.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8),
        "y_test": np.arange(6) % 3,
    }
    np.savez(path, **{name: array for name, array in (arrays | changes).items() if array is not None})
    return path


def refusal(spec: Path | str) -> str:
    """The one line with which a data set is refused."""
    with pytest.raises(DataError) as caught:
        open_dataset(str(spec))
    message = str(caught.value)
    assert "\n" not in message
    return message
