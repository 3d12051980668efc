"""A training that was interrupted ends, on the CPU, with the bits of one that was not."""

from collections.abc import Callable
from dataclasses import astuple, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch

from models.architecture import Architecture, Stage, Stem
from models.build import build
from search.files import new_attempt
from search.protocol import Finished, Job, Measurement, Message, Resumed
from search.recipe import Recipe
from search.sealed import seal, unseal
from search.teaching import Lesson
from search.training import run_log
from search.training.images import Images, Normalisation
from search.training.loop import Training
from search.training.run_log import SECONDS_BETWEEN_CHECKPOINTS, RunLog

CPU = torch.device("cpu")
EPOCHS = 4
NETWORK = Architecture(Stem(4), (Stage("basic", 1, 4, dropout=0.2), Stage("bottleneck", 1, 8)))
# Between them, all that a training keeps from one epoch to the next.
RECIPES: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 0.1},
    "sgd without momentum": {"lr": 0.1, "momentum": 0.0, "nesterov": False},
    "adam": {"lr": 0.01, "optimizer": "adam", "schedule": "cosine"},
    "adamw": {"lr": 0.01, "optimizer": "adamw", "schedule": "multi-step", "milestones": (0.3, 0.7)},
    "plateau": {"lr": 0.1, "schedule": "plateau", "warmup": 0.0, "patience": 0, "factor": 0.5},
    # A rate at which nothing is learnt, so that it does stop.
    "early stopping": {"lr": 2.0, "stop_patience": 2, "keep_best": True, "schedule": "constant", "warmup": 0.0},
    "the best kept": {"lr": 0.3, "keep_best": True},
    "cutmix half the time": {"lr": 0.1, "cutmix": 1.0, "mix_probability": 0.5},
    "cutmix or mixup": {"lr": 0.1, "cutmix": 1.0, "mixup": 0.4, "mix_probability": 0.7},
    "averaged": {"lr": 0.1, "ema_window": 0.3},
    "the best average kept": {"lr": 0.3, "ema_window": 0.3, "keep_best": True},
    "augmented": {"lr": 0.1, "crop_padding": 2, "flip": True, "cutout": 4, "rotation": 10.0, "auto_augment": True},
}


def coloured(num: int) -> Images:
    """Images that show their class by their colour, faintly."""
    generator = torch.Generator().manual_seed(num)
    labels = torch.arange(num) % 10
    noise = torch.randint(0, 150, (num, 3, 8, 8), generator=generator)
    colours = torch.stack((labels * 10, 90 - labels * 10, (labels % 3) * 45), 1)
    return Images((colours[:, :, None, None] + noise).to(torch.uint8), labels)


DATA, VALIDATION = coloured(64), coloured(50)


def job(name: str, checkpoints: Path | None = None, **values: Any) -> Job:
    recipe = Recipe.model_validate({"name": "test", "epochs": EPOCHS, "batch_size": 16} | RECIPES[name] | values)
    return Job("trial 0", NETWORK, recipe, 7, "search", None, checkpoints=checkpoints)


def begin(job: Job, precision: str = "fp32") -> tuple[Training, RunLog]:
    """As a worker begins, in a process that has drawn random numbers for other things."""
    torch.manual_seed(job.seed)
    model = build(job.architecture)
    training = Training(
        model,
        job.recipe,
        DATA,
        VALIDATION,
        Normalisation.of(job.recipe, DATA),
        seed=job.seed,
        precision=precision,
    )
    if job.checkpoints is not None:
        job = replace(job, attempt=new_attempt(job.checkpoints))
    return training, RunLog(training, job, precision)


def run(log: RunLog, stop_after: int = EPOCHS) -> None:
    """Train up to an epoch, and write a checkpoint there unless it is the last."""
    for measurement in log.training.epochs():
        log.add(measurement)
        if measurement.epoch == stop_after and measurement.epoch < EPOCHS:
            log.write()
            return


def facts(measurements: list[Measurement]) -> list[tuple[object, ...]]:
    """All but the seconds."""
    return [astuple(replace(measurement, seconds=0.0)) for measurement in measurements]


def same(one: torch.nn.Module, two: torch.nn.Module) -> bool:
    pairs = zip(one.state_dict().items(), two.state_dict().items(), strict=True)
    return all(a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in pairs)


def silent(_: Message) -> None:
    pass


CASES = [(name, "fp32") for name in RECIPES] + [(name, "bf16") for name in ("sgd", "adam", "cutmix half the time")]


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_a_training_that_goes_on_after_any_epoch_ends_with_the_same_bits(
    tmp_path: Path, name: str, precision: str
) -> None:
    training, log = begin(job(name), precision)
    run(log)
    whole, last = facts(log.measurements), len(log.measurements)
    assert last > 2, "there is something to interrupt"
    for epoch in range(1, last):
        root = tmp_path / str(epoch)
        run(begin(job(name, root), precision)[1], stop_after=epoch)
        torch.manual_seed(123)  # what happens in between must not matter
        again, resumed = begin(job(name, root), precision)
        assert facts(resumed.resume(silent, CPU)) == whole[:epoch]
        assert again.epoch == epoch
        run(resumed)
        assert facts(resumed.measurements) == whole, f"interrupted after epoch {epoch}"
        assert same(again.model, training.model), f"interrupted after epoch {epoch}"
        assert same(again.network, training.network), f"interrupted after epoch {epoch}"
        assert resumed.finished(0.0).kept_epoch == log.finished(0.0).kept_epoch


@pytest.mark.parametrize("name", ["the best average kept"])
@pytest.mark.parametrize("missing", ["global", "measurements"])
@pytest.mark.parametrize("good_epoch", [0, 2])
def test_a_checkpoint_of_another_version_is_refused_with_a_line_and_leaves_nothing_behind(
    tmp_path: Path, name: str, missing: str, good_epoch: int
) -> None:
    training, log = begin(job(name))
    run(log)
    if good_epoch:
        run(begin(job(name, tmp_path))[1], stop_after=good_epoch)
    _, other = begin(job(name, tmp_path))
    other.resume(silent, CPU)
    run(other, stop_after=3)
    (path,) = tmp_path.glob("attempt-*/epoch-00003.ckpt")
    stored = torch.load(BytesIO(unseal(path.read_bytes())), weights_only=True)
    del (stored["state"] if missing in stored["state"] else stored["state"]["training"])[missing]
    torch.save(stored, buffer := BytesIO())
    path.write_bytes(seal(buffer.getvalue()))

    again, resumed = begin(job(name, tmp_path))
    said: list[Message] = []
    assert len(resumed.resume(said.append, CPU)) == good_epoch
    line = f"{path.parent.name}/epoch-00003.ckpt is refused: another version of nas wrote it"
    assert said == [Resumed(good_epoch, (line,))]
    run(resumed)
    assert facts(resumed.measurements) == facts(log.measurements)
    assert same(again.model, training.model) and same(again.network, training.network)


def test_the_early_stopping_of_these_tests_does_stop_early() -> None:
    _, log = begin(job("early stopping"))
    run(log)
    kept = log.finished(0.0).kept_epoch
    assert kept is not None and len(log.measurements) == kept + 2 < EPOCHS


def test_the_plateau_of_these_tests_lowers_its_rate() -> None:
    _, log = begin(job("plateau"))
    run(log)
    assert log.measurements[-1].lr < log.measurements[0].lr


def test_without_its_random_states_a_training_would_go_on_with_other_bits(tmp_path: Path) -> None:
    """Else the test above would show nothing about them."""
    _, log = begin(job("cutmix half the time"))
    run(log)
    for left_out in ("generator", "coins", "global", "optimizer", "schedule"):
        root = tmp_path / left_out
        run(begin(job("cutmix half the time", root))[1], stop_after=2)
        again, resumed = begin(job("cutmix half the time", root))
        before = again.state()[left_out]
        before = before.clone() if isinstance(before, torch.Tensor) else before
        restore = again.restore
        again.restore = lambda state, restore=restore, name=left_out, before=before: restore(  # type: ignore[method-assign,misc]
            state | {name: before}
        )
        resumed.resume(silent, CPU)
        run(resumed)
        assert facts(resumed.measurements) != facts(log.measurements), left_out


def test_a_training_that_is_interrupted_again_and_again_ends_with_the_same_bits(tmp_path: Path) -> None:
    training, log = begin(job("sgd"))
    run(log)
    for epoch in range(1, EPOCHS + 1):
        again, resumed = begin(job("sgd", tmp_path))
        assert len(resumed.resume(silent, CPU)) == epoch - 1
        run(resumed, stop_after=epoch)
    assert facts(resumed.measurements) == facts(log.measurements)
    assert same(again.model, training.model)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"attempt-{number}" for number in range(1, EPOCHS + 1)]


def test_writing_checkpoints_changes_nothing(tmp_path: Path) -> None:
    training, log = begin(job("sgd"))
    run(log)
    writing, written = begin(job("sgd", tmp_path))
    for measurement in writing.epochs():
        written.add(measurement)
        written.write()
    assert facts(written.measurements) == facts(log.measurements) and same(writing.model, training.model)


# What is sent about it.


def test_a_training_that_goes_on_says_after_which_epoch(tmp_path: Path) -> None:
    sent: list[Message] = []
    _, log = begin(job("sgd", tmp_path))
    assert log.resume(sent.append, CPU) == [] and sent == [], "a first attempt has nothing to say"
    run(log, stop_after=2)
    begin(job("sgd", tmp_path))[1].resume(sent.append, CPU)
    assert sent == [Resumed(2, ())]


def test_a_damaged_checkpoint_is_told_and_costs_the_epochs_since_the_one_before(tmp_path: Path) -> None:
    training, log = begin(job("sgd"))
    run(log)
    _, first = begin(job("sgd", tmp_path))
    for measurement in first.training.epochs():
        first.add(measurement)
        first.write()
        if measurement.epoch == 3:
            break
    newest = tmp_path / "attempt-1" / "epoch-00003.ckpt"
    newest.write_bytes(newest.read_bytes()[:-10])
    sent: list[Message] = []
    again, resumed = begin(job("sgd", tmp_path))
    assert len(resumed.resume(sent.append, CPU)) == 2
    assert sent == [Resumed(2, ("attempt-1/epoch-00003.ckpt is refused: its content is damaged",))]
    run(resumed)
    assert facts(resumed.measurements) == facts(log.measurements) and same(again.model, training.model)


def test_where_all_are_damaged_the_training_begins_again_and_says_so(tmp_path: Path) -> None:
    run(begin(job("sgd", tmp_path))[1], stop_after=1)
    (tmp_path / "attempt-1" / "epoch-00001.ckpt").write_bytes(b"")
    sent: list[Message] = []
    training, log = begin(job("sgd", tmp_path))
    assert log.resume(sent.append, CPU) == [] and training.epoch == 0
    assert sent == [Resumed(0, ("attempt-1/epoch-00001.ckpt is refused: its content is damaged",))]


CHANGES: list[Callable[[Job], Job]] = [
    lambda job: replace(job, seed=8),
    lambda job: replace(job, purpose="finalist"),
    lambda job: replace(job, lesson=Lesson((), 4.0, 0.9, "abc")),
    lambda job: replace(job, recipe=job.recipe.model_copy(update={"lr": 0.2})),
    lambda job: replace(job, architecture=replace(job.architecture, stem=Stem(8))),
]


@pytest.mark.parametrize("change", CHANGES)
def test_another_training_does_not_go_on_from_it(tmp_path: Path, change: Callable[[Job], Job]) -> None:
    first = job("sgd", tmp_path)
    assert change(first) != first
    run(begin(first)[1], stop_after=2)
    sent: list[Message] = []
    assert begin(change(first))[1].resume(sent.append, CPU) == []
    assert sent == [Resumed(0, ("attempt-1/epoch-00002.ckpt is refused: it is of another training",))]


def test_another_precision_does_not_go_on_from_it(tmp_path: Path) -> None:
    run(begin(job("sgd", tmp_path), "bf16")[1], stop_after=2)
    assert begin(job("sgd", tmp_path), "fp32")[1].resume(silent, CPU) == []
    assert len(begin(job("sgd", tmp_path), "bf16")[1].resume(silent, CPU)) == 2


# When.


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(run_log, "time", clock)  # which has nothing but a monotonic clock
    return clock


def test_checkpoints_are_rare_unless_one_is_asked_for(tmp_path: Path, clock: Clock) -> None:
    _, log = begin(job("sgd", tmp_path))
    assert SECONDS_BETWEEN_CHECKPOINTS == 30.0
    for now, at_once, wanted in (
        (1_000.0, False, False),
        (1_029.9, False, False),
        (1_001.0, True, True),
        (1_030.0, False, True),
    ):
        clock.now = now
        assert log.wants_checkpoint(at_once) is wanted
    log.write()
    clock.now = 1_059.9
    assert not log.wants_checkpoint(at_once=False)
    clock.now = 1_060.0
    assert log.wants_checkpoint(at_once=False)


def test_a_job_without_a_folder_for_them_has_no_checkpoints(clock: Clock) -> None:
    _, log = begin(job("sgd"))
    clock.now += 1e6
    assert not log.wants_checkpoint(at_once=True)
    assert log.resume(silent, CPU) == []


def test_the_seconds_of_all_attempts_are_counted_up_to_their_checkpoints(tmp_path: Path, clock: Clock) -> None:
    _, log = begin(job("sgd", tmp_path))
    clock.now += 100.0
    run(log, stop_after=2)
    clock.now += 5_000.0  # lost, or nobody trained
    _, log = begin(job("sgd", tmp_path))
    log.resume(silent, CPU)
    clock.now += 20.0
    run(log, stop_after=3)
    _, log = begin(job("sgd", tmp_path))
    log.resume(silent, CPU)
    finished = log.finished(3.0)
    assert isinstance(finished, Finished)
    assert finished.seconds == pytest.approx(100.0 + 20.0 + 3.0)
