"""`nas baseline list` and `nas baseline train`."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from small_search import Simulation, keeping

from search.files import StudyFiles
from search.recipes import RECIPES
from search.study.plan import Plan
from search.study.reading import read_view

Nas = Callable[..., CompletedProcess[str]]


def test_baselines_are_listed_with_their_exact_cost(nas: Nas) -> None:
    rows = {row["name"]: row for row in json.loads(nas("baseline", "list", "--format", "json").stdout)}
    assert rows["resnet40"]["params"] == 4_994_730
    assert all({"name", "params", "macs"} <= set(row) for row in rows.values())
    shown = json.loads(nas("show", "--baseline", "resnet40", "--format", "json").stdout)
    assert (shown["params"], shown["macs"]) == (4_994_730, rows["resnet40"]["macs"])


def test_a_baseline_list_names_recipes_that_exist(nas: Nas) -> None:

    rows = json.loads(nas("baseline", "list", "--format", "json").stdout)
    assert len([row for row in rows if row["source"].startswith("report ")]) == 18
    assert {row["recipe"] for row in rows} <= set(RECIPES)
    assert {"name", "params", "macs", "source", "recipe", "reported"} <= set(rows[0])
    assert [row["name"] for row in rows if not row["within_budget"]] == ["resnet18", "flexible-1", "flexible-6"]


def test_guesses_are_listed_within_a_budget_and_further_limits(nas: Nas) -> None:
    rows = json.loads(nas("baseline", "list", "--budget", "100k", "--format", "json").stdout)
    guessed = {row["name"]: row for row in rows if row["source"] == "guess"}
    assert [*guessed] == ["guess-1", "guess-2", "guess-3", "guess-1x4"]
    assert {(row["within_budget"], row["recipe"]) for row in guessed.values()} == {(True, "full")}
    assert all(row.keys() == rows[0].keys() for row in rows)
    assert (guessed["guess-1"]["params"], guessed["guess-1"]["macs"]) == (78_042, 12_501_632)
    assert not any(row["within_budget"] for row in rows if row["source"] != "guess")
    limited = ("baseline", "list", "--budget", "100k", "--limit", "macs=1e6", "--data", "digits", "--format", "json")
    rows = [row for row in json.loads(nas(*limited).stdout) if row["source"] == "guess"]
    assert rows and all(row["macs"] <= 1e6 and row["architecture"]["in_channels"] == 1 for row in rows)


def test_a_baseline_over_a_limit_of_bytes_in_int8_is_not_within(nas: Nas) -> None:
    for size, is_within in (("280KB@int8", False), ("1.12MB@fp32", True), ("310KB@int8", True)):
        rows = json.loads(nas("baseline", "list", "--limit", f"bytes={size}", "--format", "json").stdout)
        (row,) = [row for row in rows if row["name"] == "resnet20-b"]
        assert row["params"] < 280_000 and row["within_budget"] == is_within, size


def test_a_list_below_the_smallest_guess_says_so(nas: Nas) -> None:
    done = nas("baseline", "list", "--budget", "500", "--format", "json")
    assert done.returncode == 0
    assert done.stderr == "note: no guess is within budget=500: the smallest has 19,954 parameters and 3,236,160 MACs\n"
    assert not any(row["source"] == "guess" for row in json.loads(done.stdout))


def test_a_study_answers_for_itself(nas: Nas, searched: StudyFiles) -> None:
    rows = json.loads(nas("baseline", "list", "--study", searched.name, "--format", "json").stdout)
    guessed = [(row["name"], row["architecture"]) for row in rows if row["source"] == "guess"]
    assert guessed == [(name, network.to_dict()) for name, network in read_view(searched).guesses]
    refused = nas("baseline", "list", "--study", searched.name, "--budget", "20k")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "nas: baseline list: --study gives images, budget and limits; leave out the others\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("gess-1",), "baseline = 'gess-1': no such baseline; there are guess-1, guess-18, guess-1x4"),
        (("guess-9", "--budget", "20k"), "baseline = 'guess-9': no such network is within the limits; there "),
        (("guess", "--budget", "500"), "baseline = 'guess': no guess is within budget=500: the smallest has "),
        (("guess-1", "--study", "digits-20k", "--budget", "30k"), "budget = 30k: study 'digits-20k' has one of 20,000; "
         "leave out --budget, or choose another --study"),
    ],
)  # fmt: skip
def test_a_guess_that_is_none_is_not_trained(
    nas: Nas, searched: StudyFiles, options: tuple[str, ...], message: str
) -> None:
    done = nas("baseline", "train", *options, "--data", "digits")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"nas: {message}") and done.stderr.count("\n") == 1
    assert not (searched.studies / "digits-baselines").exists()


def test_guesses_are_trained_by_the_full_recipe_within_the_budget(
    nas: Nas, tmp_path: Path, simulation: Simulation
) -> None:
    simulation.curve = keeping
    command = ("baseline", "train", "guess", "guess-1x4", "--data", "digits", "--budget", "100k", "--epochs", "1")
    done = nas(*command, "guess-2x3", "--seed", "7")
    assert done.returncode == 0, done.stderr
    trained = {job.label.split()[0]: job for job in simulation.last_jobs}
    assert [*trained] == ["guess-1", "guess-1x4", "guess-2"]
    assert {(job.recipe.name, job.max_params) for job in trained.values()} == {("full", 100_000)}
    assert "guess-1 by full seed 0: test accuracy" in done.stdout and "(budget 100,000)" in done.stdout
    other = nas("baseline", "train", "guess-1", "--data", "digits", "--budget", "1M")
    assert other.returncode == 2 and "has one of 100,000" in other.stderr
    assert Plan.load(StudyFiles(tmp_path / "studies", "digits-baselines")).question.seed == 7
    again = nas("baseline", "train", "guess-1", "--data", "digits", "--seed", "8")
    assert again.returncode == 2 and "seed = 8: study 'digits-baselines' has seed 7; leave out --seed" in again.stderr


def test_the_commands_of_a_study_of_baselines_train_them_again(
    nas: Nas, tmp_path: Path, simulation: Simulation
) -> None:
    simulation.curve = lambda job, epoch: keeping(job, epoch) / 10
    device = ("--device", "cpu", "--workers", "1")
    study = ("--study", "by-hand", "--data", "digits", "--budget", "100k", "--seed", "7")
    for words in (
        ("baseline", "train", "guess", "guess-1x4", "--epochs", "2", "--seeds", "2", *study),
        ("baseline", "train", "resnet20-a", "--recipe", "fast", "--epochs", "1", *study),
        ("retrain", "--study", "by-hand", "--baseline", "guess-1", "--epochs", "2", "--holdout"),
        ("retrain", "--study", "by-hand", "--baseline", "guess-1", "--epochs", "2", "--teacher", "baseline:resnet20-b"),
    ):
        done = nas(*words, *device)
        assert done.returncode == 0, done.stderr
    files = StudyFiles(tmp_path / "studies", "by-hand")
    first, plan = read_view(files), Plan.load(files)
    begun = sorted(command.partition(" --")[0] for command in first.commands)
    assert begun == ["nas baseline train guess-1 guess-1x4", "nas baseline train resnet20-a", *["nas retrain"] * 2]
    files.studies.rename(tmp_path / "earlier")
    for command in first.commands:
        nas_word, *words = shlex.split(command)
        done = nas(*words, *device)
        assert (nas_word, done.returncode) == ("nas", 0), (command, done.stderr)
    again = read_view(files)
    assert {run.training for run in again.runs} == {run.training for run in first.runs}
    assert Plan.load(files).question == plan.question
    assert sorted(again.commands) == sorted(first.commands)  # in an order of seconds, of which one may hold two


@pytest.mark.slow
def test_a_baseline_is_trained_by_a_recipe_in_a_study_of_its_own(nas: Nas, tmp_path: Path) -> None:
    command = (
        "baseline",
        "train",
        "resnet20-b",
        "resnet20-a",
        "--data",
        "digits",
        "--recipe",
        "brief.yaml",
        "--budget",
        "270k",
    )
    (tmp_path / "brief.yaml").write_text("{name: brief, epochs: 1, batch_size: 512, schedule: plateau, warmup: 0}")
    result = nas(*command, "--log", "tensorboard")
    assert result.returncode == 0, result.stderr
    assert "resnet20-b by brief seed 0: test accuracy" in result.stdout
    assert "272,186 parameters (a reference, over the budget of 270,000)" in result.stdout
    folder = tmp_path / "studies" / "digits-baselines"
    (weights,) = folder.glob("retrain/resnet20-b/brief-1ep-*/seed-0/weights.safetensors")
    assert f"weights in {Path('studies') / weights.parent.relative_to(tmp_path / 'studies')}" in result.stdout
    logged = [path.name.rpartition("-")[0] for path in sorted((folder / "tensorboard").iterdir())]
    assert logged == ["final-resnet20-a-seed-0-brief-1ep", "final-resnet20-b-seed-0-brief-1ep"]
    assert nas("report").returncode == 0
    page = (folder / "report.html").read_text()
    assert "No search was made here: 2 networks made by hand." in page
    assert "resnet20-b is over the budget" in page
    assert "did not see the validation images" in page
    ledger = next((tmp_path / "studies" / "test-ledger").iterdir())
    assert len(ledger.read_text().splitlines()) == 2
    assert nas(*command).returncode == 0
    assert len(ledger.read_text().splitlines()) == 2, "what is there already is not trained and tested again"
