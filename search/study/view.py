"""A study as a reader sees it: plain frozen values, whatever storage they came from."""

from dataclasses import dataclass
from typing import Literal

from models.architecture import Architecture
from search.protocol import Measurement

State = Literal["complete", "pruned", "failed", "running"]
RunPurpose = Literal["finalist", "final"]
Epoch = Measurement


@dataclass(frozen=True, slots=True)
class TrialView:
    """One trial. `value` is the last epoch's validation accuracy, None if there is none; `choices` the decoded
    choices of the search space; `reason` why the trial failed; `seconds` what it took in all,
    `num_epochs` how many epochs were measured, `baseline` the name of a hand-made network that was a first trial.
    A trial that is `too_slow` missed the limit of latency and was not trained."""

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


@dataclass(frozen=True, slots=True)
class RunView:
    """One full-length run. A final run has test values; a finalist's run, by which a winner is chosen, has none.

    `label` is a trial's number in four digits, or a baseline's name. `confusion[i][j]` counts test images of class i
    taken for class j. `kept_epoch` is the epoch whose weights the network has, where the recipe keeps the best.
    """

    label: str
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


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One opening of the test set. `time` is ISO 8601 in UTC."""

    time: str
    study: str
    label: str
    seed: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class StudyView:
    """All that a study has to tell. `asked` and `versions` are pairs of a term and its value, ready to be read.

    `num_trials` is how many trained trials were asked for, `draws` how many vectors of the search space were drawn to
    propose all trials, `seconds` the coordinator's wall clock over all its runs.
    """

    name: str
    data: str
    classes: tuple[str, ...]
    image_size: int
    budget: int
    num_trials: int
    epochs: int
    asked: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    draws: int
    seconds: float
    trials: tuple[TrialView, ...]
    runs: tuple[RunView, ...]
    ledger: tuple[LedgerEntry, ...]
