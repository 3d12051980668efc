"""What a tracker is: another program's record of experiments. It is told of runs, and nothing is ever read from it but
how far it has got."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

from search.errors import InputError
from search.files import StudyFiles
from search.protocol import Measurement

Value = str | int | float | bool
Values = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Study:
    """The study whose runs are told of.

    Attributes:
        created: when it began; tells studies of one name apart.
        image_size: pixels a side.
        parameters: its question.
    """

    files: StudyFiles
    created: str
    image_size: int
    parameters: Values

    @property
    def name(self) -> str:
        return self.files.name

    @property
    def run(self) -> str:
        """The name of the run that stands for the study itself; no training has it."""
        return f"study-{self.name}"

    def id_of(self, run: str) -> str:
        """The same for a run of this study whenever it goes on, and for no other run."""
        return blake2b(f"{self.name} {self.created} {run}".encode(), digest_size=12).hexdigest()


class Tracker(Protocol):
    """Keeps runs by their names, such as trial-0042. Any method may raise anything: the tracker is then left out."""

    def begin(self, run: str, parameters: Values) -> int:
        """Begin a run, or go on with it. Returns the last epoch that it has already."""

    def measure(self, run: str, epoch: int, scalars: Mapping[str, float]) -> None:
        """Keep what was measured in an epoch, counted from 1."""

    def end(self, run: str, state: str, values: Values) -> None:
        """End a run as complete, pruned, failed or interrupted, with its final numbers."""

    def keep_report(self, page: Path) -> None:
        """Keep the report of the study, a file that may be gone afterwards. Never called where none is taken."""

    def close(self) -> None:
        """Write what is not written yet."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A tracker that is ready to be opened.

    Attributes:
        tracker: opens it, which may take seconds.
        keeps_reports: whether it takes the report of the study.
    """

    tracker: Callable[[Study], Tracker]
    keeps_reports: bool = True


def scalars_of(measurement: Measurement) -> dict[str, float]:
    """The values of an epoch that there are."""
    return {name: value for name, value in asdict(measurement).items() if name != "epoch" and value is not None}


def is_missing(log: str, package: str) -> InputError:
    """The error for a package that is not installed, or cannot be imported."""
    return InputError(f"log = {log}: needs {package}; pip install 'budget-nas[{log}]'")
