"""nas retrain: train the networks that a search found at full length, and test them."""

import sys
from collections.abc import Iterable, Sequence
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
from search.cli.retraining_time import find_rivals, fit_to_time, parse_time, require_pace
from search.cli.selection import parse_selection
from search.cli.studies import Studies, StudyName, open_study
from search.cli.teacher import (
    TaughtOnly,
    TeacherName,
    TeacherShare,
    Temperature,
    offered_teachers,
    parse_teacher,
    print_teachers,
    teachers_known,
)
from search.errors import InputError
from search.files import StudyFiles
from search.quantities import plural

if TYPE_CHECKING:
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
    time: Annotated[
        str | None,
        typer.Option("--time", help="Instead of --epochs: how long all may take; it may choose K and teachers too."),
    ] = None,
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
    taught_only: TaughtOnly = False,
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
    trained finally. Where that is full length, its dropout is chosen in the same way from all that the study's space
    offers; shorter trainings favour none. With --top 1 the best trial of the search is trained finally as it is. Runs
    with --holdout are compared only with each other.

    With --select robust finalists are ranked by their mean accuracy on corrupted validation images (see nas evaluate
    --corrupted), in a round of its own.

    With --time it is said how many epochs fit, by the pace at which the search trained. Where nothing else is named
    there are fewer finalists in a short time, so that final runs and their teachers have half of it; and where 30
    epochs fit so, the two best of the study teach as with --teacher top2 --taught-only.

    With --top the best guess of the study, a network that anybody would try, is one of the finalists, and is trained
    finally beside the winner, to see whether searching paid.

    With --teacher every network that is named or chosen is trained finally twice: as always, and with trained networks
    that teach it. Teachers of the study have seen its training split alone. With --taught-only all final runs, the
    guess's too, have the teachers.
    """
    from search.run.candidates import baseline_candidate, candidate_of
    from search.run.launch import RetrainRequest
    from search.run.plans import open_study_data
    from search.study.reading import trial_views
    from search.study.storage import read_study

    seconds = parse_time(time, epochs, ray)
    selection = parse_selection(trial, top, per_budget, dropout, baseline, guess, is_timed=time is not None)
    logs = prepare_logs(log)
    ranked_by: Select = one_of("select", select, ("clean", "robust"))
    if ranked_by == "robust" and not (selection.chooses or selection.is_open):
        raise InputError("select = robust: is for --top 2 or more, which chooses among finalists")
    files, plan = open_study(studies, study)
    records, _ = read_study(files, plan.circumstances.storage)
    machine = parse_machine(device, workers, ray, gpus_per_worker, cpus_per_worker)
    dataset = open_study_data(plan)

    def fitted(holds_out: bool = True) -> "Recipe":
        return fit_recipe(parse_recipe(recipe, epochs, batch_size), dataset, holds_out, machine.has_gpu)

    trials = trial_views(records, plan)
    names = dict.fromkeys(known_baseline(name, files, plan) for name in selection.baselines)
    rivals = find_rivals(selection, names, plan, trials)
    teachers = parse_teacher(teacher, temperature, teacher_share, taught_only, files, plan, records, fitted)
    if time is not None and seconds is not None:
        require_pace(time, plan, machine.has_gpu)
        offered = offered_teachers(teacher, files, plan, records, fitted) if selection.is_open else None
        selection, epochs, teachers, taught_only = fit_to_time(
            time, seconds, selection, rivals, seeds, plan, records,
            lambda num_runs: len(machine.staff(dataset, 0, num_runs)), teachers, taught_only, offered,
        )  # fmt: skip
        top_words = f"--top {selection.top} " if selection.top is not None else ""
        print(f"in {time}: {top_words}--epochs {epochs}", end="")
        print(f" --teacher {offered.source} --taught-only" if offered is not None and teachers is offered else "")
        if ranked_by == "robust" and not selection.chooses:
            raise InputError(f"select = robust: in {time} there is no time to choose among finalists")
    full = fitted(holdout or selection.chooses)
    candidates = selection.candidates(records, plan, full)
    if selection.chooses and rivals.guess_trial is not None:
        number = rivals.guess_trial.number
        if all(candidate.identity.trial != number for candidate in candidates):
            candidates.append(candidate_of(records, number, plan, full))
    baselines = tuple(baseline_candidate(name, plan, full, trials) for name in names)
    # Where nothing is left to be chosen, the winner is known.
    others = baselines if selection.chooses else (*baselines, *candidates)
    opponent = find_opponent(files, plan, full, trials, others, seeds) if selection.has_opponent else None
    beside = [*baselines]
    if opponent is not None and taught_only:  # else the guess beside the winner has no teacher
        beside.append(opponent)
    known = teachers_known(teachers, candidates, beside, selection.chooses) if teachers is not None else None
    request = RetrainRequest(
        tuple(candidates), baselines, seeds, selection.chooses, holdout, opponent, ranked_by, teachers, taught_only
    )
    num_workers = (
        len(machine.staff(dataset, 0, request.num_runs(len(plan.question.space.dropout)))) if not ray else None
    )
    if teachers is not None:
        print_teachers(teachers, known, plan)
    print_cost(request, plan, full.epochs, trials, num_workers, machine.has_gpu, known)
    with open_logs(logs, files) as to_log:
        ranking, runs = train_final_runs(files, plan, request, machine, to_log)
        if ranking:
            print_choice(ranking)
        print_final_runs(files, plan, runs)


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
