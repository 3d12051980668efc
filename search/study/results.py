"""Results of full-length training, on disk."""

import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from models.architecture import Architecture
from models.count import count_macs, count_parameters
from search.errors import StorageError
from search.files import StudyFiles, write_atomically
from search.identity import Identity
from search.protocol import Finished, Job, Measurement, Ready
from search.recipe import Recipe
from search.study.plan import Plan, now
from search.study.view import RunView

NUM_FINALIST_SEEDS = 2  # of each finalist in the round that picks a winner


def read_runs(files: StudyFiles) -> list[RunView]:
    """All full-length runs of a study, finalists' and final.

    Raises:
        StorageError: a result cannot be read.
    """
    patterns = ("finalists/*/*", "retrain/*/*", "retrain/*/*/*")
    paths = sorted(path for pattern in patterns for path in files.folder.glob(f"{pattern}/result.json"))
    return [read_run(path)[0] for path in paths]


def read_audit(files: StudyFiles) -> list[RunView]:
    """The runs of a study's audit, by trial and seed.

    Values of different recipes cannot be compared: where trials were audited by several, those of the recipe with most
    trials are read; of equal ones, the one of the longest schedule.

    Raises:
        StorageError: a result cannot be read.
    """
    by_recipe: dict[str, list[RunView]] = defaultdict(list)
    for path in sorted(files.folder.glob("proxy/*/*/result.json")):
        view, _ = read_run(path)
        by_recipe[view.recipe_digest].append(view)
    if not by_recipe:
        return []
    return max(by_recipe.values(), key=lambda runs: (len({run.label for run in runs}), runs[0].epochs))


def run_view(values: dict[str, Any]) -> RunView:
    """The RunView of a result.json."""
    fields = {name: values[name] for name in RunView.__dataclass_fields__ if name in values}
    fields["identity"] = Identity.parse(values["label"])
    fields["architecture"] = Architecture.from_dict(values["architecture"])
    fields["history"] = tuple(Measurement(**epoch) for epoch in values["history"])
    fields["recipe_values"] = _recipe_values(values)
    fields["recipe_digest"] = recipe_digest(fields["recipe_values"])
    if values["confusion"] is not None:
        fields["confusion"] = tuple(map(tuple, values["confusion"]))
    return RunView(**fields)


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A full-length run that has ended: what was asked for and what its worker answered."""

    identity: Identity
    seed: int
    job: Job
    history: list[Measurement]
    finished: Finished
    ready: Ready


def write_run(path: Path, plan: Plan, run: EndedRun) -> RunView:
    """Write the result.json of a run, with all that is known of how it was trained.

    Raises:
        StorageError: it cannot be written.
    """
    job, finished, ready = run.job, run.finished, run.ready
    assert job.purpose != "search"
    recipe, test = job.recipe, finished.test
    recipe_values = recipe.model_dump(mode="json")
    view = RunView(
        identity=run.identity,
        purpose=job.purpose,
        seed=run.seed,
        architecture=job.architecture,
        params=count_parameters(job.architecture),
        macs=count_macs(job.architecture, plan.task.image_size),
        recipe=recipe.name,
        epochs=len(run.history),
        history=tuple(run.history),
        seconds=finished.seconds,
        device=ready.device,
        precision=ready.precision if recipe.precision == "auto" else recipe.precision,
        test_loss=test.loss if test else None,
        test_accuracy=test.accuracy if test else None,
        confusion=test.confusion if test else None,
        kept_epoch=finished.kept_epoch,
        correct=test.correct if test else None,
        holdout=job.holdout,
        recipe_digest=recipe_digest(recipe_values),
        batch_size=finished.batch_size,
        recipe_values=recipe_values,
        time=now(),
    )
    values = (
        {"label": view.label}
        | asdict(view)
        | {
            "architecture": job.architecture.to_dict(),
            "mean": finished.mean,
            "std": finished.std,
            "classes": plan.question.data.classes,
            "data": plan.question.data.ledger_name,
            "torch_seed": job.seed,
            "versions": plan.circumstances.versions | ready.versions,
        }
    )
    del values["identity"]  # the label says it
    write_atomically(path, json.dumps(values, indent=1))
    return view


def _recipe_values(values: dict[str, Any]) -> dict[str, Any]:
    """The recipe of a result.json, with defaults for what recipes did not have yet when it was written."""
    known: dict[str, Any] = values["recipe_values"]
    later = {name: field.get_default() for name, field in Recipe.model_fields.items() if not field.is_required()}
    return later | known


def recipe_digest(values: dict[str, Any]) -> str:
    """A digest of all values of a recipe, which tells recipes of one name apart."""
    return sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def read_run(path: Path) -> tuple[RunView, Any]:
    """The run of a result.json, and the values of its recipe."""
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        view = run_view(values)
        return view, view.recipe_values
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise StorageError(f"{path}: cannot be read ({error})") from None
