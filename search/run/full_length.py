"""One training at full length: what is asked for, and the one owner of all that is known of it while it runs."""

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from search.protocol import Finished, Job, Measurement, Ready
from search.run.candidates import Candidate
from search.study.ledger import Ledger, also_measured
from search.study.plan import Plan, run_seed
from search.study.results import EndedRun, write_run
from search.study.view import RunPurpose, RunView
from search.study.way import Way, run_key
from search.study.weights import certify_saved
from search.teaching import Lesson, Teaching
from search.trained_network import Precision

# Final runs draw their seeds apart from trials and finalists, and those of an audit apart from all. A teacher is
# trained as a final run is without the validation images, so that either may teach in the other's place.
FIRST_SEED: dict[RunPurpose, int] = {"finalist": 0, "final": 1_000_000, "proxy": 2_000_000, "teacher": 1_000_000}


@dataclass(frozen=True, slots=True)
class FullRun:
    """A training at full length that is asked for.

    Attributes:
        precision: what the recipe's 'auto' stands for.
        way: how it is trained.
        may_fail: the others go on without it.
        teaching: what it learns from teachers; None without a teacher.
        lesson: the same for a worker, once the teachers are trained.
    """

    candidate: Candidate
    seed: int
    purpose: RunPurpose
    precision: Precision
    way: Way
    may_fail: bool = False
    teaching: Teaching | None = None
    lesson: Lesson | None = None

    @property
    def keeps_weights(self) -> bool:
        return self.purpose in ("final", "teacher")

    @property
    def key(self) -> str:
        """Of its folder: names the network and how it is trained."""
        candidate, recipe = self.candidate, self.candidate.recipe
        return run_key(recipe.name, recipe.epochs, candidate.identity, candidate.architecture, self.way)

    @property
    def training(self) -> tuple[object, ...]:
        """What is trained and how, as `RunView.training` has it."""
        return self.purpose, self.candidate.identity, self.candidate.architecture, self.way, self.seed

    @property
    def elsewhere(self) -> tuple[object, ...]:
        """The same on the other kind of device."""
        return replace(self, way=self.way._replace(device="GPU" if self.way.device == "CPU" else "CPU")).training

    def job(self, study_seed: int, folder: Path, checkpoints: Path) -> Job:
        """What a worker is to do. Seeds are the same for every candidate: two differ in their architecture alone.

        Args:
            folder: for its result and its weights.
        """
        candidate = self.candidate
        assert self.teaching is None or self.lesson is not None, "teachers are trained before whom they teach"
        taught = " with a teacher" if self.teaching is not None else ""
        return Job(
            f"{candidate.identity.label}{taught} seed {self.seed}",
            candidate.architecture,
            candidate.recipe.model_copy(update={"precision": self.precision}),
            run_seed(study_seed, FIRST_SEED[self.purpose] + self.seed),
            self.purpose,
            candidate.max_params,
            keep=folder if self.keeps_weights else None,
            max_latency=candidate.max_latency if self.purpose == "final" else None,
            checkpoints=checkpoints,
            holdout=self.way.holdout,
            key=self.key,
            robust=self.way.select == "robust",
            lesson=self.lesson,
        )


@dataclass(slots=True, eq=False)
class RunningRun:
    """A training at full length from the moment a worker is given it to its end.

    Attributes:
        folder: for its result and its weights.
        history: the epochs so far.
        num_told: epochs before those that are trained now, of which people have heard.
        opening: the line of the test ledger that is still without an accuracy.
    """

    run: FullRun
    job: Job
    folder: Path
    history: list[Measurement] = field(default_factory=list)
    num_told: int = 0
    opening: str | None = None

    def open(self, ledger: Ledger) -> None:
        """Write into the ledger that the run is about to open the test set."""
        run = self.run
        how = self.job.recipe.name, run.way.holdout, run.teaching
        self.opening = ledger.record(run.candidate.identity, run.seed, *how)

    def finished(self, message: Finished, ready: Ready, plan: Plan, ledger: Ledger) -> RunView:
        """Write the result, once the accuracy stands in the ledger and the saved weights are certified.

        Raises:
            TrainingError: the weights do not hold the parameters they should.
            StorageError: the result cannot be written, or the weights cannot be read.
        """
        run, job = self.run, self.job
        if message.test is not None:
            assert self.opening is not None, "a worker opens the test set only when asked to"
            ledger.enter(self.opening, message.test.accuracy, **also_measured(message.test))
        if run.keeps_weights:
            certify_saved(self.folder / "weights.safetensors", job.architecture, job.max_params)
        candidate, history = run.candidate, self.history
        ended = EndedRun(candidate.identity, run.seed, job, history, message, ready, candidate.recipe, run.teaching)
        view = write_run(self.folder / "result.json", plan, ended)
        if job.checkpoints is not None:
            shutil.rmtree(job.checkpoints, ignore_errors=True)
        return view
