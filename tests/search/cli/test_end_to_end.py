"""The commands in the order of a user's work, on real data, with networks that are really trained."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from subprocess import CompletedProcess
from typing import Any

import pytest
from small_search import SEARCH

from models.architecture import Architecture
from models.count import count_parameters

Nas = Callable[..., CompletedProcess[str]]


def trials(nas: Nas, *arguments: str) -> list[dict[str, Any]]:
    listed = nas("trials", "--format", "json", *arguments)
    assert listed.returncode == 0, listed.stderr
    rows: list[dict[str, Any]] = json.loads(listed.stdout)
    return rows


@pytest.fixture
def searched(trained_studies: tuple[Path, CompletedProcess[str]], tmp_path: Path) -> CompletedProcess[str]:
    """What `SEARCH` printed; its study is in `tmp_path`."""
    folder, searched = trained_studies
    copytree(folder, tmp_path / "studies")
    return searched


def test_search_retrain_report_and_export_work_end_to_end(
    nas: Nas, tmp_path: Path, searched: CompletedProcess[str]
) -> None:
    assert searched.returncode == 0, searched.stderr
    assert "4 trials trained" in searched.stdout
    assert "none of them over the budget or a repeat" in searched.stdout

    rows = trials(nas)
    assert [row["number"] for row in rows] == [0, 1, 2, 3]
    for row in rows:
        architecture = Architecture.from_dict(row["architecture"])
        assert count_parameters(architecture) == row["params"] <= 20_000  # type: ignore[operator]
        assert row["state"] in ("complete", "pruned")
    assert len({json.dumps(row["architecture"]) for row in rows}) == 4

    retrained = nas("retrain", "--top", "2", "--epochs", "1", "--seeds", "2", "--no-guess")
    assert retrained.returncode == 0, retrained.stderr
    chosen = re.search(
        r"^chosen is trial (\d+) with dropout ([\d.]+), by mean validation acc.+$", retrained.stdout, re.M
    )
    assert chosen is not None and all(f"{dropout} (" in chosen[0] for dropout in ("0", "0.1"))
    assert retrained.stdout.count("mean validation accuracy") == 2 + 1 + 1, "finalists, the other dropout, the choice"
    assert retrained.stdout.count("test accuracy") == 2
    ledger = list((tmp_path / "studies" / "test-ledger").glob("digits-*.jsonl"))
    assert len(ledger) == 1
    openings = [json.loads(line) for line in ledger[0].read_text().splitlines()]
    assert sorted(opening["seed"] for opening in openings) == [0, 1]

    number, dropout = chosen.groups()
    again = nas("retrain", "--trial", number, "--dropout", dropout, "--epochs", "1", "--seeds", "2")
    assert again.returncode == 0, again.stderr
    assert len(ledger[0].read_text().splitlines()) == 2, "what is there already is not trained and tested again"

    reported = nas("report")
    assert reported.returncode == 0, reported.stderr
    page = (tmp_path / "studies" / "digits-20k" / "report.html").read_text()
    assert f"{openings[0]['accuracy']:.2%}" in page
    table = list(csv.DictReader(io.StringIO((tmp_path / "studies" / "digits-20k" / "trials.csv").read_text())))
    assert [row["number"] for row in table] == ["0", "1", "2", "3"]

    exported = nas("export", "--trial", number, "--output", "net")
    assert exported.returncode == 0, exported.stderr
    network = Architecture.from_json((tmp_path / "net" / "architecture.json").read_text())
    assert {stage.dropout for stage in network.stages} == {float(dropout)}
    assert sorted(path.name for path in (tmp_path / "net").iterdir()) == [
        "MODEL_CARD.md",
        "README.md",
        "architecture.json",
        "certificate.json",
        "config.json",
        "model.py",
        "weights.safetensors",
    ]


@pytest.mark.slow  # in virtual time: tests/search/run/test_coordinator.py; of one training: training/test_loop.py
def test_the_same_seed_gives_the_same_trials_to_the_bit(nas: Nas, searched: CompletedProcess[str]) -> None:
    one = trials(nas)
    result = nas(*SEARCH, "--study", "two")
    assert result.returncode == 0, result.stderr
    two = trials(nas, "--study", "two")
    assert [(row["architecture"], row["value"]) for row in one] == [(row["architecture"], row["value"]) for row in two]
    assert nas(*SEARCH, "--trials", "1", "--study", "three", "--seed", "1").returncode == 0
    (three,) = trials(nas, "--study", "three")
    assert three["value"] != one[0]["value"]


@pytest.mark.slow  # what is selected: test_retrain.py; what the page says: test_report.py
def test_one_search_answers_for_every_budget(nas: Nas, tmp_path: Path, searched: CompletedProcess[str]) -> None:
    complete = [row for row in trials(nas) if row["state"] == "complete"]
    small = sorted(row["params"] for row in complete)[1]
    best = max((row for row in complete if row["params"] <= small), key=lambda row: float(row["value"]))
    retrained = nas("retrain", "--per-budget", f"{small},{small}", "--epochs", "1")
    assert retrained.returncode == 0, retrained.stderr
    assert retrained.stdout.count("test accuracy") == 1
    assert f"trial {best['number']} seed 0: test accuracy" in retrained.stdout
    assert nas("report", "--budgets", f"{small},20k").returncode == 0
    page = (tmp_path / "studies" / "digits-20k" / "report.html").read_text()
    assert "The best complete trial under each budget" in page
    assert "The search space holds" in page
    none = nas("retrain", "--per-budget", "10")
    assert none.returncode == 2
    assert none.stderr.endswith("nas: per-budget = 10: no trial of so few parameters was trained to the end\n")


@pytest.mark.slow
def test_a_baseline_is_retrained_beside_a_winner_and_stands_in_the_report(
    nas: Nas, tmp_path: Path, searched: CompletedProcess[str]
) -> None:
    result = nas("retrain", "--trial", "0", "--baseline", "resnet20-b", "--epochs", "1")
    assert result.returncode == 0, result.stderr
    assert "trial 0 seed 0: test accuracy" in result.stdout
    assert "resnet20-b by full seed 0: test accuracy" in result.stdout
    sentence = "nothing can be said of trial 0 against resnet20-b with 1 seed each, because one run shows no noise"
    assert sentence in result.stdout
    assert nas("report").returncode == 0
    assert "resnet20-b" in (tmp_path / "studies" / "digits-20k" / "report.html").read_text()


@pytest.mark.slow
def test_a_holdout_keeps_the_validation_images_out_and_its_runs_apart(
    nas: Nas, tmp_path: Path, searched: CompletedProcess[str]
) -> None:
    whole = nas("retrain", "--trial", "0", "--epochs", "1")
    held = nas("retrain", "--trial", "0", "--epochs", "1", "--holdout")
    assert (whole.returncode, held.returncode) == (0, 0), held.stderr
    assert "validation accuracy" in held.stdout and "validation accuracy" not in whole.stdout
    runs = tmp_path / "studies" / "digits-20k" / "retrain" / "0000"
    keys = sorted(path.name.rpartition("-")[0] for path in runs.iterdir())
    assert keys == ["full-1ep", "full-1ep-holdout"]
    assert "2 openings by all studies" in held.stdout
