"""Results of full-length training, on disk: each says what was trained and how, wherever it lies."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from models.architecture import Architecture
from models.count import count_macs, count_parameters
from search.errors import NasError, StorageError
from search.files import RUN_FOLDERS, StudyFiles, why
from search.identity import Identity
from search.protocol import Finished, Job, Measurement, Ready
from search.quantities import brief
from search.recipe import Recipe
from search.study.onnx_results import with_onnx_results
from search.study.plan import Plan, now
from search.study.robustness import require_sane, with_robustness
from search.study.view import RunView
from search.study.way import recipe_digest
from search.study.weights import certify_saved
from search.teaching import Teaching
from search.writing import write_atomically

MAX_DEPTH = 5  # of the folders that may lie between a purpose's folder and a result
_VIEW = TypeAdapter(RunView)


class Results(NamedTuple):
    """The full-length runs of a study, each once, and a line for each result that counts for nothing."""

    runs: tuple[RunView, ...]
    unread: tuple[str, ...]


def read_results(files: StudyFiles, data: str | None = None) -> Results:
    """All full-length runs of a study: finalists', audited, final, and those of teachers.

    A result is what it says it is, not what its folder is called, so that those of earlier versions are read where
    they lie. Of two of the same run the one with weights counts, then the later one.

    Args:
        data: the study's data set, as ledgers name it; what was trained on other data is put aside.
    """
    runs: dict[tuple[object, ...], RunView] = {}
    unread: list[str] = []
    for path in _paths(files):
        try:
            run = read_run(path)
        except StorageError as error:
            unread.append(str(error))
            continue
        for add in (with_robustness, with_onnx_results):
            run, faults = add(run)
            unread += faults
        if data and run.data and run.data != data:
            unread.append(f"{path}: was trained on other data, {run.data}, and counts for nothing")
            continue
        other = runs.get(run.training)
        if other is not None:
            run, other = sorted((run, other), key=_precedence, reverse=True)
            unread.append(f"{_path(other)}: is the same run as {_path(run)}, which counts")
        runs[run.training] = run
    return Results(tuple(sorted(runs.values(), key=_path)), tuple(unread))


def read_runs(files: StudyFiles) -> list[RunView]:
    """All full-length runs but those of audits."""
    return [run for run in read_results(files).runs if run.purpose != "proxy"]


def read_audits(files: StudyFiles) -> list[RunView]:
    """The runs of a study's audits."""
    return [run for run in read_results(files).runs if run.purpose == "proxy"]


def read_run(path: Path) -> RunView:
    """The run of a result.json.

    Raises:
        StorageError: it cannot be read.
    """
    return run_view(path, read_values(path))


def read_values(path: Path) -> dict[str, Any]:
    """All values of a result.json.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        if not path.is_file():  # a pipe would be waited for
            raise ValueError("it is not a file")
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("it is not an object")
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, error) from None
    return values


def run_view(path: Path, values: dict[str, Any]) -> RunView:
    """The run of the values of a result.json.

    Raises:
        StorageError: they are not those of a run.
    """
    try:
        fields = {name: values[name] for name in RunView.__dataclass_fields__ if name in values}
        fields["identity"] = Identity.parse(values["label"])
        fields["architecture"] = Architecture.from_dict(values["architecture"])
        fields["recipe_values"] = _recipe_values(values)
        fields["recipe_digest"] = recipe_digest(fields["recipe_values"])
        fields["folder"] = path.parent
        view = _VIEW.validate_python(fields)
        _require_sane(view)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _unreadable(path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(path, error) from None
    return view


def fault_of_weights(run: RunView, max_params: int | None) -> str | None:
    """Why the weights of a run that keeps some cannot be used, in a line; None if they can."""
    assert run.folder is not None
    path = run.folder / "weights.safetensors"
    if not path.is_file():
        return f"{path}: is gone"
    try:
        certify_saved(path, run.architecture, max_params)
    except NasError as error:
        return str(error)
    return None


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A full-length run that has ended: what was asked for and what its worker answered.

    Attributes:
        recipe: as it was asked for; None if the job's is. The job's may have its precision filled in.
        teaching: what it learned from teachers.
    """

    identity: Identity
    seed: int
    job: Job
    history: list[Measurement]
    finished: Finished
    ready: Ready
    recipe: Recipe | None = None
    teaching: Teaching | None = None


def write_run(path: Path, plan: Plan, run: EndedRun) -> RunView:
    """Write the result.json of a run, with all that is known of how it was trained.

    Raises:
        StorageError: it cannot be written.
    """
    job, finished, ready = run.job, run.finished, run.ready
    assert job.purpose != "search"
    recipe, test = job.recipe, finished.test
    recipe_values = (run.recipe or recipe).model_dump(mode="json")
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
        teaching=run.teaching,
        data=plan.question.data.ledger_name,
        time=now(),
        augmented=test.augmented if test else (),
        select="robust" if job.robust else "clean",
        robustness=(finished.robustness,) if finished.robustness is not None else (),
        folder=path.parent,
    )
    values = (
        {"label": view.label}
        | asdict(view)
        | {
            "architecture": job.architecture.to_dict(),
            "mean": finished.mean,
            "std": finished.std,
            "classes": plan.question.data.classes,
            "torch_seed": job.seed,
            "versions": plan.circumstances.versions | ready.versions,
        }
    )
    del values["identity"], values["folder"]  # the label and the place of the file say them
    write_atomically(path, json.dumps(values, indent=1))
    return view


def _paths(files: StudyFiles) -> Iterator[Path]:
    for folder in RUN_FOLDERS.values():
        for depth in range(MAX_DEPTH + 1):
            yield from sorted(files.folder.glob(f"{folder}/{'*/' * depth}result.json"))


def _path(run: RunView) -> Path:
    assert run.folder is not None
    return run.folder / "result.json"


def _precedence(run: RunView) -> tuple[bool, str, bool]:
    """Sorts results of one run: those with weights come last, and the later ones, and those in a folder of its key."""
    assert run.folder is not None
    return (run.folder / "weights.safetensors").is_file(), run.time, run.folder.parent.name == run.key


def _recipe_values(values: dict[str, Any]) -> dict[str, Any]:
    """The recipe of a result.json, with defaults for what recipes did not have yet when it was written."""
    known: dict[str, Any] = values["recipe_values"]
    defaults = Recipe(name="defaults", epochs=1).model_dump(mode="json", exclude={"name", "epochs"})
    return defaults | known


def _require_sane(view: RunView) -> None:
    """
    Raises:
        ValueError: a value is none that a run can have.
    """
    if view.test_accuracy is not None and not 0 <= view.test_accuracy <= 1:
        raise ValueError(f"test_accuracy = {view.test_accuracy}")
    for result in view.augmented:
        if not 0 <= result.accuracy <= 1 or result.passes < 1:
            raise ValueError(f"augmented: {result.augmentation} = {result.accuracy} by {result.passes} passes")
    if view.select == "robust" and not view.robustness:
        raise ValueError("robustness: it has none and is ranked by it")
    for robustness in view.robustness:
        require_sane(robustness)
    if view.seed < 0 or view.params < 1 or view.epochs < 0:
        raise ValueError("a negative seed, size or length")
    if view.confusion is not None and any(len(row) != len(view.confusion) for row in view.confusion):
        raise ValueError("a confusion matrix that is not square")


def _unreadable(path: Path, error: object) -> StorageError:
    return StorageError(f"{path}: cannot be read ({brief(why(error) if isinstance(error, OSError) else error)})")
