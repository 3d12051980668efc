"""What a retraining will train and how long that will take, said before it begins."""

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from search.quantities import plural

if TYPE_CHECKING:
    from models.architecture import Architecture
    from search.run.candidates import Candidate
    from search.run.launch import RetrainRequest
    from search.run.teachers import Exported
    from search.study.plan import Plan
    from search.study.view import TrialView


def print_cost(
    request: "RetrainRequest",
    plan: "Plan",
    epochs: int,
    trials: "Sequence[TrialView]",
    num_workers: int | None,
    on_gpu: bool,
    teachers: "Sequence[Candidate | Exported] | None" = None,
) -> None:
    """What is to be trained and how long it will take, by the pace at which the search trained these networks.

    Args:
        on_gpu: whether it is trained on GPUs; where a trial was not, or the other way round, that is said too.
        teachers: those of the request, where they are known; else they are taken to be as large as the candidates.
    """
    from search.report.notation import duration
    from search.run.candidates import Candidate
    from search.run.retraining_cost import finalists_waves, seconds_of, seconds_per_epoch, teaching_waves, unequal_waves
    from search.study.way import device_class

    num_candidates = len(request.candidates)
    numbers = {candidate.identity.trial for candidate in request.candidates}
    pace = seconds_per_epoch(trial for trial in trials if trial.number in numbers)
    students = [own.architecture for own in (request.candidates or request.baselines)]
    named_paces = [1.0] * (1 if request.choose else num_candidates)
    named_paces += final_paces([baseline.architecture for baseline in request.baselines], students, plan)
    guess = [request.opponent.architecture] if request.opponent is not None else []
    paces = [*named_paces, *final_paces(guess, students, plan)] * request.num_seeds
    finals = f"{plural(len(paces), 'final run')} of {plural(epochs, 'epoch')}"
    waves = [] if request.taught_only else unequal_waves(paces, epochs, num_workers or 1)
    steps = [] if request.taught_only else [finals]
    if request.choose:
        choosing = finalists_waves(
            num_candidates, len(plan.question.space.dropout), epochs, plan.question.recipe.epochs
        )
        ranked = " by corrupted validation images" if request.select == "robust" else ""
        num_runs = plural(sum(wave.num_runs for wave in choosing), "run")
        steps.insert(
            0, f"{num_runs} of {plural(choosing[0].epochs, 'epoch')} to choose among {num_candidates} finalists{ranked}"
        )
        waves = [*choosing, *waves]
    if request.teachers is not None:
        taught_paces = paces if request.taught_only else named_paces * request.num_seeds
        ratios = teacher_ratios(request.teachers.num, teachers, students, plan)
        are_trained = teachers is None or isinstance(teachers[0], Candidate)
        waves += teaching_waves(ratios, taught_paces, epochs, are_trained, num_workers or 1)
        if are_trained:
            steps.append(f"{plural(len(ratios), 'run')} of {plural(epochs, 'epoch')} to train teachers")
        taught = finals if request.taught_only else plural(len(taught_paces), "final run")
        steps.append(f"{taught} with {'a teacher' if len(ratios) == 1 else 'teachers'}")
    if pace is not None:
        each = duration(seconds_of(waves, pace, num_workers or 1))
        workers = plural(num_workers, "worker") if num_workers else "one worker, less on several"
        steps.append(f"about {each} on {workers} if all is to be done")
        devices = plan.circumstances.devices
        if any((device_class(device) == "GPU") != on_gpu for device in devices):
            steps.append(f"by the pace of trials that were trained on {' and '.join(devices)}")
    print(", ".join(steps))


def teacher_ratios(
    num: int,
    teachers: "Sequence[Candidate | Exported] | None",
    students: "Sequence[Architecture]",
    plan: "Plan",
) -> list[float]:
    """How many times the multiply-accumulates of the students each of so many teachers has; as many where they are not
    known."""
    if teachers is None:
        return [1.0] * num
    return _macs_ratios([teacher.architecture for teacher in teachers], students, plan)


def final_paces(networks: "Sequence[Architecture]", students: "Sequence[Architecture]", plan: "Plan") -> list[float]:
    """How many times as long as that of the students an epoch of each network takes, by its multiply-accumulates.

    A smaller one is taken to be as slow: the rest of a step, its kernels' start and its images, takes as long, and
    nothing stops a retraining that takes longer than was said.
    """
    return [max(1.0, ratio) for ratio in _macs_ratios(networks, students, plan)]


def _macs_ratios(networks: "Sequence[Architecture]", students: "Sequence[Architecture]", plan: "Plan") -> list[float]:
    """How many times the mean multiply-accumulates of the students each network has."""
    from models.count import count_macs

    size = plan.task.image_size
    mean = fmean(count_macs(student, size) for student in students)
    return [count_macs(network, size) / mean for network in networks]
