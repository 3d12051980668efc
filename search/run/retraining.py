"""Retraining: finalists, among which a winner is chosen, and final runs at full length, which open the test set.

Choosing and quoting are kept apart. Finalists are trained on the training split and compared on the validation split,
and so are the dropouts of the best of them where that is at full length (`search.study.rounds.tells_dropouts`);
the test set is opened by final runs alone, once per trained network, and every opening is a line in the test ledger.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property

from search.errors import TrainingError
from search.files import StudyFiles, put_aside
from search.protocol import Failed, Finished, Measurement, Opening, Paused, Resumed, TooSlow
from search.recipe import Recipe
from search.run.candidates import Candidate, with_dropout
from search.run.failures import too_slow
from search.run.full_length import FullRun, RunningRun
from search.run.interruption import WAIT_SECONDS, Interruption, pause
from search.run.listener import Observer, notes_of
from search.run.teachers import Exported, TeacherRequest, require_another, teacher_of
from search.study.ledger import Ledger
from search.study.networks import alike
from search.study.plan import Plan
from search.study.results import fault_of_weights, read_results
from search.study.rounds import NUM_FINALIST_SEEDS, NUM_LEADERS, Finalist, finalist_epochs, standings, tells_dropouts
from search.study.trained import trained_run
from search.study.view import RunPurpose, RunView
from search.study.way import DeviceClass, Select, Way, recipe_digest
from search.teaching import Lesson, Teaching
from search.trained_network import Precision, TrainedNetwork
from search.workers.crew import Crew, Restarted
from search.workers.fleet import Fleet


class Retraining:
    """Trains candidates of one study on a fleet, under the study's lock.

    The fleet is called for once there is something to train.

    A run that is already there, of the same network and trained in the same way, is not trained again; one that was
    interrupted goes on from its last checkpoint. Whatever was trained otherwise has a folder of its own, and stays.

    Args:
        device: the kind of device that the fleet's workers have.
        select: what finalists are ranked by, clean validation images or corrupted ones.
    """

    def __init__(
        self,
        plan: Plan,
        files: StudyFiles,
        fleet: Callable[[], Fleet],
        device: DeviceClass,
        observer: Observer,
        interruption: Interruption | None = None,
        select: Select = "clean",
    ) -> None:
        self.plan = plan
        self.files = files
        self.observer = observer
        self._interruption = interruption or Interruption()
        self._ledger = Ledger(files, plan.question.data.ledger_name)
        self._fleet = fleet
        self._device = device
        self._select = select
        self._running: list[RunningRun] = []
        self._done: dict[tuple[object, ...], RunView] = {}
        self._too_slow: dict[str, str] = {}  # networks by name, and why

    @cached_property
    def _crew(self) -> Crew:
        return Crew(self._fleet())

    def choose(self, candidates: list[Candidate]) -> list[tuple[Candidate, Finalist]]:
        """Train finalists on the training split, and return those that have all seeds by their mean on the validation
        split, as it is or corrupted, best first. The first is the winner.

        Where finalists are trained at full length, the best of them is trained with each other dropout of the study's
        space too (`tells_dropouts`).

        Of equal ones the earlier candidate comes first, and a trial with its own dropout before others. A dropout that
        cannot be trained is reported and left out.

        Raises:
            TrainingError: a run of a finalist with its own dropout failed.
            StorageError: a result cannot be written.
        """
        by_identity = {candidate.identity: candidate for candidate in candidates}
        leaders, seeds = candidates, range(NUM_FINALIST_SEEDS)
        runs: list[RunView] = []
        if len(candidates) > NUM_LEADERS:
            runs = self._finalists(candidates, seeds[:1])
            leaders = [by_identity[finalist.identity] for finalist in _ranked(runs, candidates, 1)[:NUM_LEADERS]]
            seeds = seeds[1:]
            # Those of an earlier round among fewer have all their seeds, and may win by them.
            there = self._there()
            leaders += [
                candidate
                for candidate in candidates
                if candidate not in leaders and all(self._finalist(candidate, seed).training in there for seed in seeds)
            ]
        runs += self._finalists(leaders, seeds)
        best = by_identity[_ranked(runs, candidates)[0].identity]
        rivals = [with_dropout(best, value) for value in sorted(self.plan.question.space.dropout)]
        rivals = [rival for rival in rivals if rival is not best]
        if not tells_dropouts(best.recipe.epochs, self.plan.question.recipe.epochs):
            there = self._there()  # those of an earlier round
            rivals = [
                rival
                for rival in rivals
                if all(self._finalist(rival, seed).training in there for seed in range(NUM_FINALIST_SEEDS))
            ]
        by_identity |= {rival.identity: rival for rival in rivals}
        runs += self._finalists(rivals, range(NUM_FINALIST_SEEDS))
        return [(by_identity[finalist.identity], finalist) for finalist in _ranked(runs, candidates)]

    def _finalists(self, candidates: list[Candidate], seeds: range) -> list[RunView]:
        return self._train([self._finalist(candidate, seed) for candidate in candidates for seed in seeds])

    def _finalist(self, candidate: Candidate, seed: int) -> FullRun:
        """A run of the candidate with the part of its recipe by which finalists are trained."""
        epochs = finalist_epochs(candidate.recipe.epochs, self.plan.question.recipe.epochs)
        shortened = replace(candidate, recipe=candidate.recipe.model_copy(update={"epochs": epochs}))
        run = self._asked(shortened, seed, "finalist", may_fail=candidate.identity.dropout is not None)
        return replace(run, way=run.way._replace(select=self._select))

    def audit(self, candidates: list[Candidate], num_seeds: int) -> list[RunView]:
        """Train trials on the training split, as finalists are, to compare their values with those of the search.

        A design that cannot be trained at full length is reported and left out.

        Raises:
            StorageError: a result cannot be written.
        """
        runs = [
            self._asked(candidate, seed, "proxy", may_fail=True)
            for candidate in candidates
            for seed in range(num_seeds)
        ]
        return self._train(runs)

    def finish(self, candidates: list[Candidate], num_seeds: int, holdout: bool = False) -> list[RunView]:
        """Train on training and validation split together, open the test set once per run, and keep the weights.

        A guess that misses the limit of latency is reported and left out, as in a search.

        With `holdout` the validation split is left out. A recipe that needs it leaves it out anyway, so that a run by
        such a recipe is the same with a holdout and without.

        Raises:
            TrainingError: a run failed, its weights do not hold the parameters they should, or every network missed the
                limit of latency.
            StorageError: a result cannot be written.
        """
        views = self._train(self._finals(candidates, num_seeds, holdout))
        if not views and self._too_slow:
            raise TrainingError("; ".join(f"{name}: {reason}" for name, reason in self._too_slow.items()))
        return views

    def teach(
        self, candidates: list[Candidate], num_seeds: int, request: TeacherRequest, holdout: bool = False
    ) -> list[RunView]:
        """Train as `finish` does, but with the teachers that are asked for.

        Those of the study are trained on the training split first, where there are no such weights yet; not where
        nobody is left to be taught.

        Raises:
            InputError: a candidate would be taught by itself alone, or there is no such teacher.
            TrainingError: a run failed, or its weights do not hold the parameters they should.
            StorageError: a result cannot be written.
        """
        teachers = request.find()
        for candidate in candidates:
            require_another(candidate, teachers, request.source)
        own = [self._teacher(teacher) for teacher in teachers if isinstance(teacher, Candidate)]
        exported = [teacher for teacher in teachers if isinstance(teacher, Exported)]
        size = self.plan.task.image_size
        names = (*(teacher_of(run, size) for run in own), *(teacher.teacher for teacher in exported))
        teaching = Teaching(names, request.source, request.temperature, request.share)
        runs = [
            replace(run, teaching=teaching, way=run.way._replace(teaching=teaching.digest))
            for run in self._finals(candidates, num_seeds, holdout)
        ]
        there = self._there()
        networks = [teacher.network for teacher in exported]
        if not all(self._is_usable(run, there) for run in runs):
            networks += self._taught(own)
        lesson = Lesson(tuple(networks), teaching.temperature, teaching.share, teaching.digest)
        return self._train([replace(run, lesson=lesson) for run in runs])

    def _teacher(self, candidate: Candidate) -> FullRun:
        return self._asked(candidate, 0, "teacher", not candidate.recipe.needs_validation)

    def _taught(self, teachers: list[FullRun]) -> list[TrainedNetwork]:
        """The networks of teachers of the study. Final runs that left out the validation images teach as well."""
        there = self._there()
        finals = [replace(run, purpose="final") for run in teachers]
        chosen = [final if self._is_usable(final, there) else run for run, final in zip(teachers, finals, strict=True)]
        data = self.plan.question.data.name
        return [trained_run(view, data).network for view in self._train(chosen)]

    def _finals(self, candidates: list[Candidate], num_seeds: int, holdout: bool) -> list[FullRun]:
        return [
            self._asked(candidate, seed, "final", holdout and not candidate.recipe.needs_validation)
            for candidate in candidates
            for seed in range(num_seeds)
        ]

    def _asked(
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
            self.plan.save(self.files)
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

    def _train(self, runs: list[FullRun]) -> list[RunView]:
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
                self.observer.on_begin(running.job)
            self._receive(WAIT_SECONDS)
        return [self._done[run.training] for run in runs if run.training in self._done]

    def _there(self) -> dict[tuple[object, ...], RunView]:
        """The runs that are on disk, by what was trained and how."""
        runs = read_results(self.files, self.plan.question.data.ledger_name).runs
        return {view.training: view for view in runs}

    def _is_usable(self, run: FullRun, there: dict[tuple[object, ...], RunView]) -> bool:
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
        there = self._there()
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
            folder = self.files.full_run(run.purpose, run.candidate.identity, run.key, run.seed)
            if view is not None and view.folder is not None:
                folder = view.folder
            elif (folder / "result.json").exists():
                note = f"the result in {folder} is not one of this run; all that is there is now in {put_aside(folder)}"
            job = run.job(self.plan.question.seed, folder, self.files.checkpoints(folder))
            missing.append(RunningRun(run, job, folder))
            if note is not None:
                self.observer.on_note(job, note)
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
                self.observer.on_epoch(running.job, message)
        elif isinstance(message, Resumed | Restarted):
            if isinstance(message, Restarted):
                running.history.clear()
            else:
                running.num_told = message.epoch
            for note in notes_of(message):
                self.observer.on_note(running.job, note)
        elif isinstance(message, Opening):
            # The line comes first: a test set that is open is in the ledger, whatever happens next.
            running.open(self._ledger)
            self._crew.open(running)
        elif isinstance(message, Finished):
            self._running.remove(running)
            view = running.finished(message, event.ready, self.plan, self._ledger)
            self._done[running.run.training] = view
            self.observer.on_end(running.job, view)
        elif isinstance(message, TooSlow):
            self._running.remove(running)
            candidate = running.run.candidate
            if candidate.identity.name not in self._too_slow:  # else of another seed
                reason = too_slow(message.latency, candidate.max_latency)
                self._too_slow[candidate.identity.name] = reason
                self.observer.on_note(running.job, f"is not trained: {reason}")
        elif isinstance(message, Failed) and running.run.may_fail:
            self._running.remove(running)
            self.observer.on_note(running.job, f"failed, and is left out: {message.reason}")
            self.observer.on_end(running.job, None)
        elif isinstance(message, Failed):
            self.observer.on_end(running.job, None)
            raise TrainingError(f"{running.job.label} failed: {message.reason}")
        elif isinstance(message, Paused):
            self._running.remove(running)


def _ranked(
    runs: Iterable[RunView], candidates: list[Candidate], num_seeds: int = NUM_FINALIST_SEEDS
) -> list[Finalist]:
    """The finalists that have so many seeds, by the one rule that the report follows too."""
    places = {candidate.identity.trial: place for place, candidate in enumerate(candidates)}
    ranks = {trial: place for trial, place in places.items() if trial is not None}
    return [finalist for finalist in standings(alike(runs), ranks) if finalist.network.seeds >= num_seeds]
