"""Do teachers pay: small networks with and without them, at equal epochs, and what they cost.

Students are guess-1 at each of --students. Their teachers are --teachers trainings, of a seed each, of a guess at
--teacher-budget parameters. All see the first 10,000 training images of CIFAR-10 at 16x16 pixels, by `full`, and are
tested on the 5,000 that follow; the test set stays closed. A student has the same first weights and the same augmented
images with teachers and without.

With --equal-time each student is also trained without teachers for as many epochs as take as long as with it, once
without and once with the time that the teachers' own trainings took.

Ended runs are lines of distillation.jsonl and are not repeated, so that the command can be interrupted and run again.
"""

import json
import time
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from images import cifar, halved
from measuring import Kept, Rows, interval, make_parser, paired_interval, pick_device, print_table, provenance
from ours import begin_training
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
from search.training.images import Images, Normalisation
from search.training.loop import evaluate
from search.training.teachers import Teachers

SIZE = 16
TEACHER_SEED = 100  # of the first: no student has it


def guess(name: str, budget: int) -> Architecture:
    """The network of a guess at a budget, for images of 16x16 pixels."""
    return guesses(load_space(), Task(SIZE, 3, 10), Limits(budget))[name]


class Bench:
    """What all runs share.

    Args:
        data: training images.
        held_out: what networks are tested on.
        precision: of all trainings.
        kept: the runs that have ended.
    """

    def __init__(self, data: Images, held_out: Images, precision: str, kept: Kept) -> None:
        self.data = data
        self.held_out = held_out
        self.precision = precision
        self.kept = kept
        self.normalise = Normalisation.of(FULL, data)

    def row(
        self, name: str, architecture: Architecture, epochs: int, seed: int, lesson: Lesson | None, **key: Any
    ) -> dict[str, Any]:
        """The row of a run: accuracy on the images held out, and the seconds that training took. One that has ended
        before is not trained again; `key` is what it depends on beside network, recipe, images and seed."""
        recipe = self.recipe(epochs)
        trained = {"architecture": architecture.to_dict(), "recipe": recipe.model_dump(mode="json")}
        images = {"images": len(self.data), "precision": self.precision, "device": self.data.device.type}
        key = {**key, **trained, **images, "seed": seed}
        if self.kept.find(key) is None:
            _, values = self.train(architecture, recipe, seed, lesson)
            self.kept.add(key, {"run": name, **values, "measured on": provenance()})
        row = self.kept.find(key) or {}
        print(f"{name} seed {seed}: {100 * row['accuracy']:.2f}%, {row['seconds']:.0f} s", flush=True)
        return row

    def recipe(self, epochs: int) -> Recipe:
        on_gpu = self.data.device.type == "cuda"
        return with_epochs(FULL, epochs).fit_to("cifar10", len(self.data), SIZE, 3, on_gpu=on_gpu)

    def train(
        self, architecture: Architecture, recipe: Recipe, seed: int, lesson: Lesson | None
    ) -> tuple[torch.nn.Module, dict[str, Any]]:
        device = self.data.device
        started = time.perf_counter()
        teach = Teachers(lesson, self.normalise, device).loss if lesson is not None else None
        training = begin_training(architecture, recipe, self.data, seed=seed, precision=self.precision, teach=teach)
        for _ in training.epochs():  # its end waits for the device
            pass
        seconds = time.perf_counter() - started
        result = evaluate(training.network, self.held_out, self.normalise, self.precision)
        return training.network, {"accuracy": result.accuracy, "seconds": seconds}

    def teacher(self, network: Architecture, epochs: int, seed: int, weights: Path) -> dict[str, Any]:
        """A teacher's row; its weights are at the path."""
        if not weights.exists():
            model, values = self.train(network, self.recipe(epochs), seed, None)
            save_file({key: tensor.cpu().contiguous() for key, tensor in model.state_dict().items()}, weights)
            weights.with_suffix(".json").write_text(json.dumps(values))
        row: dict[str, Any] = json.loads(weights.with_suffix(".json").read_text())
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
    parser.add_argument("--teacher", default="guess-2", metavar="GUESS", help="a guess")
    parser.add_argument("--teacher-budget", default="1M", metavar="BUDGET")
    parser.add_argument("--teachers", type=int, default=1, help="of another seed each")
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
    bench = Bench(data, held_out, options.precision, Kept(options.results / "distillation.jsonl"))

    architecture = guess(options.teacher, parse_count(options.teacher_budget, "teacher-budget"))
    recipe = bench.recipe(teacher_epochs).model_dump_json()
    question = f"{architecture.to_json()} {recipe} {options.images} {options.precision}"
    digest = sha256(question.encode()).hexdigest()[:8]
    networks, teacher_seconds = [], 0.0
    for seed in range(TEACHER_SEED, TEACHER_SEED + options.teachers):
        weights = options.results / f"teacher-{digest}-{seed}.safetensors"
        teacher = bench.teacher(architecture, teacher_epochs, seed, weights)
        teacher_seconds += teacher["seconds"]
        networks.append(TrainedNetwork(architecture, weights, bench.normalise.mean, bench.normalise.std, "fp32"))
        print(
            f"teacher: {options.teacher}, {count_parameters(architecture):,} parameters, {teacher_epochs} epochs, "
            f"{100 * teacher['accuracy']:.2f}%, {teacher['seconds']:.0f} s",
            flush=True,
        )
    lesson = Lesson(tuple(networks), options.temperature, options.share, "benchmark")
    learned = {
        "teacher": digest,
        "teachers": options.teachers,
        "temperature": options.temperature,
        "share": options.share,
    }

    def runs(way: str, budget: int, epochs: int) -> Rows:
        """A row a seed of a student."""
        student, taught = guess("guess-1", budget), way == "with"
        key = learned if taught else {}
        return [
            bench.row(f"{budget:,} {way}", student, epochs, seed, lesson if taught else None, **key)
            for seed in range(options.seeds)
        ]

    table: list[list[str]] = []
    for budget in (parse_count(text, "students") for text in options.students):
        student = guess("guess-1", budget)
        print(f"student: {count_parameters(student):,} parameters, {count_macs(student, SIZE):,} MACs", flush=True)
        taught, alone = (runs(way, budget, options.epochs) for way in ("with", "without"))
        ways = {"with": (options.epochs, taught), "without": (options.epochs, alone)}
        if options.equal_time:
            seconds, pace = (fmean(row["seconds"] for row in rows) for rows in (taught, alone))
            for way, time_left in (("without, as long", seconds), ("without, all time", seconds + teacher_seconds)):
                epochs = max(1, round(options.epochs * time_left / pace))
                ways[way] = epochs, runs(way, budget, epochs)
        table += table_of(budget, ways, teacher_seconds)
    print_table(
        ("student at a budget", "epochs", "accuracy, %", "gain of teachers, Welch", "gain, paired seeds",
         "seconds a run", "with the teachers' training"),
        table,
    )  # fmt: skip


if __name__ == "__main__":
    main()
