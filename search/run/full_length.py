"""One training at full length: what is asked for, and the one owner of all that is known of it while it runs."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from search.protocol import Finished, Job, Measurement, Ready
from search.run.candidates import Candidate
from search.study.ledger import Ledger
from search.study.plan import Plan, run_seed
from search.study.results import EndedRun, read_run, write_run
from search.study.view import RunPurpose, RunView
from search.study.weights import certify_saved

# Final runs draw their seeds apart from trials and finalists, and those of an audit apart from all.
FIRST_SEED: dict[RunPurpose, int] = {"finalist": 0, "final": 1_000_000, "proxy": 2_000_000}


@dataclass(frozen=True, slots=True)
class FullRun:
    """A training at full length that is asked for.

    Attributes:
        folder: where its result is, or will be.
        holdout: the validation split is left out of a final run.
        may_fail: the others go on without it.
    """

    candidate: Candidate
    seed: int
    purpose: RunPurpose
    folder: Path
    holdout: bool = False
    may_fail: bool = False

    def job(self, study_seed: int, checkpoints: Path) -> Job:
        """What a worker is to do. Seeds are the same for every candidate: two differ in their architecture alone."""
        candidate = self.candidate
        return Job(
            f"{candidate.identity.label} seed {self.seed}",
            candidate.architecture,
            candidate.recipe,
            run_seed(study_seed, FIRST_SEED[self.purpose] + self.seed),
            self.purpose,
            candidate.max_params,
            keep=self.folder if self.purpose == "final" else None,
            checkpoints=checkpoints,
            holdout=self.holdout,
        )

    def result(self) -> RunView | None:
        """The result of an earlier run of the same architecture with the same recipe, if there is one."""
        path = self.folder / "result.json"
        if not path.is_file():
            return None
        view, recipe = read_run(path)
        # A study may have begun anew after its database broke, with other networks under the same numbers.
        is_same = view.architecture == self.candidate.architecture and view.holdout == self.holdout
        return view if is_same and recipe == self.candidate.recipe.model_dump(mode="json") else None


@dataclass(slots=True, eq=False)
class RunningRun:
    """A training at full length from the moment a worker is given it to its end.

    Attributes:
        history: the epochs so far.
        opening: the line of the test ledger that is still without an accuracy.
    """

    run: FullRun
    job: Job
    history: list[Measurement] = field(default_factory=list)
    opening: str | None = None

    def open(self, ledger: Ledger) -> None:
        """Write into the ledger that the run is about to open the test set."""
        run = self.run
        self.opening = ledger.record(run.candidate.identity, run.seed, self.job.recipe.name, run.holdout)

    def finished(self, message: Finished, ready: Ready, plan: Plan, ledger: Ledger) -> RunView:
        """Write the result, once the accuracy stands in the ledger and the saved weights are certified.

        Raises:
            TrainingError: the weights do not hold the parameters they should.
            StorageError: the result cannot be written, or the weights cannot be read.
        """
        run, job = self.run, self.job
        if message.test is not None:
            assert self.opening is not None, "a worker opens the test set only when asked to"
            ledger.enter(self.opening, message.test.accuracy)
            certify_saved(run.folder / "weights.safetensors", job.architecture, job.max_params)
        ended = EndedRun(run.candidate.identity, run.seed, job, self.history, message, ready)
        view = write_run(run.folder / "result.json", plan, ended)
        if job.checkpoints is not None:
            shutil.rmtree(job.checkpoints, ignore_errors=True)
        return view
