"""Which changes of a recipe pay? Variants of one, trained for equal device time, with seeds.

A variant is the base with the fields of its line in a YAML file. First every variant's steps are timed beside the
base's, in blocks that take turns in one process: on a CPU by that process's own time of one thread, on a GPU by the
clock. Then each is trained for as many epochs as take what the base takes for --epochs (--equal epochs: for as many as
the base). Runs of one design and one seed are pairs: they begin alike and see the images in the same order.

Nothing opens the test set: networks are trained on the first training images of CIFAR-10 and judged by those that
follow, which no training sees. So what wins here may be adopted, and its test accuracy is still to be measured.

On a CPU images have 16x16 pixels and designs 57,000 to 78,000 parameters; two processes train, with a thread each. On a
GPU it is the full set at 32x32, designs of 2.8 to 5 million parameters, and a list of its own (race_gpu.yaml).

Speeds and ended runs are kept in race.jsonl, one a line, and are not repeated: the same command goes on. Seeds that do
not fit into --minutes are dropped, and runs that would end later do not begin.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
from images import cifar_parts
from measuring import (
    Epoch,
    Kept,
    Rows,
    interval,
    make_parser,
    measure_rates,
    paired_interval,
    pick_device,
    print_table,
    ratios,
    save_results,
    start_pool,
)
from ours import DESIGNS, auto_precision, begin_training, find_network
from pydantic import RootModel, ValidationError
from scipy.stats import ttest_1samp

from models.architecture import Architecture, ArchitectureError
from search.errors import NasError, RecipeError, TrainingError
from search.quantities import plural
from search.recipe import Recipe, with_epochs
from search.recipes import load_recipe
from search.report.statistics.significance import holm
from search.training.images import Images
from search.training.loop import evaluate
from search.yamlfile import describe, read_model, read_text

FOLDER = Path(__file__).parent
BASE = "base"
ROUNDS = 5  # of measured speeds
TOGETHER = 5  # variants whose steps are timed by turns with the base's: on a GPU each graph keeps its memory


@dataclass(frozen=True)
class Setting:
    """What a kind of device is given where no option says more."""

    designs: tuple[str, ...]
    list: Path
    epochs: int
    seeds: int
    images: int
    size: int
    held_out: int
    timed: int  # images of a block
    start: float  # seconds before the first step of a training
    minutes: float
    processes: int


SETTINGS = {
    "cpu": Setting(
        designs=tuple(DESIGNS), list=FOLDER / "race.yaml", epochs=7, seeds=2, images=10_000, size=16, held_out=10_000,
        timed=1_280, start=0.2, minutes=35, processes=2,
    ),
    "cuda": Setting(
        designs=("modified-resnet", "resnet102", "flexible-3"), list=FOLDER / "race_gpu.yaml", epochs=6, seeds=2,
        images=45_000, size=32, held_out=5_000, timed=12_800, start=1.0, minutes=7.5, processes=1,
    ),
}  # fmt: skip


class Variants(RootModel[dict[str, dict[str, Any]]]):
    """Changed fields by the name of a variant."""


@dataclass(frozen=True)
class Entrant:
    """A design under a variant of the recipe, which is fitted to the data."""

    design: str
    variant: str
    architecture: Architecture
    recipe: Recipe


def make_entrants(options: argparse.Namespace) -> dict[str, list[Entrant]]:
    """Each design under the base, which is the first, and under each variant.

    Raises:
        NasError, ArchitectureError: a name is unknown, or a value is invalid.
    """
    base = load_recipe(options.base)
    path = options.list
    changes = read_model(read_text(path, RecipeError), str(path), Variants, RecipeError).root
    if BASE in changes:
        raise RecipeError(f"{path}: {BASE} is the name of the recipe without changes")
    changes = {BASE: {}, **changes}
    names = dict.fromkeys([BASE, *(options.variants or changes)])
    if unknown := [name for name in names if name not in changes]:
        raise RecipeError(f"variant = {unknown[0]!r}: {path} has {', '.join(changes)}")
    recipes = {name: changed(base, name, changes[name], options) for name in names}
    designs = {name: find_network(name) for name in options.designs}
    return {
        design: [Entrant(design, name, architecture, recipe) for name, recipe in recipes.items()]
        for design, architecture in designs.items()
    }


def changed(base: Recipe, name: str, fields: dict[str, Any], options: argparse.Namespace) -> Recipe:
    """The base with these fields, fitted to the data.

    Raises:
        RecipeError: the result is no recipe, or cannot be raced.
    """
    values = base.model_dump() | {"epochs": options.epochs} | fields | {"name": name}
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as problem:
        raise RecipeError(f"variant = {name!r}: {describe(problem, values)}") from None
    if recipe.needs_validation or "epochs" in fields:
        raise RecipeError(f"variant = {name!r}: needs a length that the race may choose, and no validation on its way")
    on_gpu = options.device == "cuda"
    return recipe.fit_to("cifar10", options.images, options.size, 3, on_gpu=on_gpu)


# What a process does that trains.

_data: dict[str, Images] = {}


def prepare(device: str, numbers: Sequence[int], size: int) -> None:
    """Load the images of a process that trains."""
    torch.set_num_threads(1)
    _data["train"], _data["held out"] = cifar_parts(numbers, size, device)


def measure(entrants: Sequence[Entrant], num_images: int) -> Rows:
    """How fast entrants of one design train, images a second in rounds, each beside the base, which is the first."""
    base, *others = entrants
    data = _data["train"].take(np.arange(min(num_images, len(_data["train"]))))
    clock = time.perf_counter if data.device.type == "cuda" else time.process_time
    rows: Rows = []
    for start in range(0, max(1, len(others)), TOGETHER):
        group = [base, *others[start : start + TOGETHER]]
        rates = measure_rates({entrant.variant: _epoch(entrant, data) for entrant in group}, ROUNDS, clock=clock)
        known = 1 if rows else 0  # the base, from the second group on
        rows += [{"rates": rates[entrant.variant], "base rates": rates[BASE]} for entrant in group[known:]]
    return rows


def _epoch(entrant: Entrant, data: Images) -> Epoch:
    """An epoch; where the first epochs have smaller images, some of both kinds in the recipe's proportion."""
    recipe = entrant.recipe.model_copy(update={"epochs": 1_000})
    parts = [(recipe, 1)]
    if recipe.small_images is not None:
        small, all_epochs = Fraction(recipe.small_images.epochs).limit_denominator(8).as_integer_ratio()
        parts = [(recipe, small), (recipe.model_copy(update={"small_images": None}), all_epochs - small)]
    trainings = [
        (begin_training(entrant.architecture, part, data, seed=0, precision=auto_precision(data.device)), number)
        for part, number in parts
    ]
    epochs = [(training.epochs(), number) for training, number in trainings]

    def epoch() -> int:
        for each, number in epochs:
            for _ in range(number):
                next(each)
        return sum(training.num_steps * number for training, number in trainings) * recipe.sizes[0]

    return epoch


def train(entrant: Entrant, seed: int, latest: float) -> dict[str, Any] | None:
    """The accuracy on images held out, and the seconds of training by the clock and of the process; None, with nothing
    trained, after the latest time to begin. A training that diverges has the accuracy of chance."""
    if time.time() > latest:
        return None
    data = _data["train"]
    precision = auto_precision(data.device)
    started, begun = time.perf_counter(), time.process_time()
    training = begin_training(entrant.architecture, entrant.recipe, data, seed=seed, precision=precision)
    diverged = False
    try:
        for epoch in training.epochs():
            # An epoch draws its order first: now all variants have the same one.
            training.generator.manual_seed(10_000 * (seed + 1) + epoch.epoch)
        seconds, cpu = time.perf_counter() - started, time.process_time() - begun
        accuracy = evaluate(training.network, _data["held out"], training.normalise, precision).accuracy
    except TrainingError:
        seconds, cpu = time.perf_counter() - started, time.process_time() - begun
        accuracy, diverged = 1 / entrant.architecture.num_classes, True
    return {"accuracy": accuracy, "diverged": diverged, "seconds": round(seconds, 2), "cpu": round(cpu, 2)}


# What the command does.


@dataclass(frozen=True)
class Run:
    """A training that is wanted.

    Attributes:
        cost: of one of its epochs, beside one of the base.
        seconds: that all of it is expected to take.
        key: what its result is kept by.
    """

    entrant: Entrant
    seed: int
    cost: float
    seconds: float
    key: dict[str, Any]


def described(recipe: Recipe, *without: str) -> dict[str, Any]:
    """The fields of a recipe on which a result depends."""
    return recipe.model_dump(mode="json", exclude={"name", *without})


class Race:
    """The trainings of all entrants, by the processes of a pool."""

    def __init__(self, options: argparse.Namespace, pool: ProcessPoolExecutor) -> None:
        self.options = options
        self.pool = pool
        self.kept = Kept(options.results / "race.jsonl")
        self.deadline = time.time() + 60 * options.minutes
        machine = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
        self.where = {"images": options.images, "size": options.size, "machine": machine}

    def measure_speeds(self, designs: dict[str, list[Entrant]]) -> list[tuple[Entrant, dict[str, Any]]]:
        """Each entrant and its speed beside its base's, measured where it is not known."""

        def key(entrant: Entrant) -> dict[str, Any]:
            recipes = {"recipe": entrant.recipe, "base": designs[entrant.design][0].recipe}
            known_by = {name: described(recipe, "epochs") for name, recipe in recipes.items()}
            return {"what": "speed", "architecture": entrant.architecture.to_dict(), **known_by, **self.where}

        jobs = {}
        for base, *others in designs.values():
            missing = [entrant for entrant in others if self.kept.find(key(entrant)) is None]
            if missing or self.kept.find(key(base)) is None:
                jobs[self.pool.submit(measure, [base, *missing], self.options.timed)] = [base, *missing]
        for job in as_completed(jobs):
            for entrant, row in zip(jobs[job], job.result(), strict=True):
                self.kept.add(key(entrant), {"design": entrant.design, "variant": entrant.variant} | row)
        entrants = [entrant for group in designs.values() for entrant in group]
        return [(entrant, self.kept.find(key(entrant)) or {}) for entrant in entrants]

    def plan(self, entrant: Entrant, speed: dict[str, Any]) -> list[Run]:
        """The runs of an entrant, each of a seed, of the length that it is given.

        Raises:
            RecipeError: it cannot have this length.
        """
        options = self.options
        cost = median(ratios(speed["base rates"], speed["rates"]))
        epochs = max(1, round(options.epochs / cost)) if options.equal == "time" else options.epochs
        num_images = epochs * options.images + options.held_out / 3  # without a backward pass
        seconds = options.start + num_images / median(speed["rates"])
        entrant = replace(entrant, recipe=with_epochs(entrant.recipe, epochs))
        network, recipe = entrant.architecture.to_dict(), described(entrant.recipe)
        key = {"what": "run", "architecture": network, "recipe": recipe, "held out": options.held_out, **self.where}
        return [Run(entrant, seed, cost, seconds, key | {"seed": seed}) for seed in range(options.seeds)]

    def run(self, runs: list[Run]) -> None:
        """Train what is not kept, as far as the time allows; says what it leaves out."""
        missing = [run for run in runs if self.kept.find(run.key) is None]
        left = self.deadline - time.time()

        num_processes: int = self.options.processes

        def expected(seeds: int) -> float:
            return sum(run.seconds for run in missing if run.seed < seeds) / num_processes

        fitting = max((seeds for seeds in range(2, self.options.seeds + 1) if expected(seeds) <= left), default=1)
        wanted = [run for run in missing if run.seed < fitting]
        print(
            f"\n{plural(len(runs), 'run')}, {len(runs) - len(missing)} are kept; {len(wanted)} of "
            f"{plural(fitting, 'seed')} (--seeds {self.options.seeds}) take about {expected(fitting) / 60:.1f} "
            f"minutes, {left / 60:.1f} are left",
            flush=True,
        )
        jobs = {self.pool.submit(train, run.entrant, run.seed, self.deadline - run.seconds): run for run in wanted}
        for job in as_completed(jobs):
            run, row = jobs[job], job.result()
            if row is not None:
                names = {"design": run.entrant.design, "variant": run.entrant.variant, "seed": run.seed}
                self.kept.add(run.key, names | {"epochs": run.entrant.recipe.epochs} | row)
                print(*names.values(), f"{row['accuracy']:.2%}", f"{row['seconds']:.0f} s", flush=True)
        if late := sum(self.kept.find(run.key) is None for run in runs):
            print(f"{plural(late, 'run')} left out, for want of time: the same command goes on with them")

    def rows(self, runs: list[Run]) -> Rows:
        """The rows of the runs that have ended, under the names that designs and variants have now."""
        rows = [(run.entrant, self.kept.find(run.key)) for run in runs]
        return [row | {"design": entrant.design, "variant": entrant.variant} for entrant, row in rows if row]


def print_lengths(runs: list[Run], designs: Sequence[str]) -> None:
    cells: dict[str, dict[str, str]] = {}
    for run in runs:
        length = f"{run.entrant.recipe.epochs} ({run.cost:.2f})"
        cells.setdefault(run.entrant.variant, {})[run.entrant.design] = length
    print("\nEpochs of each variant (and what one costs beside one of the base)")
    print_table(("variant", *designs), [[name, *(row[design] for design in designs)] for name, row in cells.items()])


def print_results(rows: Rows, designs: Sequence[str], clock: str) -> None:
    """Print by how much each variant is better than the base, the best first."""
    ended = {(row["variant"], row["design"], row["seed"]): row for row in rows}

    def pairs(variant: str, *of: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        return [
            (row, ended[BASE, design, seed])
            for (name, design, seed), row in ended.items()
            if name == variant and design in of and (BASE, design, seed) in ended
        ]

    def gains(variant: str, *of: str) -> list[float]:
        return [own["accuracy"] - base["accuracy"] for own, base in pairs(variant, *of)]

    named = dict.fromkeys(row["variant"] for row in rows if row["variant"] != BASE)
    variants = sorted(filter(lambda name: gains(name, *designs), named), key=lambda name: -fmean(gains(name, *designs)))
    ps = {variant: p for variant in variants if (p := paired_p(gains(variant, *designs))) is not None}
    adjusted = dict(zip(ps, holm(list(ps.values())), strict=True))
    base = [[row["accuracy"] for row in rows if (row["variant"], row["design"]) == (BASE, name)] for name in designs]
    table = [[BASE, *(interval(values) if values else "" for values in base), "", "", "", ""]]
    for variant in variants:
        own = [gains(variant, design) for design in designs]
        cells = [paired_interval(values) if values else "" for values in own]
        diverged = sum(row["diverged"] for row, _ in pairs(variant, *designs))
        number = str(len(pairs(variant, *designs))) + (f", {diverged} diverged" if diverged else "")
        shown = f"{adjusted[variant]:.3f}" if variant in adjusted else ""
        of_time = fmean(row[clock] / base_row[clock] for row, base_row in pairs(variant, *designs))
        table.append([variant, *cells, paired_interval(gains(variant, *designs)), number, shown, f"{of_time:.2f}"])
    print(
        "\nAccuracy of the base on images held out, in percent, and points gained by each variant, with 95% intervals"
    )
    print_table(("variant", *designs, "all", "pairs", "p (Holm)", "device time"), table)


def paired_p(gains: Sequence[float]) -> float | None:
    """The two-sided p-value of Student's paired test; None where the differences show no noise."""
    return float(ttest_1samp(gains, 0).pvalue) if len(set(gains)) > 1 else None


def parse() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--base", default="full", metavar="RECIPE", help="full, fast, another name or a file")
    parser.add_argument("--list", type=Path, metavar="FILE", help="the variants; default: race.yaml, race_gpu.yaml")
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="of the list; default: all")
    parser.add_argument("--designs", nargs="+", metavar="NAME", help=f"{', '.join(DESIGNS)}, baselines or JSON files")
    parser.add_argument("--equal", choices=("time", "epochs"), default="time")
    parser.add_argument("--epochs", type=int, metavar="N", help="of the base")
    parser.add_argument("--seeds", type=int, metavar="N")
    parser.add_argument("--images", type=int, metavar="N", help="that are trained on")
    parser.add_argument("--held-out", type=int, metavar="N", help="training images that judge")
    parser.add_argument("--size", type=int, choices=(16, 32), help="of an image, in pixels")
    parser.add_argument("--minutes", type=float, help="that all of it may take")
    parser.add_argument("--processes", type=int, metavar="N")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    options = parser.parse_args()
    options.device = pick_device(options.device)
    setting = SETTINGS[options.device]
    for name, value in asdict(setting).items():
        if getattr(options, name, None) is None:
            setattr(options, name, value)
    return options


def main() -> None:
    options = parse()
    arguments = options.device, (options.images, options.held_out), options.size
    try:
        designs = make_entrants(options)
        with start_pool(options.processes, prepare, arguments) as pool:
            race = Race(options, pool)
            runs = [run for entrant, speed in race.measure_speeds(designs) for run in race.plan(entrant, speed)]
            print_lengths(runs, options.designs)
            # A time that is too short cuts off the last variants of the last seed, and no design.
            variants = [entrant.variant for entrant in next(iter(designs.values()))]
            race.run(sorted(runs, key=lambda run: (run.seed, variants.index(run.entrant.variant))))
    except (NasError, ArchitectureError) as error:
        sys.exit(str(error))
    rows = race.rows(runs)
    save_results(options.results, f"race_{options.device}", rows)
    print_results(rows, options.designs, "cpu" if options.device == "cpu" else "seconds")


if __name__ == "__main__":
    main()
