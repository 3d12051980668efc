"""Networks that may teach: the study's own, trained on the training split alone, and those that `nas export` wrote."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import file_digest, sha256
from pathlib import Path

from optuna.trial import FrozenTrial

from models.architecture import Architecture, ArchitectureError
from models.count import count_macs, count_parameters
from search.errors import InputError, NasError, StudyError
from search.files import StudyFiles, why
from search.quantities import brief, plural
from search.recipe import Recipe
from search.run.candidates import Candidate, are_one_design, best_first, candidate_of, with_dropout
from search.run.exported_program import read_program
from search.run.full_length import FullRun
from search.study.meant import is_of
from search.study.networks import alike
from search.study.plan import Plan
from search.study.results import read_results
from search.study.rounds import last_round, standings
from search.study.storage import architecture_of
from search.study.view import design
from search.study.weights import certify_saved
from search.teaching import Teacher
from search.trained_network import TrainedNetwork
from search.yamlfile import read_text


@dataclass(frozen=True, slots=True)
class Exported:
    """A network from a folder that `nas export` wrote."""

    teacher: Teacher
    network: TrainedNetwork

    @property
    def architecture(self) -> Architecture:
        return self.network.architecture


@dataclass(frozen=True, slots=True)
class TeacherRequest:
    """Who is asked to teach.

    Attributes:
        source: as it was asked for: top3, baseline:NAME, or a folder.
        num: how many teachers there are.
        find: gives them, by the ranking of a finalists' round where there was one: `best_of_study`.
        are_ranked: whether they are the study's own.
    """

    source: str
    num: int
    temperature: float
    share: float
    find: Callable[[Sequence[Candidate]], Sequence[Candidate | Exported]]
    are_ranked: bool = False


def best_of_study(
    files: StudyFiles,
    records: Sequence[FrozenTrial],
    plan: Plan,
    recipe: Recipe,
    num: int,
    ranked: Sequence[Candidate] = (),
) -> list[Candidate]:
    """The best designs of the study, to be trained by the recipe: `num`, or as many as there are.

    First come those that are ranked, the best first, then finalists of the last round by its standings, each with the
    dropout that stands best there, then trials in the order of the search. What differs in its dropout alone is one
    design.

    Raises:
        StudyError: no trial was trained to the end.
    """
    numbers = [trial.number for trial in best_first(records)]
    if not numbers:
        raise StudyError(f"teacher = top{num}: no trial of this study was trained to the end")
    candidates = {number: candidate_of(records, number, plan, recipe) for number in numbers}
    chosen: list[Candidate] = []
    for candidate in (*ranked, *_last_finalists(files, plan, candidates), *candidates.values()):
        if len(chosen) < num and not any(are_one_design(candidate, other) for other in chosen):
            chosen.append(candidate)
    return chosen


def _last_finalists(files: StudyFiles, plan: Plan, trials: Mapping[int, Candidate]) -> list[Candidate]:
    """Those of the trials, given by number and best first, that the study's last round ranked, with their dropouts."""
    own = {candidate.identity: candidate for candidate in trials.values()}
    runs = read_results(files, plan.question.data.ledger_name).runs
    known = [
        run
        for run in runs
        if (trial := own.get(replace(run.identity, dropout=None))) is not None and is_of(run, trial.architecture)
    ]
    finalists = []
    for finalist in standings(alike(last_round(known)), {number: rank for rank, number in enumerate(trials)}):
        trial, dropout = own[replace(finalist.identity, dropout=None)], finalist.identity.dropout
        finalists.append(trial if dropout is None else with_dropout(trial, dropout))
    return finalists


def num_designs(records: Iterable[FrozenTrial]) -> int:
    """How many designs of a study, whatever their dropout, were trained to the end."""
    return len({design(architecture_of(trial)) for trial in best_first(records)})


def require_another(student: Candidate, teachers: Iterable[Candidate | Exported], source: str) -> None:
    """
    Raises:
        InputError: all teachers are the student's own network.
    """
    if all(are_one_design(student, teacher) for teacher in teachers):
        raise InputError(f"teacher = {source}: {student.identity.name} would be taught by itself alone")


def teacher_of(run: FullRun, image_size: int) -> Teacher:
    """A run of the study as a teacher, known by what is trained and how; on which device does not count."""
    architecture, way = run.candidate.architecture, run.way
    values = [architecture.to_json(), way.recipe, way.holdout, way.precision, run.seed]
    params, macs = count_parameters(architecture), count_macs(architecture, image_size)
    return Teacher(run.candidate.identity.name, params, macs, sha256(json.dumps(values).encode()).hexdigest()[:16])


def read_export(folder: Path, plan: Plan) -> Exported:
    """The network of a folder that `nas export` wrote, which must tell apart this study's classes, in images of their
    size. No program in it is run: its `model.py` is read as text.

    Raises:
        InputError: it is no such folder, or its network is for other images or classes, or is damaged.
    """
    subject = f"teacher = {folder}"
    paths = architecture_path, weights = folder / "architecture.json", folder / "weights.safetensors"
    if not folder.is_dir():
        raise InputError(f"{subject}: there is no such folder; give top3, baseline:NAME, or what nas export wrote")
    if missing := next((path.name for path in paths if not path.is_file()), None):
        raise InputError(f"{subject}: is no export of nas; it holds no {missing}")
    task, data = plan.task, plan.question.data
    try:
        architecture = Architecture.from_json(read_text(architecture_path, InputError))
        params = certify_saved(weights, architecture, None)
        macs = count_macs(architecture, task.image_size)
        with weights.open("rb") as file:
            content = file_digest(file, "sha256")
    except (NasError, ArchitectureError) as error:
        raise InputError(f"{subject}: {error}") from None
    except OSError as error:
        raise InputError(f"{subject}: {why(error)}") from None
    if architecture.num_classes != task.num_classes:
        classes = f"{architecture.num_classes:,} classes"
        raise InputError(f"{subject}: tells {classes} apart; this study has {task.num_classes:,}")
    if architecture.in_channels != task.in_channels:
        channels = plural(architecture.in_channels, "channel")
        raise InputError(f"{subject}: takes images of {channels}; this study's have {task.in_channels}")
    program, card = _text(folder / "model.py"), _text(folder / "MODEL_CARD.md")
    named = re.search(r"^CLASSES = .*$", program, re.MULTILINE)
    if named is not None and named[0] != f"CLASSES = {tuple(data.classes)!a}":
        raise InputError(f"{subject}: was trained on classes of other names, or in another order, than this study's")
    size = re.search(r"for one image of (\d{1,6}) by", card)
    if size is not None and int(size[1]) != task.image_size:
        raise InputError(f"{subject}: takes images of {size[1]} pixels; this study's have {task.image_size}")
    values = read_program(program, task.in_channels)
    mean, std = values.mean, values.std
    content.update(json.dumps([architecture.to_json(), mean, std]).encode())
    caveat = "; ".join([*_of_data(card, data.fingerprint), *([] if mean else ["it sees images as the student does"])])
    teacher = Teacher(brief(folder), params, macs, content.hexdigest()[:16], caveat)
    return Exported(teacher, TrainedNetwork(architecture, weights.resolve(), mean, std, "fp32"))


def _text(path: Path) -> str:
    """The text of a file; none where it cannot be read."""
    try:
        return read_text(path, InputError) if path.is_file() else ""  # a pipe would be waited for
    except InputError:
        return ""


def _of_data(card: str, fingerprint: str) -> list[str]:
    """What has to be said of the images that a network was trained on, by its card."""
    there = re.search(r"fingerprint `([0-9a-f]+)`", card)
    if there is not None and there[1] == fingerprint:
        return []
    of_what = "was trained on other data" if there is not None else "has no card of its data"
    return [f"{of_what}, so whether it saw this test set's images is not known"]
