"""What `nas evaluate --corrupted` has measured of a final run, in a file beside its result, one for each split."""

from dataclasses import replace

from pydantic import TypeAdapter

from search.study.later import read_later, write_later
from search.study.view import RunView
from search.trained_network import Robustness

_ROBUSTNESS = TypeAdapter(Robustness)


def write_robustness(run: RunView, robustness: Robustness) -> None:
    """Keep it beside the run's result, in the place of an earlier one of the same split.

    Raises:
        StorageError: it cannot be written.
    """
    write_later(run, "robustness", robustness)


def with_robustness(run: RunView) -> tuple[RunView, list[str]]:
    """The run with what lies beside its result, and a line for each file that cannot be read."""
    measured, faults = read_later(run, "robustness", _ROBUSTNESS, require_sane, "nas evaluate --corrupted")
    return (replace(run, robustness=(*run.robustness, *measured)) if measured else run), faults


def require_sane(robustness: Robustness) -> None:
    """
    Raises:
        ValueError: it has no accuracy, or one that is none.
    """
    accuracies = [robustness.clean, *(result.accuracy for result in robustness.corrupted)]
    if not robustness.corrupted or not all(0 <= accuracy <= 1 for accuracy in accuracies):
        raise ValueError(f"robustness: {len(robustness.corrupted)} corruptions, accuracies {accuracies}")
