"""Which network a full-length run trains: a value, and how files and people write it."""

from dataclasses import dataclass
from typing import Literal, Self

_WITH_DROPOUT = " with dropout "


@dataclass(frozen=True, slots=True)
class Identity:
    """A network of a study: a trial's, or a hand-made one by the name of its baseline. Exactly one of the two is given.

    Attributes:
        trial: the trial's number.
        dropout: the dropout of all its stages, where that is not the trial's own.
        baseline: the baseline's name.
    """

    trial: int | None = None
    dropout: float | None = None
    baseline: str | None = None

    def __post_init__(self) -> None:
        assert (self.trial is None) != (self.baseline is None), "a network is a trial's or a baseline's"
        assert self.dropout is None or self.baseline is None, "baselines keep the dropout they were published with"

    @classmethod
    def parse(cls, label: str) -> Self:
        """The network of a `label`."""
        number, _, dropout = label.partition(_WITH_DROPOUT)
        if not number.isdecimal():
            return cls(baseline=label)
        return cls(trial=int(number), dropout=float(dropout) if dropout else None)

    @property
    def kind(self) -> Literal["trial", "baseline"]:
        return "baseline" if self.trial is None else "trial"

    @property
    def label(self) -> str:
        """In files and tables: '0042', '0042 with dropout 0.1', 'resnet40'."""
        return self.baseline if self.baseline is not None else f"{self.trial:04d}{self._changed}"

    @property
    def name(self) -> str:
        """In a sentence: trial 42, trial 42 with dropout 0.1, resnet40."""
        return self.baseline if self.baseline is not None else f"trial {self.trial}{self._changed}"

    @property
    def _changed(self) -> str:
        return "" if self.dropout is None else f"{_WITH_DROPOUT}{str(self.dropout).removesuffix('.0')}"
