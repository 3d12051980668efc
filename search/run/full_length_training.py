"""Training at full length on a fleet: what is there already is not trained again, what was interrupted goes on."""

from collections.abc import Callable
from functools import cached_property

from search.errors import TrainingError
from search.files import StudyFiles, put_aside
from search.protocol import Failed, Finished, Measurement, Opening, Paused, Resumed, TooSlow
from search.recipe import Recipe
from search.run.candidates import Candidate
from search.run.failures import too_slow
from search.run.full_length import FullRun, RunningRun
from search.run.interruption import WAIT_SECONDS, Interruption, pause
from search.run.listener import Observer, notes_of
from search.study.ledger import Ledger
from search.study.plan import Plan
from search.study.results import fault_of_weights, read_results
from search.study.view import RunPurpose, RunView
from search.study.way import DeviceClass, Way, recipe_digest
from search.trained_network import Precision
from search.workers.crew import Crew, Restarted
from search.workers.fleet import Fleet


class FullLengthTraining:
    """Trains networks of one study at full length on a fleet, under the study's lock.

    The fleet is called for once there is something to train.

    A run that is already there, of the same network and trained in the same way, is not trained again; one that was
    interrupted goes on from its last checkpoint. Whatever was trained otherwise has a folder of its own, and stays.

    Args:
        device: the kind of device that the fleet's workers have.

    Attributes:
        plan: of the study. It gets the precision of all its runs where it had none.
        too_slow: networks that missed the limit of latency, by name, and how.
    """

    def __init__(
        self,
        plan: Plan,
        files: StudyFiles,
        fleet: Callable[[], Fleet],
        device: DeviceClass,
        observer: Observer,
        interruption: Interruption,
    ) -> None:
        self.plan = plan
        self.too_slow: dict[str, str] = {}
        self._files = files
        self._fleet = fleet
        self._device = device
        self._observer = observer
        self._interruption = interruption
        self._ledger = Ledger(files, plan.question.data.ledger_name)
        self._running: list[RunningRun] = []
        self._done: dict[tuple[object, ...], RunView] = {}

    @cached_property
    def _crew(self) -> Crew:
        return Crew(self._fleet())

    def asked(
        self, candidate: Candidate, seed: int, purpose: RunPurpose, holdout: bool = False, may_fail: bool = False
    ) -> FullRun:
        """A run in the precision of the study, on the kind of device that is there."""
        precision = self._precision(candidate.recipe)
        way = Way(recipe_digest(candidate.recipe.model_dump(mode="json")), holdout, precision, self._device)
        return FullRun(candidate, seed, purpose, precision, way, may_fail)

    def _precision(self, recipe: Recipe) -> Precision:
        """What a recipe is trained in: 'auto' is one precision for all runs of a study, whichever workers train them.
        Where no search has fixed it, the first worker's is kept in the plan."""
        if recipe.precision != "auto":
            return recipe.precision
        if self.plan.precision is None:
            self.plan = self.plan.with_circumstances(precision=self._first_precision())
            self.plan.save(self._files)
        precision = self.plan.precision
        assert precision is not None
        if precision == "fp16" and self._device == "CPU":
            rule = "needs a CUDA device; give the recipe a precision of its own"
            raise TrainingError(f"precision = fp16, that of the study's search: {rule}")
        return precision

    def _first_precision(self) -> Precision:
        """What 'auto' stands for on the first worker that is ready."""
        while not self._crew.has_idle:
            self._interruption.require_none()
            self._crew.receive(WAIT_SECONDS)
        return self._crew.ready.precision

    def train(self, runs: list[FullRun]) -> list[RunView]:
        """The results of all runs but failed ones, in the given order; what is on disk already is not trained again."""
        waiting = self._missing(runs)
        while waiting or self._running:
            if self._interruption():
                pause(self._crew, self._receive, lambda: bool(self._running))
                self._interruption.require_none()
            while self._crew.has_idle and waiting:
                running = waiting.pop(0)
                self._running.append(running)
                self._crew.start(running, running.job)
                self._observer.on_begin(running.job)
            self._receive(WAIT_SECONDS)
        return [self._done[run.training] for run in runs if run.training in self._done]

    def there(self) -> dict[tuple[object, ...], RunView]:
        """The runs that are on disk, by what was trained and how."""
        runs = read_results(self._files, self.plan.question.data.ledger_name).runs
        return {view.training: view for view in runs}

    def is_usable(self, run: FullRun, there: dict[tuple[object, ...], RunView]) -> bool:
        """Whether a run is there, with the weights that it keeps."""
        view = there.get(run.training)
        return view is not None and self._fault(run, view) is None

    def _fault(self, run: FullRun, view: RunView) -> str | None:
        """Why a run that is there must be trained again, in a line."""
        return fault_of_weights(view, run.candidate.max_params) if run.keeps_weights else None

    def _missing(self, runs: list[FullRun]) -> list[RunningRun]:
        """The runs that are to be trained. Those whose weights are gone are among them, and have their folder.

        A result that lies in the folder of a run and is not its own cannot be read, or was moved there: it is put
        aside with all that lies beside it.

        Raises:
            StorageError: it cannot be put aside.
        """
        there = self.there()
        missing = []
        for run in runs:
            view, note = there.get(run.training), None
            if view is not None:
                fault = self._fault(run, view)
                if fault is None:
                    self._done[run.training] = view
                    continue
                note = f"{fault}; it is trained again"
            elif elsewhere := there.get(run.elsewhere):
                devices = f"on a {elsewhere.way.device} before, and is now on a {run.way.device}"
                note = f"was trained {devices}; numbers of the two are not compared"
            folder = self._files.full_run(run.purpose, run.candidate.identity, run.key, run.seed)
            if view is not None and view.folder is not None:
                folder = view.folder
            elif (folder / "result.json").exists():
                note = f"the result in {folder} is not one of this run; all that is there is now in {put_aside(folder)}"
            job = run.job(self.plan.question.seed, folder, self._files.checkpoints(folder))
            missing.append(RunningRun(run, job, folder))
            if note is not None:
                self._observer.on_note(job, note)
        return missing

    def _receive(self, timeout: float) -> None:
        event = self._crew.receive(timeout)
        if event is None:
            return
        running, message = event.owner, event.message
        assert isinstance(running, RunningRun)
        if isinstance(message, Measurement):
            running.history.append(message)
            if message.epoch > running.num_told:  # it was told of by the run that was interrupted
                self._observer.on_epoch(running.job, message)
        elif isinstance(message, Resumed | Restarted):
            if isinstance(message, Restarted):
                running.history.clear()
            else:
                running.num_told = message.epoch
            for note in notes_of(message):
                self._observer.on_note(running.job, note)
        elif isinstance(message, Opening):
            # The line comes first: a test set that is open is in the ledger, whatever happens next.
            running.open(self._ledger)
            self._crew.open(running)
        elif isinstance(message, Finished):
            self._running.remove(running)
            view = running.finished(message, event.ready, self.plan, self._ledger)
            self._done[running.run.training] = view
            self._observer.on_end(running.job, view)
        elif isinstance(message, TooSlow):
            self._running.remove(running)
            candidate = running.run.candidate
            if candidate.identity.name not in self.too_slow:  # else of another seed
                reason = too_slow(message.latency, candidate.max_latency)
                self.too_slow[candidate.identity.name] = reason
                self._observer.on_note(running.job, f"is not trained: {reason}")
            self._observer.on_end(running.job, None)
        elif isinstance(message, Failed) and running.run.may_fail:
            self._running.remove(running)
            self._observer.on_note(running.job, f"failed, and is left out: {message.reason}")
            self._observer.on_end(running.job, None)
        elif isinstance(message, Failed):
            self._observer.on_end(running.job, None)
            raise TrainingError(f"{running.job.label} failed: {message.reason}")
        elif isinstance(message, Paused):
            self._running.remove(running)
