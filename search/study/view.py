"""A study as a reader sees it: plain frozen values, whatever storage they came from."""

from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from models.architecture import Architecture
from models.int8 import count_int8_bytes
from search.identity import Identity
from search.protocol import Measurement
from search.space.limits import used
from search.study.way import Select, Way, device_class, run_key
from search.teaching import Teaching
from search.trained_network import AugmentedResult, OnnxExport, Robustness

State = Literal["complete", "pruned", "failed", "running"]
RunPurpose = Literal["finalist", "proxy", "final", "teacher"]
Epoch = Measurement


def at_dropout(architecture: Architecture, dropout: float) -> Architecture:
    """The network with this dropout in all its stages."""
    return replace(architecture, stages=tuple(replace(stage, dropout=dropout) for stage in architecture.stages))


def design(architecture: Architecture) -> Architecture:
    """What networks have in common that differ in their dropout at most."""
    return at_dropout(architecture, 0.0).canonical()


def merit(value: float, params: int, number: int) -> tuple[float, int, int]:
    """Sorts trials, the best first: by validation accuracy; of equal ones the smaller, then the earlier."""
    return -value, params, number


@dataclass(frozen=True, slots=True)
class TrialView:
    """One trial.

    Attributes:
        value: the last epoch's validation accuracy; None if there is none.
        choices: what the search space offered and the trial took, decoded; nothing of stages that it lacks.
        seconds: what the trial took in all.
        reason: why it failed.
        num_epochs: how many epochs were measured.
        baseline: the name of the guess or the hand-made network that it is, among the first trials.
        too_slow: whether it missed the limit of latency and was not trained.
        lost_seconds: seconds trained in vain, and trained again, after a kill or a crash. They are not part of
            `seconds`, except for a failed trial, whose `seconds` are all it took.
        batch_size: what it was trained with, half of the recipe's where that did not fit; None if it was not trained to
            its end.
    """

    number: int
    state: State
    value: float | None
    params: int
    macs: int
    architecture: Architecture
    choices: dict[str, int | float | str]
    history: tuple[Epoch, ...]
    seconds: float
    reason: str | None
    num_epochs: int = 0
    baseline: str | None = None
    too_slow: bool = False
    lost_seconds: float = 0.0
    batch_size: int | None = None


@dataclass(frozen=True, slots=True)
class RunView:
    """One run of a retraining or an audit. A final run has test values. A finalist's run, by which a winner is chosen,
    a proxy's, by which the short schedule is judged, and a teacher's, which is trained to teach others, have none.

    Attributes:
        epochs: how many it was trained; fewer than the recipe's where it stopped early.
        confusion: `confusion[i][j]` counts test images of class i taken for class j.
        kept_epoch: the epoch whose weights the network has, where the recipe keeps the best.
        correct: whether each test image was classified correctly (see `search.flags`).
        holdout: a final run left out the validation split, as was asked. Where its recipe needs the split, it is left
            out anyway.
        recipe_digest: tells recipes of one name apart by their `recipe_values`.
        batch_size: what it was trained with: the recipe's, or half of it where that did not fit into memory.
        recipe_values: the recipe as it was asked for; `precision` is what its 'auto' stood for.
        teaching: what it learned from teachers; None without a teacher.
        data: the data set, as ledgers name it; older results may lack it.
        time: when it ended, ISO 8601 in UTC; older results may lack it.
        augmented: test accuracies with test-time augmentation, measured on the same opening of the test set. They are
            shown beside `test_accuracy`, and nothing is compared or chosen by them. Older results lack them.
        select: what a finalist is ranked by.
        robustness: what was measured on corrupted images: of a finalist that is ranked by them, on validation images;
            of a final run, on either split, by `nas evaluate --corrupted`.
        onnx: what `nas export --to onnx` has measured of its files, one for each split.
        folder: where its result and its weights lie.
    """

    identity: Identity
    purpose: RunPurpose
    seed: int
    architecture: Architecture
    params: int
    macs: int
    recipe: str
    epochs: int
    history: tuple[Epoch, ...]
    seconds: float
    device: str
    precision: str
    test_loss: float | None
    test_accuracy: float | None
    confusion: tuple[tuple[int, ...], ...] | None
    kept_epoch: int | None = None
    correct: str | None = None
    holdout: bool = False
    recipe_digest: str = ""
    batch_size: int | None = None
    recipe_values: dict[str, Any] = field(default_factory=dict, hash=False)
    teaching: Teaching | None = None
    data: str = field(default="", compare=False)
    time: str = field(default="", compare=False)
    augmented: tuple[AugmentedResult, ...] = ()
    select: Select = "clean"
    robustness: tuple[Robustness, ...] = ()
    onnx: tuple[OnnxExport, ...] = ()
    folder: Path | None = field(default=None, compare=False)

    @property
    def label(self) -> str:
        return self.identity.label

    @property
    def way(self) -> Way:
        """How it was trained. How many epochs does not count, for the seeds of a recipe may stop after different
        ones."""
        recipe = self.recipe_digest or f"{self.recipe} {self.epochs}"
        teaching = self.teaching.digest if self.teaching is not None else ""
        return Way(recipe, self.holdout, self.precision, device_class(self.device), self.select, teaching)

    @property
    def key(self) -> str:
        """Names the network and the way: what runs have in common that differ in their seeds alone."""
        return run_key(self.recipe, self.length, self.identity, self.architecture, self.way)

    @property
    def length(self) -> int:
        """The epochs of its recipe."""
        length: int = self.recipe_values.get("epochs", self.epochs)
        return length

    @property
    def training(self) -> tuple[object, ...]:
        """What was trained and how. Runs that have it in common are one run, wherever their results lie."""
        return self.purpose, self.identity, self.architecture, self.way, self.seed

    @property
    def kept(self) -> Measurement | None:
        """The epoch whose weights the network has: the best where the recipe keeps the best, else the last."""
        last = self.history[-1] if self.history else None
        return next((epoch for epoch in self.history if epoch.epoch == self.kept_epoch), last)

    @property
    def validation(self) -> float | None:
        """The validation accuracy of the weights that the network has; None if there is none, or not a finite one."""
        value = self.kept.validation_accuracy if self.kept else None
        return value if value is not None and isfinite(value) else None

    @property
    def score(self) -> float | None:
        """What ranks a finalist: its validation accuracy, or its mean accuracy on corrupted validation images."""
        if self.select == "clean":
            return self.validation
        return self.robustness[0].mean if self.robustness else None


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One opening of the test set.

    Attributes:
        time: ISO 8601 in UTC.
        accuracy: None where there was no result: the run ended while it was testing, or just before.
        teacher: the names of the teachers that the network learned from, as one text; empty where it had none, or the
            line is an older one, which does not say.
    """

    time: str
    study: str
    label: str
    seed: int
    accuracy: float | None
    teacher: str = ""


@dataclass(frozen=True, slots=True)
class StudyView:
    """Everything about a study.

    Attributes:
        num_trials: how many trained trials were asked for; None where a search by time is not over yet.
        by_time: whether a time was asked for and not a number of trials.
        asked: pairs of a term and its value: the question, ready to be read.
        versions: pairs of a package and its version, and the device.
        draws: how many vectors of the search space were drawn to propose all trials.
        seconds: the coordinator's wall clock over all its runs.
        worker_seconds: the same multiplied by the workers of each run: the device time that was available. None where
            it was not recorded.
        budget: the most parameters that a network may have, by the budget and the limit of bytes.
        proxy: the runs of its audits, by whatever recipe.
        max_macs: a further limit.
        max_int8_bytes: another, on the numbers of an int8 file; then `budget` is not more than that.
        num_train: images of the training split; 0 where it was not recorded.
        pixels: the share of an image's pixels that each epoch of a trial is trained on; empty where it is all of them.
        peak: FLOP/s of products of large matrices on the GPU that trained, in the precision of trials; None on a CPU,
            where both did, or where it was measured in another precision.
        devices: what trials were trained on, where it is known: at most a GPU and a CPU.
        plan: the study's plan as YAML.
        commands: the commands that ask its question again.
        unread: a line for each file in its folder that could not be read, or counts for nothing.
        guesses: names and networks of the guesses within its limits (see `search.space.guesses`).
        exhausted: why its search found no more design to train; None if it did, or has not come so far.
    """

    name: str
    data: str
    classes: tuple[str, ...]
    image_size: int
    budget: int
    num_trials: int | None
    epochs: int
    asked: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    draws: int
    seconds: float
    trials: tuple[TrialView, ...]
    runs: tuple[RunView, ...]
    ledger: tuple[LedgerEntry, ...]
    proxy: tuple[RunView, ...] = ()
    sampler: str = "tpe"
    worker_seconds: float | None = None
    max_macs: int | None = None
    max_int8_bytes: int | None = None
    by_time: bool = False
    num_train: int = 0
    pixels: tuple[float, ...] = ()
    peak: float | None = None
    devices: tuple[str, ...] = ()
    plan: str = ""
    commands: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    guesses: tuple[tuple[str, Architecture], ...] = ()
    exhausted: str | None = None

    def used(self, architecture: Architecture) -> tuple[float, str]:
        """The share that a network uses of the tighter of the limits on its size, and that limit."""
        return used(architecture, self.budget, self.max_int8_bytes)

    def is_over(self, sized: TrialView | RunView) -> bool:
        """Whether the network of a trial or a run is over the budget or the limit on bytes: a reference at most."""
        return self.broken_limit(sized) is not None

    def broken_limit(self, sized: TrialView | RunView) -> str | None:
        """Which of the two limits the network of a trial or a run is over, in words; None if it is within both."""
        if self.max_int8_bytes is not None and count_int8_bytes(sized.architecture) > self.max_int8_bytes:
            return f"the limit of {self.max_int8_bytes:,} bytes in int8"
        return "the budget" if sized.params > self.budget else None
