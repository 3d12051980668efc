"""The same twelve images and labels in every layout that has no training part."""

import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from search.data.decoding import Shape

GREY, COLOUR = Shape(8, 1), Shape(8, 3)
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(12) % 3


def png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def write_parquet(path: Path, labels: NDArray[np.int64] | None = LABELS, names: list[str] | None = None) -> Path:
    columns: dict[str, Any] = {"image": pa.array([{"bytes": png(image)} for image in IMAGES])}
    if labels is not None:
        columns["label"] = pa.array(labels)
    table = pa.table(columns)
    if names:
        features = {"info": {"features": {"label": {"names": names}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table, path)
    return path


def write_folder(folder: Path, names: list[str] | None = None) -> Path:
    folder.mkdir(parents=True)
    for number, image in enumerate(IMAGES):
        (folder / (names[number] if names else f"{number}.png")).write_bytes(png(image))
    return folder


def write_classes(folder: Path) -> Path:
    for number, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True)):
        (folder / "abc"[label]).mkdir(parents=True, exist_ok=True)
        (folder / "abc"[label] / f"{number:02}.png").write_bytes(png(image))
    return folder


def write_npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def write_pickle(path: Path, **values: Any) -> Path:
    path.write_bytes(pickle.dumps({name.encode(): value for name, value in values.items()}))
    return path


ROWS = IMAGES.transpose(0, 3, 1, 2).reshape(12, -1)
