"""What commands have measured of a final run after its training, in files beside its result, one for each split."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from search.files import why
from search.study.view import RunView
from search.trained_network import OnnxExport, Robustness, Split
from search.writing import write_atomically

SPLITS: tuple[Split, ...] = ("validation", "test")


Measured = TypeVar("Measured", Robustness, OnnxExport)


def write_later(run: RunView, kind: str, measured: Robustness | OnnxExport) -> None:
    """Keep it beside the run's result, in the place of an earlier one of the same kind and split.

    Raises:
        StorageError: it cannot be written.
    """
    assert run.folder is not None
    # The time tells the weights that were measured from those of a later training in the same folder.
    values = {"time": run.time} | asdict(measured)
    write_atomically(run.folder / f"{kind}-{measured.split}.json", json.dumps(values, indent=1))


def read_later(
    run: RunView, kind: str, adapter: TypeAdapter[Measured], require_sane: Callable[[Measured], None], command: str
) -> tuple[tuple[Measured, ...], list[str]]:
    """What of a kind lies beside a run's result, and a line for each file that cannot be read. What was measured of
    other weights than the run's is left out.

    Args:
        require_sane: raises ValueError where a value is none.
        command: what writes such files.
    """
    measured, faults = [], []
    assert run.folder is not None
    for split in SPLITS:
        path = run.folder / f"{kind}-{split}.json"
        if not path.is_file():
            continue
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values.pop("time") == run.time:
                one = adapter.validate_python(values)
                require_sane(one)
                measured.append(one)
        except OSError as error:
            faults.append(f"{path}: cannot be read ({why(error)})")
        except (ValueError, LookupError, TypeError, AttributeError, ValidationError, RecursionError):
            faults.append(f"{path}: cannot be read, and counts for nothing; `{command}` writes it again")
    return tuple(measured), faults
