"""The winner's dropout, chosen as finalists are by validation: the short schedule of a search favours none."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from search.identity import Identity
from search.report.notation import percent, sentence_list
from search.study.networks import Network
from search.study.rounds import SCORES, chosen_dropout, mean_validation, tried_dropouts
from search.study.view import RunView
from search.study.way import Select


class Tried(NamedTuple):
    """A trial's runs with one dropout: their network, the dropout in words, the mean over seeds of what ranks them."""

    identity: Identity
    dropout: str
    mean: float


@dataclass(frozen=True, slots=True)
class DropoutChoice:
    """A trial's results as a finalist with several dropouts, two at least, its own first, and the chosen one."""

    tried: tuple[Tried, ...]
    best: Tried
    select: Select = "clean"

    @property
    def phrase(self) -> str:
        """What was compared and what was chosen, in words that follow 'with'."""
        in_order = sorted(self.tried, key=lambda tried: tried.dropout)
        compared = sentence_list([f"{tried.dropout} ({percent(tried.mean)})" for tried in in_order])
        return f"dropout {self.best.dropout}, by {SCORES[self.select]} the best of {compared}"


def dropout_choice(runs: Iterable[RunView], number: int) -> DropoutChoice | None:
    """How the trial's dropout was chosen, by `search.study.rounds.chosen_dropout`; None where no other was tried."""
    runs = list(runs)
    chosen = chosen_dropout(runs, number)
    tried = map(_tried, tried_dropouts(runs, number))
    return DropoutChoice(tuple(tried), _tried(chosen.network), chosen.select) if chosen else None


def _tried(network: Network) -> Tried:
    values = {stage.dropout for stage in network.runs[0].architecture.stages}
    dropout = f"{min(values):g}" if len(values) == 1 else f"{min(values):g} to {max(values):g}"
    return Tried(network.runs[0].identity, dropout, mean_validation(network))
