"""Results of full-length training, as they lie on disk."""

import json
from pathlib import Path
from typing import Any

from models.architecture import Architecture
from search.errors import StorageError
from search.files import StudyFiles
from search.protocol import Measurement
from search.study.view import RunView


def read_runs(files: StudyFiles) -> list[RunView]:
    """All full-length runs of a study, finalists' and final.

    Raises:
        StorageError: a result cannot be read.
    """
    patterns = ("finalists/*/*", "retrain/*/*", "retrain/*/*/*")
    paths = sorted(path for pattern in patterns for path in files.folder.glob(f"{pattern}/result.json"))
    return [read_run(path)[0] for path in paths]


def run_view(values: dict[str, Any]) -> RunView:
    """The RunView of a result.json."""
    fields = {name: values[name] for name in RunView.__dataclass_fields__ if name in values}
    fields["architecture"] = Architecture.from_dict(values["architecture"])
    fields["history"] = tuple(Measurement(**epoch) for epoch in values["history"])
    if values["confusion"] is not None:
        fields["confusion"] = tuple(map(tuple, values["confusion"]))
    return RunView(**fields)


def read_run(path: Path) -> tuple[RunView, Any]:
    """The run of a result.json, and the values of its recipe."""
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return run_view(values), values["recipe_values"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise StorageError(f"{path}: cannot be read ({error})") from None
