"""The winner's dropout, chosen at full length by validation: the short schedule of a search favours none."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from models.architecture import Architecture
from search.identity import Identity
from search.report.notation import exists, percent, sentence_list
from search.report.retraining.known_runs import last_validation
from search.study.view import RunView, at_dropout


class Tried(NamedTuple):
    """A trial's runs with one dropout: their network, the dropout in words, the mean validation accuracy over seeds."""

    identity: Identity
    dropout: str
    mean: float


@dataclass(frozen=True, slots=True)
class DropoutChoice:
    """A trial's results at full length with several dropouts, two at least, its own first."""

    tried: tuple[Tried, ...]

    @property
    def best(self) -> Tried:
        """By validation; of equal ones the first."""
        return max(self.tried, key=lambda tried: tried.mean)

    @property
    def phrase(self) -> str:
        """What was compared and what was chosen, in words that follow 'with'."""
        in_order = sorted(self.tried, key=lambda tried: tried.dropout)
        compared = sentence_list([f"{tried.dropout} ({percent(tried.mean)})" for tried in in_order])
        return f"dropout {self.best.dropout}, by mean validation accuracy the best of {compared}"


def dropout_choice(runs: Iterable[RunView], number: int) -> DropoutChoice | None:
    """How the trial's dropout was chosen; None where no other was tried.

    The finalists' runs that are compared differ from the trial's in the dropout alone. They were trained as those were
    and with the same seeds, so a dropout whose round is unfinished cannot win by one lucky seed. Nor is there a choice
    where the trial's own runs were trained in several ways.
    """
    own: list[RunView] = []
    groups: dict[float, list[RunView]] = defaultdict(list)
    for run in runs:
        dropout = run.identity.dropout
        if run.purpose == "finalist" and run.identity.trial == number and exists(last_validation(run)):
            (own if dropout is None else groups[dropout]).append(run)
    ways, seeds = {_way(run) for run in own}, {run.seed for run in own}
    if len(ways) != 1:
        return None
    others = [[run for run in groups[dropout] if _way(run) in ways] for dropout in sorted(groups)]
    rivals = [group for group in others if group and {run.seed for run in group} == seeds]
    return DropoutChoice(tuple(map(_tried, [own, *rivals]))) if rivals else None


def _way(run: RunView) -> tuple[Architecture, tuple[str, bool]]:
    """What runs have in common that differ in dropout and seed alone."""
    return at_dropout(run.architecture, 0.0), run.way


def _tried(runs: list[RunView]) -> Tried:
    values = {stage.dropout for stage in runs[0].architecture.stages}
    dropout = f"{min(values):g}" if len(values) == 1 else f"{min(values):g} to {max(values):g}"
    return Tried(runs[0].identity, dropout, fmean(last_validation(run) or 0.0 for run in runs))
