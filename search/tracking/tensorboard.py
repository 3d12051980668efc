"""TensorBoard: a file of events for each run and each time that it goes on, in studies/<study>/tensorboard/<run>/."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from search.tracking.tracker import Opening, Study, Values, is_missing

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter


def prepare_tensorboard() -> Opening:
    """
    Raises:
        InputError: tensorboardX is not installed. It needs no torch, which the coordinator does not import.
    """
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        raise is_missing("tensorboard", "tensorboardX") from None
    return Opening(TensorBoardTracker, keeps_reports=False)


class TensorBoardTracker:
    """Writes scalars, and the design and its final numbers once. TensorBoard has no place for a report."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._parameters: dict[str, Values] = {}
        self._writers: dict[str, SummaryWriter] = {}
        self._last: dict[str, int] = {}

    def begin(self, run: str, parameters: Values) -> int:
        self._parameters[run] = parameters
        return 0

    def measure(self, run: str, epoch: int, scalars: Mapping[str, float]) -> None:
        writer = self._writers.get(run) or self._open(run, epoch)
        for name, value in scalars.items():
            writer.add_scalar(name, value, epoch)
        self._last[run] = epoch

    def _open(self, run: str, epoch: int) -> "SummaryWriter":
        """A new file for a run. Of its earlier files TensorBoard shows no more than what came before this epoch."""
        from tensorboardX import SummaryWriter

        writer = self._writers[run] = SummaryWriter(str(self._study.files.tensorboard(run)), purge_step=epoch)
        rows = "".join(f"| {name} | {value} |\n" for name, value in self._parameters[run].items())
        writer.add_text("design", f"| parameter | value |\n| --- | --- |\n{rows}", 0)
        return writer

    def end(self, run: str, state: str, values: Values) -> None:
        if (writer := self._writers.pop(run, None)) is None:
            return
        for name, value in values.items():
            if not isinstance(value, str):
                writer.add_scalar(f"final/{name}", value, self._last[run])
        writer.close()

    def keep_report(self, page: Path) -> None:
        raise NotImplementedError

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
