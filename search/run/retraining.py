"""Full-length training: finalists, among which a winner is chosen, and final runs, which open the test set.

Choosing and quoting are kept apart. Finalists are trained on the training split and compared on the validation split,
and so are the dropouts of the best of them, since the short schedule of a search favours none (benchmarks/LOG.md);
the test set is opened by final runs alone, once per trained network, and every opening is a line in the test ledger.
"""

from pathlib import Path
from statistics import fmean

from search.errors import TrainingError
from search.files import StudyFiles
from search.protocol import Failed, Finished, Measurement, Opening, Paused, Resumed
from search.run.candidates import Candidate, with_dropout
from search.run.full_length import FullRun, RunningRun
from search.run.interruption import WAIT_SECONDS, Interruption, pause
from search.run.listener import Observer, notes_of
from search.study.ledger import Ledger
from search.study.plan import Plan
from search.study.results import NUM_FINALIST_SEEDS
from search.study.view import RunView
from search.workers.crew import Crew, Restarted
from search.workers.fleet import Fleet


class Retraining:
    """Trains candidates of one study on a fleet, under the study's lock.

    A run that is already there with the same recipe is not trained again; one that was interrupted goes on from its
    last checkpoint.
    """

    def __init__(
        self,
        plan: Plan,
        files: StudyFiles,
        fleet: Fleet,
        observer: Observer,
        interruption: Interruption | None = None,
    ) -> None:
        self.plan = plan
        self.files = files
        self.observer = observer
        self._interruption = interruption or Interruption()
        self._ledger = Ledger(files, plan.question.data.ledger_name)
        self._crew = Crew(fleet)
        self._running: list[RunningRun] = []
        self._done: dict[Path, RunView] = {}

    def choose(self, candidates: list[Candidate]) -> list[tuple[Candidate, float]]:
        """Train finalists on the training split, then the best of them with each other dropout that the study's space
        offers, and return all by mean validation accuracy, best first. The first is the winner.

        A dropout that cannot be trained is reported and left out.

        Raises:
            TrainingError: a run of a finalist with its own dropout failed.
            StorageError: a result cannot be written.
        """
        ranked = self._ranked(candidates)
        best = ranked[0][0]
        others = [with_dropout(best, value) for value in sorted(self.plan.question.space.dropout)]
        # Equal ones stay in this order: at equal accuracy the best finalist keeps its dropout.
        varied = self._ranked([best, *(candidate for candidate in others if candidate is not best)])
        return sorted([*varied, *ranked[1:]], key=lambda item: -item[1])

    def _ranked(self, candidates: list[Candidate]) -> list[tuple[Candidate, float]]:
        views = self._train(
            [self._finalist(candidate, seed) for candidate in candidates for seed in range(NUM_FINALIST_SEEDS)]
        )
        ranked = []
        for candidate in candidates:
            own = [view.history[-1].validation_accuracy for view in views if view.identity == candidate.identity]
            values = [value for value in own if value is not None]
            if len(values) == NUM_FINALIST_SEEDS:
                ranked.append((candidate, fmean(values)))
        return sorted(ranked, key=lambda item: -item[1])

    def _finalist(self, candidate: Candidate, seed: int) -> FullRun:
        folder = self.files.finalist(candidate.identity, seed)
        return FullRun(candidate, seed, "finalist", folder, may_fail=candidate.identity.dropout is not None)

    def audit(self, candidates: list[Candidate], num_seeds: int) -> list[RunView]:
        """Train trials on the training split, as finalists are, to compare their values with those of the search.

        A design that cannot be trained at full length is reported and left out.

        Raises:
            StorageError: a result cannot be written.
        """
        runs = [
            FullRun(candidate, seed, "proxy", self.files.audited(candidate.identity, seed), may_fail=True)
            for candidate in candidates
            for seed in range(num_seeds)
        ]
        return self._train(runs)

    def finish(self, candidates: list[Candidate], num_seeds: int, holdout: bool = False) -> list[RunView]:
        """Train on training and validation split together, open the test set once per run, and keep the weights.

        With `holdout` the validation split is left out. A recipe that needs it leaves it out anyway, so that a run by
        such a recipe is the same with a holdout and without.

        Raises:
            TrainingError: a run failed, or its weights do not hold the parameters they should.
            StorageError: a result cannot be written.
        """
        runs = [
            self._final(candidate, seed, holdout and not candidate.recipe.needs_validation)
            for candidate in candidates
            for seed in range(num_seeds)
        ]
        return self._train(runs)

    def _final(self, candidate: Candidate, seed: int, holdout: bool) -> FullRun:
        folder = self.files.final(candidate.identity, candidate.recipe.name, seed, holdout)
        return FullRun(candidate, seed, "final", folder, holdout)

    def _train(self, runs: list[FullRun]) -> list[RunView]:
        """The results of all runs but failed ones, in the given order; what is on disk already is not trained again."""
        self._done = {run.folder: view for run in runs if (view := run.result()) is not None}
        waiting = [run for run in runs if run.folder not in self._done]
        while waiting or self._running:
            if self._interruption():
                pause(self._crew, self._receive, lambda: bool(self._running))
                self._interruption.require_none()
            while self._crew.has_idle and waiting:
                run = waiting.pop(0)
                running = RunningRun(run, run.job(self.plan.question.seed, self.files.checkpoints(run.folder)))
                self._running.append(running)
                self._crew.start(running, running.job)
            self._receive(WAIT_SECONDS)
        return [self._done[run.folder] for run in runs if run.folder in self._done]

    def _receive(self, timeout: float) -> None:
        event = self._crew.receive(timeout)
        if event is None:
            return
        running, message = event.owner, event.message
        assert isinstance(running, RunningRun)
        if isinstance(message, Measurement):
            running.history.append(message)
            self.observer.on_epoch(running.job, message)
        elif isinstance(message, Resumed | Restarted):
            if isinstance(message, Restarted):
                running.history.clear()
            for note in notes_of(message):
                self.observer.on_note(running.job, note)
        elif isinstance(message, Opening):
            # The line comes first: a test set that is open is in the ledger, whatever happens next.
            running.open(self._ledger)
            self._crew.open(running)
        elif isinstance(message, Finished):
            self._running.remove(running)
            self._done[running.run.folder] = running.finished(message, event.ready, self.plan, self._ledger)
        elif isinstance(message, Failed) and running.run.may_fail:
            self._running.remove(running)
            self.observer.on_note(running.job, f"failed, and is left out: {message.reason}")
        elif isinstance(message, Failed):
            raise TrainingError(f"{running.job.label} failed: {message.reason}")
        elif isinstance(message, Paused):
            self._running.remove(running)
