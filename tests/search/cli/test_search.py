"""`nas search` as a user meets it, and the question it makes of its options."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess, Popen
from sysconfig import get_path
from typing import Any

import numpy as np
import optuna
import pytest
from small_search import SEARCH, Simulation

from models.architecture import Architecture
from models.count import count_parameters
from search.cli.search import default_study, parse_question, print_outcome
from search.errors import InputError
from search.files import StudyFiles
from search.recipes import FAST
from search.run.listener import Outcome
from search.study.storage import read_study

Nas = Callable[..., CompletedProcess[str]]
NAS = Path(get_path("scripts")) / "nas"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (5_000_000, "5M"),
        (1_500_000, "1.5M"),
        (20_000, "20k"),
        (999, "999"),
        (1_234_567, "1234567"),
        (123_456_700, "123456.7k"),
        (123_457_000, "123457k"),
        (1_234_567_800, "1234567.8k"),
        (10**17 + 10**5, "100000000000.1M"),
    ],
)
def test_a_study_is_named_by_default_for_its_data_and_its_budget_to_the_digit(number: int, text: str) -> None:
    assert default_study("digits", number) == f"digits-{text}"
    assert StudyFiles(Path("studies"), default_study("digits", number)).name == f"digits-{text}"


def test_dry_run_counts_and_stores_nothing(nas: Nas, tmp_path: Path) -> None:
    result = nas("search", "--data", "digits", "--budget", "20k", "--trials", "30", "--dry-run", "--format", "json")
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    assert len(rows) == 30
    assert {row["state"] for row in rows} == {"sampled"}
    assert all(count_parameters(Architecture.from_dict(row["architecture"])) <= 20_000 for row in rows)
    assert not (tmp_path / "studies").exists()


def test_a_dry_run_of_a_space_of_one_design_samples_it_once_and_says_why(nas: Nas, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("{stem: {width: 8}, num_stages: 1, stage: {block: basic, depth: 1, width: 8}}")
    options = ("--data", "digits", "--space", "one.yaml", "--budget", "20k", "--trials", "5", "--dry-run")
    result = nas("search", *options, "--format", "json")
    assert len(json.loads(result.stdout)) == 1
    assert result.stderr.startswith("1 different design within 20,000 parameters from ")
    assert result.stderr.endswith("stopped early: the only design within the limits has been tried\n")


def test_what_a_search_leaves_unfinished_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    print_outcome(Outcome(1, 1, 1, 0, 0, None, num_unfinished=1))
    print_outcome(Outcome(4, 1_200, 1_300, 0, 0, "the time given is over", too_slow=1, num_unfinished=2))
    assert capsys.readouterr().out.splitlines() == [
        "1 interrupted trial left: the same command with more --trials goes on with it",
        "1 trial trained; 1 design proposed from 1 draw (0 moved into the limits, 0 uniform instead), none of them "
        "over the budget or a repeat",
        "1 design missed the limit of latency and was not trained",
        "stopped early: the time given is over",
        "2 interrupted trials left: the same command goes on with them",
        "4 trials trained; 1,200 designs proposed from 1,300 draws (0 moved into the limits, 0 uniform instead), none "
        "of them over the budget or a repeat",
    ]


def test_several_limits_hold_at_once(nas: Nas) -> None:
    options = ("--limit", "macs=400k", "--limit", "bytes=12KB@int8", "--fill", "0.2", "--format", "json")
    result = nas(*SEARCH, "--dry-run", "--trials", "20", *options)
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    assert 0 < len(rows) <= 20
    assert all(row["macs"] <= 400_000 and 4_000 <= row["params"] <= 12_000 for row in rows)


@pytest.mark.slow
def test_a_killed_search_goes_on_to_exactly_the_trials_asked_for(nas: Nas, tmp_path: Path) -> None:
    files = StudyFiles(tmp_path / "studies", "digits-20k")
    command = [str(NAS), *SEARCH, "--trials", "6", "--epochs", "4", "--pruner", "none"]
    process = Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        recorded = read_study(files, None)[0] if files.database.is_file() and files.plan.is_file() else []
        if len(recorded) >= 3 and recorded[-1].state == optuna.trial.TrialState.RUNNING:
            break
        time.sleep(0.1)
    process.kill()
    process.wait()
    before = read_study(files, None)[0]
    assert before[-1].state == optuna.trial.TrialState.RUNNING
    result = nas(*command[1:])
    assert result.returncode == 0, result.stderr
    rows = json.loads(nas("trials", "--format", "json").stdout)
    assert [row["number"] for row in rows] == list(range(6))
    assert {row["state"] for row in rows} == {"complete"}
    assert len({json.dumps(row["architecture"]) for row in rows}) == 6
    assert rows[before[-1].number]["architecture"] == json.loads(before[-1].user_attrs["architecture"])


def test_a_search_that_is_done_starts_no_worker(nas: Nas, searched: StudyFiles, simulation: Simulation) -> None:
    for num_trials in ("20", "3"):
        done = nas(*SEARCH, "--trials", num_trials, "--epochs", "4", "--device", "cpu", "--fill", "none")
        assert done.returncode == 0, done.stderr
        assert "the study has 20 trained trials already\n20 trials trained; 0 designs proposed" in done.stdout
    assert simulation.fleets == []


def test_mistakes_about_a_study_are_one_line(nas: Nas, searched: StudyFiles) -> None:
    changed = nas(*SEARCH, "--epochs", "4", "--fill", "none", "--budget", "30k", "--study", "digits-20k")
    assert changed.returncode == 2
    assert "was begun with another question (budget = 20000, now 30000)" in changed.stderr
    assert changed.stderr.count("\n") == 1
    unknown = nas("retrain", "--trial", "99", "--study", "digits-20k")
    assert unknown.returncode == 2
    assert unknown.stderr == "nas: trial = 99: no such trial in this study; there are 20, from 0\n"
    early = nas("export", "--trial", "0", "--study", "digits-20k")
    assert early.returncode == 2
    assert "run `nas retrain --trial 0` first" in early.stderr
    nowhere = nas("report", "--study", "digits-20k", "--output", "small.yaml/report.html")
    assert nowhere.returncode == 1
    assert nowhere.stderr.startswith("nas: cannot write small.yaml/report.html")
    assert nowhere.stderr.count("\n") == 1


def question(data: str = "digits", budget: str = "20k", **options: Any) -> Any:
    defaults: dict[str, Any] = {
        "limit": None, "fill": None, "space": None, "recipe": FAST, "sampler": "tpe", "pruner": "asha", "seed": 0,
        "warm_start": True,
    }  # fmt: skip
    return parse_question(data, budget, **defaults | options)


def test_a_question_is_what_the_options_say() -> None:
    dataset, asked = question(budget="1M", limit=["macs=400k"], fill="0.2", sampler="random", pruner="none", seed=3)
    assert dataset.name == asked.data.name == "digits"
    assert (asked.budget, asked.limits, asked.fill) == (1_000_000, ("macs=400000",), 0.2)
    assert (asked.sampler, asked.pruner, asked.seed, asked.warm_start) == ("random", "none", 3, True)
    assert asked.recipe == FAST.fit_to("digits", dataset.num_train, 8, 1)


def test_what_a_user_should_know_of_the_data_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images, labels = np.zeros((60, 8, 8), np.uint8), np.repeat([0, 50, 999], 20)
    path = str(tmp_path / "a.npz")
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels, x_valid=images)
    _, asked = question(data=path)
    assert asked.data.task.num_classes == 3
    assert caplog.messages == [
        f"data = {path!r}: not used: x_valid",
        f"data = {path!r}: 3 classes, named by their labels: 0, 50, 999",
    ]


def test_without_fill_the_share_to_use_depends_on_the_space_and_none_asks_for_nothing() -> None:
    assert question(budget="1M")[1].fill == 0.5
    assert question(budget="1M", fill="none")[1].fill == 0.0


def test_limits_are_read_before_the_data() -> None:
    with pytest.raises(InputError, match=r"^budget = 'many': "):
        question(data="nowhere", budget="many")
