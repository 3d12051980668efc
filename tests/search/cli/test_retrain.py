"""`nas retrain`: which networks it selects, and what it says of them."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from statistics import fmean
from subprocess import CompletedProcess
from typing import Any

import pytest
from small_search import SEARCH, SMALL_SPACE, Simulation, by_size, keeping

from models.baselines import find_baseline
from models.count import count_macs
from search.cli.selection import Selection, parse_selection
from search.errors import InputError
from search.files import StudyFiles
from search.protocol import Failed, Job
from search.recipes import FAST
from search.report.caveats import caveats
from search.report.findings import find
from search.report.notation import duration
from search.report.retraining.finalists import finalists_table
from search.report.summary import conclusion
from search.run.candidates import best_trials
from search.run.retraining_cost import Wave, finalists_waves
from search.run.retraining_time import START_SECONDS, epochs_within
from search.study import results
from search.study.best_guess import guess_trial, ranked_guesses
from search.study.plan import Plan
from search.study.reading import read_view
from search.study.storage import read_study
from search.study.view import at_dropout
from search.workers import machine

Nas = Callable[..., CompletedProcess[str]]


@pytest.mark.parametrize(
    ("options", "selection"),
    [
        (([3, 1, 3], None, None, None, None), Selection(trials=(3, 1))),
        (([3], None, None, 0.1, ["resnet40"]), Selection(trials=(3,), dropout=0.1, baselines=("resnet40",))),
        ((None, 2, None, None, None), Selection(top=2)),
        ((None, None, "0.3M,1M", 0.0, None), Selection(budgets=(300_000, 1_000_000), dropout=0.0)),
        ((None, None, None, None, ["resnet40", "resnet40"]), Selection(baselines=("resnet40",))),
    ],
)
def test_options_select_each_network_once(options: tuple[Any, ...], selection: Selection) -> None:
    assert parse_selection(*options) == selection


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((None, None, None, None, None), "retrain: give either --trial NUMBER (once or more), --top K or"),
        (([], None, None, None, []), "retrain: give either --trial NUMBER (once or more), --top K or"),
        (([1], 2, None, None, None), "retrain: give either --trial NUMBER (once or more), --top K or"),
        ((None, 2, "1M", None, None), "retrain: give either --trial NUMBER (once or more), --top K or"),
        ((None, 1, None, 0.1, None), "dropout = 0.1: is for --trial and --per-budget; --top 2 or more chooses it"),
        ((None, None, None, 0.1, ["resnet40"]), "dropout = 0.1: is for --trial and --per-budget; --top 2 or more"),
        ((None, None, "1M,few", None, None), "per-budget = 'few': must be a whole number"),
    ],
)
def test_other_options_are_refused(options: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_selection(*options)
    assert str(caught.value).startswith(message)


def test_one_trial_is_chosen_only_of_several() -> None:
    assert Selection(top=2).chooses
    assert not Selection(top=1).chooses and not Selection(trials=(1, 2)).chooses


def test_only_the_winner_of_several_has_an_opponent() -> None:
    assert Selection(top=1).has_opponent and Selection(top=3).has_opponent
    assert not parse_selection(None, 3, None, None, None, guess=False).has_opponent
    assert not Selection(trials=(3,)).has_opponent and not Selection(budgets=(1_000,)).has_opponent
    assert not Selection(baselines=("guess",)).has_opponent


BRIEF = ("--epochs", "1", "--workers", "2", "--device", "cpu")


def test_the_best_guess_is_trained_beside_the_winner(nas: Nas, searched: StudyFiles, simulation: Simulation) -> None:
    view = read_view(searched)
    best = ranked_guesses(dict(view.guesses), view.trials)[0]
    complete = [trial for trial in view.trials if trial.state == "complete"]
    guessed = dict(view.guesses).values()
    winner = next(trial for trial in complete if at_dropout(trial.architecture, 0.0) not in guessed)

    def curve(job: Job, epoch: int) -> float:
        keeping(job, epoch)
        return 0.9 if job.architecture == winner.architecture else 0.4

    simulation.curve = curve
    done = nas("retrain", "--top", str(len(complete)), "--seeds", "2", *BRIEF)
    assert done.returncode == 0, done.stderr
    finals = [job for job in simulation.last_jobs if job.purpose == "final"]
    assert sorted({job.label.split()[0] for job in finals}) == sorted({f"{winner.number:04d}", best})
    assert sorted(job.label.split()[-1] for job in finals if job.label.startswith(best)) == ["0", "1"]
    assert len({job.recipe for job in finals}) == 1
    said = f"beside the winner: {best}, the best guess, 2 more runs unless it wins itself (--no-guess leaves it out)\n"
    assert done.stdout.startswith(said)
    last = done.stdout.splitlines()[-1]
    assert last.startswith("Whether searching paid cannot be told yet, because no run differs from another of its net")
    assert f"50.00 points more than {best}, " in last
    assert last.split(" It has")[0] in " ".join(conclusion(find(read_view(searched))))


def test_the_best_guess_is_a_finalist_whatever_its_rank(nas: Nas, simulation: Simulation, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    simulation.curve = lambda job, epoch: 1 - by_size(job, epoch)
    assert nas(*SEARCH, "--trials", "8", "--study", "small").returncode == 0
    searched = StudyFiles(tmp_path / "studies", "small")
    view = read_view(searched)
    number = guess_trial(dict(view.guesses), view.trials)
    best = best_trials(read_study(searched, None)[0], 2)
    assert number is not None and number not in best
    simulation.curve = keeping
    done = nas("retrain", "--top", "2", *BRIEF)
    assert done.returncode == 0, done.stderr
    finalists = {int(job.label.split()[0]) for job in simulation.last_jobs if job.purpose == "finalist"}
    assert finalists == {number, *best}
    macs = {trial.number: trial.macs for trial in view.trials}
    ratio = macs[number] / fmean(macs[finalist] for finalist in finalists)  # of the slower of two runs side by side
    assert ratio > 1.1
    said = "8 runs of 1 epoch to choose among 3 finalists, 2 final runs of 1 epoch"
    assert f"{said}, about {4 + ratio:.1f} s on 2 workers if all is to be done\n" in done.stdout
    assert "mean validation accuracy" in done.stdout and "after 1 epoch, " in done.stdout
    without = nas("retrain", "--top", "2", "--no-guess", "--epochs", "2", "--workers", "2", "--device", "cpu")
    assert without.returncode == 0, without.stderr
    assert {int(job.label.split()[0]) for job in simulation.last_jobs if job.purpose == "finalist"} == {*best}


def test_a_robust_choice_is_said_and_the_page_says_what_it_chose_by(
    nas: Nas, searched: StudyFiles, simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation.curve = keeping
    seconds = count()  # of one round after those of the other, as in a training that takes its time
    monkeypatch.setattr(results, "now", lambda: f"2026-01-01T00:{next(seconds) + 10}:00+00:00")
    done = nas("retrain", "--top", "2", "--no-guess", "--select", "robust", *BRIEF)
    assert done.returncode == 0, done.stderr
    assert " to choose among 2 finalists by corrupted validation images, " in done.stdout
    assert "mean accuracy on corrupted validation images " in done.stdout and " (clean " in done.stdout
    assert "mean validation accuracy" not in done.stdout
    assert {job.robust for job in simulation.last_jobs if job.purpose == "finalist"} == {True}
    assert {job.robust for job in simulation.last_jobs if job.purpose == "final"} == {False}
    findings = find(read_view(searched))
    assert findings.answer is not None
    assert findings.answer.how.startswith("the best mean accuracy on corrupted validation images of 2 finalists")
    shown = finalists_table(findings.finalists)
    assert "Corrupted validation, mean" in shown.heads and "Clean validation, mean" in shown.heads
    assert "ranked by their mean accuracy on corrupted validation images" in shown.caption
    again = nas("retrain", "--top", "2", "--no-guess", *BRIEF)
    assert again.returncode == 0 and "mean validation accuracy" in again.stdout, again.stderr
    assert "by full, 1 epoch, ranked by corrupted images" in " ".join(caveats(find(read_view(searched))))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--top", "1", "--select", "robust"),
            "select = robust: is for --top 2 or more, which chooses among finalists",
        ),
        (("--trial", "0", "--select", "robust"), "select = robust: is for --top 2 or more, which chooses among"),
        (("--top", "2", "--select", "best"), "select = 'best': must be one of clean, robust"),
    ],
)
def test_another_choice_is_one_line(nas: Nas, searched: StudyFiles, options: tuple[str, ...], message: str) -> None:
    done = nas("retrain", *options, *BRIEF)
    assert done.returncode == 2 and f"nas: {message}" in done.stderr


@pytest.mark.parametrize("options", [("--top", "1", "--no-guess"), ("--trial", "7"), ("--trial", "7", "--no-guess")])
def test_a_winner_is_trained_alone_where_that_is_asked(
    nas: Nas, searched: StudyFiles, simulation: Simulation, options: tuple[str, ...]
) -> None:
    simulation.curve = keeping
    done = nas("retrain", *options, *BRIEF)
    assert done.returncode == 0, done.stderr
    assert len(simulation.last_jobs) == 1
    assert "beside the winner" not in done.stdout and "searching paid" not in done.stdout


def test_a_winner_that_is_the_guess_itself_is_trained_once(
    nas: Nas, searched: StudyFiles, simulation: Simulation
) -> None:
    view = read_view(searched)
    best = ranked_guesses(dict(view.guesses), view.trials)[0]
    own = next(t for t in view.trials if t.architecture == dict(view.guesses)[best])

    def curve(job: Job, epoch: int) -> float:
        keeping(job, epoch)
        return 0.9 if at_dropout(job.architecture, 0.0) == own.architecture else 0.1

    simulation.curve = curve
    done = nas("retrain", "--top", str(sum(t.state == "complete" for t in view.trials)), *BRIEF)
    assert done.returncode == 0, done.stderr
    assert {job.label.split()[0] for job in simulation.last_jobs if job.purpose == "final"} == {f"{own.number:04d}"}
    said = f"Searching found no better design than a guess: the winner is {best} itself"
    assert done.stdout.splitlines()[-1].startswith(said)


def test_the_best_trial_that_is_the_best_guess_is_trained_once_and_another_trial_is_not_the_answer(
    nas: Nas, searched: StudyFiles, simulation: Simulation
) -> None:
    simulation.curve = keeping
    done = nas("retrain", "--top", "1", *BRIEF)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "no guess beside the winner: trial 0 is the best guess itself\n1 final run of 1 epoch"
    )
    assert len(simulation.last_jobs) == 1 and "the study's answer" not in done.stdout
    other = nas("retrain", "--trial", "7", *BRIEF)
    assert other.returncode == 0, other.stderr
    last = other.stdout.splitlines()[-1]
    assert last.startswith("the study's answer is another: trial 0, chosen for the best validation accuracy of ")


def test_a_guess_that_is_named_is_trained_once_under_every_name(
    nas: Nas, searched: StudyFiles, simulation: Simulation
) -> None:
    view = read_view(searched)
    best = ranked_guesses(dict(view.guesses), view.trials)[0]
    simulation.curve = keeping
    done = nas("retrain", "--top", "1", "--baseline", "guess", "--baseline", best, *BRIEF)
    assert done.returncode == 0, done.stderr
    assert sum(job.label.startswith(best) for job in simulation.last_jobs) == 1 == len(simulation.last_jobs) - 1
    assert done.stdout.startswith(f"beside the winner: {best}, the network of the best guess\n")
    exported = nas("export", "--baseline", "guess")
    assert exported.returncode == 0 and f"export/{best}/model.py" in exported.stdout, exported.stderr


def test_a_study_below_the_smallest_guess_has_no_opponent(
    nas: Nas, searched: StudyFiles, simulation: Simulation
) -> None:
    plan = Plan.load(searched)
    narrow = plan.question.model_copy(update={"budget": 400})
    plan.model_copy(update={"question": narrow}).save(searched)
    simulation.curve = keeping
    refused = nas("retrain", "--baseline", "guess", *BRIEF)
    assert refused.returncode == 2
    assert "nas: baseline = 'guess': no guess is within budget=400: the smallest has " in refused.stderr
    done = nas("retrain", "--top", "1", *BRIEF)
    assert "note: baseline = 'guess': no guess is within budget=400: the smallest has " in done.stderr
    assert "; none is trained beside the winner\n" in done.stderr


def test_one_search_answers_for_every_budget(searched: StudyFiles) -> None:
    records, _ = read_study(searched, None)
    complete = [trial for trial in read_view(searched).trials if trial.state == "complete"]
    small = sorted(trial.params for trial in complete)[1]
    best = max((trial for trial in complete if trial.params <= small), key=lambda trial: trial.value or 0.0)
    selection = parse_selection(None, None, f"{small},{small}", 0.0, None)
    assert selection.numbers(records) == [best.number]
    (candidate,) = selection.candidates(records, Plan.load(searched), FAST)
    assert (candidate.identity.trial, candidate.recipe) == (best.number, FAST)
    assert {stage.dropout for stage in candidate.architecture.stages} == {0.0}


def test_a_budget_that_no_trial_meets_is_named(nas: Nas, searched: StudyFiles) -> None:
    none = nas("retrain", "--per-budget", "10")
    assert none.returncode == 2
    assert none.stderr.endswith("nas: per-budget = 10: no trial of so few parameters was trained to the end\n")


def test_a_retraining_by_time_says_what_fits_and_trains_that(
    nas: Nas, searched: StudyFiles, simulation: Simulation
) -> None:
    simulation.curve = keeping
    device = ("--teacher", "none", "--workers", "2", "--device", "cpu")
    done = nas("retrain", "--time", "10m", *device)
    assert done.returncode == 0, done.stderr
    top, epochs = done.stdout.splitlines()[0].removeprefix("in 10m: --top ").split(" --epochs ")
    assert {job.recipe.epochs for job in simulation.last_jobs if job.purpose == "final"} == {int(epochs)}
    own = {job.label.split()[0] for job in simulation.last_jobs if job.purpose == "finalist"}
    assert int(top) > 1 and len(own) in (int(top), int(top) + 1)  # and the guess
    fleets = simulation.fleets.copy()
    again = nas("retrain", "--time", "10m", *device)
    assert again.stdout.splitlines()[0] == done.stdout.splitlines()[0]
    assert simulation.fleets == fleets, "all is there, since the same time is the same length"
    named = nas("retrain", "--time", "1m", "--trial", "0", "--seeds", "2", *device)
    assert named.stdout.startswith("in 1m: --epochs "), named.stderr
    for options, message in (
        (("--time", "1m", "--epochs", "3"), "time = '1m': is instead of --epochs; leave out one of them"),
        (("--time", "1m", "--ray", "local"), "time = '1m': is not for --ray, where the pace is not known"),
        (("--trial", "0", "--taught-only"), "taught-only: is for --teacher"),
        (("--trial", "0", "--temperature", "3"), "temperature = 3: is for --teacher"),
        (("--time", "5s", "--top", "2"), "time = 5s: too short for one epoch of all that is to be trained"),
        (("--time", "soon"), "time = 'soon': must be a time above zero"),
        (("--time", "1m", "--trial", "0", "--select", "robust"), "select = robust: is for --top 2 or more"),
        (("--time", "10s", "--select", "robust"), "select = robust: in 10s there is no time to choose among finalists"),
    ):
        refused = nas("retrain", *options, *device)
        assert refused.returncode == 2 and message in refused.stderr.splitlines()[-1]


def epochs_in(nas: Nas, time: str, *options: str) -> int:
    """Of a final run on one worker, as the command says at first."""
    done = nas("retrain", "--time", time, *options, "--workers", "1", "--device", "cpu")
    said = next((line for line in done.stdout.splitlines() if line.startswith(f"in {time}: ")), None)
    assert said is not None, done.stderr
    return int(said.split("--epochs ")[1].split()[0])


@pytest.mark.parametrize(
    "options",
    [("--top", "3"), ("--trial", "7", "--teacher", "top2", "--taught-only"), ("--trial", "7", "--seeds", "3"), ()],
)
def test_a_time_is_divided_among_the_workers_that_are_then_started(
    nas: Nas, searched: StudyFiles, simulation: Simulation, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(machine, "choose_workers", lambda devices, num_runs: asked.append(num_runs) or 1)
    simulation.curve = keeping
    done = nas("retrain", "--time", "1h", *options, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert asked[-1] in asked[:-2], "asked for by the fit, for the cost and for the start"
    assert asked[-1] == asked[-2] > 1
    assert not options or len(set(asked)) == 1


def test_a_time_for_a_trial_that_failed_says_that_it_failed(nas: Nas, simulation: Simulation, tmp_path: Path) -> None:
    def curve(job: Job, epoch: int) -> float | Failed:
        return Failed("training loss is nan in epoch 1") if job.label == "trial 0" else 0.5

    simulation.curve = curve
    assert nas(*SEARCH, "--device", "cpu").returncode == 0
    refused = nas("retrain", "--trial", "0", "--time", "10m", "--device", "cpu")
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].startswith("nas: trial = 0: "), refused.stderr


def test_no_time_is_kept_for_a_guess_that_is_the_best_trial_or_a_baseline(
    nas: Nas, searched: StudyFiles, simulation: Simulation
) -> None:
    simulation.curve = keeping
    alone = epochs_in(nas, "1m", "--top", "1", "--no-guess")
    assert alone == 50 == epochs_in(nas, "1m", "--top", "1"), "the best trial is the best guess itself"
    assert epochs_in(nas, "1m", "--top", "1", "--baseline", "guess") == 25, "which is trained as a baseline too"


def test_no_time_is_kept_for_a_guess_that_is_among_the_finalists(
    nas: Nas, searched: StudyFiles, simulation: Simulation
) -> None:
    simulation.curve = keeping

    def waves(epochs: int) -> list[Wave]:
        return [*finalists_waves(2, 2, epochs, 4), Wave(2, epochs)]

    assert epochs_in(nas, "5m", "--top", "2") == epochs_within(300, waves, 1.0, 1)


def test_no_time_is_kept_for_a_guess_where_there_is_none(
    nas: Nas, searched: StudyFiles, simulation: Simulation
) -> None:
    plan = Plan.load(searched)
    plan.model_copy(update={"question": plan.question.model_copy(update={"budget": 400})}).save(searched)
    for top in ("1", "3"):
        with_guess, without = (epochs_in(nas, "2m", "--top", top, *more) for more in ((), ("--no-guess",)))
        assert with_guess == without


def test_a_baseline_takes_its_share_of_the_time_by_its_cost(
    nas: Nas, searched: StudyFiles, simulation: Simulation
) -> None:
    simulation.curve = keeping
    view = read_view(searched)
    ratio = count_macs(find_baseline("resnet20-b", 1, 10), 8) / view.trials[7].macs
    assert ratio > 2, "far more than the trial"
    left = 0.97 * 600 - START_SECONDS
    options = ("--baseline", "resnet20-b", "--seeds", "2")
    epochs = epochs_in(nas, "10m", "--trial", "7", *options)
    assert epochs == int(left / (2 * (1 + ratio)))
    cost = nas("retrain", "--trial", "7", *options, "--epochs", "2", "--workers", "1", "--device", "cpu")
    assert f"4 final runs of 2 epochs, about {duration(4 * (1 + ratio))} on 1 worker if" in cost.stdout, cost.stderr
    best = view.trials[best_trials(read_study(searched, None)[0], 1)[0]]
    alone = epochs_in(nas, "10m", "--baseline", "resnet20-b")
    assert alone == int(left / (ratio * view.trials[7].macs / best.macs)), "by the pace of the best trial"


def test_a_smaller_network_is_not_taken_to_be_quicker(nas: Nas, searched: StudyFiles, simulation: Simulation) -> None:
    simulation.curve = keeping
    view = read_view(searched)
    large = max((trial for trial in view.trials if trial.state == "complete"), key=lambda trial: trial.macs)
    name, small = min(view.guesses, key=lambda guess: count_macs(guess[1], 8))
    assert count_macs(small, 8) < 0.8 * large.macs
    assert epochs_in(nas, "1m", "--trial", str(large.number), "--baseline", name) == int(
        (0.97 * 60 - START_SECONDS) / 2
    )


def test_a_pace_on_another_kind_of_device_is_refused_for_a_time_and_named_beside_a_cost(
    nas: Nas, searched: StudyFiles, simulation: Simulation
) -> None:
    def trained_on(**devices: str) -> None:
        plan = Plan.load(searched)
        plan.model_copy(update={"circumstances": plan.circumstances.model_copy(update=devices)}).save(searched)

    simulation.curve = keeping
    trained_on(device="NVIDIA H200", also_on="")
    refused = nas("retrain", "--time", "1m", "--trial", "7", "--device", "cpu")
    said = "time = '1m': the trials were trained on NVIDIA H200, and the pace on a CPU is not known; give --epochs"
    assert refused.returncode == 2 and refused.stderr.endswith(f"nas: {said}\n")
    done = nas("retrain", "--trial", "7", *BRIEF)
    assert " if all is to be done, by the pace of trials that were trained on NVIDIA H200\n" in done.stdout, done.stderr
    trained_on(device="NVIDIA H200", also_on="CPU")
    mixed = nas("retrain", "--time", "1m", "--trial", "7", "--device", "cpu")
    assert "by the pace of trials that were trained on NVIDIA H200 and CPU\n" in mixed.stdout, mixed.stderr
    trained_on(device="CPU", also_on="")
    assert "by the pace of" not in nas("retrain", "--time", "1m", "--trial", "7", "--device", "cpu").stdout
