"""The plan of a study and the data that it is asked of: begun, or found on disk and still the same."""

from collections.abc import Callable, Collection
from typing import Any, Literal

from pydantic import ValidationError

from search.data.catalogue import from_anywhere
from search.data.datasets import Dataset, open_dataset
from search.data.splits import split
from search.errors import DataError, RecipeError, StudyError
from search.files import StudyFiles
from search.recipe import Recipe, with_batch_size
from search.recipes import FAST, RECIPES
from search.run.earlier_defaults import ASKED, had_rule, was_default, was_default_recipe
from search.run.proposals import with_defaults
from search.space.space import load_space
from search.study.address import are_same
from search.study.database import require_kept
from search.study.plan import Circumstances, Data, Plan, Question, now, package_versions, require_same
from search.study.storage import Record
from search.workers.machine import Machine

_SHARED = ("precision", "device", "num_train", "peak", "peak_precision", "also_on")  # by all folders
Option = Literal["space", "macs", "rule", "fill", "epochs", "time"]


def plan_of(
    files: StudyFiles,
    question: Question,
    source: str,
    storage: str | None,
    num_trials: int | None,
    time: float | None = None,
) -> Plan:
    """The plan of the study on disk, if it asks the same question, or a new one.

    Raises:
        StudyError: the study on disk asks another question, or is kept in another database.
        StorageError: the file of its database is missing.
    """
    if files.plan.is_file():
        plan = Plan.load(files)
        require_same(files, plan.question, question)
        kept = plan.circumstances.storage
        if storage is not None and (kept is None or not are_same(storage, kept)):
            raise StudyError(f"storage: study {files.name!r} is kept in {kept or files.database}; leave out --storage")
        if kept is not None:
            require_kept(files, kept)
        keeps_epochs = plan.circumstances.keeps_epochs or time is not None
        return plan.with_circumstances(source=source, num_trials=num_trials, time=time, keeps_epochs=keeps_epochs)
    circumstances = Circumstances(
        source=source,
        storage=storage,
        created=now(),
        num_trials=num_trials,
        time=time,
        keeps_epochs=time is not None,
        versions=package_versions(),
    )
    return Plan(question=question, circumstances=circumstances)


def begun(files: StudyFiles) -> Plan | None:
    """The plan of the study, if there is one."""
    return Plan.load(files) if files.plan.is_file() else None


def settle(
    question: Question, given: Collection[Option], plan: Plan | None, say: Callable[[str], None] = lambda text: None
) -> Question:
    """The question with a value for everything that nobody gave.

    In a study that has begun it is the study's own, where the default has changed since or may change: the space, if it
    was a default once, the recipe likewise, the limit of multiply-accumulates or that there is none, the least share of
    the budget, and the length of trials that a search by time has chosen. Elsewhere it is today's default.

    Args:
        given: the options that were given. `rule` stands for `--limit macs=auto`.
        plan: of the study, if it has begun.
        say: is called with a line where today's default does not suit the question.
    """
    changes: dict[str, Any] = {}
    says_macs, asks_rule = "macs" in given, "rule" in given
    if plan is not None:
        if asks_rule and had_rule(plan.question):
            says_macs = asks_rule = False
        own = plan.question
        if "space" not in given and was_default(own.space):
            changes["space"] = own.space
        recipe, epochs = question.recipe, question.recipe.epochs
        if recipe.name == FAST.name and was_default_recipe(own.recipe):
            recipe = own.recipe.model_copy(update={name: getattr(recipe, name) for name in ASKED})
        if "epochs" not in given and ("time" in given or plan.circumstances.keeps_epochs):
            epochs = own.recipe.epochs
        changes["recipe"] = recipe.model_copy(update={"epochs": epochs})
        if "fill" not in given:
            changes["fill"] = own.fill
        if not says_macs:
            changes["limits"] = (*(text for text in own.limits if text.startswith("macs=")), *question.limits)
    rule = asks_rule or (not says_macs and plan is None)
    # The rule is lifted, or is not, as it was when the study began: by the share of the budget that was chosen with it.
    chooses_fill = "fill" not in given and (rule or plan is None)
    settled = with_defaults(question.changed(**changes), rule, chooses_fill, say)
    return settled.changed(fill=changes["fill"]) if "fill" in changes else settled


def baselines_study(files: StudyFiles, source: str, budget: int, seed: int = 0) -> Plan:
    """The plan of a study to train baselines in: the one there is, else one without trials, not yet written.

    Raises:
        DataError: the data is not found.
    """
    if files.plan.is_file():
        return Plan.load(files)
    dataset = open_dataset(source)
    question = Question(
        budget=budget,
        data=Data.of(dataset),
        space=load_space(None),
        recipe=fit_recipe(FAST, dataset),
        sampler="tpe",
        pruner="asha",
        seed=seed,
    )
    return plan_of(files, question, from_anywhere(source), None, 0)


def as_recorded(files: StudyFiles, record: Record, plan: Plan) -> Plan:
    """The plan with what its study was trained on and in, as it stands beside the trials: a database elsewhere may hold
    the study of another folder.

    Raises:
        StudyError: the study there asks another question.
    """
    recorded, shared = record.attribute("question", None), record.attribute("circumstances", {})
    if plan.circumstances.storage is None or recorded is None:
        return plan
    try:
        question = Question.model_validate(recorded)
        own = {name: shared[name] for name in _SHARED if name in shared} if shared.get("device") else {}
        circumstances = Circumstances.model_validate(plan.circumstances.model_dump() | own)
    except ValidationError:
        rule = "its database holds a study of this name, begun by another version of nas"
        raise StudyError(f"study = {files.name!r}: {rule}; choose another --study") from None
    require_same(files, question, plan.question)
    return plan.model_copy(update={"circumstances": circumstances})


def keep_question(record: Record, plan: Plan) -> None:
    """Let the question stand beside the trials in a database elsewhere, and those of the plan's circumstances that are
    the same in all folders, for `as_recorded`.

    A question that stands there already is replaced: of a search by time that was interrupted before its first trial,
    it has a length that was not chosen yet, or may be chosen anew.
    """
    if plan.circumstances.storage is not None:
        record.set_attribute("question", plan.question.model_dump(mode="json"))
        record.set_attribute("circumstances", plan.circumstances.model_dump(mode="json", include=set(_SHARED)))


def open_study_data(plan: Plan) -> Dataset:
    """The data of a study, which must still be what it was.

    Raises:
        DataError: it is not found, or has changed.
    """
    dataset = open_dataset(plan.circumstances.source)
    own = plan.question.data
    found = Data.of(dataset)
    if found != own.model_copy(update={"are_named": found.are_named, "labels": found.labels}):
        raise DataError(f"data = {plan.circumstances.source}: is not the data this study was begun with")
    return dataset


def is_for_gpu(files: StudyFiles, machine: Machine) -> bool:
    """Whether the recipe of a search is fitted to GPUs: those that the study has begun on, else those of the machine.

    Raises:
        InputError: there is no such device.
    """
    if files.plan.is_file() and (circumstances := Plan.load(files).circumstances).device:
        return circumstances.peak is not None
    return machine.has_gpu


def fit_recipe(recipe: Recipe, dataset: Dataset, holds_out: bool = True, on_gpu: bool = False) -> Recipe:
    """The recipe with its open values set for the data, of which the training split is trained on, or without
    `holds_out` the validation split too.

    Where nobody asked for a batch size, that of a named recipe or of a file without one, a batch larger than this
    becomes all these images; the learning rate stays.

    Raises:
        RecipeError: the recipe does not fit the data.
    """
    num_split = len(split(dataset.train()[1], seed=0)[0])  # as many for every seed
    num_images = num_split if holds_out or recipe.needs_validation else dataset.num_train
    known = RECIPES.get(recipe.name)
    is_default = "batch_size" not in recipe.model_fields_set or (known and recipe.batch_size == known.batch_size)
    if is_default and recipe.batch_size != "auto":
        recipe = with_batch_size(recipe, min(recipe.batch_size, num_images))
    fitted = recipe.fit_to(dataset.name, dataset.num_train, dataset.image_size, dataset.channels, num_split, on_gpu)
    batch_size, _, _ = fitted.sizes
    if batch_size > num_images:
        rest = f"the {num_images:,} images of the training split; {dataset.num_train - num_images:,} more are held out"
        raise RecipeError(f"batch_size = {batch_size}: larger than {rest}")
    return fitted
