"""--log: epochs written for other tools to show, beside the study's own record."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

import typer

from search.errors import InputError
from search.files import StudyFiles

if TYPE_CHECKING:
    from search.protocol import Measurement

Log = Callable[[str, "Measurement"], None]
LogName = Annotated[str | None, typer.Option("--log", help="Also log every epoch: tensorboard.")]
LOGS = ("tensorboard",)


class NoLog(AbstractContextManager["NoLog"]):
    """Writes nothing."""

    def __call__(self, run: str, measurement: "Measurement") -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


class TensorBoardLog(AbstractContextManager["TensorBoardLog"]):
    """Writes every epoch of every run as scalars, in studies/<study>/tensorboard/<run>/.

    It uses tensorboardX, which needs no torch, because the coordinator does not import torch.

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

    def __call__(self, run: str, measurement: "Measurement") -> None:
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
    """The named log of a study; without a name, one that writes nothing.

    Raises:
        InputError: there is no such log, or its package is not installed.
    """
    if name is None:
        return NoLog()
    if name not in LOGS:
        raise InputError(f"log = {name!r}: must be {' or '.join(LOGS)}")
    return TensorBoardLog(files)
