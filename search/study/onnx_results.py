"""What `nas export --to onnx` has measured of a final run's ONNX files, in a file beside its result, one for each
split."""

from dataclasses import replace

from pydantic import TypeAdapter

from search.quantities import plural
from search.study.later import read_later, write_later
from search.study.view import RunView
from search.trained_network import FLOAT_FILE, INT8_FILE, OnnxExport

_EXPORT = TypeAdapter(OnnxExport)


def write_onnx_result(run: RunView, result: OnnxExport) -> None:
    """Keep it beside the run's result, in the place of an earlier one of the same split.

    Raises:
        StorageError: it cannot be written.
    """
    write_later(run, "onnx", result)


def with_onnx_results(run: RunView) -> tuple[RunView, list[str]]:
    """The run with what lies beside its result, and a line for each file that cannot be read."""
    measured, faults = read_later(run, "onnx", _EXPORT, _require_sane, "nas export --to onnx")
    return (replace(run, onnx=measured) if measured else run), faults


def measured_on(result: OnnxExport) -> str:
    """The images it was measured on, in words."""
    seen = ", which the network was trained on, so they are too high" if result.seen else ""
    return f"{plural(result.num_images, f'{result.split} image')}{seen}"


def _require_sane(result: OnnxExport) -> None:
    """
    Raises:
        ValueError: it lacks the float file, or an accuracy or a size is none.
    """
    names = [file.name for file in result.files]
    is_sane = all(0 <= file.accuracy <= 1 and 0 < file.number_bytes < file.num_bytes for file in result.files)
    if names not in ([FLOAT_FILE], [FLOAT_FILE, INT8_FILE]) or not is_sane:
        raise ValueError(f"onnx: {result.files}")
