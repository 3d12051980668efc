"""The command line: parse, call, print. Heavy imports stand inside the commands, so that help is quick."""

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from models.architecture import ArchitectureError
from search.errors import InputError, NasError, StudyError
from search.files import StudyFiles
from search.output import Format, print_rows, print_values

if TYPE_CHECKING:
    from models.architecture import Architecture
    from search.recipe import Recipe
    from search.space.space import Task
    from search.study.plan import Plan

app = typer.Typer(
    name="nas",
    help="Architecture search for image classifiers under a hard parameter budget.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Studies = Annotated[Path, typer.Option("--studies", envvar="NAS_STUDIES", help="Folder of studies.")]
StudyName = Annotated[str | None, typer.Option("--study", help="Name of the study; without it, the one used last.")]
OutputFormat = Annotated[Format, typer.Option("--format", help="How to print.")]
SpaceFile = Annotated[Path | None, typer.Option("--space", help="Search space; without it, the default space.yaml.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    pass  # `main` has taken --debug before, wherever it stood


@app.command()
def search(
    budget: Annotated[str, typer.Option("--budget", help="Most parameters a network may have: 5e6, 5M, 500k.")],
    trials: Annotated[str, typer.Option("--trials", help="Trained networks, in total across runs.")] = "100",
    space: SpaceFile = None,
    data: Annotated[
        str,
        typer.Option("--data", help="digits, cifar10, cifar100, fashion-mnist, svhn, or the path of a data set."),
    ] = "cifar10",
    study: Annotated[str | None, typer.Option("--study", help="Name; without it, data and budget.")] = None,
    studies: Studies = Path("studies"),
    storage: Annotated[str | None, typer.Option("--storage", help="Database URL; without it, a file.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Epochs of a trial; without it, the recipe's.")] = None,
    recipe: Annotated[str, typer.Option("--recipe", help="How trials train: a name or YAML file.")] = "fast",
    pruner: Annotated[str, typer.Option("--pruner", help="Ends poor trials: median, asha or none.")] = "median",
    sampler: Annotated[str, typer.Option("--sampler", help="What proposes designs: tpe or random.")] = "tpe",
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Trials trained at the same time.")] = 1,
    device: Device = "auto",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Fixes split, proposals and training.")] = 0,
    timeout: Annotated[str | None, typer.Option("--timeout", help="Stop after this time: 90s, 30m, 2h.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Sample and count the designs, train none.")] = False,
    format: OutputFormat = Format.TABLE,
) -> None:
    """Search for the best network within the budget. The same command again goes on where it stopped."""
    from search.datasets import open_dataset
    from search.recipe import FULL
    from search.space.limits import parse_count, parse_duration
    from search.space.space import load_space
    from search.study import launch
    from search.study.plan import Data, Question

    num_trials = parse_count(trials, "trials")
    seconds = parse_duration(timeout) if timeout is not None else None
    max_params = parse_count(budget)
    dataset = open_dataset(data)
    question = Question(
        budget=max_params,
        data=Data.of(dataset),
        space=load_space(space),
        recipe=launch.fit_recipe(_recipe(recipe, epochs), dataset),
        sampler=_one_of("sampler", sampler, ("tpe", "random")),
        pruner=_one_of("pruner", pruner, ("median", "asha", "none")),
        seed=seed,
    )
    machine = launch.Machine(_one_of("device", device, ("auto", "cpu", "cuda")), workers)
    if dry_run:
        rows, draws = launch.dry_run(question, num_trials)
        if format is Format.TABLE:
            rows = [_designed(row) for row in rows]
        print_rows(rows, format)
        note = f"{len(rows)} different designs within {max_params:,} parameters from {draws} draws, none trained"
        print(note, file=sys.stderr)
        return

    from rich.console import Console

    from search.progress import SearchProgress

    files = StudyFiles(studies, study or f"{dataset.name}-{_short_count(max_params)}")
    headline = (
        f"study {files.name} in {files.folder}: at most {max_params:,} parameters, {dataset.name}, {num_trials} trials "
        f"of {question.recipe.epochs} epochs"
    )
    with SearchProgress(headline, num_trials, question.recipe, FULL, dataset.image_size, Console()) as progress:
        outcome = launch.search(files, question, data, num_trials, machine, progress, storage, seconds)
    if outcome.early_stop:
        print(f"stopped early: {outcome.early_stop}")
    print(
        f"{outcome.num_trained} trials trained; {outcome.num_proposed} designs proposed from {outcome.draws} draws, "
        "none of them over the budget or a repeat"
    )
    _print_best(files)


@app.command()
def retrain(
    trial: Annotated[list[int] | None, typer.Option("--trial", help="Trial to retrain; may be given again.")] = None,
    top: Annotated[int | None, typer.Option("--top", min=1, help="Choose among the best K at full length.")] = None,
    baseline: Annotated[
        list[str] | None, typer.Option("--baseline", help="Named baseline to train beside them; may be given again.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=100, help="Final runs of each network.")] = 1,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Epochs; without it, the recipe's.")] = None,
    recipe: Annotated[str, typer.Option("--recipe", help="Training recipe: a name or YAML file.")] = "full",
    device: Device = "auto",
    study: StudyName = None,
    studies: Studies = Path("studies"),
) -> None:
    """Train found networks at full length and open the test set, once per run.

    With --top K the K best trials are first trained at full length on the training split alone, two seeds each, and
    the best by mean validation accuracy is the one to be trained finally.
    """
    from rich.console import Console

    from search.progress import RetrainProgress
    from search.report.notation import duration
    from search.study import launch
    from search.study.retrain import baseline_candidate, best_trials, candidate_of
    from search.study.storage import read_study

    if (trial and top is not None) or not (trial or top or baseline):
        raise InputError("retrain: give either --trial NUMBER (once or more) or --top K, or a --baseline")
    files, plan = _open_study(studies, study)
    records, _ = read_study(files, plan.circumstances.storage)
    numbers = best_trials(records, top) if top is not None else list(dict.fromkeys(trial or []))
    candidates = [candidate_of(records, number, plan.question.budget) for number in numbers]
    baselines = [baseline_candidate(name, plan) for name in dict.fromkeys(baseline or [])]
    progress = RetrainProgress(Console())
    machine = launch.Machine(_one_of("device", device, ("auto", "cpu", "cuda")))
    choose = top is not None and top > 1
    ranking, runs = launch.retrain(
        files, plan, candidates, baselines, _recipe(recipe, epochs), seeds, choose, machine, progress.epoch
    )
    for candidate, accuracy in ranking:
        print(f"finalist {int(candidate.label)}: mean validation accuracy {accuracy:.2%} at full length")
    for run in runs:
        folder = files.retrained(run.label, run.seed)
        name = f"trial {int(run.label)}" if run.label.isdigit() else run.label
        print(
            f"{name} seed {run.seed}: test accuracy {run.test_accuracy:.2%}, {run.params:,} parameters "
            f"(budget {plan.question.budget:,}), {run.macs:,} MACs, {duration(run.seconds)}; weights in {folder}"
        )
    print(f"test set openings are listed in {files.ledger(plan.question.data.ledger_name)}")


@app.command()
def report(
    output: Annotated[Path | None, typer.Option("--output", help="HTML file; without it, beside the study.")] = None,
    open: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    study: StudyName = None,
    studies: Studies = Path("studies"),
) -> None:
    """Write one HTML page that tells the study, and its trials as CSV."""
    files, _ = _open_study(studies, study)

    from search.report.page import write_report
    from search.report.tables import write_trials_csv
    from search.study.reading import read_view

    view = read_view(files)
    path = output or files.report
    write_report(view, path)
    write_trials_csv(view, files.trials_csv)
    print(f"report: {path.resolve()}")
    print(f"trials: {files.trials_csv.resolve()}")
    if open:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())


@app.command()
def trials(study: StudyName = None, studies: Studies = Path("studies"), format: OutputFormat = Format.TABLE) -> None:
    """List a study's trials."""
    from search.study.reading import read_view

    files, _ = _open_study(studies, study)
    rows: list[dict[str, Any]] = [
        {
            "number": each.number,
            "state": each.state,
            "value": each.value,
            "params": each.params,
            "macs": each.macs,
            "epochs": each.num_epochs,
            "seconds": each.seconds,
            "architecture": each.architecture.to_dict(),
        }
        for each in read_view(files).trials
    ]
    print_rows([_designed(row) for row in rows] if format is Format.TABLE else rows, format)


@app.command()
def space(
    space: SpaceFile = None,
    budget: Annotated[str | None, typer.Option("--budget", help="Most parameters: 5e6, 5M, 500k.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="Data set whose images the networks take.")] = None,
    format: OutputFormat = Format.TABLE,
) -> None:
    """Count what a search space holds, and what a budget leaves of it, exactly."""
    from search.space.audit import audit
    from search.space.limits import parse_count
    from search.space.space import load_space

    max_params = parse_count(budget) if budget is not None else None
    values = audit(load_space(space), _task(data), max_params).as_dict()
    title = "" if data else "for colour images in 10 classes; --data takes those of a data set"
    print_values(values, format, title)


@app.command()
def show(
    trial: Annotated[int | None, typer.Option("--trial", help="Trial of the study.")] = None,
    baseline: Annotated[str | None, typer.Option("--baseline", help="Named baseline, for CIFAR-10.")] = None,
    architecture: Annotated[Path | None, typer.Option("--architecture", help="JSON file of an architecture.")] = None,
    image_size: Annotated[int, typer.Option("--image-size", min=1, help="Pixels, unless --trial.")] = 32,
    study: StudyName = None,
    studies: Studies = Path("studies"),
    format: OutputFormat = Format.TABLE,
) -> None:
    """Show a network stage by stage: shape, parameters, multiply-accumulates."""
    from models.baselines import find_baseline
    from models.count import parts
    from search.report.notation import design

    if sum(given is not None for given in (trial, baseline, architecture)) != 1:
        raise InputError("show: give one of --trial NUMBER, --baseline NAME and --architecture FILE")
    if trial is not None:
        network, image_size = _trial_architecture(studies, study, trial)
    elif baseline is not None:
        network = find_baseline(baseline)
    else:
        assert architecture is not None
        network = _read_architecture(architecture)
    rows: list[dict[str, Any]] = [
        {"part": part.name, "channels": part.channels, "size": part.size, "params": part.params, "macs": part.macs}
        for part in parts(network, image_size)
    ]
    if format is not Format.JSON:
        totals = {"params": sum(row["params"] for row in rows), "macs": sum(row["macs"] for row in rows)}
        rows.append({"part": "total", "channels": None, "size": None} | totals)
        print_rows(rows, format, design(network))
        return
    print_values(
        {
            "params": sum(row["params"] for row in rows),
            "macs": sum(row["macs"] for row in rows),
            "architecture": network.to_dict(),
            "parts": rows,
        },
        format,
    )


baseline_app = typer.Typer(
    help="Networks that people designed by hand, by name.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(baseline_app, name="baseline")


@baseline_app.command("list")
def list_baselines(format: OutputFormat = Format.TABLE) -> None:
    """List the named baselines, with their cost on CIFAR-10 and what their authors reported."""
    from models.baselines import BASELINES, BUDGET
    from models.count import count_macs, count_parameters

    rows: list[dict[str, Any]] = [
        {
            "name": baseline.name,
            "report": baseline.report,
            "params": (params := count_parameters(baseline.architecture)),
            "macs": count_macs(baseline.architecture, 32),
            "within_5M": params <= BUDGET,
            "reported": baseline.reported,
            "architecture": baseline.architecture.to_dict(),
            "note": baseline.note,
        }
        for baseline in BASELINES.values()
    ]
    print_rows([_designed(row) for row in rows] if format is Format.TABLE else rows, format)


@app.command()
def export(
    trial: Annotated[int, typer.Option("--trial", help="Retrained trial.")],
    output: Annotated[Path | None, typer.Option("--output", help="Folder; without it, in the study's.")] = None,
    study: StudyName = None,
    studies: Studies = Path("studies"),
) -> None:
    """Write a retrained network as model.py (torch alone), weights.safetensors and architecture.json."""
    from search.study.export import export as write_export

    files, plan = _open_study(studies, study)
    for path in write_export(files, plan, trial, output or files.export(trial)):
        print(path.resolve())


def _recipe(name: str, epochs: int | None) -> "Recipe":
    from search.recipe import load_recipe, with_epochs

    recipe = load_recipe(name)
    return recipe if epochs is None else with_epochs(recipe, epochs)


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> Any:
    if value not in choices:
        raise InputError(f"{name} = {value!r}: must be one of {', '.join(choices)}")
    return value


def _open_study(studies: Path, name: str | None) -> "tuple[StudyFiles, Plan]":
    """The named study, or the one used last, which is then said."""
    from search.study.plan import Plan

    if name is None:
        last = studies / ".last-study"
        if not last.is_file():
            raise StudyError(f"study: none has been used in {studies}; name one with --study")
        name = last.read_text(encoding="utf-8").strip()
        print(f"study: {name}", file=sys.stderr)
    files = StudyFiles(studies, name)
    return files, Plan.load(files)


def _task(data: str | None) -> "Task":
    from search.space.space import Task
    from search.study.plan import Data

    if data is None:
        return Task(image_size=32, in_channels=3, num_classes=10)
    from search.datasets import open_dataset

    return Data.of(open_dataset(data)).task


def _trial_architecture(studies: Path, study: str | None, number: int) -> "tuple[Architecture, int]":
    from search.study.reading import read_view

    files, _ = _open_study(studies, study)
    view = read_view(files)
    found = [each.architecture for each in view.trials if each.number == number]
    if not found:
        raise StudyError(f"trial = {number}: no such trial in study {files.name!r}")
    return found[0], view.image_size


def _read_architecture(path: Path) -> "Architecture":
    from models.architecture import Architecture
    from search.yamlfile import read_text

    try:
        return Architecture.from_json(read_text(path, InputError))
    except ArchitectureError as error:
        raise InputError(f"{path}: {error}") from None


def _designed(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its architecture on one line, for people."""
    from models.architecture import Architecture
    from search.report.notation import design

    return row | {"architecture": design(Architecture.from_dict(row["architecture"]))}


def _print_best(files: StudyFiles) -> None:
    from search.report.notation import design
    from search.study.reading import read_view

    view = read_view(files)
    complete = [each for each in view.trials if each.state == "complete" and each.value is not None]
    if not complete:
        print("no trial was trained to the end")
        return
    best = max(complete, key=lambda each: (each.value or 0.0, -each.number))
    print(
        f"best: trial {best.number}, validation accuracy {best.value:.2%}, {best.params:,} parameters "
        f"({best.params / view.budget:.0%} of the budget), {best.macs:,} MACs: {design(best.architecture)}"
    )
    print(f"next: nas retrain --trial {best.number}, or nas retrain --top 3 to choose at full length; then nas report")


def _short_count(number: int) -> str:
    """5000000 as 5M, 20000 as 20k, anything else in full."""
    for size, unit in ((10**6, "M"), (10**3, "k")):
        if number % (size // 10) == 0 and number >= size:
            return f"{number / size:g}{unit}"
    return str(number)


class _Terminated(BaseException):
    """SIGTERM arrived."""


def _terminate(*_: object) -> NoReturn:
    raise _Terminated


def main() -> None:
    """The `nas` command: errors are one line on stderr, with a traceback only under --debug."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    signal.signal(signal.SIGTERM, _terminate)
    try:
        status = app(args=arguments, prog_name="nas", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(status if isinstance(status, int) else 0)
    except KeyboardInterrupt:
        _fail("interrupted; the same command goes on from here", 130, debug)
    except _Terminated:
        _fail("terminated; the same command goes on from here", 143, debug)
    except BrokenPipeError:
        # Whoever read our output has had enough; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except typer.exceptions.TyperException as error:
        _fail(" ".join(error.format_message().split()), 2, debug)
    except NasError as error:
        _fail(str(error), error.exit_status, debug)
    except ArchitectureError as error:
        _fail(str(error), 2, debug)


def _fail(message: str, status: int, debug: bool) -> NoReturn:
    if debug:
        raise
    print(f"nas: {message}", file=sys.stderr)
    sys.exit(status)
