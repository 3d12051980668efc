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
    teachers: "Sequence[Candidate | Exported] | None" = None,
) -> None:
    """What is to be trained and how long it will take, by the pace at which the search trained these networks.

    Args:
        teachers: those of the request, where they are known; else they are taken to be as large as the candidates.
    """
    from search.report.notation import duration
    from search.run.candidates import Candidate
    from search.run.retraining_cost import Wave, finalists_waves, seconds_of, seconds_per_epoch, teaching_waves

    num_candidates = len(request.candidates)
    numbers = {candidate.identity.trial for candidate in request.candidates}
    pace = seconds_per_epoch(trial for trial in trials if trial.number in numbers)
    num_networks = len(request.baselines) + (request.opponent is not None) + (1 if request.choose else num_candidates)
    num_finals = num_networks * request.num_seeds
    finals = f"{plural(num_finals, 'final run')} of {plural(epochs, 'epoch')}"
    waves, steps = ([], []) if request.taught_only else ([Wave(num_finals, epochs)], [finals])
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
        num_taught = num_finals - (0 if request.taught_only or request.opponent is None else request.num_seeds)
        students = [own.architecture for own in (request.candidates or request.baselines)]
        ratios = macs_ratios(request.teachers.num, teachers, students, plan)
        are_trained = teachers is None or isinstance(teachers[0], Candidate)
        waves += teaching_waves(ratios, num_taught, epochs, are_trained)
        if are_trained:
            steps.append(f"{plural(len(ratios), 'run')} of {plural(epochs, 'epoch')} to train teachers")
        taught = finals if request.taught_only else plural(num_taught, "final run")
        steps.append(f"{taught} with {'a teacher' if len(ratios) == 1 else 'teachers'}")
    if pace is not None:
        each = duration(seconds_of(waves, pace, num_workers or 1))
        workers = plural(num_workers, "worker") if num_workers else "one worker, less on several"
        steps.append(f"about {each} on {workers} if all is to be done")
    print(", ".join(steps))


def macs_ratios(
    num: int,
    teachers: "Sequence[Candidate | Exported] | None",
    students: "Sequence[Architecture]",
    plan: "Plan",
) -> list[float]:
    """How many times the multiply-accumulates of the students each of so many teachers has; as many where they are not
    known."""
    from models.count import count_macs

    if teachers is None:
        return [1.0] * num
    size = plan.task.image_size
    mean = fmean(count_macs(student, size) for student in students)
    return [count_macs(teacher.architecture, size) / mean for teacher in teachers]
