"""The commands that do a study again, taken as the command line takes them."""

import shlex
from collections.abc import Callable

import pytest

from models.architecture import Architecture, Stage, Stem
from search.identity import Identity
from search.recipe import Recipe
from search.recipes import RECIPES
from search.space.limits import parse_fill, parse_limits
from search.space.space import load_space
from search.study.commands import retrain_commands, search_command, study_commands
from search.study.plan import Data, Plan
from search.study.results import recipe_digest
from search.study.view import RunView

NETWORK = Architecture(Stem(8), (Stage("basic", 1, 8),))
DATA = Data(name="toy", fingerprint="0", image_size=32, channels=3, classes=("cat", "dog"))


def run(label: str, seed: int, purpose: str = "final", **changes: object) -> RunView:
    values = {"recipe": "full", "epochs": 60} | changes
    return RunView(
        Identity.parse(label), purpose, seed, NETWORK, 1, 1, history=(), seconds=1.0, device="", precision="fp32",
        test_loss=None, test_accuracy=None, confusion=None, **values,  # type: ignore[arg-type]
    )  # fmt: skip


def options(command: str) -> dict[str, str]:
    """The options of a `nas search`, each with its value."""
    words = shlex.split(command)
    assert words[:2] == ["nas", "search"]
    return dict(zip(words[2::2], words[3::2], strict=True))


def test_a_search_is_written_out_with_every_option(make_plan: Callable[..., Plan]) -> None:
    recipe = RECIPES["fast"].fit_to("toy", 1_000, 8, 1)
    plan = make_plan(
        7, space=load_space(), recipe=recipe.model_copy(update={"epochs": 3}), seed=5, fill=0.8, limits=("macs=2e6",),
    )  # fmt: skip
    assert options(search_command(plan, "mine")) == {
        "--study": "mine", "--data": "toy", "--budget": "6000", "--limit": "macs=2000000", "--fill": "0.8",
        "--trials": "7", "--recipe": "fast", "--epochs": "3", "--sampler": "random", "--pruner": "none", "--seed": "5",
    }  # fmt: skip


def test_what_is_the_users_own_is_named_as_a_file(make_plan: Callable[..., Plan]) -> None:
    found = options(search_command(make_plan(recipe=Recipe(name="mine", epochs=2)), "toy"))
    assert (found["--space"], found["--recipe"], found["--fill"]) == ("space.yaml", "mine.yaml", "none")
    fitted = RECIPES["fast"].fit_to("toy", 1_000, 8, 1)
    changed = fitted.model_copy(update={"lr": 0.123})
    assert options(search_command(make_plan(recipe=changed), "toy"))["--recipe"] == "fast.yaml"
    halved = options(search_command(make_plan(recipe=fitted.model_copy(update={"halve_batch": True})), "toy"))
    assert (halved["--recipe"], halved["--batch-size"]) == ("fast", "auto")


@pytest.mark.parametrize("name", ["fast", "sprint", "full"])
def test_a_recipe_fitted_to_a_gpu_is_still_the_named_one(make_plan: Callable[..., Plan], name: str) -> None:
    on_gpu = RECIPES[name].fit_to("toy", 45_000, 8, 1, on_gpu=True)
    found = options(search_command(make_plan(recipe=on_gpu), "toy"))
    assert on_gpu.batch_size == 512 and found["--recipe"] == name and "--batch-size" not in found
    asked = on_gpu.model_copy(update={rate: getattr(RECIPES[name], rate) for rate in ("lr", "muon_lr")})
    assert options(search_command(make_plan(recipe=asked), "toy"))["--batch-size"] == "512"


@pytest.mark.parametrize("fill", [0.123456789, 0.00001])
def test_the_fill_is_written_as_exactly_as_it_was_asked_for(make_plan: Callable[..., Plan], fill: float) -> None:
    written = options(search_command(make_plan(fill=fill), "toy"))["--fill"]
    assert parse_limits([], 6_000, parse_fill(written)).fill == fill


def test_words_that_a_shell_would_take_apart_are_quoted(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan().with_circumstances(source="my data; rm x")
    assert options(search_command(plan, "toy"))["--data"] == "my data; rm x"


def test_a_study_without_hand_made_networks_says_so(make_plan: Callable[..., Plan]) -> None:
    assert search_command(make_plan(warm_start=False), "toy").endswith(" --no-warm-start")


def test_trials_and_baselines_that_were_trained_alike_are_one_command() -> None:
    runs = [run("0042", 0), run("0042", 1), run("resnet20-b", 0), run("resnet20-b", 1), run("0042", 0, "finalist")]
    assert retrain_commands(runs, DATA, "toy") == [
        "nas retrain --study toy --trial 42 --baseline resnet20-b --seeds 2 --recipe full --epochs 60"
    ]


@pytest.mark.parametrize("changes", [{"recipe": "as1"}, {"epochs": 9}, {"holdout": True}])
def test_what_was_trained_otherwise_is_a_command_of_its_own(changes: dict[str, object]) -> None:
    found = retrain_commands([run("0001", 0), run("0002", 0, **changes)], DATA, "toy")
    assert len(found) == 2
    assert {word for command in found for word in shlex.split(command)} >= {"1", "2"}
    assert sum("--holdout" in command for command in found) == ("holdout" in changes)


def test_a_dropout_that_is_not_the_trials_own_is_named() -> None:
    runs = [run("0042 with dropout 0.1", 0), run("0042", 0), run("0007 with dropout 0.1", 0), run("resnet20-b", 0)]
    assert retrain_commands(runs, DATA, "toy") == [
        "nas retrain --study toy --trial 42 --baseline resnet20-b --seeds 1 --recipe full --epochs 60",
        "nas retrain --study toy --trial 42 --trial 7 --dropout 0.1 --seeds 1 --recipe full --epochs 60",
    ]


def test_networks_with_different_numbers_of_seeds_are_commands_apart() -> None:
    found = retrain_commands([run("0001", 0), run("0002", 0), run("0002", 1)], DATA, "toy")
    assert ["--seeds 1" in found[0], "--seeds 2" in found[1]] == [True, True]


def test_without_final_runs_nothing_is_retrained() -> None:
    assert retrain_commands([run("0001", 0, "finalist")], DATA, "toy") == []


def trained(label: str, seed: int, recipe: Recipe, epochs: int | None = None) -> RunView:
    """A final run by the recipe, which stopped after so many epochs."""
    values = recipe.model_dump(mode="json")
    changes = {"recipe": recipe.name, "recipe_values": values, "recipe_digest": recipe_digest(values)}
    return run(label, seed, epochs=epochs or recipe.epochs, **changes)


def test_seeds_that_stopped_early_are_one_command_of_the_length_asked_for() -> None:
    recipe = RECIPES["as1"].model_copy(update={"name": "mine", "stop_patience": 5})
    runs = [trained("0001", seed, recipe, epochs) for seed, epochs in enumerate((41, 47, 52))]
    assert retrain_commands(runs, DATA, "toy") == [
        "nas retrain --study toy --trial 1 --seeds 3 --recipe mine.yaml --epochs 200"
    ]


def test_recipes_of_one_name_are_commands_apart_and_the_batch_is_told() -> None:
    fitted, larger, halved = (
        RECIPES["full"].model_copy(update={"epochs": 9} | changes).fit_to("toy", 45_000, 32, 3)
        for changes in ({}, {"batch_size": 256}, {"halve_batch": True})
    )
    assert fitted.batch_size == 128 and RECIPES["full"].batch_size == "auto"
    runs = [trained("0001", 1, fitted), trained("0001", 0, larger), trained("0002", 0, halved)]
    command = "nas retrain --study toy --trial"
    assert retrain_commands(runs, DATA, "toy") == [
        f"{command} 1 --seeds 2 --recipe full --epochs 9",
        f"{command} 1 --seeds 1 --recipe full --epochs 9 --batch-size 256",
        f"{command} 2 --seeds 1 --recipe full --epochs 9 --batch-size auto",
    ]


def test_a_search_with_a_batch_of_its_own_tells_it(make_plan: Callable[..., Plan]) -> None:
    recipe = RECIPES["fast"].model_copy(update={"batch_size": 48}).fit_to("toy", 1_000, 8, 1)
    found = options(search_command(make_plan(recipe=recipe), "toy"))
    assert (found["--recipe"], found["--batch-size"]) == ("fast", "48")


def test_the_automatic_batch_of_a_small_set_needs_no_option(make_plan: Callable[..., Plan]) -> None:
    recipe = RECIPES["fast"].fit_to("toy", 18, 8, 1, 15)
    found = options(search_command(make_plan(recipe=recipe), "toy"))
    assert recipe.batch_size == 15 and found["--recipe"] == "fast" and "--batch-size" not in found


def test_what_was_trained_later_comes_later() -> None:
    """The second has taken the place of the first one's seed 0; the other way round it would be lost."""
    runs = [
        run("0001", 0, recipe_digest="b", epochs=9, time="2026-01-02T00:00:00+00:00"),
        run("0001", 1, recipe_digest="a", epochs=60, time="2026-01-01T00:00:00+00:00"),
    ]
    found = retrain_commands(runs, DATA, "toy")
    assert ["--seeds 2" in found[0], "--seeds 1" in found[1]] == [True, True]


def test_a_study_without_a_limit_of_macs_says_so(make_plan: Callable[..., Plan]) -> None:
    assert options(search_command(make_plan(), "toy"))["--limit"] == "macs=none"
    both = search_command(make_plan(limits=("bytes=9KB",)), "toy")
    assert " --limit macs=none --limit bytes=9000@fp32 " in both
    assert "macs=none" not in search_command(make_plan(limits=("macs=1M",)), "toy")


def test_a_search_by_time_is_done_again_by_its_trials_or_by_time_where_it_was_not_over(
    make_plan: Callable[..., Plan],
) -> None:
    over = make_plan(84).with_circumstances(time=1800.0)
    assert options(search_command(over, "toy"))["--trials"] == "84" and "--time" not in search_command(over, "toy")
    found = options(search_command(over.with_circumstances(num_trials=None), "toy"))
    assert found["--time"] == "1800s" and "--trials" not in found
    none = options(search_command(over.with_circumstances(num_trials=0), "toy"))
    assert none["--time"] == "1800s" and "--trials" not in none, "it ended before its first trial did"


def test_a_study_of_baselines_alone_has_no_search(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(0, seed=5)
    runs = [run("resnet20-b", 0), run("resnet20-b", 1), run("guess-1", 0), run("guess-1", 0, holdout=True)]
    how = "--recipe full --epochs 60"
    assert study_commands(plan, runs, "toy") == [
        f"nas baseline train guess-1 --seeds 1 {how} --data toy --budget 6000 --seed 5 --study toy",
        f"nas baseline train resnet20-b --seeds 2 {how} --data toy --budget 6000 --seed 5 --study toy",
        f"nas retrain --study toy --baseline guess-1 --seeds 1 {how} --holdout",
    ]
    assert study_commands(plan, [], "toy") == []
    assert study_commands(make_plan(3), runs[:1], "toy")[0].startswith("nas search ")
