"""Recipes are fitted to what is really trained on, so a small set trains with the images that it has."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from search.data.datasets import Dataset, open_dataset
from search.errors import RecipeError, StudyError
from search.files import StudyFiles
from search.recipe import Recipe, with_epochs
from search.recipes import FAST, FULL, RECIPES
from search.run.earlier_defaults import was_default, was_default_recipe
from search.run.plans import Option, begun, fit_recipe, is_for_gpu, plan_of, settle
from search.space.space import Space, load_space
from search.study.plan import Plan, Question
from search.workers.machine import Machine


@pytest.fixture
def small(tmp_path: Path) -> Dataset:
    """18 training images in colour of 3 classes: 15 are in the training split, since a fifth of each is held out."""
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(24) % 3
    np.savez(tmp_path / "a.npz", x_train=images[6:], y_train=labels[6:], x_test=images[:6], y_test=labels[:6])
    return open_dataset(str(tmp_path / "a.npz"))


@pytest.mark.parametrize("holds_out", [True, False])
def test_an_automatic_batch_is_the_same_for_search_and_retraining_of_a_small_set(
    small: Dataset, holds_out: bool
) -> None:
    assert fit_recipe(FAST, small, holds_out).batch_size == fit_recipe(FULL, small, holds_out).batch_size == 15


def test_a_named_recipe_takes_a_small_set_as_one_batch(small: Dataset) -> None:
    recipe = RECIPES["report1"]
    assert recipe.batch_size == 128
    assert fit_recipe(recipe, small) == recipe.model_copy(update={"batch_size": 15})
    assert fit_recipe(recipe, small, holds_out=False) == recipe.model_copy(update={"batch_size": 18})
    assert RECIPES["as2"].needs_validation and fit_recipe(RECIPES["as2"], small, holds_out=False).batch_size == 15


def test_a_recipe_file_without_a_batch_size_asks_for_none(small: Dataset) -> None:
    said_nothing = with_epochs(Recipe.model_validate({"name": "mine", "epochs": 3}), 2)
    assert said_nothing.batch_size == 128 and fit_recipe(said_nothing, small).batch_size == 15
    said_so = with_epochs(Recipe.model_validate({"name": "mine", "epochs": 3, "batch_size": 128}), 2)
    with pytest.raises(RecipeError, match=r"^batch_size = 128: larger than the 18 training images$"):
        fit_recipe(said_so, small)


@pytest.mark.parametrize(
    ("name", "changes", "holds_out", "fits"),
    [
        ("mine", {}, True, False),
        ("mine", {}, False, True),
        ("mine", {"keep_best": True}, False, False),
        ("as1", {}, True, False),  # its own batch is 128, so the user said 16
    ],
)
def test_a_batch_that_was_asked_for_is_checked_against_what_is_really_trained_on(
    small: Dataset, name: str, changes: dict[str, bool], holds_out: bool, fits: bool
) -> None:
    recipe = Recipe.model_validate({"name": name, "epochs": 1, "batch_size": 16} | changes)
    if fits:
        assert fit_recipe(recipe, small, holds_out) == recipe
        return
    message = "^batch_size = 16: larger than the 15 images of the training split; 3 more are held out$"
    with pytest.raises(RecipeError, match=message):
        fit_recipe(recipe, small, holds_out)


@pytest.mark.parametrize("num_gpus", [0, 1])
def test_a_study_goes_on_with_the_batches_of_the_device_it_began_on(
    files: StudyFiles, make_plan: Callable[..., Plan], num_gpus: int
) -> None:
    machine = Machine(count_gpus=lambda: num_gpus)
    assert is_for_gpu(files, machine) == (num_gpus == 1), "a new study"
    plan = make_plan(5)
    plan.save(files)
    assert is_for_gpu(files, machine) == (num_gpus == 1), "none of its trials was begun"
    plan.with_circumstances(device="CPU, 2 threads", num_train=100).save(files)
    assert not is_for_gpu(files, machine)
    plan.with_circumstances(device="NVIDIA H200", num_train=100, peak=7e14).save(files)
    assert is_for_gpu(files, machine)


def test_on_a_gpu_an_automatic_batch_is_larger_where_there_are_enough_images(small: Dataset, tmp_path: Path) -> None:
    assert fit_recipe(FAST, small, on_gpu=True) == fit_recipe(FAST, small)
    images, labels = np.zeros((16_400, 4, 4, 3), np.uint8), np.arange(16_400) % 4
    np.savez(tmp_path / "b.npz", x_train=images, y_train=labels, x_test=images[:4], y_test=labels[:4])
    many = open_dataset(str(tmp_path / "b.npz"))
    on_gpu, on_cpu = fit_recipe(FAST, many, on_gpu=True), fit_recipe(FAST, many)
    assert (on_gpu.batch_size, on_cpu.batch_size) == (512, 128)
    assert on_gpu.lr == pytest.approx(2 * on_cpu.lr)


# A plan of the time before searches limited MACs, with the default space of that time.
EARLIER = Path(__file__).parents[2] / "support" / "plan-without-macs.yaml"


@pytest.fixture
def earlier(files: StudyFiles) -> Plan:
    files.folder.mkdir(parents=True)
    files.plan.write_bytes(EARLIER.read_bytes())
    plan = begun(files)
    assert plan is not None and was_default(plan.question.space) and plan.question.limits == ()
    return plan


def asked_now(plan: Plan, **changes: object) -> Question:
    """As the same command asks today, before anything is settled: today's default space and recipe, no limits."""
    space = plan.question.space.model_dump() | {"stem": {"width": [8, 16, 24, 32]}}
    recipe = with_epochs(fit_recipe(FAST, open_dataset("digits")), plan.question.recipe.epochs)
    return plan.question.changed(**{"space": space, "recipe": recipe} | changes)


def test_a_study_of_earlier_defaults_goes_on_with_them(files: StudyFiles, earlier: Plan) -> None:
    settled = settle(asked_now(earlier, fill=0.0), (), begun(files))
    assert settled == earlier.question
    assert plan_of(files, settled, "digits", None, 9).question == earlier.question


@pytest.mark.parametrize(
    ("given", "changes", "difference"),
    [
        (("space",), {}, r"space\.stem\.width = \[8, 16, 32, 64\], now \[8, 16, 24, 32\]"),
        (("macs", "rule"), {}, r"limits = \[\], now \['macs=400000'\]"),
        (("macs",), {"limits": ("macs=1M",)}, r"limits = \[\], now \['macs=1000000'\]"),
        ((), {"limits": ("bytes=70KB",)}, r"limits = \[\], now \['bytes=70000@fp32'\]"),
        ((), {"fill": 0.4}, r"fill = 0\.5, now 0\.4"),
        ((), {"seed": 1}, "seed = 0, now 1"),
    ],
)
def test_what_is_given_and_differs_from_an_earlier_study_is_refused(
    files: StudyFiles, earlier: Plan, given: tuple[Option, ...], changes: dict[str, object], difference: str
) -> None:
    settled = settle(asked_now(earlier, **changes), ("fill", *given), begun(files))
    with pytest.raises(StudyError, match=rf"was begun with another question \({difference}\)"):
        plan_of(files, settled, "digits", None, 9)


def test_a_study_keeps_its_limit_of_macs_whatever_the_rule_says_later(files: StudyFiles, earlier: Plan) -> None:
    for limits in (("macs=170000",), ("macs=170000", "bytes=60000@fp32")):
        question = earlier.question.changed(limits=limits, fill=0.4)
        Plan(question=question, circumstances=earlier.circumstances).save(files)
        assert settle(asked_now(earlier, limits=limits[1:], fill=0.4), ("fill",), begun(files)) == question


def test_a_study_of_the_earlier_rule_and_its_space_goes_on_with_them(files: StudyFiles, earlier: Plan) -> None:
    today = load_space()
    values = today.model_dump()
    values["weights"]["least_macs"] = 0.6
    question = earlier.question.changed(space=Space.model_validate(values), limits=("macs=200000",), fill=0.8)
    Plan(question=question, circumstances=earlier.circumstances).save(files)
    for given, limits in (((), ()), (("macs", "rule"), ()), (("macs",), ("macs=200000",))):
        assert settle(asked_now(earlier, space=today, limits=limits), given, begun(files)) == question
    now = settle(asked_now(earlier, space=today, limits=("macs=400000",)), ("macs",), begun(files))
    with pytest.raises(StudyError, match=r"limits = \['macs=200000'\], now \['macs=400000'\]"):
        plan_of(files, now, "digits", None, 9)


def test_a_space_of_the_users_own_is_no_earlier_default(files: StudyFiles, earlier: Plan) -> None:
    own = earlier.question.changed(space=Space.model_validate(earlier.question.space.model_dump() | {"dropout": 0.1}))
    Plan(question=own, circumstances=earlier.circumstances).save(files)
    with pytest.raises(StudyError, match=r"space\.dropout = \[0\.1\], now \[0\.0, 0\.1, 0\.2\]"):
        plan_of(files, settle(asked_now(earlier), ("fill",), begun(files)), "digits", None, 9)


def test_a_recipe_of_the_users_own_is_no_earlier_default(files: StudyFiles, earlier: Plan) -> None:
    assert was_default_recipe(earlier.question.recipe)
    own = earlier.question.changed(recipe=earlier.question.recipe.model_copy(update={"label_smoothing": 0.3}))
    Plan(question=own, circumstances=earlier.circumstances).save(files)
    with pytest.raises(StudyError, match=r"recipe\.label_smoothing = 0\.3, now 0\.1"):
        plan_of(files, settle(asked_now(earlier), ("fill",), begun(files)), "digits", None, 9)
    other = settle(asked_now(earlier, recipe=Recipe(name="mine", epochs=4)), ("fill",), begun(files))
    assert other.recipe == Recipe(name="mine", epochs=4)


def test_batches_that_are_asked_for_are_not_overlooked_in_an_earlier_study(files: StudyFiles, earlier: Plan) -> None:
    recipe, before = asked_now(earlier).recipe, earlier.question.recipe
    asked = asked_now(earlier, recipe=recipe.model_copy(update={"batch_size": 64, "lr": 0.8}))
    with pytest.raises(StudyError, match=rf"recipe\.batch_size = {before.batch_size}, now 64"):
        plan_of(files, settle(asked, ("fill",), begun(files)), "digits", None, 9)
    may_halve = asked_now(earlier, recipe=recipe.model_copy(update={"halve_batch": True}))
    with pytest.raises(StudyError, match=r"recipe\.halve_batch = False, now True"):
        plan_of(files, settle(may_halve, ("fill",), begun(files)), "digits", None, 9)
    own = before.model_copy(update={"halve_batch": True})
    Plan(question=earlier.question.changed(recipe=own), circumstances=earlier.circumstances).save(files)
    assert settle(may_halve, ("fill",), begun(files)).recipe == own


def test_a_new_study_has_todays_defaults(earlier: Plan) -> None:
    settled = settle(asked_now(earlier, space=load_space()), ("fill",), None)
    assert settled.recipe.optimizer == FAST.optimizer
    assert (settled.space, settled.limits, settled.fill) == (load_space(), ("macs=400000",), 0.5)


def test_a_rule_that_was_lifted_for_want_of_large_networks_is_lifted_again(files: StudyFiles, earlier: Plan) -> None:
    stage = {"block": "basic", "depth": [1, 2], "width": [8, 256], "kernel": 3, "reduction": 4}
    stem = {"width": 8, "kernel": 3, "stride": 1, "padding": 1}
    few = {"stem": stem, "num_stages": 1, "stage": stage | {"even_kernel": "pad-then-valid"}}
    question = earlier.question.changed(space=Space.model_validate(few), budget=700_000, limits=(), fill=0.0)
    begins = settle(question, ("space", "macs", "rule"), None)
    assert (begins.limits, begins.fill) == ((), 0.0)
    Plan(question=begins, circumstances=earlier.circumstances).save(files)
    assert settle(question, ("space", "macs", "rule"), begun(files)) == begins


@pytest.mark.parametrize(
    ("began_by_time", "given", "epochs"),
    [(True, (), 1), (True, ("epochs",), 8), (True, ("time",), 1), (False, (), 8), (False, ("time",), 1)],
)
def test_the_length_that_a_search_by_time_chose_stays(
    files: StudyFiles, earlier: Plan, began_by_time: bool, given: tuple[Option, ...], epochs: int
) -> None:
    asked = asked_now(earlier, recipe=with_epochs(earlier.question.recipe, 8))
    plan_of(files, earlier.question, "digits", None, None, 60.0 if began_by_time else None).save(files)
    assert settle(asked, ("fill", *given), begun(files)).recipe.epochs == epochs
    plan_of(files, earlier.question, "digits", None, 5).save(files)  # a run by trials since
    assert settle(asked, ("fill", *given), begun(files)).recipe.epochs == epochs
