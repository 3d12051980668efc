"""The plan: one snapshot file that holds the question, and refuses another."""

from collections.abc import Callable
from pathlib import Path

import pytest

from search.errors import StudyError
from search.files import StudyFiles
from search.recipes import FAST, FULL
from search.space.space import Space, load_space
from search.study.plan import Plan, differences, require_same


def refusal(files: StudyFiles) -> str:
    with pytest.raises(StudyError) as caught:
        Plan.load(files)
    return str(caught.value)


def test_a_saved_plan_is_read_back_equal(files: StudyFiles, make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(storage="postgresql://host/db", recipe=FULL, space=load_space(), sampler="tpe", pruner="asha")
    plan = plan.with_circumstances(precision="bf16", device="a GPU", versions={"torch": "2.11"})
    plan.save(files)
    assert Plan.load(files) == plan


def test_a_plan_from_before_there_were_weights_has_none(files: StudyFiles, make_plan: Callable[..., Plan]) -> None:
    plan = make_plan()
    plan.save(files)
    text = files.plan.read_text()
    assert text.count("    weights: null\n") == 1
    files.plan.write_text(text.replace("    weights: null\n", ""))
    assert Plan.load(files) == plan and Plan.load(files).question.space.weights is None


def test_new_weights_are_another_question_and_only_what_is_weighed_is_named(make_plan: Callable[..., Plan]) -> None:
    old = make_plan().question
    weights = {"num_stages": "equal", "stage": {"depth": "falling"}}
    new = make_plan(space=Space.model_validate(old.space.model_dump() | {"weights": weights})).question
    assert differences(old, new) == [
        "space.weights.num_stages = None, now equal",
        "space.weights.stage.depth = None, now falling",
    ]


def test_a_field_of_recipes_that_is_not_written_at_its_default_is_named_with_it(
    files: StudyFiles, make_plan: Callable[..., Plan]
) -> None:
    plan = make_plan()
    plan.save(files)
    assert "lookahead" not in files.plan.read_text()
    ahead = plan.question.recipe.model_copy(update={"lookahead": 5, "flip": "alternating"})
    changed = make_plan(recipe=ahead)
    assert differences(plan.question, changed.question) == [
        "recipe.lookahead = 0, now 5",
        "recipe.flip = False, now alternating",
    ]
    changed.save(files)
    assert Plan.load(files) == changed


def test_a_plan_holds_no_password_even_if_one_stands_in_its_file(
    files: StudyFiles, make_plan: Callable[..., Plan]
) -> None:
    make_plan(storage="postgresql://me:secret@host/db").save(files)
    text = files.plan.read_text()
    assert "storage: postgresql://me@host/db\n" in text
    files.plan.write_text(text.replace("me@host", "me:secret@host"))
    assert Plan.load(files).circumstances.storage == "postgresql://me@host/db"


def test_names_that_are_not_ascii_survive_the_file(files: StudyFiles, make_plan: Callable[..., Plan]) -> None:
    data = make_plan().question.data.model_copy(update={"classes": ("Hütte", "猫", "null", "1e3", "no")})
    plan = make_plan(data=data)
    plan.save(files)
    assert Plan.load(files).question.data.classes == ("Hütte", "猫", "null", "1e3", "no")


def test_the_same_question_has_no_differences(make_plan: Callable[..., Plan]) -> None:
    assert differences(make_plan().question, make_plan(num_trials=7, storage="sqlite://").question) == []


def test_every_changed_key_is_one_difference(make_plan: Callable[..., Plan]) -> None:
    old = make_plan().question
    recipe = old.recipe.model_copy(update={"lr": 0.3})
    space = old.space.model_copy(update={"num_stages": (1, 2, 3)})
    new = make_plan(budget=7_000, recipe=recipe, space=space, seed=1).question
    assert differences(old, new) == [
        "budget = 6000, now 7000",
        "space.num_stages = [1, 2], now [1, 2, 3]",
        "recipe.lr = 0.1, now 0.3",
        "seed = 0, now 1",
    ]


def test_a_changed_question_is_refused_in_one_line(files: StudyFiles, make_plan: Callable[..., Plan]) -> None:
    with pytest.raises(StudyError) as caught:
        require_same(files, make_plan().question, make_plan(budget=7_000, recipe=FAST, space=load_space()).question)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("study = 'toy': was begun with another question (budget = 6000, now 7000; ")
    assert message.endswith("give it a new name with --study")


def test_an_unchanged_question_is_not_refused(files: StudyFiles, make_plan: Callable[..., Plan]) -> None:
    plan = make_plan()
    plan.save(files)
    assert require_same(files, Plan.load(files).question, make_plan(num_trials=200).question) is None


def test_an_unknown_study_is_told_with_those_there_are(tmp_path: Path, make_plan: Callable[..., Plan]) -> None:
    for name in ("second", "first"):
        make_plan().save(StudyFiles(tmp_path, name))
    message = refusal(StudyFiles(tmp_path, "third"))
    assert message == f"study = 'third': no such study in {tmp_path}; there are first, second"


def test_an_unknown_study_in_an_empty_folder_is_told_plainly(tmp_path: Path) -> None:
    assert refusal(StudyFiles(tmp_path, "any")) == f"study = 'any': no such study in {tmp_path}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("question: [", "not YAML"),
        ("- a list", "must be a mapping"),
        ("", "must be a mapping"),
        ("question: {budget: many}\ncircumstances: {}", "question.budget = 'many'"),
        ("question: {}", "missing"),
        ("\x00", "not YAML"),
    ],
)
def test_a_broken_plan_is_one_line_that_names_the_file(files: StudyFiles, text: str, said: str) -> None:
    files.folder.mkdir(parents=True)
    files.plan.write_text(text)
    message = refusal(files)
    assert message.startswith(str(files.plan))
    assert said in message
    assert "\n" not in message


def test_a_plan_with_a_key_too_many_is_refused(files: StudyFiles, make_plan: Callable[..., Plan]) -> None:
    make_plan().save(files)
    files.plan.write_text(files.plan.read_text() + "surprise: 1\n")
    assert refusal(files) == f"{files.plan}: surprise: unknown key"


def test_changed_circumstances_leave_the_old_plan_as_it_was(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(num_trials=10)
    assert plan.with_circumstances(num_trials=20).circumstances.num_trials == 20
    assert plan.circumstances.num_trials == 10
