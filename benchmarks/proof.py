"""Does searching pay? `nas search` against the best guess, random search and plain Optuna, at equal wall clock.

Everything that a method needs counts: the search, the choice among finalists and the last training. All have the same
images, the same cores, one after another, and are judged by the test set, which none of them opens before its end.

    nas       `nas search --time` and `nas retrain --time`, everything else by default: where there is time for it the
              two best of the search teach the last trainings
    nas-alone  the same without teachers
    nas-free  nas without a limit on multiply-accumulates; nas-modern and nas-tiny in the spaces of these names
    random    the same as nas without hand-made first trials, drawn at random
    optuna    what a careful user writes: TPE, the median pruner, trials over the budget pruned, the textbook loop; the
              best trial is trained for as long as the rest of the time allows
    guess     each network of the family of guesses named by --guess, trained by `full` for all of the time

Beside every winner of a search stands the guess that the search itself trained for as many epochs, by the same recipe.

Ended runs are kept in the results file and are not repeated on a machine of the same kind, so that the command can be
interrupted and run again. Runs of different kinds of machines are never compared.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean
from sysconfig import get_path
from typing import Any

import numpy as np
import optuna
import torch
from images import at_size, cifar, cifar_test
from measuring import Rows, interval, make_parser, paired_interval, print_table, save_results
from textbook import accuracy_of, train

from models.architecture import Architecture, ArchitectureError, Stage, Stem
from models.count import count_macs, count_parameters
from search.data.splits import split
from search.files import StudyFiles
from search.space.space import Space, load_space
from search.study.reading import read_view
from search.study.view import StudyView

NAS = Path(get_path("scripts")) / "nas"
SEARCH_SHARE = 0.3  # of the time
OPTUNA_EPOCHS = 5
RESULTS = "proof"
SEARCHES = {  # the options of `nas search`, and those of `nas retrain`
    "nas": ((), ()),
    "nas-alone": ((), ("--teacher", "none")),
    "nas-free": (("--limit", "macs=none"), ()),
    "nas-modern": (("--space", "modern"), ()),
    "nas-tiny": (("--space", "tiny"), ()),
    "random": (("--sampler", "random", "--no-warm-start"), ()),
}


def write_images(path: Path, num_train: int, size: int) -> None:
    """Write the first training images of CIFAR-10 and all test images, at 32x32 or at 16x16 pixels, as an .npz."""
    images, labels = cifar(num_train)
    test_images, test_labels = cifar_test(size)
    np.savez(path, x_train=at_size(images, size), y_train=labels, x_test=test_images, y_test=test_labels)


class Race:
    """What all methods share.

    Args:
        folder: for studies and logs.
        data: the .npz of the images.
        seconds: of each run, from its start to its end.
    """

    def __init__(self, folder: Path, data: Path, seconds: float) -> None:
        self.folder = folder
        self.data = data
        self.seconds = seconds

    def nas(self, *arguments: object) -> str:
        """Run a command of nas in the folder; what it prints.

        Raises:
            SystemExit: it failed; the message is what it printed.
        """
        command = [str(NAS), *map(str, arguments)]
        ended = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        with (self.folder / "proof.log").open("a") as log:
            log.write(f"$ {' '.join(command)}\n{ended.stdout}{ended.stderr}\n")
        if ended.returncode != 0:
            sys.exit(f"{' '.join(command)}\n{ended.stdout}{ended.stderr}")
        return ended.stdout

    def view(self, study: str) -> StudyView:
        return read_view(StudyFiles(self.folder / "studies", study))


def result(
    network: Architecture,
    image_size: int,
    accuracy: float | None,
    started: float,
    epochs: int,
    trained: int = 0,
    asked: int = 0,
) -> dict[str, Any]:
    """A row: the network that was tested, its test accuracy after so many epochs, and the seconds since the start; of
    the trials that were asked for, those that were not trained are wasted."""
    return {
        "accuracy": accuracy,
        "seconds": time.monotonic() - started,
        "network": network.to_dict(),
        "params": count_parameters(network),
        "macs": count_macs(network, image_size),
        "epochs": epochs,
        "trials": trained,
        "wasted": asked - trained,
    }


def search_and_retrain(race: Race, study: str, budget: int, seed: int, name: str) -> dict[str, Any]:
    """A row of `nas search` and `nas retrain`, each for its share of the time."""
    searching, retraining = SEARCHES[name]
    started = time.monotonic()
    race.nas(
        "search", "--budget", budget, "--time", f"{SEARCH_SHARE * race.seconds:.0f}s", "--data", race.data.name,
        "--study", study, "--seed", seed, *searching,
    )  # fmt: skip
    left = race.seconds - (time.monotonic() - started)
    race.nas("retrain", "--time", f"{left:.0f}s", "--study", study, *retraining)
    view = race.view(study)
    finals = [run for run in view.runs if run.purpose == "final"]
    (final,) = (run for run in finals if run.identity.trial is not None)
    beside = {run.identity.baseline: run.test_accuracy for run in finals if run.identity.trial is None}
    trained = sum(trial.state in ("complete", "pruned") for trial in view.trials)
    row = result(
        final.architecture, view.image_size, final.test_accuracy, started, final.epochs, trained, len(view.trials)
    )
    return row | {"beside": beside}


def guess(race: Race, study: str, budget: int, seed: int, name: str) -> dict[str, Any]:
    """A row of a guess, trained for all of the time."""
    started = time.monotonic()

    def train(epochs: int, study: str) -> Any:
        race.nas(
            "baseline", "train", name, "--recipe", "full", "--epochs", epochs, "--data", race.data.name,
            "--budget", budget, "--study", study, "--seed", seed,
        )  # fmt: skip
        return race.view(study).runs[-1]

    pace = fmean(epoch.seconds for epoch in train(3, f"{study}-pace").history)
    final = train(int((race.seconds - (time.monotonic() - started)) / pace), study)
    return result(final.architecture, race.view(study).image_size, final.test_accuracy, started, final.epochs)


def plain_optuna(race: Race, study: str, budget: int, seed: int) -> dict[str, Any]:
    """A row of the search that a careful user writes with Optuna and torch."""
    started = time.monotonic()
    with np.load(race.data) as arrays:
        images, labels = arrays["x_train"], arrays["y_train"]
        test = arrays["x_test"], arrays["y_test"]
    training, validation = split(labels, seed)
    space, size = load_space(), images.shape[1]

    def objective(trial: optuna.Trial) -> float:
        network = suggest(trial, space)
        if network is None or count_parameters(network) > budget:
            raise optuna.TrialPruned
        trial.set_user_attr("network", network.to_json())
        accuracy = 0.0
        for epoch, model in train(network, images[training], labels[training], OPTUNA_EPOCHS):
            accuracy = accuracy_of(model, images[validation], labels[validation], images[training])
            trial.report(accuracy, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return accuracy

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    search = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed), pruner=optuna.pruners.MedianPruner()
    )
    search.optimize(objective, timeout=SEARCH_SHARE * race.seconds)
    if not any(trial.state == optuna.trial.TrialState.COMPLETE for trial in search.trials):
        sys.exit(
            f"no trial of plain Optuna was completed in {SEARCH_SHARE * race.seconds:.0f} s: give it more --minutes"
        )
    best = Architecture.from_json(search.best_trial.user_attrs["network"])
    before = time.monotonic()
    for _ in train(best, images, labels, 1):
        pace = time.monotonic() - before
    epochs = max(1, int((race.seconds - (time.monotonic() - started)) / pace))
    *_, (_, model) = train(best, images, labels, epochs)
    trained = sum("network" in trial.user_attrs for trial in search.trials)
    return result(best, size, accuracy_of(model, *test, images), started, epochs, trained, len(search.trials))


def suggest(trial: optuna.Trial, space: Space) -> Architecture | None:
    """A network of the space, or None if the choices contradict each other."""
    shortcut = trial.suggest_categorical("shortcut", space.shortcut)
    dropout = trial.suggest_categorical("dropout", space.dropout)
    stem = trial.suggest_categorical("stem", space.stem.width)
    stages = tuple(
        Stage(
            trial.suggest_categorical(f"block{index}", space.stage.block),
            trial.suggest_int(f"depth{index}", space.stage.depth[0], space.stage.depth[-1]),
            trial.suggest_categorical(f"width{index}", space.stage.width),
            trial.suggest_categorical(f"kernel{index}", space.stage.kernel),
            dropout,
        )
        for index in range(trial.suggest_int("num_stages", space.num_stages[0], space.num_stages[-1]))
    )
    widths = [stem, *(stage.width for stage in stages)]
    if widths != sorted(widths):
        return None
    try:
        return Architecture(Stem(stem), stages, shortcut)
    except ArchitectureError:
        return None


def kind_of_machine() -> str:
    """What decides how much is trained in a time: the GPU, or the cores and the widest vectors that they compute on."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{len(os.sched_getaffinity(0))} cores, {torch.backends.cpu.get_cpu_capability()}"


Method = Callable[[Race, str, int, int], dict[str, Any]]


def make_methods(guesses: list[str]) -> dict[str, Method]:
    searches = {name: partial(search_and_retrain, name=name) for name in SEARCHES}
    return {"optuna": plain_optuna, **searches, **{name: partial(guess, name=name) for name in guesses}}


def print_results(rows: Rows) -> None:
    settings = ("machine", "budget", "minutes", "size", "images")
    for setting in sorted({tuple(row[name] for name in settings) for row in rows}):
        of_budget = [row for row in rows if tuple(row[name] for name in settings) == setting]
        ours = {row["seed"]: row["accuracy"] for row in of_budget if row["method"] == "nas"}
        table = []
        for method in dict.fromkeys(row["method"] for row in of_budget):
            own = [row for row in of_budget if row["method"] == method]
            differences = [ours[row["seed"]] - row["accuracy"] for row in own if row["seed"] in ours]
            table.append(
                [
                    method,
                    interval([row["accuracy"] for row in own]),
                    ", ".join(f"{100 * row['accuracy']:.2f}" for row in own),
                    paired_interval(differences) if differences and method != "nas" else "",
                    f"{fmean(row['seconds'] for row in own) / 60:.1f}",
                    ", ".join(f"{row['trials']} ({row['wasted']})" for row in own),
                    ", ".join(f"{row['params']:,}" for row in own),
                    ", ".join(f"{row['macs'] / 1e6:.1f}" for row in own),
                    ", ".join(str(row["epochs"]) for row in own),
                    ", ".join(f"{100 * other:.2f}" for row in own for other in row.get("beside", {}).values()),
                ]
            )
        machine, budget, minutes, size, images = setting
        print(
            f"\n{budget:,} parameters, {images:,} images of {size}x{size}, {minutes:g} minutes a run on {machine}; "
            "accuracy in percent with 95% intervals over seeds"
        )
        header = ("method", "test accuracy", "each", "nas better by", "minutes", "trials (wasted)")
        print_table((*header, "parameters", "M MACs", "last epochs", "guess beside"), table)


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--budgets", type=int, nargs="+", default=[100_000, 300_000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=20.0, help="of each run, search and retraining in")
    parser.add_argument("--images", type=int, default=10_000, help="for training and validation")
    parser.add_argument("--size", type=int, choices=(16, 32), default=16, help="of an image, in pixels")
    parser.add_argument("--guess", nargs="*", default=["guess-1"], help="guesses that are trained for all of the time")
    parser.add_argument("--methods", nargs="*", default=["nas", "random", "optuna"], choices=(*SEARCHES, "optuna"))
    parser.add_argument("--folder", type=Path, default=Path("proof"), help="for images, studies and a log")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    data = options.folder / f"cifar{options.size}.npz"
    if not data.exists():
        write_images(data, options.images, options.size)
    race = Race(options.folder.resolve(), data, 60 * options.minutes)
    kept = options.results / f"{RESULTS}.json"
    rows: Rows = json.loads(kept.read_text())["rows"] if kept.exists() else []
    methods = make_methods(options.guess)
    wanted = [*options.guess, *options.methods]
    for seed, budget, method in product(range(options.seeds), options.budgets, wanted):
        key = {"method": method, "budget": budget, "seed": seed, "minutes": options.minutes, "size": options.size}
        key |= {"images": options.images, "machine": kind_of_machine()}
        if any(key.items() <= row.items() for row in rows):
            continue
        study = f"{method}-{budget}-{seed}-{options.minutes:g}"
        rows.append(key | methods[method](race, study, budget, seed))
        print({name: value for name, value in rows[-1].items() if name != "network"}, flush=True)
        save_results(options.results, RESULTS, rows)
    print_results(rows)


if __name__ == "__main__":
    main()
