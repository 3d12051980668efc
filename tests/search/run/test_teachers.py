"""Who may teach, what is trained for it, and where that lies."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from simulation import SimulatedFleet, write_weights

from models.architecture import Architecture, Stage, Stem
from models.count import count_parameters
from search.errors import InputError, TrainingError
from search.files import StudyFiles
from search.identity import Identity
from search.protocol import Job, TooSlow
from search.recipe import Recipe
from search.run.candidates import Candidate
from search.run.listener import Observer
from search.run.retraining import Retraining
from search.run.teachers import Exported, TeacherRequest, read_export
from search.study.ledger import Ledger
from search.study.networks import alike
from search.study.plan import Plan
from search.study.results import read_results
from search.study.view import RunView

FULL = Recipe(name="full", epochs=3, batch_size=16)


def candidate(number: int, width: int) -> Candidate:
    architecture = Architecture(Stem(4), (Stage("basic", 1, width),), in_channels=1)
    return Candidate(Identity(trial=number), architecture, FULL, 6_000)


STUDENT, FIRST, SECOND = candidate(3, 4), candidate(7, 8), candidate(11, 16)


def saving(job: Job, epoch: int) -> float:
    if job.keep is not None and epoch == job.recipe.epochs:
        write_weights(job.keep, job.architecture)
    return 0.8 if job.lesson is not None else 0.7


Train = Callable[..., tuple[list[RunView], list[Job]]]


@pytest.fixture
def train(files: StudyFiles, make_plan: Callable[..., Plan]) -> Train:
    """Runs of students with teachers, or without where there are none, and the jobs that they took."""

    def run(
        students: Sequence[Candidate],
        teachers: Sequence[Candidate | Exported],
        num_seeds: int = 1,
        holdout: bool = False,
        temperature: float = 4.0,
    ) -> tuple[list[RunView], list[Job]]:
        fleet = SimulatedFleet(2, saving)
        retraining = Retraining(make_plan(seed=5), files, lambda: fleet, "GPU", Observer())
        if teachers:
            request = TeacherRequest("top2", len(teachers), temperature, 0.9, lambda ranked: teachers)
            runs = retraining.teach([*students], num_seeds, request, holdout)
        else:
            runs = retraining.finish([*students], num_seeds, holdout)
        return runs, [job for worker in fleet.workers for job in worker.jobs]  # type: ignore[attr-defined]

    return run


def test_teachers_are_trained_on_the_training_split_and_open_no_test_set(train: Train, files: StudyFiles) -> None:
    runs, jobs = train([STUDENT], [FIRST, SECOND], num_seeds=2)
    teachers, students = [job for job in jobs if job.purpose == "teacher"], [job for job in jobs if job.lesson]
    assert [job.label for job in teachers] == ["0007 seed 0", "0011 seed 0"]
    assert [job.label for job in students] == ["0003 with a teacher seed 0", "0003 with a teacher seed 1"]
    assert len(jobs) == 4 and all(job.purpose == "final" and not job.holdout for job in students)
    lesson = students[0].lesson
    assert lesson is not None and [network.weights.parent for network in lesson.networks] == [
        job.keep for job in teachers
    ]
    assert [run.test_accuracy for run in runs] == [0.8, 0.8]
    there = read_results(files).runs
    assert [run.test_accuracy for run in there if run.purpose == "teacher"] == [None, None]
    assert [run.teaching.names for run in there if run.teaching is not None] == ["trial 7 and trial 11"] * 2


def test_nothing_is_trained_twice_and_weights_that_are_gone_are_trained_again_for_new_students(
    train: Train, files: StudyFiles
) -> None:
    runs, _ = train([STUDENT], [FIRST, SECOND])
    again, jobs = train([STUDENT], [SECOND, FIRST])
    assert again == runs and jobs == [], "in whatever order they stand"
    for path in files.folder.glob("teachers/0007/*/*/weights.safetensors"):
        path.unlink()
    assert train([STUDENT], [FIRST, SECOND])[1] == [], "nobody is left to be taught"
    _, jobs = train([STUDENT], [FIRST, SECOND], num_seeds=2)
    assert [(job.purpose, job.label) for job in jobs] == [
        ("teacher", "0007 seed 0"),
        ("final", "0003 with a teacher seed 1"),
    ]


def test_a_final_run_without_the_validation_images_teaches_as_well(train: Train) -> None:
    (first,), jobs = train([FIRST], [], holdout=True)
    assert len(jobs) == 1
    taught, jobs = train([STUDENT], [FIRST])
    lesson = jobs[0].lesson
    assert [job.purpose for job in jobs] == ["final"] and lesson is not None and first.folder is not None
    assert lesson.networks[0].weights == first.folder / "weights.safetensors"
    # It is the same teacher, which need not be trained once it is gone.
    (first.folder / "result.json").unlink()
    again, jobs = train([STUDENT], [FIRST])
    assert again == taught and jobs == []


def test_runs_with_and_without_a_teacher_lie_apart_and_are_never_averaged(train: Train, files: StudyFiles) -> None:
    (alone,), _ = train([STUDENT], [])
    (taught,), _ = train([STUDENT], [FIRST])
    (warmer,), _ = train([STUDENT], [FIRST], temperature=2.0)
    assert len({alone.key, taught.key, warmer.key}) == 3 and "-taught-" in taught.key
    assert len({run.folder for run in (alone, taught, warmer)}) == 3
    finals = [run for run in read_results(files).runs if run.purpose == "final"]
    assert {run.key: run for run in finals} == {run.key: run for run in (alone, taught, warmer)}
    assert [network.seeds for network in alike(finals)] == [1, 1, 1]


def test_the_ledger_says_whose_openings_had_a_teacher(
    train: Train, files: StudyFiles, make_plan: Callable[..., Plan]
) -> None:
    train([STUDENT], [])
    train([STUDENT], [FIRST])
    entries = Ledger(files, make_plan(seed=5).question.data.ledger_name).entries()
    assert [(entry.label, entry.teacher) for entry in entries] == [("0003", ""), ("0003", "trial 7")]


def test_nobody_is_taught_by_itself_alone(train: Train) -> None:
    with pytest.raises(InputError) as caught:
        train([STUDENT], [STUDENT])
    assert str(caught.value) == "teacher = top2: trial 3 would be taught by itself alone"
    assert len(train([STUDENT], [STUDENT, FIRST])[0]) == 1


CARD = "| multiply-accumulates | 9,000 for one image of 8 by 8 pixels |\n| data | toy, fingerprint `{}` |\n"
PROGRAM = "CLASSES = {}\nMEAN = (0.3,)\nSTD = (0.25,)\n"


def test_where_every_network_is_too_slow_to_be_taught_that_is_an_error(
    files: StudyFiles, make_plan: Callable[..., Plan]
) -> None:
    guess = replace(STUDENT, identity=Identity(baseline="guess-1"), max_latency=0.005)

    def curve(job: Job, epoch: int) -> float | TooSlow:
        return TooSlow(0.02) if job.max_latency is not None else saving(job, epoch)

    retraining = Retraining(make_plan(seed=5), files, lambda: SimulatedFleet(1, curve), "GPU", Observer())
    request = TeacherRequest("top2", 2, 2.0, 0.7, lambda ranked: [FIRST, SECOND])
    with pytest.raises(TrainingError, match=r"^guess-1: latency = 20 ms, with no other worker computing: "):
        retraining.teach([guess], 1, request)
    assert len(retraining.teach([guess, STUDENT], 1, request)) == 1, "one is enough"


@pytest.fixture
def export(tmp_path: Path, make_plan: Callable[..., Plan]) -> Path:
    """A folder as `nas export` writes it."""
    folder, data = tmp_path / "exported", make_plan().question.data
    write_weights(folder, SECOND.architecture)
    (folder / "architecture.json").write_text(SECOND.architecture.to_json())
    (folder / "model.py").write_text(PROGRAM.format(ascii(data.classes)))
    (folder / "MODEL_CARD.md").write_text(CARD.format(data.fingerprint))
    return folder


UNKNOWN = "so whether it saw this test set's images is not known"


def test_an_exported_folder_teaches(export: Path, make_plan: Callable[..., Plan], train: Train) -> None:
    exported = read_export(export, make_plan())
    assert exported.teacher.caveat == "" and (exported.network.mean, exported.network.std) == ((0.3,), (0.25,))
    assert exported.teacher.params == count_parameters(SECOND.architecture)
    (taught,), jobs = train([STUDENT], [exported])
    assert [job.purpose for job in jobs] == ["final"] and taught.teaching is not None
    assert jobs[0].lesson is not None and jobs[0].lesson.networks == (exported.network,)
    content = bytearray((export / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (export / "weights.safetensors").write_bytes(content)
    other = read_export(export, make_plan())
    assert other.teacher.digest != exported.teacher.digest, "other weights are another teacher"


def test_what_is_not_known_of_an_exported_folder_is_said(export: Path, make_plan: Callable[..., Plan]) -> None:
    (export / "MODEL_CARD.md").write_text(CARD.format("ab" * 32))
    assert read_export(export, make_plan()).teacher.caveat == f"was trained on other data, {UNKNOWN}"
    (export / "MODEL_CARD.md").unlink()
    assert read_export(export, make_plan()).teacher.caveat == f"has no card of its data, {UNKNOWN}"
    (export / "model.py").write_text("MEAN = (nan,)\nSTD = (0,)\n")
    exported = read_export(export, make_plan())
    assert exported.teacher.caveat.endswith("; it sees images as the student does") and exported.network.mean == ()


OTHER = {
    "classes": (replace(SECOND.architecture, num_classes=100), "tells 100 classes apart; this study has 10"),
    "channels": (replace(SECOND.architecture, in_channels=3), "takes images of 3 channels; this study's have 1"),
}


@pytest.mark.parametrize("name", OTHER)
def test_a_teacher_for_other_images_or_classes_is_refused(
    export: Path, make_plan: Callable[..., Plan], name: str
) -> None:
    architecture, message = OTHER[name]
    write_weights(export, architecture)
    (export / "architecture.json").write_text(architecture.to_json())
    with pytest.raises(InputError) as caught:
        read_export(export, make_plan())
    assert str(caught.value) == f"teacher = {export}: {message}"


def damage(folder: Path, kind: str) -> None:
    weights, architecture = folder / "weights.safetensors", folder / "architecture.json"
    if kind == "names":
        (folder / "model.py").write_text(PROGRAM.format(("9", *"012345678")))
    elif kind == "size":
        (folder / "MODEL_CARD.md").write_text(CARD.replace("8 by 8", "32 by 32"))
    elif kind == "count":
        write_weights(folder, FIRST.architecture)
    elif kind == "tensors":
        weights.write_bytes(weights.read_bytes().replace(b"head.bias", b"head.bite"))
    elif kind == "cut":
        weights.write_bytes(weights.read_bytes()[:-4])
    elif kind == "pickle":
        weights.write_bytes(b"\x80\x04\x95\x0a")
    elif kind == "pipe":
        weights.unlink()
        os.mkfifo(weights)
    elif kind == "json":
        architecture.write_text('{"stem": [')
    elif kind == "nested":
        architecture.write_text("[" * 100_000)
    else:
        architecture.unlink()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("names", "was trained on classes of other names, or in another order, than this study's"),
        ("size", "takes images of 32 pixels; this study's have 8"),
        ("count", "holds 1,078 parameters, but the architecture has"),
        ("tensors", "holds no head.bias, which the architecture has"),
        ("cut", "not a readable safetensors file (it has"),
        ("pickle", "not a readable safetensors file"),
        ("pipe", "is no export of nas; it holds no weights.safetensors"),
        ("json", "architecture: not JSON"),
        ("nested", "architecture: not JSON"),
        ("gone", "is no export of nas; it holds no architecture.json"),
    ],
)
def test_a_folder_that_is_damaged_is_refused_in_one_line(
    export: Path, make_plan: Callable[..., Plan], kind: str, message: str
) -> None:
    damage(export, kind)
    with pytest.raises(InputError) as caught:
        read_export(export, make_plan())
    assert str(caught.value).startswith(f"teacher = {export}: ") and message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there_is_refused(make_plan: Callable[..., Plan]) -> None:
    with pytest.raises(InputError) as caught:
        read_export(Path("tpo3"), make_plan())
    said = "teacher = tpo3: there is no such folder; give top3, baseline:NAME, or what nas export wrote"
    assert str(caught.value) == said
