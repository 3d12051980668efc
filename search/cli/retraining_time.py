"""A retraining by time: what the time allows of finalists, epochs and teachers."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from search.cli.selection import Selection
from search.errors import InputError

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from models.architecture import Architecture
    from search.run.teachers import TeacherRequest
    from search.study.plan import Plan
    from search.study.view import TrialView

TAUGHT_EPOCHS = 30  # the fewest with which teachers were seen to gain more than they cost (benchmarks/LOG.md)


class Fit(NamedTuple):
    """What a time allows.

    Attributes:
        selection: with a number of finalists, where nothing was named.
        epochs: of a final run.
    """

    selection: Selection
    epochs: int
    teachers: "TeacherRequest | None"
    taught_only: bool


class Rivals(NamedTuple):
    """Hand-made networks that are trained beside what the search found.

    Attributes:
        baselines: those that were named.
        guess: the best guess of the study; None if there is none, or it was left out.
        guess_trial: its trial, which is one more finalist; None if it was not trained to its end.
    """

    baselines: "Sequence[Architecture]" = ()
    guess: "Architecture | None" = None
    guess_trial: "TrialView | None" = None

    def finalists(self, best: "Sequence[TrialView]") -> "list[TrialView]":
        """The best trials, and that of the guess if it is none of them."""
        if self.guess_trial is None or self.guess_trial.number in [trial.number for trial in best]:
            return [*best]
        return [*best, self.guess_trial]

    def guess_beside(self, others: "Sequence[Architecture]") -> "list[Architecture]":
        """The guess, if it is none of the others and no baseline, so that it is trained finally beside them."""
        from search.study.view import design

        known = [design(network) for network in (*others, *self.baselines)]
        return [self.guess] if self.guess is not None and design(self.guess) not in known else []


def find_rivals(selection: Selection, names: "Iterable[str]", plan: "Plan", trials: "Sequence[TrialView]") -> Rivals:
    """The baselines of these names, and the best guess where the selection has one.

    Raises:
        ArchitectureError: there is no such baseline.
    """
    from search.space.guesses import find_hand_made, guesses
    from search.study.best_guess import best_guess, guess_trial

    where = plan.question.space, plan.task, plan.question.all_limits
    baselines = [find_hand_made(name, *where) for name in names]
    if not (selection.has_opponent or (selection.is_open and selection.guess)):
        return Rivals(baselines)
    try:
        guess = find_hand_made(best_guess(*where, trials), *where)
    except InputError:
        return Rivals(baselines)  # why there is none is said where it would be trained
    number = guess_trial(guesses(*where), trials)
    return Rivals(baselines, guess, next((trial for trial in trials if trial.number == number), None))


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


def require_pace(text: str, plan: "Plan", on_gpu: bool) -> None:
    """
    Args:
        on_gpu: whether the retraining is.

    Raises:
        InputError: all trials were trained on another kind of device, so that no pace is known there.
    """
    from search.study.way import device_class

    devices = plan.circumstances.devices
    if devices and all((device_class(device) == "GPU") != on_gpu for device in devices):
        here = "a GPU" if on_gpu else "a CPU"
        trained = f"the trials were trained on {devices[0]}"
        raise InputError(f"time = {text!r}: {trained}, and the pace on {here} is not known; give --epochs")


def fit_to_time(
    text: str,
    seconds: float,
    selection: Selection,
    rivals: Rivals,
    seeds: int,
    plan: "Plan",
    records: "Sequence[FrozenTrial]",
    count_workers: Callable[[int], int],
    teachers: "TeacherRequest | None" = None,
    taught_only: bool = False,
    offered: "TeacherRequest | None" = None,
    least: int = 1,
) -> Fit:
    """The number of finalists, where nothing was named, and the epochs of final runs for which the retraining takes so
    long, by the pace at which the search trained. They follow from the study, the time and the number of workers, so
    that the same command goes on where it was interrupted.

    Args:
        text: the time as it was given.
        count_workers: how many there are for so many runs.
        teachers: who teaches what is selected, in as many further runs, or with `taught_only` in all final runs.
        offered: who teaches all final runs if there is time for `TAUGHT_EPOCHS` with them.
        least: the epochs that come before more finalists than the fewest.

    Raises:
        InputError: it is too short, or no pace is known.
        StudyError: the study has not the trials that are selected.
    """
    from search.cli.retraining_cost import final_paces, teacher_ratios
    from search.run.candidates import Candidate, best_first
    from search.run.retraining_cost import Wave, most_at_once, seconds_per_epoch, teaching_waves, unequal_waves
    from search.run.retraining_time import MOST_FINALISTS, Work, choose_length
    from search.study.reading import trial_views

    if offered is not None:
        common = text, seconds, selection, rivals, seeds, plan, records, count_workers
        with suppress(InputError):  # too short; if it is so without them too, that is said below
            taught = fit_to_time(*common, offered, taught_only=True, least=TAUGHT_EPOCHS)
            if taught.epochs >= TAUGHT_EPOCHS:
                return taught

    views = {view.number: view for view in trial_views(records, plan)}
    ranked = [views[record.number] for record in best_first(records)]
    is_open = selection.is_open
    if is_open and ranked:
        selection = replace(selection, top=min(MOST_FINALISTS, len(ranked)))
    numbers = selection.numbers(records)
    named = [] if selection.top is not None else [views[number] for number in numbers if number in views]
    named = [trial for trial in named if trial.history]  # why others cannot be trained is said where they would be
    if seconds_per_epoch(named or ranked) is None:
        raise InputError(f"time = {text}: no trial of this study was trained to its end, which would tell the pace")
    most = selection.top or 1

    # Of teachers that a round is to rank no time may end in a choice without one, which would ask an earlier round.
    by_round = teachers is not None and teachers.are_ranked and selection.chooses
    tops = range(2 if by_round else 1, most + 1) if is_open else [most]
    known, are_trained = None, False
    if teachers is not None:
        known = None if by_round else teachers.find([])
        are_trained = known is None or isinstance(known[0], Candidate)
    num_winners = 1 if selection.top is not None else len(numbers)
    num_dropouts = len(plan.question.space.dropout)

    def work(top: int) -> Work:
        finalists = rivals.finalists(ranked[:top]) if top > 1 else []
        trained = named or finalists or ranked[:1]
        students = [trial.architecture for trial in trained]
        guess = rivals.guess_beside(students if top == 1 else [])
        named_paces = [1.0] * num_winners + final_paces(rivals.baselines, students, plan)
        paces = [*named_paces, *final_paces(guess, students, plan)]
        ratios = teacher_ratios(teachers.num, known, students, plan) if teachers is not None else []
        num_teachers = teachers.num if teachers is not None else 0
        num_workers = count_workers(most_at_once(len(finalists), len(paces) * seeds, num_teachers, num_dropouts))

        def finals(epochs: int) -> list[Wave]:
            alone = [] if taught_only else unequal_waves(paces * seeds, epochs, num_workers)
            if teachers is None:
                return alone
            taught = (paces if taught_only else named_paces) * seeds
            return [*alone, *teaching_waves(ratios, taught, epochs, are_trained, num_workers)]

        return Work(top, len(finalists), seconds_per_epoch(trained) or 0.0, num_workers, finals)

    try:
        length = choose_length(
            seconds,
            map(work, tops),
            num_dropouts=num_dropouts,
            searched=plan.question.recipe.epochs,
            least=least,
        )
    except InputError as error:
        raise InputError(f"time = {text}: {error}") from None
    fitted = replace(selection, top=length.top) if is_open else selection
    return Fit(fitted, length.epochs, teachers, taught_only)
