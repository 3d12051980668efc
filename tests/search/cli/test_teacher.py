"""`nas retrain --teacher`: who teaches, what the screen says of it, and what is refused."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from small_search import SEARCH, Simulation, keeping

from models.architecture import Architecture
from search.cli.hand_made import known_baseline
from search.cli.retrain import find_opponent
from search.files import StudyFiles
from search.protocol import Job, TooSlow
from search.report.findings import find
from search.run.candidates import Candidate, best_first, best_trials
from search.study.plan import Plan
from search.study.reading import read_view
from search.study.results import read_results
from search.study.storage import architecture_of, read_study
from search.study.view import at_dropout

Nas = Callable[..., CompletedProcess[str]]
BRIEF = ("--epochs", "2", "--workers", "2", "--device", "cpu")


def teaching(job: Job, epoch: int) -> float:
    """Teachers help by a tenth, with some noise between seeds."""
    keeping(job, epoch)
    return 0.5 + 0.1 * (job.lesson is not None) + 0.01 * (job.seed % 3)


def best(files: StudyFiles, num: int) -> list[int]:
    """The first trials of the best designs."""
    first: dict[Architecture, int] = {}
    for trial in best_first(read_study(files, None)[0]):
        first.setdefault(at_dropout(architecture_of(trial), 0.0).canonical(), trial.number)
    return list(first.values())[:num]


def third(files: StudyFiles) -> int:
    """The last of --top 3."""
    return best_trials(read_study(files, None)[0], 3)[2]


def test_the_best_of_the_study_teach_and_the_last_lines_say_what_they_gained(
    nas: Nas, searched: StudyFiles, simulation: Simulation
) -> None:
    simulation.curve = teaching
    numbers = best(searched, 3)
    done = nas("retrain", "--trial", "7", "--teacher", "top3", "--seeds", "3", *BRIEF)
    assert done.returncode == 0, done.stderr
    jobs = simulation.last_jobs
    assert sorted(int(job.label.split()[0]) for job in jobs if job.purpose == "teacher") == sorted(numbers)
    assert [job.lesson is not None for job in jobs if job.purpose == "final"].count(True) == 3
    assert len([job for job in jobs if job.purpose == "final"]) == 6
    first, cost, *_ = done.stdout.splitlines()
    assert first.startswith(f"teachers: trial {numbers[0]} (") and first.endswith("; temperature 2, 70% of the loss")
    said = "3 final runs of 2 epochs, 3 runs of 2 epochs to train teachers, 3 final runs with teachers, about "
    assert cost.startswith(said) and cost.endswith("on 2 workers if all is to be done")
    last = done.stdout.splitlines()[-2]
    names = f"trial {numbers[0]}, trial {numbers[1]} and trial {numbers[2]}"
    assert last.startswith(
        f"trial 7, full, 2 epochs, taught by {names} (temperature 2, share 0.7), is better with teachers than without "
        "by 10.00 points (95% interval "
    )
    again = nas("retrain", "--trial", "7", "--teacher", "top3", "--seeds", "3", *BRIEF)
    assert again.returncode == 0 and len(simulation.fleets) == 1, "nothing was left to be trained"
    view = read_view(searched)
    commands = [command for command in view.commands if "--teacher" in command]
    assert commands == ["nas retrain --study digits-20k --trial 7 --seeds 3 --recipe full --epochs 2 --teacher top3"]


def test_teachers_alone_are_enough_and_the_guess_beside_the_winner_has_them_too(
    nas: Nas, searched: StudyFiles, simulation: Simulation
) -> None:
    def curve(job: Job, epoch: int) -> float:
        keeping(job, epoch)
        return 0.9 if job.label.split()[0] == other else 0.5

    other = f"{third(searched):04d}"
    simulation.curve = curve
    done = nas("retrain", "--top", "3", "--teacher", "top2", "--taught-only", "--seeds", "2", *BRIEF)
    assert done.returncode == 0, done.stderr
    jobs = simulation.last_jobs
    assert len({job.label.split()[0] for job in jobs if job.purpose == "teacher"}) == 2
    finals = [job for job in jobs if job.purpose == "final"]
    assert len(finals) == 4 and all(job.lesson is not None for job in finals)
    assert {job.label.split()[0] for job in finals} > {other}, "and the guess"
    cost = next(line for line in done.stdout.splitlines() if "on 2 workers" in line)
    assert ", 2 runs of 2 epochs to train teachers, 4 final runs of 2 epochs with teachers, about " in cost
    assert "without" not in done.stdout
    commands = [command for command in read_view(searched).commands if "--teacher" in command]
    assert len(commands) == 1 and commands[0].endswith(" --teacher top2 --taught-only")


def test_a_guess_that_is_too_slow_is_left_out_where_all_are_taught(
    nas: Nas, searched: StudyFiles, simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limited(*arguments: Any) -> Candidate:
        opponent = find_opponent(*arguments)
        assert opponent is not None
        return replace(opponent, max_latency=0.005)

    def curve(job: Job, epoch: int) -> float | TooSlow:
        keeping(job, epoch)
        return TooSlow(0.02) if job.max_latency is not None else 0.9 if job.label.split()[0] == other else 0.5

    other = f"{third(searched):04d}"
    simulation.curve = curve
    monkeypatch.setattr("search.cli.retrain.find_opponent", limited)
    done = nas("retrain", "--top", "3", "--teacher", "top2", "--taught-only", *BRIEF)
    assert done.returncode == 0, done.stderr
    assert {job.label.split()[0][:5] for job in simulation.last_jobs if job.purpose == "final"} == {other, "guess"}
    (final,) = [run for run in read_results(searched).runs if run.purpose == "final"]
    assert final.label == other and final.teaching is not None


def test_a_retraining_by_time_counts_its_teachers(nas: Nas, searched: StudyFiles, simulation: Simulation) -> None:
    simulation.curve = teaching
    found = []
    for options in ((), ("--teacher", "top2"), ("--teacher", "top2", "--taught-only")):
        done = nas("retrain", "--time", "5m", "--trial", "7", *options, "--workers", "2", "--device", "cpu")
        assert done.returncode == 0, done.stderr
        line = next(line for line in done.stdout.splitlines() if line.startswith("in 5m: --epochs "))
        found.append(int(line.split()[-1]))
    alone, beside, only = found
    assert beside < only < alone
    macs = {trial.number: trial.macs for trial in read_view(searched).trials}
    ratios = [macs[number] / macs[7] for number in best(searched, 2)]
    teachers, taught = sum(ratios) / 2, 1 + sum(ratios) / 4  # side by side; and two passes forward in every step
    assert only / alone == pytest.approx(1 / (teachers + taught), rel=0.02)
    assert beside / alone == pytest.approx(1 / (1 + teachers + taught), rel=0.02)


def test_a_retraining_that_is_given_nothing_but_time_is_taught_if_thirty_epochs_fit_so(
    nas: Nas, searched: StudyFiles, simulation: Simulation
) -> None:
    simulation.curve = teaching
    device = ("--workers", "2", "--device", "cpu")

    def first_line(time: str, *options: str) -> str:
        done = nas("retrain", "--time", time, *options, *device)
        assert done.returncode == 0, done.stderr
        return next(line for line in done.stdout.splitlines() if line.startswith(f"in {time}: "))

    def epochs(line: str) -> int:
        return int(re.search(r"--epochs (\d+)", line)[1])

    long = first_line("10m")
    assert long.endswith(" --teacher top2 --taught-only") and epochs(long) >= 30
    finals = [job for job in simulation.last_jobs if job.purpose == "final"]
    assert finals and all(job.lesson is not None for job in finals)
    asked = first_line("10m", "--teacher", "top2", "--taught-only")
    assert f"{asked} --teacher top2 --taught-only" == long, "as if it had been asked for"
    fleets = simulation.fleets.copy()
    assert nas("retrain", "--top", "4", "--epochs", "3", *device).returncode == 0
    assert first_line("10m") == long and len(simulation.fleets) == len(fleets) + 1, "by its own round, which is there"
    brief = first_line("20s")
    assert "--teacher" not in brief and 1 <= epochs(brief) < 60
    for options in (("--teacher", "none"), ("--trial", "7"), ("--top", "2")):
        assert "--teacher" not in first_line("10m", *options)
        assert all(job.lesson is None for job in simulation.last_jobs)


def test_what_had_no_teacher_is_what_a_trial_stands_for(nas: Nas, searched: StudyFiles, simulation: Simulation) -> None:
    simulation.curve = teaching
    assert nas("retrain", "--trial", "7", "--teacher", "top1", "--temperature", "8", *BRIEF).returncode == 0
    findings = find(read_view(searched))
    assert findings.meant[7].teaching is None
    exported = nas("export", "--trial", "7")
    assert "it was also trained by full, 2 epochs, taught by trial " in exported.stderr
    key = next(run.key for run in read_results(searched).runs if run.teaching is not None)
    taught = nas("export", "--trial", "7", "--recipe", key)
    assert taught.returncode == 0, taught.stderr
    card = next(Path(line) for line in taught.stdout.splitlines() if line.endswith("MODEL_CARD.md")).read_text()
    assert "2 epochs, taught by trial" in card and "(temperature 8, share 0.7)" in card
    alone, other = (Path(each.stdout.splitlines()[-1]).parent / "certificate.json" for each in (exported, taught))
    (teacher,) = json.loads(other.read_text())["teachers"]
    assert f"taught by {teacher} (" in card and "teachers" not in alone.read_text()


def test_a_baseline_over_the_budget_teaches_and_is_said_to_be_over_it(
    nas: Nas, searched: StudyFiles, simulation: Simulation
) -> None:
    simulation.curve = teaching
    done = nas("retrain", "--trial", "7", "--teacher", "baseline:resnet20-b", *BRIEF)
    assert done.returncode == 0, done.stderr
    over = "parameters, over the budget of 20,000"
    assert done.stdout.startswith("teacher: resnet20-b (") and f"{over}); temperature 2" in done.stdout
    assert "nothing can be said of the difference with 1 seed, because one run shows no noise" in done.stdout
    assert f"{over}: it teaches, and is no answer." in done.stdout
    (teacher,) = [job for job in simulation.last_jobs if job.purpose == "teacher"]
    assert teacher.max_params is None
    page = nas("report")
    assert page.returncode == 0, page.stderr
    text = searched.report.read_text()
    assert f"{over}: it teaches, and is no answer." in text and "<h3>Teachers</h3>" in text
    assert "retraining: teachers" in text and "retraining: final training and test, with a teacher" in text


def test_an_exported_network_teaches_another_study_run(nas: Nas, searched: StudyFiles, simulation: Simulation) -> None:
    simulation.curve = teaching
    number = best(searched, 1)[0]
    assert nas("retrain", "--trial", str(number), *BRIEF).returncode == 0
    exported = nas("export", "--trial", str(number), "--output", "teacher")
    assert exported.returncode == 0, exported.stderr
    done = nas("retrain", "--trial", "7", "--teacher", "teacher", *BRIEF)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("teacher: teacher (") and "note: teacher" not in done.stderr
    assert [job.purpose for job in simulation.last_jobs] == ["final", "final"]
    alone = nas("retrain", "--trial", str(number), "--teacher", "teacher", *BRIEF)
    assert alone.returncode == 2
    assert alone.stderr.endswith(f"nas: teacher = teacher: trial {number} would be taught by itself alone\n")


def test_the_winner_of_a_round_is_taught_by_the_best_of_that_round(
    nas: Nas, searched: StudyFiles, simulation: Simulation
) -> None:
    def curve(job: Job, epoch: int) -> float:
        keeping(job, epoch)
        return 0.9 if int(job.label.split()[0].replace("guess-", "")) == other else 0.5

    other = third(searched)
    simulation.curve = curve
    options = ("--top", "3", "--no-guess", "--teacher", "top2", *BRIEF)
    done = nas("retrain", *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("teachers: the 2 best of the study after the finalists' round; temperature 2")
    (taught,) = [run for run in read_results(searched).runs if run.teaching is not None]
    assert taught.teaching is not None and taught.identity.trial == other
    assert taught.teaching.teachers[0].name.startswith(f"trial {other}")
    assert nas("retrain", *options).returncode == 0 and len(simulation.fleets) == 1


def test_a_guess_that_is_a_finalist_teaches_another_winner(
    nas: Nas, searched: StudyFiles, simulation: Simulation
) -> None:
    def curve(job: Job, epoch: int) -> float:
        keeping(job, epoch)
        return 0.9 if job.label.split()[0] == winner else 0.5

    guess = known_baseline("guess", searched, Plan.load(searched))
    winner = f"{third(searched):04d}"
    simulation.curve = curve
    options = ("--teacher", f"baseline:{guess}", *BRIEF)
    done = nas("retrain", "--top", "3", *options)
    assert done.returncode == 0, done.stderr
    (taught,) = [run for run in read_results(searched).runs if run.teaching is not None]
    assert taught.teaching is not None and [one.name for one in taught.teaching.teachers] == [guess]
    assert f"{taught.identity.trial:04d}" == winner


def test_fewer_designs_than_teachers_are_all_there_are(nas: Nas, searched: StudyFiles, simulation: Simulation) -> None:
    simulation.curve = teaching
    trials = [trial for trial in read_view(searched).trials if trial.state == "complete"]
    there = len({at_dropout(trial.architecture, 0.0).canonical() for trial in trials})
    assert there < len(trials) < 10, "some differ in their dropout alone"
    done = nas("retrain", "--trial", "7", "--teacher", "top10", *BRIEF)
    assert done.returncode == 0, done.stderr
    assert f"teacher = top10: only {there} designs of this study can teach\n" in done.stderr
    assert len([job for job in simulation.last_jobs if job.purpose == "teacher"]) == there


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--trial", "7", "--temperature", "2"), "temperature = 2: is for --teacher"),
        (("--trial", "7", "--teacher-share", "0.5"), "teacher-share = 0.5: is for --teacher"),
        (("--trial", "7", "--teacher", "top3", "--temperature", "0"), "temperature = 0: must be above 0"),
        (("--trial", "7", "--teacher", "top3", "--teacher-share", "2"), "teacher-share = 2: must be above 0, and at"),
        (("--trial", "7", "--teacher", "top0"), "teacher = top0: must be top1 to top10"),
        (("--trial", "7", "--teacher", "top11"), "teacher = top11: must be top1 to top10"),
        (
            ("--trial", "7", "--teacher", "tpo3"),
            "teacher = tpo3: there is no such folder; give top3, baseline:NAME, or",
        ),
        (("--trial", "7", "--teacher", "."), "teacher = .: is no export of nas; it holds no architecture.json"),
        (("--trial", "7", "--teacher", ""), "teacher = ''"),
        (("--trial", "7", "--teacher", "baseline:resnet21"), "baseline = 'resnet21': no such baseline; there are"),
        (("--trial", "7", "--teacher", "baseline:"), "baseline = '': no such baseline"),
        (("--top", "3", "--teacher", "top1"), "teacher = top1: the winner of --top would be taught by itself alone"),
        (
            ("--baseline", "resnet20-b", "--teacher", "baseline:resnet20-b"),
            "teacher = baseline:resnet20-b: resnet20-b would be taught by itself alone",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(
    nas: Nas, searched: StudyFiles, simulation: Simulation, options: tuple[str, ...], message: str
) -> None:
    done = nas("retrain", *options, *BRIEF)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"nas: {message}"), done.stderr
    assert simulation.fleets == []


@pytest.mark.parametrize("top", ["1", "3"])
def test_a_guess_beside_the_winner_that_would_teach_itself_is_refused_before_anything_is_trained(
    nas: Nas, simulation: Simulation, tmp_path: Path, top: str
) -> None:
    assert nas(*SEARCH, "--no-warm-start", "--study", "small", "--device", "cpu").returncode == 0
    files = StudyFiles(tmp_path / "studies", "small")
    guess = known_baseline("guess", files, Plan.load(files))
    simulation.curve = teaching
    options = ("retrain", "--top", top, "--teacher", f"baseline:{guess}", *BRIEF)
    refused = nas(*options, "--taught-only")
    assert refused.returncode == 2
    message = f"nas: teacher = baseline:{guess}: {guess} would be taught by itself alone"
    assert refused.stderr.splitlines()[-1] == message
    assert len(simulation.fleets) == 1, "that of the search"
    assert nas(*options).returncode == 0, "the guess itself has no teacher then"


@pytest.mark.slow
def test_a_taught_network_is_trained_by_real_workers(
    nas: Nas, trained_studies: tuple[Path, CompletedProcess[str]], tmp_path: Path
) -> None:
    from shutil import copytree

    copytree(trained_studies[0], tmp_path / "studies")
    (name,) = [path.name for path in (tmp_path / "studies").iterdir() if (path / "plan.yaml").is_file()]
    files = StudyFiles(tmp_path / "studies", name)
    number = best(files, 1)[0]
    once = ("--epochs", "1", "--workers", "1", "--device", "cpu")
    done = nas("retrain", "--trial", str(number), "--teacher", "top2", *once)
    assert done.returncode == 0, done.stderr
    exported = nas("export", "--trial", str(number), "--output", "out")
    assert exported.returncode == 0, exported.stderr
    student = next(trial.number for trial in read_view(files).trials if trial.number != number)
    taught = nas("retrain", "--trial", str(student), "--teacher", "out", *once)
    assert taught.returncode == 0, taught.stderr
    runs = {
        (run.identity.trial, run.teaching is not None): run for run in read_results(files).runs if run.test_accuracy
    }
    assert set(runs) == {(number, True), (number, False), (student, True), (student, False)}
    alone, with_teacher = runs[student, False].history, runs[student, True].history
    assert alone[0].first_loss == with_teacher[0].first_loss, "the same images and the same first weights"
    assert alone[0].train_loss != with_teacher[0].train_loss and math.isfinite(with_teacher[0].train_loss)
    # What was trained without the validation images teaches in the place of a teacher's own run.
    assert not any(json.loads(line)["accuracy"] is None for line in ledger_of(files))


def ledger_of(files: StudyFiles) -> list[str]:
    (path,) = (files.studies / "test-ledger").glob("*.jsonl")
    return path.read_text().splitlines()
