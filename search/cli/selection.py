"""Which networks a retraining is asked for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search.errors import InputError

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from search.recipe import Recipe
    from search.run.candidates import Candidate
    from search.study.plan import Plan


@dataclass(frozen=True, slots=True)
class Selection:
    """Which networks to retrain: `trials` by number, the best `top`, or the best within each of `budgets`; and
    `baselines` beside them or alone. `dropout` replaces that of the trials. With `guess` the best guess joins the
    winner of `top`."""

    trials: tuple[int, ...] = ()
    top: int | None = None
    budgets: tuple[int, ...] = ()
    dropout: float | None = None
    baselines: tuple[str, ...] = ()
    guess: bool = True

    @property
    def is_open(self) -> bool:
        """Whether nothing was named, so that the time alone decides."""
        return self == Selection(guess=self.guess)

    @property
    def has_opponent(self) -> bool:
        """Whether the best guess is trained too."""
        return self.top is not None and self.guess

    @property
    def chooses(self) -> bool:
        """Whether one trial is chosen of several by longer training."""
        return self.top is not None and self.top > 1

    def numbers(self, records: "Iterable[FrozenTrial]") -> list[int]:
        """The selected trials of a study, each once.

        Raises:
            StudyError: the study has too few complete trials, or none within a budget.
        """
        from search.run.candidates import best_trials, best_within

        if self.top is not None:
            return best_trials(records, self.top)
        if self.budgets:
            return list(dict.fromkeys(best_within(records, budget) for budget in self.budgets))
        return list(self.trials)

    def candidates(self, records: "Sequence[FrozenTrial]", plan: "Plan", recipe: "Recipe") -> "list[Candidate]":
        """The selected trials, to be trained by the recipe.

        Raises:
            StudyError: one of them does not exist or was not trained.
        """
        from search.run.candidates import candidate_of, with_dropout

        trials = [candidate_of(records, number, plan, recipe) for number in self.numbers(records)]
        return trials if self.dropout is None else [with_dropout(trial, self.dropout) for trial in trials]


def parse_selection(
    trial: Sequence[int] | None,
    top: int | None,
    per_budget: str | None,
    dropout: float | None,
    baseline: Sequence[str] | None,
    guess: bool = True,
    is_timed: bool = False,
) -> Selection:
    """What is asked for; if nothing is and there is a time, as many of the best as it allows (`fit_to_time`).

    Raises:
        InputError: nothing is selected, or in several ways at once.
    """
    from search.space.limits import parse_count

    ways = (bool(trial), top is not None, per_budget is not None)
    if sum(ways) > 1 or not (any(ways) or baseline or is_timed):
        raise InputError(
            "retrain: give either --trial NUMBER (once or more), --top K or --per-budget LIST, or a --baseline, or "
            "a --time"
        )
    if dropout is not None and not (trial or per_budget):
        raise InputError(
            f"dropout = {dropout:g}: is for --trial and --per-budget; --top 2 or more chooses it, and --top 1 and "
            "baselines keep theirs"
        )
    budgets = [parse_count(text, "per-budget") for text in per_budget.split(",")] if per_budget is not None else []
    return Selection(
        trials=tuple(dict.fromkeys(trial or ())),
        top=top,
        budgets=tuple(budgets),
        dropout=dropout,
        baselines=tuple(dict.fromkeys(baseline or ())),
        guess=guess,
    )
