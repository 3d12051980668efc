"""Which networks a retraining is asked for, and how long it may take."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from search.errors import InputError

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from search.recipe import Recipe
    from search.run.candidates import Candidate
    from search.run.teachers import TeacherRequest
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


def parse_time(time: str | None, epochs: int | None, ray: str | None) -> float | None:
    """Seconds; None if no time is given.

    Raises:
        InputError: it does not parse, or comes with what it cannot be given with.
    """
    from search.space.limits import parse_duration

    if time is None:
        return None
    seconds = parse_duration(time, "time")
    if epochs is not None:
        raise InputError(f"time = {time!r}: is instead of --epochs; leave out one of them")
    if ray is not None:
        raise InputError(f"time = {time!r}: is not for --ray, where the pace is not known; give --epochs")
    return seconds


def fit_to_time(
    text: str,
    seconds: float,
    selection: Selection,
    seeds: int,
    plan: "Plan",
    records: "Sequence[FrozenTrial]",
    count_workers: Callable[[int], int],
    teachers: "TeacherRequest | None" = None,
    taught_only: bool = False,
) -> tuple[Selection, int]:
    """The selection, with the number of finalists where it has none, and the epochs of final runs for which the
    retraining takes so long, by the pace at which the search trained. They follow from the study and the time alone, so
    that the same command goes on where it was interrupted.

    Args:
        text: the time as it was given.
        count_workers: how many there are for so many runs.
        teachers: who teaches what is selected, in as many further runs, or with `taught_only` in all final runs.

    Raises:
        InputError: it is too short, or no pace is known.
        StudyError: the study has not the trials that are selected.
    """
    from search.cli.retraining_cost import macs_ratios
    from search.run.candidates import Candidate, best_first
    from search.run.retraining_cost import Wave, seconds_per_epoch, teaching_waves
    from search.run.retraining_time import MOST_FINALISTS, choose_length
    from search.study.reading import trial_views

    views = {view.number: view for view in trial_views(records, plan)}
    ranked = [views[record.number] for record in best_first(records)]
    is_open = selection == replace(Selection(), guess=selection.guess)  # nothing was named
    if is_open and ranked:
        selection = replace(selection, top=min(MOST_FINALISTS, len(ranked)))
    numbers = selection.numbers(records)
    named = [] if selection.top is not None else [views[number] for number in numbers if number in views]
    if seconds_per_epoch(named or ranked) is None:
        raise InputError(f"time = {text}: no trial of this study was trained to its end, which would tell the pace")
    num_networks = 1 + selection.has_opponent if selection.top is not None else len(numbers)
    num_finals = (num_networks + len(selection.baselines)) * seeds
    most = selection.top or 1

    ratios, are_trained = [], False
    num_taught = num_finals if taught_only else num_finals - seeds * selection.has_opponent
    if teachers is not None:
        known = None if selection.chooses and teachers.are_ranked else teachers.find()
        ratios = macs_ratios(teachers.num, known, [view.architecture for view in named or ranked[:most]], plan)
        are_trained = known is None or isinstance(known[0], Candidate)

    def teaching(epochs: int) -> list[Wave]:
        return teaching_waves(ratios, num_taught, epochs, are_trained) if teachers is not None else []

    try:
        length = choose_length(
            seconds,
            lambda top: seconds_per_epoch(named or ranked[:top]) or 0.0,
            count_workers(max(num_finals, most)),
            tops=range(1, most + 1) if is_open else [most],
            num_finals=0 if taught_only else num_finals,
            with_guess=selection.has_opponent,
            num_dropouts=len(plan.question.space.dropout),
            searched=plan.question.recipe.epochs,
            teaching=teaching,
        )
    except InputError as error:
        raise InputError(f"time = {text}: {error}") from None
    return (replace(selection, top=length.top) if is_open else selection), length.epochs
