"""Distillation: which trained networks teach another, and how much they count (https://arxiv.org/abs/1503.02531)."""

import json
from dataclasses import dataclass
from hashlib import sha256

from search.quantities import sentence_list
from search.trained_network import TrainedNetwork

TEMPERATURE = 2.0
SHARE = 0.7
MAX_TEMPERATURE = 1_000.0


@dataclass(frozen=True, slots=True)
class Teacher:
    """A trained network that teaches, as results and pages name it.

    Attributes:
        name: as people say it: trial 3, resnet40, or the folder that it was exported to.
        digest: tells it apart from all others.
        caveat: what is not known of it, in a few words; empty where nothing is amiss.

    Raises:
        ValueError: a text cannot be printed.
    """

    name: str
    params: int
    macs: int
    digest: str
    caveat: str = ""

    def __post_init__(self) -> None:
        if not (self.name + self.caveat).isprintable():
            raise ValueError("teacher: its name cannot be printed")


@dataclass(frozen=True, slots=True)
class Teaching:
    """What a training learns beside the labels: the mean of its teachers' probabilities.

    Attributes:
        source: the teachers as somebody asked for them.
        temperature: what logits are divided by before they become probabilities, the teachers' and the student's.
        share: of the loss; the rest is the cross-entropy with the labels.

    Raises:
        ValueError: a value is out of range, or there is no teacher.
    """

    teachers: tuple[Teacher, ...]
    source: str
    temperature: float = TEMPERATURE
    share: float = SHARE

    def __post_init__(self) -> None:
        if not self.teachers:
            raise ValueError("teachers: there is none")
        require_in_range(self.temperature, self.share)

    @property
    def digest(self) -> str:
        """Tells apart what trainings learn from teachers. Neither their order nor their names count."""
        values = [sorted(teacher.digest for teacher in self.teachers), float(self.temperature), float(self.share)]
        return sha256(json.dumps(values).encode()).hexdigest()[:12]

    @property
    def names(self) -> str:
        return sentence_list([teacher.name for teacher in self.teachers])

    @property
    def words(self) -> str:
        """As part of how a network was trained."""
        return f"taught by {self.names} (temperature {self.temperature:g}, share {self.share:g})"


def require_in_range(temperature: float, share: float) -> None:
    """
    Raises:
        ValueError: one of the two is out of range.
    """
    if not 0 < temperature <= MAX_TEMPERATURE:
        raise ValueError(f"temperature = {temperature:g}: must be above 0, and at most {MAX_TEMPERATURE:,.0f}")
    if not 0 < share <= 1:
        raise ValueError(f"teacher-share = {share:g}: must be above 0, and at most 1")


@dataclass(frozen=True, slots=True)
class Lesson:
    """A teaching as a worker needs it: the networks with their weights.

    Attributes:
        digest: of the teaching.
    """

    networks: tuple[TrainedNetwork, ...]
    temperature: float
    share: float
    digest: str
