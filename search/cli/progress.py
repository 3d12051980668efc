"""What a person sees while networks train: bars on a terminal, plain lines elsewhere."""

import time
from types import TracebackType

from optuna.trial import TrialState
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from models.architecture import Architecture
from models.count import count_parameters
from search.errors import OutputError
from search.protocol import Job, Measurement
from search.quantities import plural, significant
from search.recipe import Recipe
from search.report.notation import design, duration, short
from search.run.cost_estimate import Forecast
from search.run.interruption import Interruption
from search.run.listener import Observer
from search.run.time_budget import Choice
from search.study.plan import PrunerName
from search.study.sanity import first_loss_warning
from search.study.view import RunView
from search.tracking.trackers import Trackers
from search.trained_network import Precision

WORDS = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class SearchProgress:
    """Shows the progress of a search; a `search.run.listener.Listener`. Use as a context manager.

    Args:
        headline: what is searched for, printed once the search can begin.
        num_trials: how many are asked for; None in a search by time.
        recipe: how trials are trained.
        retrain_recipe: how a winner would be retrained, to estimate how long that takes.
        pruner: what ends trials early.
        log: is told of every trial, under the name 'trial-0042'.
        interruption: is asked for the end once nothing can be printed any more.
    """

    def __init__(
        self,
        headline: str,
        num_trials: int | None,
        recipe: Recipe,
        retrain_recipe: Recipe,
        pruner: PrunerName,
        console: Console,
        log: Trackers,
        interruption: Interruption,
    ) -> None:
        self.headline = headline
        self.num_trials = num_trials
        self.recipe = recipe
        self.retrain_recipe = retrain_recipe
        self.pruner = pruner
        self.console = console
        self.log = log
        self._interruption = interruption
        self._best: float | None = None
        self._num_trained = 0
        self._num_ended = 0
        self._started = time.monotonic()
        self._end: float | None = None  # of a search by time
        self._running: dict[int, int] = {}
        self._num_classes = 0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._bar = self._progress.add_task("trials", total=num_trials, note="")

    def __enter__(self) -> "SearchProgress":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def resumed(self, num_trained: int, best: float | None) -> None:
        self._num_trained, self._best = num_trained, best
        self._say(self.headline)
        if num_trained:
            self._say(f"the study has {plural(num_trained, 'trained trial')} already")

    def ready(self, device: str, precision: Precision, began_on: str | None) -> None:
        self._say(f"training on {device}, precision {precision}, batches of {self.recipe.batch_size}")
        if began_on is not None:
            self._say(f"warning: trials before were trained on {began_on}; precision and batches stay as they were")

    def timed(self, forecast: Forecast, num_trials: int) -> None:
        macs, seconds = forecast.macs, forecast.seconds_per_epoch
        epochs = self.recipe.epochs
        designs = f"{plural(len(macs), 'random design')} ({_between(short(min(macs)), short(max(macs)))} MACs)"
        take = "takes" if len(seconds) == 1 else "take"
        self._say(f"{designs} {take} {_between(significant(min(seconds)), significant(max(seconds)))} s an epoch")
        search = forecast.of_search(num_trials, epochs, self.pruner)
        trials = f"{plural(num_trials, 'trial')} of {plural(epochs, 'epoch')}"
        pruned = "" if self.pruner == "none" or epochs == 1 else f", pruned by {self.pruner},"
        retrain_epochs = self.retrain_recipe.epochs
        one = "it" if num_trials == 1 else "one of them"
        self._say(
            f"expect about {duration(search)} on {plural(forecast.num_workers, 'worker')} for {trials}{pruned} and "
            f"{duration(forecast.of_training(retrain_epochs))} to retrain {one} for {plural(retrain_epochs, 'epoch')}"
        )
        if search > 3600 and self._end is None:
            self._say("shorter: fewer --epochs or --trials, a smaller --budget, a GPU, or a space of cheaper designs")

    def chosen(self, choice: Choice) -> None:
        self._end = time.monotonic() + choice.seconds_left
        self.num_trials = self._num_trained + choice.num_trials
        self.recipe = self.recipe.model_copy(update={"epochs": choice.epochs})
        trials = f"{plural(choice.num_trials, 'trial')} of {plural(choice.epochs, 'epoch')}"
        designs = plural(choice.num_timed, "design")
        self._say(f"{duration(choice.seconds)}: about {trials}, by the timing of {designs}")
        self._progress.update(self._bar, total=self.num_trials)

    def untimed(self, reason: str) -> None:
        self._say(f"a few random designs cannot be timed: {reason}")

    def began(self, number: int, architecture: Architecture) -> None:
        self._running[number] = 0
        self._num_classes = architecture.num_classes
        params = count_parameters(architecture)
        self.log.begin(_name(number), architecture, self.recipe)
        if self.console.is_terminal:
            self._refresh()
        else:
            self._say(f"trial {number} begins: {plural(params, 'parameter')}, {design(architecture)}")

    def measured(self, number: int, measurement: Measurement) -> None:
        self._running[number] = measurement.epoch
        self.log.measure(_name(number), measurement)
        if warning := first_loss_warning(measurement.first_loss, self._num_classes):
            self._say(f"warning: trial {number}: {warning}")
        self._refresh()

    def noted(self, number: int, text: str) -> None:
        self._say(f"trial {number}: {text}")

    def ended(self, number: int, state: TrialState, value: float | None, reason: str | None) -> None:
        epochs = self._running.pop(number, 0)
        self._num_ended += 1
        values = {"validation_accuracy": value, "trained_epochs": epochs, "reason": reason}
        self.log.end(_name(number), WORDS[state], {key: known for key, known in values.items() if known is not None})
        if state != TrialState.FAIL:
            self._num_trained += 1
        if state == TrialState.COMPLETE and value is not None and (self._best is None or value > self._best):
            self._best = value
        text = f"trial {number} {WORDS[state]} after {plural(epochs, 'epoch')}"
        if reason:
            text = f"{text}: {reason}" if epochs else f"trial {number} was not trained: {reason}"
        elif value is not None:
            text += f": validation accuracy {value:.2%}"
        self._say(text + (f", best so far {self._best:.2%}" if self._best is not None else ""))
        self._refresh()

    def _refresh(self) -> None:
        note = f"best {self._best:.2%}" if self._best is not None else ""
        if self._running:
            epochs = ", ".join(
                f"trial {number} epoch {epoch}/{self.recipe.epochs}" for number, epoch in self._running.items()
            )
            note += f"  {epochs}"
        if self._end is not None:
            note += f"  {duration(max(0.0, self._end - time.monotonic()))} left"
        elif self._num_ended and self.num_trials is not None:
            seconds_per_trial = (time.monotonic() - self._started) / self._num_ended
            note += f"  {duration(seconds_per_trial * (self.num_trials - self._num_trained))} left"
        if self._end is not None and self.num_trials is not None:  # which was a guess
            self.num_trials = max(self.num_trials, self._num_trained + len(self._running))
            self._progress.update(self._bar, total=self.num_trials)
        self._progress.update(self._bar, completed=self._num_trained, note=note.strip())

    def _say(self, text: str) -> None:
        _print(self.console, text, self._interruption)


def _print(console: Console, text: str, interruption: Interruption) -> None:
    try:
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    except OutputError as error:
        interruption.output_closed(error)


def _between(least: str, most: str) -> str:
    return least if least == most else f"{least} to {most}"


class RetrainProgress:
    """Shows the progress of full-length runs: a line per epoch, or per tenth of the epochs if there are many.

    `log` is told of every run, under the name 'final-0042-seed-0-full-40ep-3f9a1c77'. `interruption` is asked for
    the end once nothing can be printed any more.
    """

    def __init__(self, console: Console, log: Trackers, interruption: Interruption) -> None:
        self.console = console
        self.log = log
        self._interruption = interruption

    @property
    def observer(self) -> Observer:
        return Observer(self.epoch, self.note, self.begin, self.end)

    def begin(self, job: Job) -> None:
        self.log.begin(_run_name(job), job.architecture, job.recipe, purpose=job.purpose, seed=job.seed)

    def end(self, job: Job, view: RunView | None) -> None:
        self.log.end(_run_name(job), "complete" if view else "failed", final_values(view) if view else {})

    def epoch(self, job: Job, measurement: Measurement) -> None:
        self.log.measure(_run_name(job), measurement)
        if warning := first_loss_warning(measurement.first_loss, job.architecture.num_classes):
            self._say(f"warning: {job.label}: {warning}")
        epochs = job.recipe.epochs
        if measurement.epoch % max(1, epochs // 10) and measurement.epoch != epochs:
            return
        text = f"{job.purpose} {job.label}: epoch {measurement.epoch}/{epochs}"
        text += f", training loss {measurement.train_loss:.3f}"
        if measurement.validation_accuracy is not None:
            text += f", validation accuracy {measurement.validation_accuracy:.2%}"
        else:
            text += f", training accuracy {measurement.train_accuracy:.2%}"
        self._say(f"{text}, {measurement.seconds:.1f} s")

    def note(self, job: Job, text: str) -> None:
        self._say(f"{job.purpose} {job.label}: {text}")

    def _say(self, text: str) -> None:
        _print(self.console, text, self._interruption)


def final_values(view: RunView) -> dict[str, float]:
    """What a full-length run came to, as far as it was measured."""
    values = {
        "test_accuracy": view.test_accuracy,
        "test_loss": view.test_loss,
        "validation_accuracy": view.validation,
        "trained_epochs": view.epochs,
        "seconds": view.seconds,
    }
    return {name: value for name, value in values.items() if value is not None}


def _name(number: int) -> str:
    return f"trial-{number:04d}"


def _run_name(job: Job) -> str:
    return f"{job.purpose}-{job.label}-{job.key}".replace(" ", "-")
