"""Trained networks to work with: the options that name one, and its runs."""

import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.choices import one_of, require_trial_or_baseline
from search.cli.hand_made import known_baseline
from search.cli.studies import open_study
from search.errors import InputError

if TYPE_CHECKING:
    from search.data.matching import Reading
    from search.files import StudyFiles
    from search.study.plan import Plan
    from search.study.trained import TrainedRun
    from search.trained_network import Augmentation

TrainedTrial = Annotated[int | None, typer.Option("--trial", help="Retrained trial.")]
TrainedBaseline = Annotated[str | None, typer.Option("--baseline", help="Baseline that was trained in the study.")]
TrainedDropout = Annotated[
    float | None,
    typer.Option("--dropout", help="With --trial: the dropout it was trained with; the chosen one if not given."),
]
TrainedRecipe = Annotated[
    str | None,
    typer.Option("--recipe", help="The recipe it was trained by, if there are several, or with its length: full-40ep."),
]
LabelReading = Annotated[
    str | None,
    typer.Option(
        "--labels",
        help="Classes go by their names or by their numbers from 0; needed only where names are other numbers.",
    ),
]

TestTimeAugmentation = Annotated[
    str | None,
    typer.Option(
        "--tta", help="Average logits over mirrored images (mirror), or over shifted ones too (shifts: 6 passes)."
    ),
]


def parse_augmentation(tta: str | None) -> "Augmentation | None":
    """
    Raises:
        InputError: there is no such test-time augmentation.
    """
    augmentation: Augmentation | None = None if tta is None else one_of("tta", tta, ("mirror", "shifts"))
    return augmentation


def parse_labels(labels: str | None) -> "Reading | None":
    """
    Raises:
        InputError: it is neither names nor numbers.
    """
    reading: Reading | None = None if labels is None else one_of("labels", labels, ("names", "numbers"))
    return reading


def find_trained_runs(
    command: str,
    studies: Path,
    study: str | None,
    trial: int | None,
    baseline: str | None,
    recipe: str | None,
    dropout: float | None,
    seeds: Collection[int] | None = None,
) -> "tuple[StudyFiles, Plan, list[TrainedRun]]":
    """A study and the runs of one of its trained networks, one for each seed. Where it was trained in several ways, a
    line on stderr says which is taken, and how to name another.

    Args:
        seeds: those whose weights must be there; None for all.

    Raises:
        InputError: not exactly one network is named.
        StudyError: there is no such study, or the network was not trained in it.
    """
    from search.study.trained import trained_runs

    require_trial_or_baseline(command, trial, baseline)
    if trial is None and dropout is not None:
        raise InputError(f"dropout = {dropout:g}: is for --trial; baselines keep theirs")
    files, plan = open_study(studies, study)
    if baseline is not None:
        baseline = known_baseline(baseline, files, plan)

    def note(line: str) -> None:
        print(line, file=sys.stderr)

    return files, plan, trained_runs(files, plan, trial, baseline, recipe, dropout, seeds, note)
