"""Full-length training: finalists, by which a winner is chosen, and final runs, which open the test set.

Choosing and quoting are kept apart. Finalists are trained on the training split and compared on the validation split;
the test set is opened by final runs alone, once per trained network, and every opening is a line in the test ledger.
"""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from models.count import count_macs, count_parameters
from search.errors import TrainingError
from search.files import StudyFiles, append_line, write_atomically
from search.protocol import (
    Failed,
    Finished,
    Fleet,
    Job,
    Measurement,
    Paused,
    Purpose,
    Ready,
    Resumed,
    TestResult,
)
from search.study.candidates import Candidate
from search.study.coordinator import GRACE_SECONDS, WAIT_SECONDS, run_seed
from search.study.crew import Crew, Restarted
from search.study.interruption import Interruption
from search.study.plan import Plan, now
from search.study.results import read_run
from search.study.view import RunView
from search.study.weights import certify_saved

NUM_FINALIST_SEEDS = 2
FIRST_FINAL_RUN = 1_000_000  # final runs draw their seeds apart from trials and finalists

OnEpoch = Callable[[Job, Measurement], None]
OnNote = Callable[[Job, str], None]


@dataclass(frozen=True, slots=True)
class _Run:
    candidate: Candidate
    seed: int
    purpose: Purpose
    folder: Path


@dataclass(frozen=True, slots=True)
class _Running:
    run: _Run
    job: Job
    history: list[Measurement]


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
        self._crew = Crew(fleet)
        self._running: dict[Path, _Running] = {}
        self._done: dict[Path, RunView] = {}

    def choose(self, candidates: list[Candidate]) -> list[tuple[Candidate, float]]:
        """Train finalists on the training split and return them by mean validation accuracy, best first.

        Raises:
            TrainingError: a run failed.
            StorageError: a result cannot be written.
        """
        seeds = range(NUM_FINALIST_SEEDS)
        runs = [
            _Run(candidate, seed, "finalist", self.files.finalist(int(candidate.label), seed))
            for candidate in candidates
            for seed in seeds
        ]
        views = self._train(runs)
        ranked = []
        for candidate in candidates:
            values = [view.history[-1].validation_accuracy for view in views if view.label == candidate.label]
            ranked.append((candidate, fmean(value for value in values if value is not None)))
        return sorted(ranked, key=lambda item: -item[1])

    def finish(self, candidates: list[Candidate], num_seeds: int) -> list[RunView]:
        """Train on training and validation split together, open the test set once per run, and keep the weights.

        Raises:
            TrainingError: a run failed, or its weights do not hold the parameters they should.
            StorageError: a result cannot be written.
        """
        runs = [
            _Run(candidate, seed, "final", self._folder(candidate, seed))
            for candidate in candidates
            for seed in range(num_seeds)
        ]
        return self._train(runs)

    def _folder(self, candidate: Candidate, seed: int) -> Path:
        if candidate.label.isdigit():
            return self.files.retrained(int(candidate.label), seed)
        return self.files.baseline(candidate.label, candidate.recipe.name, seed)

    def _train(self, runs: list[_Run]) -> list[RunView]:
        """All runs, in the given order, those found on disk included."""
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
        return [self._done[run.folder] for run in runs]

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
        elif isinstance(message, Finished):
            del self._running[event.key]
            self._done[event.key] = self._record(running, message, event.ready)
            shutil.rmtree(self.files.checkpoints(running.run.folder), ignore_errors=True)
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
        base = 0 if run.purpose == "finalist" else FIRST_FINAL_RUN
        # The same seeds for every candidate: what differs between two of them is the architecture.
        seed = run_seed(self.plan.question.seed, base + run.seed)
        label = f"{run.candidate.label} seed {run.seed}"
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
        )

    def _find(self, run: _Run) -> RunView | None:
        """The result of an earlier run of the same architecture with the same recipe, if there is one."""
        path = run.folder / "result.json"
        if not path.is_file():
            return None
        view, recipe = read_run(path)
        # A study may have begun anew after its database broke, with other networks under the same numbers.
        is_same = view.architecture == run.candidate.architecture
        return view if is_same and recipe == run.candidate.recipe.model_dump(mode="json") else None

    def _record(self, running: _Running, finished: Finished, ready: Ready) -> RunView:
        run, history = running.run, running.history
        candidate = run.candidate
        test = finished.test
        if test is not None:
            self._log_opening(run, test)
            certify_saved(run.folder / "weights.safetensors", candidate.architecture, candidate.max_params)
        recipe = candidate.recipe
        precision = ready.precision if recipe.precision == "auto" else recipe.precision
        view = RunView(
            label=candidate.label,
            purpose="final" if run.purpose == "final" else "finalist",
            seed=run.seed,
            architecture=candidate.architecture,
            params=count_parameters(candidate.architecture),
            macs=count_macs(candidate.architecture, self.plan.task.image_size),
            recipe=recipe.name,
            epochs=len(history),
            history=tuple(history),
            seconds=finished.seconds,
            device=ready.device,
            precision=precision,
            test_loss=test.loss if test else None,
            test_accuracy=test.accuracy if test else None,
            confusion=test.confusion if test else None,
            kept_epoch=finished.kept_epoch,
        )
        values = asdict(view) | {
            "architecture": candidate.architecture.to_dict(),
            "recipe_values": recipe.model_dump(mode="json"),
            "mean": finished.mean,
            "std": finished.std,
            "classes": self.plan.question.data.classes,
            "data": self.plan.question.data.ledger_name,
            "torch_seed": running.job.seed,
            "versions": self.plan.circumstances.versions | ready.versions,
            "time": now(),
        }
        write_atomically(run.folder / "result.json", json.dumps(values, indent=1))
        return view

    def _log_opening(self, run: _Run, test: TestResult) -> None:
        line = {
            "time": now(),
            "study": self.files.name,
            "label": run.candidate.label,
            "seed": run.seed,
            "accuracy": test.accuracy,
            "recipe": run.candidate.recipe.name,
        }
        append_line(self.files.ledger(self.plan.question.data.ledger_name), line)
