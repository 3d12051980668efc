"""Small studies made by hand, as readers see them. Tests say what differs."""

import math
import random
from dataclasses import replace
from typing import Any

from models.architecture import Architecture, Block, Stage, Stem
from models.count import count_macs, count_parameters
from search.identity import Identity
from search.study.view import Epoch, LedgerEntry, RunView, StudyView, TrialView, at_dropout
from search.trained_network import FLOAT_FILE, INT8_FILE, CorruptedResult, OnnxExport, OnnxFile, Robustness

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGE_SIZE = 32


def make_architecture(width: int = 16, depth: int = 2, stages: int = 3, **stage: Any) -> Architecture:
    plan = tuple(Stage(stage.get("block", "basic"), depth, width * 2**index, **_rest(stage)) for index in range(stages))
    return Architecture(Stem(width), plan)


def _rest(stage: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in stage.items() if name != "block"}


def make_baseline(stem: int, *stages: tuple[int, int]) -> Architecture:
    return Architecture(Stem(stem), tuple(Stage("basic", depth, width) for depth, width in stages))


def make_history(final: float, epochs: int, validated: bool = True) -> tuple[Epoch, ...]:
    """A curve that rises to `final` in its last epoch."""
    rows = []
    for epoch in range(1, epochs + 1):
        rise = (1 - math.exp(-5 * epoch / epochs)) / (1 - math.exp(-5))
        accuracy = 0.1 + (final - 0.1) * rise
        loss, validation = (1.2 - accuracy, accuracy) if validated else (None, None)
        rows.append(Epoch(epoch, 1.1 - accuracy, min(1.0, accuracy + 0.02), loss, validation, 0.1 / epoch, 2.0))
    return tuple(rows)


def make_trial(number: int, value: float | None = 0.9, state: str = "complete", **changes: Any) -> TrialView:
    architecture = changes.pop("architecture", make_architecture())
    epochs = changes.pop("num_epochs", 5)
    trial = TrialView(
        number=number,
        state=state,  # type: ignore[arg-type]
        value=value,
        params=count_parameters(architecture),
        macs=count_macs(architecture, IMAGE_SIZE),
        architecture=architecture,
        choices={"stem_width": architecture.stem.width, "num_stages": len(architecture.stages)},
        history=make_history(value, epochs) if value is not None else (),
        seconds=60.0,
        reason=None,
        num_epochs=epochs if value is not None else 0,
    )
    return replace(trial, **changes)


def make_run(label: str, seed: int, accuracy: float | None, purpose: str = "final", **changes: Any) -> RunView:
    """A final run with this test accuracy, or a finalist's run with this validation accuracy."""
    architecture = changes.pop("architecture", make_architecture())
    final = purpose == "final"
    run = RunView(
        identity=Identity.parse(label),
        purpose=purpose,  # type: ignore[arg-type]
        seed=seed,
        architecture=architecture,
        params=count_parameters(architecture),
        macs=count_macs(architecture, IMAGE_SIZE),
        recipe="cosine",
        epochs=20,
        history=make_history(accuracy or 0.5, 20, validated=not final),
        seconds=600.0,
        device="NVIDIA H200",
        precision="bfloat16",
        test_loss=0.3 if final and accuracy else None,
        test_accuracy=accuracy if final else None,
        confusion=None,
    )
    return replace(run, **changes)


def make_finalists(accuracies: dict[float | None, tuple[float, ...]], trial: int = 1, **changes: Any) -> list[RunView]:
    """Runs of a round by the trial's dropout, a seed for each validation accuracy."""
    return [
        make_run(
            Identity(trial=trial, dropout=dropout).label,
            seed,
            value,
            "finalist",
            architecture=make_architecture() if dropout is None else at_dropout(make_architecture(), dropout),
            **changes,
        )
        for dropout, values in accuracies.items()
        for seed, value in enumerate(values)
    ]


def make_confusion(accuracy: float, images: int = 1000, seed: int = 0) -> tuple[tuple[int, ...], ...]:
    """Ten classes, of which cats and dogs, and automobiles and trucks, are confused most."""
    chance = random.Random(seed)
    matrix = [[0] * 10 for _ in range(10)]
    for truth in range(10):
        weights = [0.2 + chance.random() for _ in range(10)]
        weights[{3: 5, 5: 3, 1: 9, 9: 1}.get(truth, (truth + 2) % 10)] += 5
        weights[truth] = 0
        errors = round(images * (1 - accuracy) * (2.2 if truth in (3, 5) else 0.7))
        for index in chance.choices(range(10), weights, k=errors):
            matrix[truth][index] += 1
        matrix[truth][truth] = images - errors
    return tuple(tuple(row) for row in matrix)


def make_view(**changes: Any) -> StudyView:
    view = StudyView(
        name="cifar10-5M",
        data="cifar10",
        classes=CLASSES,
        image_size=IMAGE_SIZE,
        budget=5_000_000,
        num_trials=3,
        epochs=5,
        asked=(("data", "cifar10, 45,000 training and 5,000 validation images"), ("budget", "5,000,000 parameters")),
        versions=(("nas", "0.1.0"), ("torch", "2.9.0")),
        draws=12,
        seconds=200.0,
        trials=(),
        runs=(),
        ledger=(),
    )
    return replace(view, **changes)


def make_search(number: int = 40, seed: int = 0, epochs: int = 12) -> tuple[TrialView, ...]:
    """A search as it looks in life: designs of many sizes, a fifth pruned, a few failed, the last one running."""
    chance = random.Random(seed)
    trials: list[TrialView] = []
    while len(trials) < number:
        index = len(trials)
        block: Block = chance.choice(("basic", "bottleneck"))
        stages = chance.randint(2, 4)
        stem = chance.choice((16, 32, 64))
        width = chance.choice((16, 32, 48, 64, 96)) * (2 if block == "bottleneck" else 1)
        plan = [
            Stage(block, chance.randint(1, 6), width * 2**i, chance.choice((3, 3, 5)), chance.choice((0.0, 0.1)))
            for i in range(stages)
        ]
        architecture = Architecture(Stem(stem), tuple(plan))
        if not 200_000 < count_parameters(architecture) <= 5_000_000:
            continue
        size = math.log10(count_parameters(architecture))
        value = 0.9 + 0.02 * (size - 6) + 0.004 * (stages == 3) + 0.01 * min(1, index / number) + chance.gauss(0, 0.006)
        if index == number - 1:
            trials.append(make_trial(index, None, "running", architecture=architecture))
        elif chance.random() < 0.08:
            reason = "the loss is not finite in epoch 3"
            trials.append(make_trial(index, None, "failed", architecture=architecture, reason=reason))
        elif index > 8 and chance.random() < 0.25:
            stop = chance.randint(2, epochs // 2)
            trials.append(
                make_trial(
                    index, value - 0.2 - 0.1 * chance.random(), "pruned", architecture=architecture, num_epochs=stop
                )
            )
        else:
            trials.append(make_trial(index, value, architecture=architecture, num_epochs=epochs))
    return tuple(trials)


def make_audit(trials: tuple[TrialView, ...], number: int = 12) -> tuple[RunView, ...]:
    """Full-length runs of some trials on the training split, that order them nearly as the search did."""
    chance = random.Random(5)
    trained = [trial for trial in trials if trial.state in ("complete", "pruned") and trial.value is not None]
    return tuple(
        make_run(
            f"{trial.number:04d}", 0, 0.5 + 0.48 * trial.value + chance.gauss(0, 0.004), "proxy",
            architecture=trial.architecture,
        )
        for trial in trained[:: max(1, len(trained) // number)]
        if trial.value is not None
    )  # fmt: skip


def make_realistic(number: int = 40) -> StudyView:
    """A whole study: a search, three finalists, its winner and two baselines at full length, all with
    three seeds, and an audit of the short schedule."""
    trials = tuple(replace(trial, seconds=2.2 * trial.num_epochs) for trial in make_search(number))
    best = sorted((t for t in trials if t.state == "complete"), key=lambda t: -(t.value or 0))[:3]
    runs = [
        make_run(
            f"{trial.number:04d}",
            seed,
            0.945 - 0.003 * rank + 0.0015 * seed,
            "finalist",
            architecture=trial.architecture,
        )
        for rank, trial in enumerate(best)
        for seed in range(2)
    ]
    systems = [
        (f"{best[0].number:04d}", best[0].architecture, 0.951),
        ("resnet40-ft", make_baseline(32, (5, 32), (7, 64), (4, 128), (3, 256)), 0.9475),
        ("resnet20-b", make_baseline(16, (3, 16), (3, 32), (3, 64)), 0.9185),
    ]  # fmt: skip
    for index, (label, architecture, accuracy) in enumerate(systems):
        for seed in range(3):
            test = accuracy + 0.0013 * (seed - 1) * (index + 1) / 2
            matrix = make_confusion(test, seed=10 * index + seed)
            corrupted = (CorruptedResult("noise", 1, test - 0.1), CorruptedResult("blur", 1, test - 0.2))
            robustness = (Robustness("test", test, corrupted),)
            files = OnnxFile(FLOAT_FILE, 90_000, 80_000, test), OnnxFile(INT8_FILE, 30_000, 25_000, test - 0.001)
            onnx = (OnnxExport(files, 1e-6, 10_000, 20, "pytorch 2.15", 1_024, "test"),)
            measured = {"robustness": robustness, "onnx": onnx}
            run = make_run(label, seed, test, architecture=architecture, confusion=matrix, **measured)
            runs.append(run)
    ledger = [
        LedgerEntry(f"2026-11-20T1{run.seed}:05:00Z", "cifar10-5M", run.label, run.seed, run.test_accuracy)
        for run in runs
        if run.test_accuracy is not None
    ]
    asked = (
        ("Data", "cifar10, 45,000 training, 5,000 validation and 10,000 test images, 10 classes, fingerprint 3f9a1c77"),
        ("Budget", "5,000,000 parameters"),
        ("Further limits", "none"),
        ("Trials", f"{number}, at 12 epochs each"),
        ("Search recipe", "short: SGD, lr 0.1, momentum 0.9, weight decay 5e-4, cosine, batch 512"),
        ("Retraining recipe", "cosine, 200 epochs"),
        ("Sampler", "TPE in the feasible region, 10 uniform start-up draws"),
        ("Pruner", "asha"),
        ("Seed", "0"),
    )
    versions = (
        ("budget-nas", "0.1.0"),
        ("python", "3.11.13"),
        ("torch", "2.9.1"),
        ("optuna", "5.0.0"),
        ("device", "NVIDIA H200"),
    )
    return make_view(
        trials=trials,
        runs=tuple(runs),
        ledger=tuple(ledger),
        num_trials=number,
        epochs=12,
        draws=317,
        seconds=11_530.0,
        asked=asked,
        versions=versions,
        proxy=make_audit(trials),
        worker_seconds=11_530.0,
        plan="question:\n  budget: 5000000\n",
        commands=("nas search --study cifar10-5M --data cifar10 --budget 5000000 --space space.yaml --trials 40",),
    )
