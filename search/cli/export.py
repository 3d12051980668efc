"""nas export: a trained network as files that need torch alone."""

from pathlib import Path
from typing import Annotated

from search.cli.paths import path_option
from search.cli.studies import Studies, StudyName
from search.cli.trained_runs import TrainedBaseline, TrainedDropout, TrainedRecipe, TrainedTrial, find_trained_runs


def export(
    trial: TrainedTrial = None,
    baseline: TrainedBaseline = None,
    recipe: TrainedRecipe = None,
    dropout: TrainedDropout = None,
    output: Annotated[Path | None, path_option("--output", "Folder; by default, in the study's.")] = None,
    study: StudyName = None,
    studies: Studies = Path("studies"),
) -> None:
    """Write a retrained network as model.py (torch alone), weights.safetensors, architecture.json and MODEL_CARD.md.

    Of several seeds it takes the first: picking the best of them would be picking by the test set.
    """
    from search.report.retraining.model_card import model_card
    from search.run.export import export as write_export
    from search.study.trained import require_weights

    files, plan, runs = find_trained_runs("export", studies, study, trial, baseline, recipe, dropout, [])
    require_weights(plan, runs[0])
    is_named = recipe is not None or dropout is not None  # apart from what is exported without a choice
    folder = output or files.export(runs[0].view.identity, runs[0].view.key if is_named else None)
    for path in write_export(files, plan, runs[0], model_card(files, plan, runs), folder):
        print(path.resolve())
