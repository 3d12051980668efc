"""`nas baseline list` and `nas baseline train`."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from search.recipes import RECIPES

Nas = Callable[..., CompletedProcess[str]]


def test_baselines_are_listed_with_their_exact_cost(nas: Nas) -> None:
    rows = {row["name"]: row for row in json.loads(nas("baseline", "list", "--format", "json").stdout)}
    assert rows["resnet40"]["params"] == 4_994_730
    assert all({"name", "params", "macs"} <= set(row) for row in rows.values())
    shown = json.loads(nas("show", "--baseline", "resnet40", "--format", "json").stdout)
    assert (shown["params"], shown["macs"]) == (4_994_730, rows["resnet40"]["macs"])


def test_a_baseline_list_names_recipes_that_exist(nas: Nas) -> None:

    rows = json.loads(nas("baseline", "list", "--format", "json").stdout)
    assert len(rows) == 18
    assert {row["recipe"] for row in rows} <= set(RECIPES)
    assert {"name", "params", "macs", "source", "recipe", "reported"} <= set(rows[0])
    assert [row["name"] for row in rows if not row["within_budget"]] == ["resnet18", "flexible-1", "flexible-6"]


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
