"""Full-length training: finalists, by which a winner is chosen, and final runs, which open the test set.

Choosing and quoting are kept apart. Finalists are trained on the training split and compared on the validation split,
and so are the dropouts of the best of them, since the short schedule of a search favours none (benchmarks/LOG.md);
the test set is opened by final runs alone, once per trained network, and every opening is a line in the test ledger.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from search.errors import TrainingError
from search.files import StudyFiles
from search.protocol import (
    Failed,
    Finished,
    Fleet,
    Job,
    Measurement,
    Opening,
    Paused,
    Ready,
    Resumed,
)
from search.run.candidates import Candidate, with_dropout
from search.run.coordinator import GRACE_SECONDS, WAIT_SECONDS
from search.run.interruption import Interruption
from search.study.ledger import Ledger
from search.study.plan import Plan, run_seed
from search.study.results import NUM_FINALIST_SEEDS, read_run, write_run
from search.study.view import RunPurpose, RunView
from search.study.weights import certify_saved
from search.workers.crew import Crew, Restarted

# Final runs draw their seeds apart from trials and finalists, and those of an audit apart from all.
FIRST_FINAL_RUN = 1_000_000
FIRST_PROXY_RUN = 2_000_000

OnEpoch = Callable[[Job, Measurement], None]
OnNote = Callable[[Job, str], None]


@dataclass(frozen=True, slots=True)
class _Run:
    candidate: Candidate
    seed: int
    purpose: RunPurpose
    folder: Path
    holdout: bool = False
    may_fail: bool = False


@dataclass(slots=True)
class _Running:
    """`opening` is the line of the test ledger that is still without an accuracy."""

    run: _Run
    job: Job
    history: list[Measurement]
    opening: str | None = None


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
        on_epoch: OnEpoch,
        on_note: OnNote = lambda job, text: None,
        interruption: Interruption | None = None,
    ) -> None:
        self.plan = plan
        self.files = files
        self.on_epoch = on_epoch
        self.on_note = on_note
        self._interruption = interruption or Interruption()
        self._ledger = Ledger(files, plan.question.data.ledger_name)
        self._crew = Crew(fleet)
        self._running: dict[Path, _Running] = {}
        self._done: dict[Path, RunView] = {}

    def choose(self, candidates: list[Candidate]) -> list[tuple[Candidate, float]]:
        """Train finalists on the training split, then the best of them with each other dropout that the study's space
        offers, and return all by mean validation accuracy, best first. The first is the winner.

        A dropout that cannot be trained is told and left out.

        Raises:
            TrainingError: a run of a finalist as it was found failed.
            StorageError: a result cannot be written.
        """
        ranked = self._ranked(candidates)
        best = ranked[0][0]
        others = [with_dropout(best, value) for value in sorted(self.plan.question.space.dropout)]
        # What is equal stays in this order: at equal accuracy the best finalist keeps its dropout.
        varied = self._ranked([best, *(each for each in others if each is not best)])
        return sorted([*varied, *ranked[1:]], key=lambda item: -item[1])

    def _ranked(self, candidates: list[Candidate]) -> list[tuple[Candidate, float]]:
        views = self._train([self._finalist(each, seed) for each in candidates for seed in range(NUM_FINALIST_SEEDS)])
        ranked = []
        for candidate in candidates:
            own = [view.history[-1].validation_accuracy for view in views if view.identity == candidate.identity]
            values = [value for value in own if value is not None]
            if len(values) == NUM_FINALIST_SEEDS:
                ranked.append((candidate, fmean(values)))
        return sorted(ranked, key=lambda item: -item[1])

    def _finalist(self, candidate: Candidate, seed: int) -> _Run:
        folder = self.files.finalist(candidate.identity, seed)
        return _Run(candidate, seed, "finalist", folder, may_fail=candidate.identity.dropout is not None)

    def audit(self, candidates: list[Candidate], num_seeds: int) -> list[RunView]:
        """Train trials on the training split, as finalists are, to compare their values with those of the search.

        A design that cannot be trained at full length is told and left out.

        Raises:
            StorageError: a result cannot be written.
        """
        runs = [
            _Run(candidate, seed, "proxy", self.files.audited(candidate.identity, seed), may_fail=True)
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

    def _final(self, candidate: Candidate, seed: int, holdout: bool) -> _Run:
        folder = self.files.final(candidate.identity, candidate.recipe.name, seed, holdout)
        return _Run(candidate, seed, "final", folder, holdout)

    def _train(self, runs: list[_Run]) -> list[RunView]:
        """All runs but failed ones, in the given order, those found on disk included."""
        self._done = {run.folder: view for run in runs if (view := self._find(run)) is not None}
        waiting = [run for run in runs if run.folder not in self._done]
        while waiting or self._running:
            if self._interruption():
                self._pause()
            while self._crew.has_idle and waiting:
                run = waiting.pop(0)
                self._running[run.folder] = _Running(run, self._job(run), [])
                self._crew.start(run.folder, self._running[run.folder].job)
            self._receive(WAIT_SECONDS)
        return [self._done[run.folder] for run in runs if run.folder in self._done]

    def _receive(self, timeout: float) -> None:
        event = self._crew.receive(timeout)
        if event is None:
            return
        assert isinstance(event.key, Path)
        running, message = self._running[event.key], event.message
        if isinstance(message, Measurement):
            running.history.append(message)
            self.on_epoch(running.job, message)
        elif isinstance(message, Resumed):
            for text in (*message.refused, f"goes on after epoch {message.epoch}"):
                self.on_note(running.job, text)
        elif isinstance(message, Restarted):
            running.history.clear()
            self.on_note(running.job, f"{message.reason}; goes on in a new process")
        elif isinstance(message, Opening):
            run = running.run
            # The line comes first: a test set that is open is in the ledger, whatever happens next.
            running.opening = self._ledger.record(
                run.candidate.identity, run.seed, running.job.recipe.name, run.holdout
            )
            self._crew.open(event.key)
        elif isinstance(message, Finished):
            del self._running[event.key]
            self._done[event.key] = self._record(running, message, event.ready)
            shutil.rmtree(self.files.checkpoints(running.run.folder), ignore_errors=True)
        elif isinstance(message, Failed) and running.run.may_fail:
            del self._running[event.key]
            self.on_note(running.job, f"failed, and is left out: {message.reason}")
        elif isinstance(message, Failed):
            raise TrainingError(f"{running.job.label} failed: {message.reason}")
        elif isinstance(message, Paused):
            del self._running[event.key]

    def _pause(self) -> None:
        """End with checkpoints what ends its epoch soon; the rest has those it has.

        Raises:
            Interrupted: always.
        """
        self._crew.pause()
        deadline = time.monotonic() + GRACE_SECONDS
        while self._running and (left := deadline - time.monotonic()) > 0:
            self._receive(min(left, WAIT_SECONDS))
        self._interruption.require_none()

    def _job(self, run: _Run) -> Job:
        base = {"finalist": 0, "final": FIRST_FINAL_RUN, "proxy": FIRST_PROXY_RUN}[run.purpose]
        # The same seeds for every candidate: what differs between two of them is the architecture.
        seed = run_seed(self.plan.question.seed, base + run.seed)
        label = f"{run.candidate.identity.label} seed {run.seed}"
        keep = run.folder if run.purpose == "final" else None
        candidate = run.candidate
        return Job(
            label,
            candidate.architecture,
            candidate.recipe,
            seed,
            run.purpose,
            candidate.max_params,
            keep,
            checkpoints=self.files.checkpoints(run.folder),
            holdout=run.holdout,
        )

    def _find(self, run: _Run) -> RunView | None:
        """The result of an earlier run of the same architecture with the same recipe, if there is one."""
        path = run.folder / "result.json"
        if not path.is_file():
            return None
        view, recipe = read_run(path)
        # A study may have begun anew after its database broke, with other networks under the same numbers.
        is_same = view.architecture == run.candidate.architecture and view.holdout == run.holdout
        return view if is_same and recipe == run.candidate.recipe.model_dump(mode="json") else None

    def _record(self, running: _Running, finished: Finished, ready: Ready) -> RunView:
        run, job = running.run, running.job
        if finished.test is not None:
            assert running.opening is not None, "a worker opens the test set only when it is told to"
            self._ledger.enter(running.opening, finished.test.accuracy)
            certify_saved(run.folder / "weights.safetensors", job.architecture, job.max_params)
        identity, path = run.candidate.identity, run.folder / "result.json"
        return write_run(path, self.plan, identity, run.seed, job, running.history, finished, ready)
