"""What `nas evaluate --corrupted` has measured of a final run, in a file beside its result, one for each split."""

import json
from dataclasses import asdict, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from search.files import why, write_atomically
from search.study.view import RunView
from search.trained_network import Robustness, Split

SPLITS: tuple[Split, ...] = ("validation", "test")
_ROBUSTNESS = TypeAdapter(Robustness)


def write_robustness(run: RunView, robustness: Robustness) -> None:
    """Keep it beside the run's result, in the place of an earlier one of the same split.

    Raises:
        StorageError: it cannot be written.
    """
    assert run.folder is not None
    # The time tells the weights that were measured from those of a later training in the same folder.
    values = {"time": run.time} | asdict(robustness)
    write_atomically(_path(run.folder, robustness.split), json.dumps(values, indent=1))


def with_robustness(run: RunView) -> tuple[RunView, list[str]]:
    """The run with what lies beside its result, and a line for each file that cannot be read. What was measured of
    other weights than the run's is left out."""
    found, faults = [], []
    assert run.folder is not None
    for split in SPLITS:
        path = _path(run.folder, split)
        if not path.is_file():
            continue
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values.pop("time") == run.time:
                robustness = _ROBUSTNESS.validate_python(values)
                require_sane(robustness)
                found.append(robustness)
        except OSError as error:
            faults.append(f"{path}: cannot be read ({why(error)})")
        except (ValueError, LookupError, TypeError, AttributeError, ValidationError, RecursionError):
            faults.append(f"{path}: cannot be read, and counts for nothing; `nas evaluate --corrupted` writes it again")
    return (replace(run, robustness=(*run.robustness, *found)) if found else run), faults


def require_sane(robustness: Robustness) -> None:
    """
    Raises:
        ValueError: it has no accuracy, or one that is none.
    """
    accuracies = [robustness.clean, *(result.accuracy for result in robustness.corrupted)]
    if not robustness.corrupted or not all(0 <= accuracy <= 1 for accuracy in accuracies):
        raise ValueError(f"robustness: {len(robustness.corrupted)} corruptions, accuracies {accuracies}")


def _path(folder: Path, split: Split) -> Path:
    return folder / f"robustness-{split}.json"
