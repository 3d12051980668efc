"""Epochs written down for other tools to show, beside the study's own record."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from types import TracebackType

from search.errors import InputError
from search.files import StudyFiles
from search.protocol import Measurement

Log = Callable[[str, Measurement], None]
LOGS = ("tensorboard",)


class NoLog(AbstractContextManager["NoLog"]):
    """Writes nothing."""

    def __call__(self, run: str, measurement: Measurement) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


class TensorBoardLog(AbstractContextManager["TensorBoardLog"]):
    """Writes every epoch of every run as scalars, in studies/<study>/tensorboard/<run>/.

    By tensorboardX, which needs no torch, so that the coordinator stays free of it.

    Raises:
        InputError: tensorboardX is not installed.
    """

    def __init__(self, files: StudyFiles) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise InputError("log = tensorboard: needs tensorboardX; pip install 'budget-nas[tensorboard]'") from None
        self._files = files
        self._open = SummaryWriter
        self._writers: dict[str, SummaryWriter] = {}

    def __call__(self, run: str, measurement: Measurement) -> None:
        writer = self._writers.get(run)
        if writer is None:
            writer = self._writers[run] = self._open(str(self._files.tensorboard(run)))
        for name, value in asdict(measurement).items():
            if name != "epoch" and value is not None:
                writer.add_scalar(name, value, measurement.epoch)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for writer in self._writers.values():
            writer.close()


def open_log(name: str | None, files: StudyFiles) -> NoLog | TensorBoardLog:
    """
    Raises:
        InputError: there is no such log, or its package is not installed.
    """
    if name is None:
        return NoLog()
    if name not in LOGS:
        raise InputError(f"log = {name!r}: must be {' or '.join(LOGS)}")
    return TensorBoardLog(files)
