"""Full-length training: finalists, by which a winner is chosen, and final runs, which open the test set.

Choosing and quoting are kept apart. Finalists are trained on the training split and compared on the validation split;
the test set is opened by final runs alone, once per trained network, and every opening is a line in the test ledger.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from models.architecture import Architecture
from models.baselines import find_baseline
from models.count import count_macs, count_parameters
from search.errors import StorageError, StudyError, TrainingError
from search.files import StudyFiles, append_line, write_atomically
from search.protocol import Failed, Finished, Fleet, Job, Lost, Measurement, Purpose, Ready, TestResult, Worker
from search.recipe import Recipe
from search.study.coordinator import run_seed
from search.study.plan import Plan, now
from search.study.storage import architecture_of
from search.study.view import RunView
from search.study.weights import certify_saved

NUM_FINALIST_SEEDS = 2
FIRST_FINAL_RUN = 1_000_000  # final runs draw their seeds apart from trials and finalists
WAIT_SECONDS = 1.0

OnEpoch = Callable[[Job, Measurement], None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture to train at full length; `label` is a trial's number in four digits or a baseline's name."""

    label: str
    architecture: Architecture
    max_params: int | None


@dataclass(frozen=True, slots=True)
class _Run:
    candidate: Candidate
    seed: int
    purpose: Purpose
    folder: Path


class Retraining:
    """Trains candidates of one study on a fleet, under the study's lock.

    A run that is already there with the same recipe is not trained again.
    """

    def __init__(self, plan: Plan, files: StudyFiles, recipe: Recipe, fleet: Fleet, on_epoch: OnEpoch) -> None:
        self.plan = plan
        self.files = files
        self.recipe = recipe
        self.fleet = fleet
        self.on_epoch = on_epoch
        self._ready: dict[Worker, Ready] = {}
        self._idle: list[Worker] = []

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
            _Run(candidate, seed, "final", self.files.retrained(candidate.label, seed))
            for candidate in candidates
            for seed in range(num_seeds)
        ]
        return self._train(runs)

    def _train(self, runs: list[_Run]) -> list[RunView]:
        """All runs, in the given order, those found on disk included."""
        done = {run.folder: view for run in runs if (view := self._find(run)) is not None}
        waiting = [run for run in runs if run.folder not in done]
        running: dict[Worker, tuple[_Run, Job, list[Measurement]]] = {}
        while waiting or running:
            while self._idle and waiting:
                worker, run = self._idle.pop(0), waiting.pop(0)
                job = self._job(run)
                running[worker] = run, job, []
                worker.start(job)
            received = self.fleet.receive(WAIT_SECONDS)
            if received is None:
                continue
            worker, message = received
            if isinstance(message, Ready):
                self._ready[worker] = message
                self._idle.append(worker)
            elif isinstance(message, Measurement):
                run, job, history = running[worker]
                history.append(message)
                self.on_epoch(job, message)
            elif isinstance(message, Finished):
                run, job, history = running.pop(worker)
                done[run.folder] = self._record(run, job, history, message, self._ready[worker])
                self._idle.append(worker)
            elif isinstance(message, Failed | Lost):
                name = running[worker][1].label if worker in running else "a worker"
                raise TrainingError(f"{name} failed: {message.reason}")
        return [done[run.folder] for run in runs]

    def _job(self, run: _Run) -> Job:
        base = 0 if run.purpose == "finalist" else FIRST_FINAL_RUN
        # The same seeds for every candidate: what differs between two of them is the architecture.
        seed = run_seed(self.plan.question.seed, base + run.seed)
        label = f"{run.candidate.label} seed {run.seed}"
        keep = run.folder if run.purpose == "final" else None
        candidate = run.candidate
        return Job(label, candidate.architecture, self.recipe, seed, run.purpose, candidate.max_params, keep)

    def _find(self, run: _Run) -> RunView | None:
        """The result of an earlier run with the same recipe, if there is one."""
        path = run.folder / "result.json"
        if not path.is_file():
            return None
        view, recipe = _read_run(path)
        return view if recipe == self.recipe.model_dump(mode="json") else None

    def _record(self, run: _Run, job: Job, history: list[Measurement], finished: Finished, ready: Ready) -> RunView:
        candidate = run.candidate
        test = finished.test
        if test is not None:
            self._log_opening(run, test)
            certify_saved(run.folder / "weights.safetensors", candidate.architecture, candidate.max_params)
        precision = ready.precision if self.recipe.precision == "auto" else self.recipe.precision
        view = RunView(
            label=candidate.label,
            purpose="final" if run.purpose == "final" else "finalist",
            seed=run.seed,
            architecture=candidate.architecture,
            params=count_parameters(candidate.architecture),
            macs=count_macs(candidate.architecture, self.plan.task.image_size),
            recipe=self.recipe.name,
            epochs=len(history),
            history=tuple(history),
            seconds=finished.seconds,
            device=ready.device,
            precision=precision,
            test_loss=test.loss if test else None,
            test_accuracy=test.accuracy if test else None,
            confusion=test.confusion if test else None,
        )
        values = asdict(view) | {
            "architecture": candidate.architecture.to_dict(),
            "recipe_values": self.recipe.model_dump(mode="json"),
            "mean": finished.mean,
            "std": finished.std,
            "classes": self.plan.question.data.classes,
            "data": self.plan.question.data.ledger_name,
            "torch_seed": job.seed,
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
            "recipe": self.recipe.name,
        }
        append_line(self.files.ledger(self.plan.question.data.ledger_name), line)


def candidate_of(trials: Iterable[FrozenTrial], number: int, budget: int) -> Candidate:
    """
    Raises:
        StudyError: there is no such trial, or it has no result.
    """
    by_number = {trial.number: trial for trial in trials}
    if number not in by_number:
        known = f"there are {len(by_number)}, from 0" if by_number else "there is none yet"
        raise StudyError(f"trial = {number}: no such trial in this study; {known}")
    trial = by_number[number]
    if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
        state = "is running or was interrupted" if trial.state == TrialState.RUNNING else "failed"
        raise StudyError(f"trial = {number}: it {state}, so there is nothing to retrain")
    return Candidate(f"{number:04d}", architecture_of(trial), budget)


def baseline_candidate(name: str, plan: Plan) -> Candidate:
    """A named baseline for the study's data. One that is over the study's budget may only serve as a reference.

    Raises:
        ArchitectureError: there is no such baseline, or it cannot take the study's images.
    """
    task = plan.task
    architecture = find_baseline(name, task.in_channels, task.num_classes)
    count_macs(architecture, task.image_size)
    return Candidate(name, architecture, None)


def best_trials(trials: Iterable[FrozenTrial], num: int) -> list[int]:
    """The numbers of the best completed trials by validation accuracy.

    Raises:
        StudyError: there are fewer than `num`.
    """
    completed = [trial for trial in trials if trial.state == TrialState.COMPLETE and trial.value is not None]
    if len(completed) < num:
        raise StudyError(f"top = {num}: only {len(completed)} trials of this study were trained to the end")
    return [trial.number for trial in sorted(completed, key=lambda t: (-(t.value or 0.0), t.number))[:num]]


def read_runs(files: StudyFiles) -> list[RunView]:
    """All full-length runs of a study, finalists' and final.

    Raises:
        StorageError: a result cannot be read.
    """
    paths = sorted([*files.folder.glob("finalists/*/*/result.json"), *files.folder.glob("retrain/*/*/result.json")])
    return [_read_run(path)[0] for path in paths]


def run_view(values: dict[str, Any]) -> RunView:
    """The RunView of a result.json."""
    fields = {name: values[name] for name in RunView.__dataclass_fields__}
    fields["architecture"] = Architecture.from_dict(values["architecture"])
    fields["history"] = tuple(Measurement(**epoch) for epoch in values["history"])
    if values["confusion"] is not None:
        fields["confusion"] = tuple(map(tuple, values["confusion"]))
    return RunView(**fields)


def _read_run(path: Path) -> tuple[RunView, Any]:
    """The run of a result.json, and the values of its recipe."""
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return run_view(values), values["recipe_values"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise StorageError(f"{path}: cannot be read ({error})") from None
