"""Does a teacher pay: small networks with and without one, at equal epochs, and what it costs.

Students are guess-1 at each of --students, the teacher is --teacher at 1M parameters, trained once. All see the first
10,000 training images of CIFAR-10 at 16x16 pixels, by `full`, and are tested on the 5,000 that follow; the test set
stays closed. A student has the same first weights and the same augmented images with the teacher and without.

With --equal-time each student is also trained without the teacher for as many epochs as take as long as with it, once
without and once with the time that the teacher's own training took.

Ended runs are lines of distillation.jsonl and are not repeated, so that the command can be interrupted and run again.
"""

import json
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from images import cifar, halved
from measuring import Rows, interval, make_parser, paired_interval, pick_device, print_table, provenance
from safetensors.torch import save_file

from models.architecture import Architecture
from models.count import count_macs, count_parameters
from search.recipe import Recipe, with_epochs
from search.recipes import FULL
from search.report.statistics.significance import welch
from search.space.guesses import guesses
from search.space.limits import Limits, parse_count
from search.space.space import Task, load_space
from search.teaching import SHARE, TEMPERATURE, Lesson
from search.trained_network import TrainedNetwork
from search.training.graph import capture_on
from search.training.images import Images, Normalisation
from search.training.loop import Training, evaluate
from search.training.network import begin
from search.training.teachers import Teachers

TEACHER_BUDGET = 1_000_000
SIZE = 16


def guess(name: str, budget: int) -> Architecture:
    """The network of a guess at a budget, for images of 16x16 pixels."""
    return guesses(load_space(), Task(SIZE, 3, 10), Limits(budget))[name]


class Bench:
    """What all runs share.

    Args:
        data: training images.
        held_out: what networks are tested on.
        precision: of all trainings.
    """

    def __init__(self, data: Images, held_out: Images, precision: str) -> None:
        self.data = data
        self.held_out = held_out
        self.precision = precision
        self.normalise = Normalisation.of(FULL, data)

    def train(
        self, architecture: Architecture, epochs: int, seed: int, lesson: Lesson | None = None
    ) -> tuple[torch.nn.Module, dict[str, Any]]:
        """A trained network, and its row: accuracy on the images held out, and the seconds that training took."""
        on_gpu = self.data.device.type == "cuda"
        recipe: Recipe = with_epochs(FULL, epochs).fit_to("cifar10", len(self.data), SIZE, 3, on_gpu=on_gpu)
        started = time.perf_counter()
        teach = Teachers(lesson, self.normalise, self.data.device).loss if lesson is not None else None
        torch.manual_seed(seed)
        model = begin(architecture, recipe).to(self.data.device)
        training = Training(
            model,
            recipe,
            self.data,
            None,
            self.normalise,
            seed=seed,
            precision=self.precision,
            capture=capture_on(self.data.device),
            note=print,
            teach=teach,
        )
        for _ in training.epochs():
            pass
        if on_gpu:
            torch.cuda.synchronize(self.data.device)
        seconds = time.perf_counter() - started
        result = evaluate(training.network, self.held_out, self.normalise, self.precision)
        return training.network, {"accuracy": result.accuracy, "seconds": seconds}


class Record:
    """The runs that have ended, a line each.

    Args:
        common: what runs must have in common with these to count.
    """

    def __init__(self, path: Path, common: dict[str, Any]) -> None:
        self._path = path
        self._common = common
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        rows = [row for line in lines if (row := _parsed(line)) is not None]
        self.rows: Rows = [row for row in rows if common.items() <= row.items()]

    def find(self, **values: Any) -> dict[str, Any] | None:
        return next((row for row in self.rows if values.items() <= row.items()), None)

    def add(self, **values: Any) -> dict[str, Any]:
        row = self._common | values
        is_cut = self._path.exists() and not self._path.read_text().endswith("\n") and self._path.stat().st_size > 0
        with self._path.open("a") as file:
            file.write(("\n" if is_cut else "") + json.dumps(row | {"measured on": provenance()}) + "\n")
        self.rows.append(row)
        return row


def _parsed(line: str) -> dict[str, Any] | None:
    """The row of a line; None of one that was cut off."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None


def trained_teacher(bench: Bench, record: Record, name: str, epochs: int, weights: Path) -> dict[str, Any]:
    """The teacher's row; its weights are at the path."""
    row = record.find(run="teacher", network=name, epochs=epochs)
    if row is None or not weights.exists():
        network, values = bench.train(guess(name, TEACHER_BUDGET), epochs, seed=0)
        save_file({key: tensor.cpu().contiguous() for key, tensor in network.state_dict().items()}, weights)
        row = record.add(run="teacher", network=name, epochs=epochs, seed=0, **values)
    return row


def table_of(budget: int, ways: dict[str, tuple[int, Rows]], teacher_seconds: float) -> list[list[str]]:
    """A row for each way of training a student, by its name with its epochs and its runs; the first has the teacher."""
    taught = [row["accuracy"] for row in ways["with"][1]]
    table = []
    for way, (epochs, rows) in ways.items():
        accuracies, seconds = [row["accuracy"] for row in rows], fmean(row["seconds"] for row in rows)
        gain = paired = ""
        if way != "with" and (test := welch(taught, accuracies)):
            gain = f"{100 * test.value:+.2f} ({100 * test.low:+.2f} to {100 * test.high:+.2f})"
            paired = paired_interval([one - other for one, other in zip(taught, accuracies, strict=True)])
        whole = seconds + (teacher_seconds if way == "with" else 0)
        table.append(
            [f"{budget:,}, {way}", str(epochs), interval(accuracies), gain, paired, f"{seconds:.0f}", f"{whole:.0f}"]
        )
    return table


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--students", nargs="+", default=["100k", "300k"], metavar="BUDGET")
    parser.add_argument("--teacher", default="guess-2", metavar="GUESS", help="a guess at 1M parameters")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--teacher-epochs", type=int, help="by default, as many")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--temperature", type=float, default=TEMPERATURE)
    parser.add_argument("--share", type=float, default=SHARE)
    parser.add_argument("--precision", default="bf16", choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--equal-time", action="store_true")
    options = parser.parse_args()
    teacher_epochs = options.teacher_epochs or options.epochs
    device = torch.device("cuda", 0) if pick_device(options.device) == "cuda" else torch.device("cpu")
    num_held_out = options.images // 2
    pixels, labels = cifar(options.images + num_held_out)
    pixels = halved(pixels)
    data = Images.from_arrays(pixels[: options.images], labels[: options.images], device)
    held_out = Images.from_arrays(pixels[options.images :], labels[options.images :], device)
    bench = Bench(data, held_out, options.precision)
    common = {"images": options.images, "precision": options.precision, "device": device.type}
    record = Record(options.results / "distillation.jsonl", common)

    name = f"distillation-{options.teacher}-{teacher_epochs}ep-{options.images}-{options.precision}.safetensors"
    weights = options.results / name
    teacher = trained_teacher(bench, record, options.teacher, teacher_epochs, weights)
    architecture = guess(options.teacher, TEACHER_BUDGET)
    print(
        f"teacher: {options.teacher}, {count_parameters(architecture):,} parameters, {teacher_epochs} epochs, "
        f"{100 * teacher['accuracy']:.2f}%, {teacher['seconds']:.0f} s",
        flush=True,
    )
    network = TrainedNetwork(architecture, weights, bench.normalise.mean, bench.normalise.std, "fp32")
    lesson = Lesson((network,), options.temperature, options.share, "benchmark")
    learned = {
        "teacher": options.teacher,
        "teacher_epochs": teacher_epochs,
        "temperature": options.temperature,
        "share": options.share,
    }

    def runs(way: str, budget: int, epochs: int) -> Rows:
        """A row a seed of a student; those that have not ended yet are trained."""
        student = guess("guess-1", budget)
        known = {"run": way, "budget": budget, "epochs": epochs} | (learned if way == "with" else {})
        rows = []
        for seed in range(options.seeds):
            row = record.find(**known, seed=seed)
            if row is None:
                _, values = bench.train(student, epochs, seed, lesson if way == "with" else None)
                row = record.add(**known, seed=seed, **values)
            print(f"{budget:,} {way} seed {seed}: {100 * row['accuracy']:.2f}%, {row['seconds']:.0f} s", flush=True)
            rows.append(row)
        return rows

    table: list[list[str]] = []
    for budget in (parse_count(text, "students") for text in options.students):
        student = guess("guess-1", budget)
        print(f"student: {count_parameters(student):,} parameters, {count_macs(student, SIZE):,} MACs", flush=True)
        taught, alone = (runs(way, budget, options.epochs) for way in ("with", "without"))
        ways = {"with": (options.epochs, taught), "without": (options.epochs, alone)}
        if options.equal_time:
            seconds, pace = (fmean(row["seconds"] for row in rows) for rows in (taught, alone))
            for way, time_left in (("without, as long", seconds), ("without, all time", seconds + teacher["seconds"])):
                epochs = max(1, round(options.epochs * time_left / pace))
                ways[way] = epochs, runs(way, budget, epochs)
        table += table_of(budget, ways, teacher["seconds"])
    print_table(
        ("student at a budget", "epochs", "accuracy, %", "gain of the teacher, Welch", "gain, paired seeds",
         "seconds a run", "with the teacher's training"),
        table,
    )  # fmt: skip


if __name__ == "__main__":
    main()
