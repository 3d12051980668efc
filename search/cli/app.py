"""nas: every command under its name, and errors as one line. Heavy imports stand inside commands: help stays quick."""

import signal
import sys
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from models.architecture import ArchitectureError
from search.cli.audit_proxy import audit_proxy
from search.cli.baseline import list_baselines, train
from search.cli.dashboard import dashboard
from search.cli.data import show_data
from search.cli.evaluate import evaluate
from search.cli.export import export
from search.cli.lr_range import lr_range
from search.cli.notes import show_notes
from search.cli.predict import predict
from search.cli.recipe import compare_recipes, list_recipes, show_recipe
from search.cli.report import report
from search.cli.retrain import retrain
from search.cli.search import search
from search.cli.show import show
from search.cli.space import space
from search.cli.streams import prepare_streams
from search.cli.trials import trials
from search.cli.verify import verify
from search.errors import NasError, OutputError

app = typer.Typer(
    name="nas",
    help="Architecture search for image classifiers under a hard parameter budget.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from search.study.plan import package_versions

        print(f"nas {package_versions()['budget-nas']}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass  # `main` takes --debug wherever it stands


for command in (search, retrain, report, dashboard, trials, space, show, evaluate, predict, export, verify):
    app.command()(command)
app.command("lr-range")(lr_range)
app.command("audit-proxy")(audit_proxy)

baseline_app = typer.Typer(
    help="Networks that people designed by hand or would guess, by name.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(baseline_app, name="baseline")
baseline_app.command("list")(list_baselines)
baseline_app.command("train")(train)

recipe_app = typer.Typer(help="How networks are trained, by name.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(recipe_app, name="recipe")
recipe_app.command("list")(list_recipes)
recipe_app.command("show")(show_recipe)
recipe_app.command("compare")(compare_recipes)

data_app = typer.Typer(help="The images that networks are trained on.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")
data_app.command("show")(show_data)


class _Terminated(BaseException):
    """SIGTERM, SIGUSR2 or SIGHUP arrived."""

    def __init__(self, status: int) -> None:
        self.status = status


def _terminate(number: int, _: object) -> NoReturn:
    raise _Terminated(129 if number == signal.SIGHUP else 143)


def main() -> None:
    """The `nas` command: errors are one line on stderr, with a traceback only under --debug."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, _terminate)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, _terminate)
    prepare_streams()
    show_notes()
    try:
        status = app(args=arguments, prog_name="nas", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(status if isinstance(status, int) else 0)
    except KeyboardInterrupt:
        _fail("interrupted; the same command goes on from here", 130, debug)
    except _Terminated as terminated:
        _fail("terminated; the same command goes on from here", terminated.status, debug)
    except OutputError as error:
        if error.is_unread:
            sys.exit(error.exit_status)  # without a word, as a filter ends
        _fail(str(error), error.exit_status, debug)
    except SystemExit as ended:
        # Typer's help has a stream of its own where the encoding is ASCII, and its own answer to a closed pipe.
        sys.exit(141 if isinstance(ended.__context__, BrokenPipeError) else ended.code)
    except typer.exceptions.TyperException as error:
        message = error.format_message()
        if message.startswith("Usage: "):  # `nas` and `nas baseline` alone
            print(message, file=sys.stderr)
            sys.exit(2)
        _fail(" ".join(message.split()), 2, debug)
    except NasError as error:
        _fail(str(error), error.exit_status, debug)
    except ArchitectureError as error:
        _fail(str(error), 2, debug)
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), 1, debug)


def _fail(message: str, status: int, debug: bool) -> NoReturn:
    if debug:
        raise
    with suppress(OutputError):
        print(f"nas: {message}", file=sys.stderr, flush=True)
    sys.exit(status)
