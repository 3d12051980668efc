"""Trackers that never stop or slow what they are told of: each has a thread of its own, and one that fails is left out.

They are opened by the first run, when the study has begun, so that a command which is refused leaves nothing behind.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from models.architecture import Architecture
from search.errors import InputError
from search.protocol import Measurement
from search.quantities import brief, plural
from search.recipe import Recipe
from search.tracking.mlflow import prepare_mlflow
from search.tracking.parameters import design_parameters, recipe_parameters
from search.tracking.tensorboard import prepare_tensorboard
from search.tracking.tracker import Opening, Study, Tracker, Value, Values, scalars_of
from search.tracking.wandb import prepare_wandb

PREPARE: dict[str, Callable[[], Opening]] = {
    "tensorboard": prepare_tensorboard,
    "mlflow": prepare_mlflow,
    "wandb": prepare_wandb,
    "wandb:offline": partial(prepare_wandb, offline=True),
}
MAX_WAITING = 10_000  # messages to a tracker that does not keep up
PATIENCE = 60.0  # seconds for a tracker to take one message, once all is done
HURRY = 5.0  # seconds for all that waits, after a signal or an error

_Told = Callable[["_Runs"], None]


class Trackers:
    """Tells several trackers of the runs of a study.

    Args:
        opens: how to open each of them, by the name it was asked for by.
        study: reads the study; asked for once it has begun.
        say: takes a line for a person, always on the caller's thread: once for each tracker that is left out.
    """

    def __init__(
        self, opens: Iterable[tuple[str, Opening]], study: Callable[[], Study], say: Callable[[str], None]
    ) -> None:
        self._threads = [_Thread(name, open, study) for name, open in opens]
        self._say = say

    def begin(self, run: str, architecture: Architecture, recipe: Recipe, **facts: Value) -> None:
        """Tell that a network begins to be trained by a recipe, or goes on."""
        self._tell(lambda runs: runs.begin(run, architecture, recipe, facts))

    def measure(self, run: str, measurement: Measurement) -> None:
        """Tell of an epoch. One that was told of before is left out: runs repeat epochs when they are resumed."""
        self._tell(lambda runs: runs.measure(run, measurement))

    def end(self, run: str, state: str, values: Values) -> None:
        """Tell how a run ended. One that never began is passed over."""
        self._tell(lambda runs: runs.end(run, state, values))

    @property
    def keep_reports(self) -> bool:
        """Whether any of them takes the report of the study."""
        return any(thread.keeps_reports for thread in self._threads)

    def keep_report(self, page: Path) -> None:
        """Hand over the report of the study, a file that must stay until they are closed."""
        for thread in self._threads:
            if thread.keeps_reports:
                thread.put(lambda runs: runs.keep_report(page))

    def close(self, hurried: bool = False) -> None:
        """Wait until all is written, for as long as each goes on; `hurried`, for a moment."""
        for thread in self._threads:
            thread.end()
        for thread in self._threads:
            thread.wait(HURRY if hurried else PATIENCE, hurried)
        self._complain()

    def _tell(self, told: _Told) -> None:
        for thread in self._threads:
            thread.put(told)
        self._complain()

    def _complain(self) -> None:
        for thread in self._threads:
            if (fault := thread.take_fault()) is not None:
                self._say(f"log = {thread.name}: {fault}")


class _Runs:
    """What one tracker is told of, on its own thread."""

    def __init__(self, tracker: Tracker, study: Study) -> None:
        self._tracker = tracker
        self._study = study
        self._epochs: dict[str, int] = {}  # the last of each run that is not over

    def begin(self, run: str, architecture: Architecture, recipe: Recipe, facts: Values) -> None:
        parameters = {**design_parameters(architecture, self._study.image_size), **recipe_parameters(recipe), **facts}
        self._epochs[run] = self._tracker.begin(run, parameters)

    def measure(self, run: str, measurement: Measurement) -> None:
        if measurement.epoch > self._epochs[run]:
            self._epochs[run] = measurement.epoch
            self._tracker.measure(run, measurement.epoch, scalars_of(measurement))

    def end(self, run: str, state: str, values: Values) -> None:
        if self._epochs.pop(run, None) is not None:
            self._tracker.end(run, state, values)

    def keep_report(self, page: Path) -> None:
        self._tracker.keep_report(page)

    def close(self) -> None:
        for run in list(self._epochs):
            self.end(run, "interrupted", {})
        self._tracker.close()


class _Thread:
    """The thread of one tracker. It is a daemon: nobody waits for a server that never answers."""

    def __init__(self, name: str, open: Opening, study: Callable[[], Study]) -> None:
        self.name = name
        self._open = open
        self._study = study
        self._queue: SimpleQueue[_Told | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"log {name}", daemon=True)
        self._fault: str | None = None
        self._num_taken = 0
        self.is_alive = True

    @property
    def keeps_reports(self) -> bool:
        return self.is_alive and self._open.keeps_reports

    def put(self, told: _Told) -> None:
        if not self.is_alive:
            return
        if self._queue.qsize() > MAX_WAITING:
            self._leave_out(f"{plural(MAX_WAITING, 'message')} wait for it")
            return
        self._queue.put(told)
        if not self._thread.ident:
            self._thread.start()

    def end(self) -> None:
        self._queue.put(None)

    def wait(self, seconds: float, hurried: bool) -> None:
        """Wait for its end, or until it has taken nothing for so many seconds; `hurried`, or once it is left out, no
        longer than that."""
        while self._thread.is_alive():
            num_taken = self._num_taken
            self._thread.join(seconds if self.is_alive else HURRY)
            if hurried or not self.is_alive or self._num_taken == num_taken:
                break
        if self._thread.is_alive() and self.is_alive:
            self._leave_out("does not answer, so that what it was told last may be missing", ended=True)

    def take_fault(self) -> str | None:
        """Why it is left out, once."""
        fault, self._fault = self._fault, None
        return fault

    def _leave_out(self, fault: str, ended: bool = False) -> None:
        self.is_alive = False
        self._fault = fault if ended else f"{fault}; it is left out from here on, and nothing else changes"

    def _work(self) -> None:
        runs: _Runs | None = None
        try:
            study = self._study()
            runs = _Runs(self._open.tracker(study), study)
            while self.is_alive and (told := self._queue.get()) is not None:
                told(runs)
                self._num_taken += 1
            runs.close()
        except (Exception, SystemExit) as error:  # of other people's libraries
            if self.is_alive:
                self._leave_out(brief(error))
            with suppress(Exception, SystemExit):
                if runs is not None:
                    runs.close()


def prepare(names: Sequence[str]) -> list[tuple[str, Opening]]:
    """How to open the named trackers, each once. Their packages are imported here, before anything begins.

    Raises:
        InputError: there is no such tracker, its package is not installed, or it cannot be used.
    """
    unknown = next((name for name in names if name not in PREPARE), None)
    if unknown is not None:
        raise InputError(f"log = {unknown!r}: must be one of {', '.join(PREPARE)}")
    if {"wandb", "wandb:offline"} <= set(names):
        raise InputError("log = wandb, wandb:offline: give one of them")
    return [(name, PREPARE[name]()) for name in dict.fromkeys(names)]
