"""The question a study asks, in one snapshot file: what may be built, on which data, trained how."""

from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from search.data.datasets import Dataset
from search.errors import StudyError
from search.files import StudyFiles
from search.recipe import Recipe
from search.recipes import all_values
from search.space.limits import Limits, parse_limits
from search.space.space import Space, Task
from search.study.address import without_password
from search.study.way import device_class
from search.trained_network import Precision
from search.writing import write_atomically
from search.yamlfile import read_model, read_text

_LABELLING = ("data.are_named", "data.labels")
SamplerName = Literal["tpe", "random"]
PrunerName = Literal["asha", "median", "none"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(_Part):
    """What identifies a data set: its fingerprint, which is of the arrays and the names of the classes.

    Attributes:
        are_named: whether its files name the classes, which else are named by their labels; None in studies
            begun before this was noted.
        labels: what its files call the classes; empty where that is 0, 1 and so on, where the files do not name them
            (the names are then these labels), and in studies begun before this was noted.
    """

    name: str
    fingerprint: str
    image_size: int
    channels: int
    classes: tuple[str, ...]
    are_named: bool | None = None
    labels: tuple[int, ...] = ()

    @classmethod
    def of(cls, dataset: Dataset) -> "Data":
        return cls(
            name=dataset.name,
            fingerprint=dataset.fingerprint,
            image_size=dataset.image_size,
            channels=dataset.channels,
            classes=dataset.classes,
            are_named=dataset.are_named,
            labels=dataset.labels if dataset.are_named and dataset.labels != (*range(len(dataset.labels)),) else (),
        )

    @property
    def task(self) -> Task:
        return Task(self.image_size, self.channels, len(self.classes))

    @property
    def ledger_name(self) -> str:
        return f"{self.name}-{self.fingerprint[:12]}"


class Question(_Part):
    """All that decides a study's results but for the machine. It may not change once a study has begun.

    Attributes:
        budget: the most parameters, as typed; `all_limits.max_params` is what a network is held to.
        seed: fixes the validation split, the proposals and every trial's training.
        limits: the other limits, in their canonical form however they were written (see `search.space.limits`).
        fill: the least share to be used of the parameters that budget and bytes leave, or of bytes in int8.
        warm_start: whether a few guesses and the hand-made networks that the space holds and the limits admit are the
            first trials.
    """

    budget: int
    data: Data
    space: Space
    recipe: Recipe
    sampler: SamplerName
    pruner: PrunerName
    seed: int
    limits: tuple[str, ...] = ()
    fill: float = 0.0
    warm_start: bool = True
    control: float = Field(default=0.0, exclude=True)  # of studies begun before 0.1.0: a share of random designs

    @field_validator("control")
    @classmethod
    def _no_control(cls, share: float) -> float:
        if share:
            raise ValueError("the study was begun with --control, which nas no longer has; start a new --study")
        return share

    @model_validator(mode="after")
    def _limits_are_canonical(self) -> Self:
        texts = parse_limits(self.limits, self.budget, self.fill).texts
        if texts != self.limits:
            object.__setattr__(self, "limits", texts)
        return self

    @cached_property
    def all_limits(self) -> Limits:
        """What a network may cost."""
        return parse_limits(self.limits, self.budget, self.fill)

    def changed(self, **changes: Any) -> Self:
        """The question with other values.

        Raises:
            ValidationError, InputError: they do not fit it.
        """
        return self.model_validate(self.model_dump() | changes)


class Circumstances(_Part):
    """What may differ between the runs of a study.

    Attributes:
        source: where the data is.
        storage: the URL of the study's database, without a password; None for its own file.
        num_trials: trained trials that were asked for; of a search by time, those it had when its time was over, and
            None before that.
        time: the seconds that the last run was given, if it was a search by time.
        keeps_epochs: whether any run was one, so that trials stay as long as they are whatever the recipe says.
        precision: what the recipe's 'auto' stands for, fixed by the study's first run.
        device: what its trials were trained on: of the kind of the first run, whose batches the study keeps.
        num_train: images of the training split.
        peak: FLOP/s of that device's products of large matrices, where it is a GPU.
        peak_precision: what that was measured in; None where that was not noted.
        also_on: what some were trained on that is a CPU where the study began on a GPU, or the other way round.
    """

    source: str
    storage: str | None
    created: str
    num_trials: int | None
    time: float | None = None
    keeps_epochs: bool = False
    precision: Precision | None = None
    device: str = ""
    num_train: int = 0
    peak: float | None = None
    peak_precision: Precision | None = None
    also_on: str = ""
    versions: dict[str, str] = {}

    @field_validator("storage")
    @classmethod
    def _no_password(cls, storage: str | None) -> str | None:
        return None if storage is None else without_password(storage)

    @property
    def devices(self) -> tuple[str, ...]:
        """What trials were trained on, where it is known: at most one of each kind."""
        return tuple(device for device in (self.device, self.also_on) if device)

    def on(self, device: str, peak: float | None, precision: Precision) -> Self:
        """With the device of another run, on which 'auto' stands for this precision."""
        if self.device and device_class(device) != device_class(self.device):
            return self.model_copy(update={"also_on": device})
        measured_in = precision if peak is not None else None
        return self.model_copy(update={"device": device, "peak": peak, "peak_precision": measured_in})


class Plan(_Part):
    """A study's question and its circumstances, as plan.yaml keeps them."""

    question: Question
    circumstances: Circumstances

    @property
    def task(self) -> Task:
        return self.question.data.task

    @property
    def precision(self) -> Precision | None:
        """What 'auto' stands for in every run of the study; None before its first."""
        asked = self.question.recipe.precision
        return self.circumstances.precision or (None if asked == "auto" else asked)

    @property
    def peak(self) -> float | None:
        """FLOP/s that the GPU reaches in the precision in which trials are trained; None where it was measured in
        another, or if there is no GPU."""
        measured_in = self.circumstances.peak_precision
        if measured_in is None and self.question.recipe.precision == "auto":
            measured_in = self.precision
        return self.circumstances.peak if measured_in == self.precision else None

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)

    def save(self, files: StudyFiles) -> None:
        write_atomically(files.plan, self.to_yaml())

    @classmethod
    def load(cls, files: StudyFiles) -> "Plan":
        """
        Raises:
            StudyError: there is no such study, or its plan cannot be read.
        """
        if not files.plan.is_file():
            raise StudyError(f"study = {files.name!r}: no such study in {files.studies}{_known(files)}")
        return read_model(read_text(files.plan, StudyError), str(files.plan), cls, StudyError)

    def with_circumstances(self, **changes: Any) -> "Plan":
        return self.model_copy(update={"circumstances": self.circumstances.model_copy(update=changes)})


def differences(old: Question, new: Question) -> list[str]:
    """The changes from one question to another, each as `key = old, now new`."""

    def flat(values: Any, prefix: str = "") -> dict[str, Any]:
        if not isinstance(values, dict):
            return {prefix: values}
        entries: dict[str, Any] = {}
        for key, value in values.items():
            entries |= flat(value, f"{prefix}.{key}" if prefix else str(key))
        return entries

    before, after = (
        flat(question.model_dump(mode="json") | {"recipe": all_values(question.recipe)}) for question in (old, new)
    )
    # The same arrays and names are the same data, however their files are labelled.
    keys = [key for key in before | after if before.get(key) != after.get(key) and key not in _LABELLING]
    return [f"{key} = {before.get(key)}, now {after.get(key)}" for key in keys]


def require_same(files: StudyFiles, old: Question, new: Question) -> None:
    """
    Raises:
        StudyError: the question changed; the message shows how.
    """
    changes = differences(old, new)
    if changes:
        raise StudyError(
            f"study = {files.name!r}: was begun with another question ({'; '.join(changes)}); "
            "give it a new name with --study"
        )


def run_seed(seed: int, number: int) -> int:
    """The seed of a run's initial weights, order of images and augmentation, from the study's seed."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def package_versions() -> dict[str, str]:
    """Versions of what a coordinator runs; its workers add theirs."""
    versions = {}
    for name in ("budget-nas", "optuna"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _known(files: StudyFiles) -> str:
    plans = Path(files.studies).glob("*/plan.yaml")
    names = sorted(plan.parent.name for plan in plans if plan.is_file())
    return f"; there are {', '.join(names)}" if names else ""
