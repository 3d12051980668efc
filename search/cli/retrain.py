"""nas retrain: train the networks that a search found at full length, and test them."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.choices import one_of
from search.cli.final_runs import print_final_runs, train_final_runs
from search.cli.hand_made import known_baseline
from search.cli.logs import LogNames, open_logs, prepare_logs
from search.cli.machine import CpusPerWorker, Device, GpusPerWorker, Ray, Workers, parse_machine
from search.cli.recipe import BatchSize, Epochs, RecipeName, fit_recipe, parse_recipe
from search.cli.retraining_cost import print_cost
from search.cli.studies import Studies, StudyName, open_study
from search.cli.teacher import TeacherName, TeacherShare, Temperature, parse_teacher, print_teachers, teachers_known
from search.errors import InputError
from search.files import StudyFiles
from search.quantities import plural

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from search.recipe import Recipe
    from search.run.candidates import Candidate
    from search.study.plan import Plan
    from search.study.rounds import Finalist
    from search.study.view import TrialView
    from search.study.way import Select


def retrain(
    trial: Annotated[list[int] | None, typer.Option("--trial", help="Trial to retrain; may be repeated.")] = None,
    per_budget: Annotated[
        str | None, typer.Option("--per-budget", help="Retrain the best trial within each budget: 0.3M,1M,2M.")
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", min=1, help="Choose among the best K by longer training; 1: the best trial.")
    ] = None,
    baseline: Annotated[
        list[str] | None, typer.Option("--baseline", help="Named baseline to train beside them; may be repeated.")
    ] = None,
    guess: Annotated[bool, typer.Option(" /--no-guess", help="With --top: leave out the study's best guess.")] = True,
    select: Annotated[
        str, typer.Option("--select", help="What --top chooses by: validation images, clean or corrupted (robust).")
    ] = "clean",
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=100, help="Final runs per network.")] = 1,
    epochs: Epochs = None,
    recipe: RecipeName = "full",
    dropout: Annotated[
        float | None, typer.Option("--dropout", help="Replaces the trials' own dropout; --top 2 or more chooses it.")
    ] = None,
    holdout: Annotated[
        bool, typer.Option("--holdout", help="Keep the validation images out of the final training.")
    ] = False,
    batch_size: BatchSize = None,
    teacher: TeacherName = None,
    temperature: Temperature = None,
    teacher_share: TeacherShare = None,
    workers: Workers = "auto",
    ray: Ray = None,
    gpus_per_worker: GpusPerWorker = None,
    cpus_per_worker: CpusPerWorker = None,
    device: Device = "auto",
    log: LogNames = None,
    study: StudyName = None,
    studies: Studies = Path("studies"),
) -> None:
    """Train the networks of a search at full length and open the test set, once per run.

    With --top K of 2 or more, the K best trials are first trained on the training split alone, three times as long as
    in the search, the best three of them with a second seed, and only the best of these by mean validation accuracy is
    trained finally. Its dropout is chosen in the same way from all that the study's space offers, because the short
    schedule of a search favours none. With --top 1 the best trial of the search is trained finally as it is. Runs with
    --holdout are compared only with each other.

    With --select robust finalists are ranked by their mean accuracy on corrupted validation images (see nas evaluate
    --corrupted), in a round of its own.

    With --top the best guess of the study, a network that anybody would try, is one of the finalists, and is trained
    finally beside the winner, to see whether searching paid.

    With --teacher every network that is named or chosen is trained finally twice: as always, and with trained networks
    that teach it. Teachers of the study have seen its training split alone.
    """
    from search.run.candidates import baseline_candidate, candidate_of
    from search.run.launch import RetrainRequest
    from search.run.plans import open_study_data
    from search.space.guesses import guesses
    from search.study.best_guess import guess_trial
    from search.study.reading import trial_views
    from search.study.storage import read_study

    selection, logs = parse_selection(trial, top, per_budget, dropout, baseline, guess), prepare_logs(log)
    ranked_by: Select = one_of("select", select, ("clean", "robust"))
    if ranked_by == "robust" and not selection.chooses:
        raise InputError("select = robust: is for --top 2 or more, which chooses among finalists")
    files, plan = open_study(studies, study)
    records, _ = read_study(files, plan.circumstances.storage)
    holds_out = holdout or selection.chooses
    machine = parse_machine(device, workers, ray, gpus_per_worker, cpus_per_worker)
    dataset = open_study_data(plan)
    full = fit_recipe(parse_recipe(recipe, epochs, batch_size), dataset, holds_out, machine.has_gpu)
    candidates, trials = selection.candidates(records, plan, full), trial_views(records, plan)
    if selection.chooses and selection.guess:
        family = guesses(plan.question.space, plan.task, plan.question.all_limits)
        number = guess_trial(family, trials)
        if number is not None and all(candidate.identity.trial != number for candidate in candidates):
            candidates.append(candidate_of(records, number, plan, full))
    names = dict.fromkeys(known_baseline(name, files, plan) for name in selection.baselines)
    baselines = tuple(baseline_candidate(name, plan, full, trials) for name in names)
    # Where nothing is left to be chosen, the winner is known.
    rivals = baselines if selection.chooses else (*baselines, *candidates)
    opponent = find_opponent(files, plan, full, trials, rivals, seeds) if selection.has_opponent else None
    by = full if holds_out else fit_recipe(parse_recipe(recipe, epochs, batch_size), dataset, True, machine.has_gpu)
    teachers = parse_teacher(teacher, temperature, teacher_share, files, plan, records, by)
    known = teachers_known(teachers, (*candidates, *baselines), selection.chooses) if teachers is not None else None
    request = RetrainRequest(
        tuple(candidates), baselines, seeds, selection.chooses, holdout, opponent, ranked_by, teachers
    )
    num_workers = (
        len(machine.staff(dataset, 0, request.num_runs(len(plan.question.space.dropout)))) if not ray else None
    )
    if teachers is not None:
        print_teachers(teachers, known, plan)
    print_cost(request, plan, full.epochs, trials, num_workers, known)
    with open_logs(logs, files) as to_log:
        ranking, runs = train_final_runs(files, plan, request, machine, to_log)
        if ranking:
            print_choice(ranking)
        print_final_runs(files, plan, runs)


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
) -> Selection:
    """
    Raises:
        InputError: nothing is selected, or in several ways at once.
    """
    from search.space.limits import parse_count

    ways = (bool(trial), top is not None, per_budget is not None)
    if sum(ways) > 1 or not (any(ways) or baseline):
        raise InputError(
            "retrain: give either --trial NUMBER (once or more), --top K or --per-budget LIST, or a --baseline"
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


def find_opponent(
    files: StudyFiles,
    plan: "Plan",
    recipe: "Recipe",
    trials: "Iterable[TrialView]",
    others: "Iterable[Candidate]",
    num_seeds: int,
) -> "Candidate | None":
    """The best guess of the study, to be trained by the recipe, which a line on the screen names with its runs; None if
    there is none, or if it is one of the others that are trained."""
    from search.run.candidates import are_one_design, baseline_candidate
    from search.space.guesses import BEST_GUESS

    try:
        name = known_baseline(BEST_GUESS, files, plan)
    except InputError as error:
        print(f"note: {error}; none is trained beside the winner", file=sys.stderr)
        return None
    opponent = baseline_candidate(name, plan, recipe, trials)
    same = next((other.identity for other in others if are_one_design(other, opponent)), None)
    if same is not None:
        is_baseline = same.kind == "baseline"
        text = f"beside the winner: {same.name}, the network of the best guess"
        print(text if is_baseline else f"no guess beside the winner: {same.name} is the best guess itself")
        return None
    runs = plural(num_seeds, "more run")
    print(f"beside the winner: {name}, the best guess, {runs} unless it wins itself (--no-guess leaves it out)")
    return opponent


def print_choice(ranking: "Sequence[tuple[Candidate, Finalist]]") -> None:
    """The finalists, best first, and how the winner's dropout was chosen."""
    from search.report.notation import duration
    from search.report.retraining.dropouts import dropout_choice
    from search.study.rounds import SCORES

    for candidate, finalist in ranking:
        cost = f"{finalist.network.macs:,} MACs, {duration(finalist.network.seconds)} a run"
        name = candidate.identity.name.removeprefix("trial ")
        epochs = plural(finalist.network.epochs, "epoch")
        kept = " (of the best epochs, whose weights are kept: optimistic)" if finalist.keeps_best else ""
        clean = f" (clean {finalist.clean:.2%})" if finalist.select == "robust" else ""
        print(f"finalist {name}: {SCORES[finalist.select]} {finalist.mean:.2%}{clean} after {epochs}{kept}, {cost}")
    winner = ranking[0][0].identity.trial
    runs = [run for _, finalist in ranking for run in finalist.network.runs]
    if winner is not None and (choice := dropout_choice(runs, winner)):
        print(f"chosen is trial {winner} with {choice.phrase}")
