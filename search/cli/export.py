"""nas export: a trained network as files that need torch alone."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from search.cli.choices import one_of
from search.cli.output import print_written
from search.cli.paths import path_option
from search.cli.studies import Studies, StudyName, print_unread
from search.cli.trained_runs import TrainedBaseline, TrainedDropout, TrainedRecipe, TrainedTrial, find_trained_runs
from search.errors import InputError
from search.trained_network import FLOAT_FILE, INT8_FILE, OnnxExport

if TYPE_CHECKING:
    from search.files import StudyFiles
    from search.study.plan import Plan
    from search.study.trained import TrainedRun


def export(
    trial: TrainedTrial = None,
    baseline: TrainedBaseline = None,
    recipe: TrainedRecipe = None,
    dropout: TrainedDropout = None,
    to: Annotated[
        str,
        typer.Option("--to", help="torch; onnx: an ONNX file too; int8: both that and a quantised one."),
    ] = "torch",
    test: Annotated[
        bool, typer.Option("--test", help="Measure ONNX files on test images, once more, not on validation images.")
    ] = False,
    output: Annotated[Path | None, path_option("--output", "Folder; by default, in the study's.")] = None,
    bundle: Annotated[
        Path | None, path_option("--bundle", "Also write all of it, with report, plan and ledger, to this .zip file.")
    ] = None,
    hub: Annotated[
        bool, typer.Option("--hub", help="Also write the weights as model.safetensors, the hub's name for them.")
    ] = False,
    license: Annotated[
        str | None, typer.Option("--license", help="For README.md, as the hub names it: apache-2.0. None by default.")
    ] = None,
    study: StudyName = None,
    studies: Studies = Path("studies"),
) -> None:
    """Write a retrained network as model.py (torch alone), weights.safetensors, architecture.json and MODEL_CARD.md.

    README.md and config.json make the folder a repository of the Hugging Face hub. certificate.json has the SHA-256 of
    every file, for nas verify. Of several seeds it takes the first: picking the best of them would be picking by the
    test set.

    With --to onnx it writes model.onnx too, for uint8 images (N, C, H, W), and compares it with torch on the study's
    validation images. With --to int8 there is also model.int8.onnx, whose ranges are taken from training images. The
    accuracy of each file is measured in onnxruntime, on validation images or, with --test, on the test set, which is
    then opened once more. They need pip install 'budget-nas[onnx]'.
    """
    from search.report.retraining.hub_card import hub_card
    from search.report.retraining.model_card import model_card
    from search.run.export import HUB_WEIGHTS
    from search.run.export import export as write_export
    from search.run.export_certificate import write_certificate
    from search.study.trained import require_weights
    from search.writing import require_writable

    if bundle is not None and bundle.suffix != ".zip":
        raise InputError(f"bundle = {str(bundle)!r}: must be the name of a .zip file")
    if license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]{0,63}", license):
        raise InputError(
            f"license = {license!r}: must be a name as the hub writes it: mit, apache-2.0, cc-by-4.0, other"
        )
    form: Literal["torch", "onnx", "int8"] = one_of("to", to, ("torch", "onnx", "int8"))
    if test and form == "torch":
        raise InputError("test: is for --to onnx or int8, whose files are measured")
    files, plan, runs = find_trained_runs("export", studies, study, trial, baseline, recipe, dropout, [])
    run = runs[0]
    require_weights(plan, run)
    is_named = recipe is not None or dropout is not None  # apart from what is exported without a choice
    folder = output or files.export(run.view.identity, run.view.key if is_named else None)
    for path in (folder / "model.py", bundle):  # before the test set is opened in vain
        if path is not None:
            require_writable(path)
    contents: dict[str, bytes] = {}
    measured: OnnxExport | None = None
    if form != "torch":
        from search.run.onnx_export import export_onnx

        contents, measured = export_onnx(files, plan, run, form, "test" if test else "validation")
    card = model_card(files, plan, runs, measured)
    others: dict[str, str | bytes] = {"README.md": hub_card(files, plan, run, card, license), **contents}
    paths = write_export(files, plan, run, card, folder, others, hub)
    paths.append(write_certificate(folder, [path.name for path in paths], files, plan, run))
    for path in paths:
        print(path.resolve())
    if bundle is not None:
        _write_bundle(bundle, paths[:-1], files, plan, run)
        print_written("bundle", bundle)
    for line in onnx_sentences(measured) if measured is not None else ():
        print(line, file=sys.stderr)
    for name in (FLOAT_FILE, INT8_FILE, HUB_WEIGHTS):
        if folder / name not in paths and (folder / name).exists():
            print(f"warning: {folder / name} is of an earlier export, and not of this one", file=sys.stderr)


def _write_bundle(bundle: Path, paths: "list[Path]", files: "StudyFiles", plan: "Plan", run: "TrainedRun") -> None:
    """Write the files of an export, the study's page and plan, and the openings of its test set, as one file."""
    from search.cli.report import draw_page
    from search.run.bundle import write_bundle
    from search.run.export_certificate import NAME, certify_files
    from search.study.reading import read_view
    from search.writing import encoded

    view = read_view(files)
    print_unread(view)
    ledger = files.ledger(plan.question.data.ledger_name)
    contents: dict[str, Path | bytes] = {path.name: path for path in paths}
    contents |= {"report.html": encoded(draw_page(plan)(view, None)), "plan.yaml": encoded(plan.to_yaml())}
    if ledger.is_file():
        contents["test-ledger.jsonl"] = ledger.read_bytes()  # once: other studies write to it
    contents[NAME] = encoded(certify_files(contents, files, plan, run).to_text())
    write_bundle(bundle, contents)


def onnx_sentences(measured: OnnxExport) -> list[str]:
    """What was written and measured, a line for each file and one for how."""
    from search.study.onnx_results import measured_on

    lines = [
        f"{file.name}: {file.num_bytes:,} bytes, {file.number_bytes:,} of them numbers and "
        f"{file.num_bytes - file.number_bytes:,} the graph; accuracy {file.accuracy:.2%}"
        for file in measured.files
    ]
    return [
        *lines,
        f"accuracies by onnxruntime, on {measured_on(measured)}; the logits of {measured.files[0].name} differ from "
        f"torch's by at most {measured.difference:.1g}",
    ]
