"""nas export: a trained network as files that need torch alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.output import print_written
from search.cli.paths import path_option
from search.cli.studies import Studies, StudyName, print_unread
from search.cli.trained_runs import TrainedBaseline, TrainedDropout, TrainedRecipe, TrainedTrial, find_trained_runs
from search.errors import InputError

if TYPE_CHECKING:
    from search.files import StudyFiles
    from search.study.plan import Plan
    from search.study.trained import TrainedRun


def export(
    trial: TrainedTrial = None,
    baseline: TrainedBaseline = None,
    recipe: TrainedRecipe = None,
    dropout: TrainedDropout = None,
    output: Annotated[Path | None, path_option("--output", "Folder; by default, in the study's.")] = None,
    bundle: Annotated[
        Path | None, path_option("--bundle", "Also write all of it, with report, plan and ledger, to this .zip file.")
    ] = None,
    hub: Annotated[
        bool, typer.Option("--hub", help="Also write the weights as model.safetensors, the hub's name for them.")
    ] = False,
    study: StudyName = None,
    studies: Studies = Path("studies"),
) -> None:
    """Write a retrained network as model.py (torch alone), weights.safetensors, architecture.json and MODEL_CARD.md.

    README.md and config.json make the folder a repository of the Hugging Face hub. certificate.json has the SHA-256 of
    every file, for nas verify. Of several seeds it takes the first: picking the best of them would be picking by the
    test set.
    """
    from search.report.retraining.hub_card import hub_card
    from search.report.retraining.model_card import model_card
    from search.run.export import export as write_export
    from search.run.export_certificate import write_certificate
    from search.study.trained import require_weights

    if bundle is not None and bundle.suffix != ".zip":
        raise InputError(f"bundle = {str(bundle)!r}: must be the name of a .zip file")
    files, plan, runs = find_trained_runs("export", studies, study, trial, baseline, recipe, dropout, [])
    run = runs[0]
    require_weights(plan, run)
    is_named = recipe is not None or dropout is not None  # apart from what is exported without a choice
    folder = output or files.export(run.view.identity, run.view.key if is_named else None)
    card = model_card(files, plan, runs)
    paths = write_export(files, plan, run, card, folder, hub_card(files, plan, run, card), hub)
    paths.append(write_certificate(folder, [path.name for path in paths], files, plan, run))
    for path in paths:
        print(path.resolve())
    if bundle is not None:
        _write_bundle(bundle, paths[:-1], files, plan, run)
        print_written("bundle", bundle)


def _write_bundle(bundle: Path, paths: "list[Path]", files: "StudyFiles", plan: "Plan", run: "TrainedRun") -> None:
    """Write the files of an export, the study's page and plan, and the openings of its test set, as one file."""
    from search.cli.report import render_page
    from search.files import encoded
    from search.run.bundle import write_bundle
    from search.run.export_certificate import NAME, certify_files
    from search.study.reading import read_view

    view = read_view(files)
    print_unread(view)
    ledger = files.ledger(plan.question.data.ledger_name)
    contents: dict[str, Path | bytes] = {path.name: path for path in paths}
    contents |= {"report.html": encoded(render_page(view, plan)), "plan.yaml": encoded(plan.to_yaml())}
    contents |= {"test-ledger.jsonl": ledger} if ledger.is_file() else {}
    contents[NAME] = encoded(certify_files(contents, files, plan, run).to_text())
    write_bundle(bundle, contents)
