"""The race of recipes: its lists, the lengths that it gives, what it keeps, and its table."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
from measuring import Kept
from race import BASE, SETTINGS, Race, make_entrants, paired_p, print_results

from search.errors import RecipeError


def options_of(device: str, **others: Any) -> argparse.Namespace:
    setting = SETTINGS[device]
    fields = {name: getattr(setting, name) for name in setting.__dataclass_fields__}
    return argparse.Namespace(**fields | {"device": device, "base": "full", "variants": None, "equal": "time"} | others)


@pytest.mark.parametrize("device", SETTINGS)
def test_every_variant_of_the_shipped_lists_is_a_recipe_of_its_own(device: str) -> None:
    for first, *others in make_entrants(options_of(device)).values():
        assert first.variant == BASE
        recipes = [entrant.recipe.model_copy(update={"name": BASE}) for entrant in (first, *others)]
        assert len({str(recipe) for recipe in recipes}) == len(recipes) > 5


@pytest.mark.parametrize("device", SETTINGS)
def test_the_shipped_lists_change_fast_as_well(device: str) -> None:
    designs = make_entrants(options_of(device, base="fast"))
    assert len(designs) == 3
    assert all(entrant.recipe.epochs == SETTINGS[device].epochs for group in designs.values() for entrant in group)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("odd: {rate: 1}", "variant = 'odd': rate: unknown key"),
        ("odd: {momentum: 2}", "variant = 'odd': momentum = 2: "),
        ("odd: {keep_best: true}", "variant = 'odd': needs a length"),
        ("odd: {epochs: 3}", "variant = 'odd': needs a length"),
        ("odd: [flip]", "race.yaml: odd"),
        ("base: {flip: true}", "race.yaml: base is the name"),
    ],
)
def test_an_invalid_variant_is_refused_in_a_line_that_names_it(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "race.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as error:
        make_entrants(options_of("cpu", list=path))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"variant = 'mirror': .*race.yaml has base, sgd, "):
        make_entrants(options_of("cpu", variants=["mirror"]))


def test_a_variant_gets_the_epochs_that_take_the_time_of_the_base(tmp_path: Path) -> None:
    options = options_of("cpu", results=tmp_path, seeds=2, epochs=8)
    entrant = make_entrants(options)["deep"][1]
    speed = {"rates": [50.0, 100.0, 80.0], "base rates": [100.0, 200.0, 100.0]}
    race = Race(options, pool=None)  # type: ignore[arg-type]  # nothing is trained
    runs = race.plan(entrant, speed)
    assert [(run.seed, run.entrant.recipe.epochs, run.cost) for run in runs] == [(0, 4, 2.0), (1, 4, 2.0)]
    options.equal = "epochs"
    assert {run.entrant.recipe.epochs for run in race.plan(entrant, speed)} == {8}


def test_what_is_kept_is_found_again_but_for_the_line_that_a_killed_process_left_unfinished(tmp_path: Path) -> None:
    path = tmp_path / "race.jsonl"
    Kept(path).add({"seed": 0, "lr": 1.0}, {"accuracy": 0.5})
    with path.open("a") as file:
        file.write('{"accuracy": 0.6, "key": {"se')
    kept = Kept(path)
    kept.add({"seed": 1, "lr": 1.0}, {"accuracy": 0.7})
    found = [Kept(path).find({"lr": 1.0, "seed": seed}) for seed in range(3)]
    assert [row and row["accuracy"] for row in found] == [0.5, 0.7, None]
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 2


def test_the_table_pairs_runs_of_one_design_and_seed(capsys: pytest.CaptureFixture[str]) -> None:
    def row(variant: str, design: str, seed: int, accuracy: float) -> dict[str, Any]:
        names = {"variant": variant, "design": design, "seed": seed}
        return names | {"accuracy": accuracy, "diverged": False, "cpu": 2.0 if variant == BASE else 3.0}

    base = [row(BASE, "deep", 0, 0.50), row(BASE, "deep", 1, 0.60), row(BASE, "shallow", 0, 0.70)]
    better = [row("better", "deep", 0, 0.52), row("better", "deep", 1, 0.64), row("better", "shallow", 0, 0.73)]
    unpaired = [row("unpaired", "shallow", 1, 0.99)]
    print_results([*base, *better, *unpaired], ["deep", "shallow"], "cpu")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("| base | 55.00 ")
    cells = [cell.strip() for cell in lines[-1].split("|")]
    assert cells[1] == "better"
    assert [cell.split()[0] for cell in cells[2:5]] == ["+3.00", "+3.00", "+3.00"]
    assert cells[5:8] == ["3", "0.035", "1.50"]


def test_differences_without_noise_have_no_p_value() -> None:
    assert paired_p([0.01]) is None
    assert paired_p([0.01, 0.01]) is None
    assert paired_p([0.01, 0.02]) == pytest.approx(0.2048, abs=1e-3)
