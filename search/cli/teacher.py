"""Who teaches the networks that are retrained: the options that say so, and what the screen says of it."""

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.hand_made import known_baseline
from search.errors import InputError
from search.files import StudyFiles, expanded
from search.quantities import plural, sentence_list

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optuna.trial import FrozenTrial

    from search.recipe import Recipe
    from search.run.candidates import Candidate
    from search.run.teachers import Exported, TeacherRequest
    from search.study.plan import Plan

MAX_TEACHERS = 10
_TOP = re.compile(r"top(\d{1,9})")
_BASELINE = "baseline:"
_NOBODY = "none"
_OFFERED = "top2"

TeacherName = Annotated[
    str | None,
    typer.Option(
        "--teacher",
        help="Train with a teacher as well: top3 (the study's best), baseline:NAME, an exported folder, or none.",
    ),
]
Temperature = Annotated[
    float | None, typer.Option("--temperature", help="With --teacher: what all logits are divided by.  [default: 2]")
]
TaughtOnly = Annotated[
    bool, typer.Option("--taught-only", help="With --teacher: leave out the same trainings without a teacher.")
]
TeacherShare = Annotated[
    float | None,
    typer.Option("--teacher-share", help="With --teacher: the teachers' share of the loss.  [default: 0.7]"),
]


def parse_teacher(
    teacher: str | None,
    temperature: float | None,
    share: float | None,
    taught_only: bool,
    files: StudyFiles,
    plan: "Plan",
    records: "Sequence[FrozenTrial]",
    recipe: "Callable[[], Recipe]",
) -> "TeacherRequest | None":
    """Who is to teach; None if nobody was asked for.

    Args:
        recipe: gives that by which teachers of the study are trained, once its length is known.

    Raises:
        InputError: there is no such teacher, it is for other images or classes, or a number is out of range.
    """
    from search.run.candidates import baseline_candidate
    from search.run.teachers import TeacherRequest, best_of_study, num_designs, read_export
    from search.teaching import SHARE, TEMPERATURE, require_in_range

    if teacher is None or teacher == _NOBODY:
        for name, value in (("temperature", temperature), ("teacher-share", share)):
            if value is not None:
                raise InputError(f"{name} = {value:g}: is for --teacher")
        if taught_only:
            raise InputError("taught-only: is for --teacher")
        return None
    temperature, share = (TEMPERATURE if temperature is None else temperature), (SHARE if share is None else share)
    try:
        require_in_range(temperature, share)
    except ValueError as error:
        raise InputError(str(error)) from None
    if match := _TOP.fullmatch(teacher):
        asked, there = int(match[1]), num_designs(records)
        if not 1 <= asked <= MAX_TEACHERS:
            raise InputError(f"teacher = {teacher}: must be top1 to top{MAX_TEACHERS}")
        num = min(asked, there)
        if num < asked:
            print(f"teacher = {teacher}: only {plural(there, 'design')} of this study can teach", file=sys.stderr)
        return TeacherRequest(
            teacher,
            num,
            temperature,
            share,
            find=lambda ranked: best_of_study(files, records, plan, recipe(), asked, ranked),
            are_ranked=True,
        )
    if teacher.startswith(_BASELINE):
        name = known_baseline(teacher.removeprefix(_BASELINE), files, plan)
        return TeacherRequest(
            f"{_BASELINE}{name}", 1, temperature, share, lambda _: [baseline_candidate(name, plan, recipe())]
        )
    if not teacher:
        raise InputError("teacher = '': must be top3, baseline:NAME, or a folder that nas export wrote")
    exported = read_export(expanded(teacher), plan)
    return TeacherRequest(teacher, 1, temperature, share, lambda _: [exported])


def offered_teachers(
    teacher: str | None,
    files: StudyFiles,
    plan: "Plan",
    records: "Sequence[FrozenTrial]",
    recipe: "Callable[[], Recipe]",
) -> "TeacherRequest | None":
    """Who teaches where nobody was asked for and the time allows it: the two best of the study; None if somebody, or
    nobody by name, was asked for, or if there are no two."""
    from search.run.teachers import num_designs

    if teacher is not None or num_designs(records) < 2:
        return None
    return parse_teacher(_OFFERED, None, None, True, files, plan, records, recipe)


def teachers_known(
    request: "TeacherRequest", candidates: "Sequence[Candidate]", others: "Sequence[Candidate]", chooses: bool
) -> "Sequence[Candidate | Exported] | None":
    """The teachers, where no finalists' round is still to rank them; else None.

    Args:
        candidates: who may be taught.
        others: who will be taught beside them.
        chooses: whether only one of the candidates is, which such a round is to choose.

    Raises:
        InputError: one of those who will be taught would be by itself alone, or all of those of whom one will.
    """
    from search.run.candidates import are_one_design
    from search.run.teachers import require_another

    if chooses and request.are_ranked:
        if request.num == 1:
            raise InputError(f"teacher = {request.source}: the winner of --top would be taught by itself alone")
        return None
    teachers = request.find([])
    for student in [*([] if chooses else candidates), *others]:
        require_another(student, teachers, request.source)
    if chooses and all(are_one_design(each, teacher) for each in candidates for teacher in teachers):
        require_another(candidates[0], teachers, request.source)
    return teachers


def print_teachers(request: "TeacherRequest", teachers: "Sequence[Candidate | Exported] | None", plan: "Plan") -> None:
    """Who teaches and how, who of them is over the budget, and on stderr what is not known of them."""
    from models.count import count_parameters
    from search.run.teachers import Exported

    how = f"temperature {request.temperature:g}, {100 * request.share:g}% of the loss"
    if teachers is None:
        print(f"teachers: the {request.num} best of the study after the finalists' round; {how}")
        return
    named, budget = [], plan.question.all_limits.max_params
    for teacher in teachers:
        params = count_parameters(teacher.architecture)
        over = f", over the budget of {budget:,}" if params > budget else ""
        if isinstance(teacher, Exported):
            name, caveat = teacher.teacher.name, teacher.teacher.caveat
        else:
            name, caveat = teacher.identity.name, ""
        named.append(f"{name} ({params:,} parameters{over})")
        if caveat:
            print(f"note: teacher {name} {caveat}", file=sys.stderr)
    print(f"{'teacher' if len(named) == 1 else 'teachers'}: {sentence_list(named)}; {how}")
