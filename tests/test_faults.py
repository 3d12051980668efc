"""The fault matrix: what a search does when its processes, its disk or its machine fail. All on the CPU.

Here stand the faults that need real processes; those of single parts stand beside the tests of these parts. Whatever
happens on the way, a study must end with the trials, and to the bit with the numbers, that it would have had anyway.
"""

import ast
import json
import os
import pickle
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from subprocess import CompletedProcess, Popen
from typing import Any

import pytest
import torch
from optuna.trial import FrozenTrial, TrialState
from processes import children, is_running, processor

import search
from models.architecture import Architecture, Stage, Stem
from models.count import count_parameters
from search.data.datasets import open_dataset
from search.files import StudyFiles, new_attempt
from search.protocol import Failed, Finished, Job, Measurement, Message, Paused, Setup
from search.recipe import with_epochs
from search.recipes import FAST
from search.run import launch
from search.run.interruption import GRACE_SECONDS
from search.run.plans import fit_recipe
from search.space.space import load_space
from search.study.plan import Data, Plan, Question, run_seed
from search.study.storage import Record, architecture_of, read_study
from search.training import pipeline
from search.training.trainer import Requests, Trainer
from search.workers import duty
from search.workers import local as workers
from search.workers.machine import Machine

BUDGET = 20_000
SMALL_SPACE = """
stem: {width: [8, 16]}
num_stages: [1, 2]
stage: {block: basic, depth: [1, 2, 3], width: [8, 16, 32]}
"""
NETWORK = Architecture(Stem(8), (Stage("basic", 1, 8),), in_channels=1)

# Whoever asks the network for anything ends at once. Put before all the code below.
OFFLINE = """
import os, sys
sys.addaudithook(lambda event, _: os._exit(99) if event in ("socket.connect", "socket.getaddrinfo") else None)
"""
# A worker that keeps every epoch, so that a trial of seconds has checkpoints as one of hours has.
EAGER = """
from search.training import run_log, speed
from search.training.worker import main

if __name__ == "__main__":
    run_log.SECONDS_BETWEEN_CHECKPOINTS = 0.0
    speed.SECONDS = 0.05  # a guess will do
    main()
"""
# The same, whose first process finds its CUDA context poisoned in the second epoch that it trains.
POISONED = """
import sys
from pathlib import Path
from search.training import run_log
from search.training.loop import Training
from search.training.worker import main

train_epoch = Training._train_epoch

def poisoned(training):
    is_timing = training.recipe.epochs > 100
    if training.epoch == 1 and not is_timing and not Path(witness).exists():
        Path(witness).touch()
        raise RuntimeError("CUDA error: an illegal memory access was encountered\\nCUDA kernel errors might be ...")
    return train_epoch(training)

if __name__ == "__main__":
    run_log.SECONDS_BETWEEN_CHECKPOINTS = 0.0
    Training._train_epoch = poisoned
    main()
"""
# The same, whose trials all end in one of two ways.
FAILING = """
from search.errors import TrainingError
from search.training.loop import Training
from search.training.worker import main

train_epoch = Training._train_epoch

def fail(training):
    if training.recipe.epochs > 100:  # a timing
        return train_epoch(training)
    width = next(training.model.parameters()).shape[0]
    raise TrainingError(f"training loss is {'nan' if width == 8 else 'inf'} in epoch 1")

if __name__ == "__main__":
    Training._train_epoch = fail
    main()
"""
# The `nas` command with such a worker.
NAS = """
import search.workers.local
search.workers.local.WORKER = {worker!r}
from search.cli import main
main()
"""


@pytest.fixture(autouse=True)
def _places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The space, and the workers above where they can be started by name."""
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    code = tmp_path / "code"
    code.mkdir()
    (code / "eager_worker.py").write_text(OFFLINE + EAGER)
    (code / "failing_worker.py").write_text(OFFLINE + FAILING)
    (code / "poisoned_worker.py").write_text(f"witness = {str(tmp_path / 'witness')!r}\n{OFFLINE}{POISONED}")
    monkeypatch.setenv("PYTHONPATH", str(code))


@pytest.fixture
def files(tmp_path: Path) -> StudyFiles:
    return StudyFiles(tmp_path / "studies", "digits")


def wait_for(condition: Callable[[], object], within: float = 120.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


# Searches inside this process, with real workers.


@dataclass
class Watcher:
    """Listens to a search, and does something after an epoch: the place where faults are put in."""

    after_epoch: Callable[[int, int], None] = lambda number, epoch: None
    notes: list[str] = field(default_factory=list)
    ends: list[tuple[int, TrialState, str | None]] = field(default_factory=list)

    def measured(self, number: int, measurement: Measurement) -> None:
        self.after_epoch(number, measurement.epoch)

    def noted(self, number: int, text: str) -> None:
        self.notes.append(text)

    def ended(self, number: int, state: TrialState, value: float | None, reason: str | None) -> None:
        self.ends.append((number, state, reason))

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def search_here(
    files: StudyFiles, num_trials: int, watcher: Watcher, worker: str = "eager_worker", epochs: int = 4
) -> list[FrozenTrial]:
    """Search as `nas search` does. Returns the trials on disk."""
    dataset = open_dataset("digits")
    question = Question(
        budget=BUDGET,
        data=Data.of(dataset),
        space=load_space(files.studies.parent / "small.yaml"),
        recipe=fit_recipe(with_epochs(FAST, epochs), dataset).model_copy(update={"precision": "fp32"}),
        sampler="tpe",
        pruner="none",
        seed=0,
    )
    before = os.sched_getaffinity(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "WORKER", worker)
        os.sched_setaffinity(0, processor())  # one thread trains
        try:
            launch.search(files, launch.SearchRequest(question, "digits", num_trials), Machine("cpu"), watcher)
        finally:
            os.sched_setaffinity(0, before)
    return read_study(files, None)[0]


def numbers(trial: FrozenTrial) -> tuple[Any, ...]:
    """All that a trial found, without the seconds it took."""
    history = [{**epoch, "seconds": 0.0} for epoch in json.loads(trial.user_attrs["history"])]
    return trial.number, trial.state, trial.params, trial.value, trial.intermediate_values, history


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> list[tuple[Any, ...]]:
    """Two trials of four epochs, to which nothing happened."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "small.yaml").write_text(SMALL_SPACE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE", str(cache))
        watcher = Watcher()
        trials = search_here(StudyFiles(folder / "studies", "digits"), 2, watcher, worker=workers.WORKER)
    assert watcher.notes == [] and [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
    return [numbers(trial) for trial in trials]


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_no_epoch_and_changes_no_bit(
    files: StudyFiles, undisturbed: list[tuple[Any, ...]]
) -> None:
    def kill(number: int, epoch: int) -> None:
        if (number, epoch) == (0, 2) and not watcher.notes:
            (worker,) = children(os.getpid())
            # In the middle of epoch 3, once the checkpoint of epoch 2 is there.
            wait_for((files.trial(0) / "attempt-1" / "epoch-00002.ckpt").is_file)
            os.kill(worker, signal.SIGKILL)

    watcher = Watcher(kill)
    trials = search_here(files, 2, watcher)
    first, second = watcher.notes
    assert first == "worker ended by signal 9; goes on in a new process"
    assert second in ("goes on after epoch 2", "goes on after epoch 3")
    assert [numbers(trial) for trial in trials] == undisturbed
    assert not list((files.folder / "trials").iterdir()), "no checkpoint is left of a trial that is done"


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced_and_cannot_harm_when_it_wakes(
    files: StudyFiles, undisturbed: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[int] = []
    replace, patch = workers.LocalFleet.replace, pytest.MonkeyPatch()

    def replace_and_wake(fleet: workers.LocalFleet, worker: Any) -> None:
        patch.undo()  # a new worker has its time to start
        replace(fleet, worker)
        assert not is_running(stopped[0])
        with pytest.raises(ProcessLookupError):
            os.kill(stopped[0], signal.SIGCONT)

    def stop(number: int, epoch: int) -> None:
        if watcher.notes or number != 0:
            return
        if epoch == 1:
            for name, seconds in (("SHORTEST_DEADLINE", 2.0), ("SECOND_LOOK", 0.5), ("PATIENCE", 0)):
                patch.setattr(duty, name, seconds)
        elif epoch == 2:
            stopped.extend(children(os.getpid()))
            os.kill(stopped[0], signal.SIGSTOP)

    monkeypatch.setattr(workers.LocalFleet, "replace", replace_and_wake)
    watcher = Watcher(stop)
    try:
        trials = search_here(files, 2, watcher)
    finally:
        patch.undo()
    assert watcher.notes[0] == "no word for 2 s; goes on in a new process"
    assert watcher.notes[1].startswith("goes on after epoch ")
    assert [numbers(trial) for trial in trials] == undisturbed


@pytest.mark.slow
def test_a_poisoned_worker_is_replaced_and_changes_no_bit(
    files: StudyFiles, undisturbed: list[tuple[Any, ...]]
) -> None:
    watcher = Watcher()
    trials = search_here(files, 2, watcher, worker="poisoned_worker")
    reason = "RuntimeError: CUDA error: an illegal memory access was encountered"
    assert watcher.notes == [f"{reason}; goes on in a new process", "goes on after epoch 1"]
    assert [numbers(trial) for trial in trials] == undisturbed


@pytest.mark.slow
def test_a_worker_that_runs_out_of_memory_is_replaced_and_its_trial_goes_on(
    files: StudyFiles, undisturbed: list[tuple[Any, ...]]
) -> None:
    """By RLIMIT_AS: no address more than it has, so that the next larger piece that it asks for is refused."""

    def limit(number: int, epoch: int) -> None:
        if (number, epoch) == (0, 1) and not watcher.notes:
            (worker,) = children(os.getpid())
            resource.prlimit(worker, resource.RLIMIT_AS, (2**20, 2**20))

    watcher = Watcher(limit)
    trials = search_here(files, 2, watcher)
    # What torch makes of it depends on where it happens.
    reason, _, then = watcher.notes[0].rpartition("; ")
    assert then == "goes on in a new process"
    assert reason.startswith(("out of memory", "RuntimeError: ", "worker ended "))
    assert [numbers(trial) for trial in trials] == undisturbed


@pytest.mark.slow
def test_an_over_budget_network_that_was_enqueued_by_hand_is_not_trained_a_single_step(files: StudyFiles) -> None:
    """Past the sampler, with Optuna alone: the worker counts for itself."""
    over = Architecture(Stem(16), (Stage("basic", 3, 32), Stage("basic", 3, 64)), in_channels=1)
    assert count_parameters(over) > BUDGET
    files.folder.mkdir(parents=True)
    with Record(files) as record:
        record._disk.enqueue_trial({}, user_attrs={"architecture": over.to_json()})
    watcher = Watcher()
    first, second = search_here(files, 1, watcher, worker=workers.WORKER, epochs=1)
    refused = f"the built network holds {count_parameters(over):,} parameters, over the limit of {BUDGET:,}"
    assert watcher.ends == [(0, TrialState.FAIL, refused), (1, TrialState.COMPLETE, None)]
    assert architecture_of(first) == over
    assert (first.state, first.intermediate_values, json.loads(first.user_attrs["history"])) == (
        TrialState.FAIL,
        {},
        [],
    )
    assert second.user_attrs["params"] <= BUDGET


# What a worker makes of an error, in this process.


@pytest.fixture(scope="module")
def trainer(cache: Path) -> Iterator[Trainer]:
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE", str(cache))
        yield Trainer(Setup(open_dataset("digits").folder, 0, "cpu", 1))
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = False


def job(checkpoints: Path | None = None, epochs: int = 3) -> Job:
    recipe = with_epochs(FAST, epochs).fit_to("digits", 1_438, 8, 1).model_copy(update={"precision": "fp32"})
    attempt = new_attempt(checkpoints) if checkpoints is not None else 1
    return Job("trial 0", NETWORK, recipe, 1, "search", BUDGET, checkpoints=checkpoints, attempt=attempt)


def perform(trainer: Trainer, job: Job, *, pause: bool = False) -> tuple[list[Message], Message]:
    """What is said on the way, and in the end."""
    said: list[Message] = []
    asked = Requests(threading.Event(), threading.Event())
    if pause:
        asked.pause.set()
    return said, trainer.perform(job, said.append, asked)


ERRORS = [
    (
        RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be"),
        "RuntimeError: CUDA error: device-side assert triggered",
    ),
    (
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        "RuntimeError: cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    ),
    (RuntimeError("could not create a primitive"), "RuntimeError: could not create a primitive"),
    (RuntimeError(), "RuntimeError: "),
]


@pytest.mark.parametrize(("error", "reason"), ERRORS, ids=[reason for _, reason in ERRORS])
def test_after_an_error_of_the_device_a_worker_is_not_trusted(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("search.training.loop.Training._train_epoch", fail)
    assert perform(trainer, job()) == ([], Failed(reason, "worker"))


SHORT = [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nOf the")]


@pytest.mark.parametrize("error", SHORT, ids=lambda error: type(error).__name__)
def test_out_of_memory_is_told_with_the_batch_and_the_parameters(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("search.training.loop.Training._train_epoch", fail)
    params, batch_size = count_parameters(job().architecture), job().recipe.batch_size
    reason = f"out of memory at batch_size = {batch_size} with {params:,} parameters"
    assert perform(trainer, job()) == ([], Failed(reason, "memory"))


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_loss_that_is_not_finite_fails_the_trial_and_not_the_worker(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    loss, calls = pipeline.Batch.loss, []

    def spoilt(batch: pipeline.Batch, logits: torch.Tensor, label_smoothing: float) -> torch.Tensor:
        calls.append(1)
        return loss(batch, logits, label_smoothing) + (float(value) if len(calls) == 40 else 0.0)

    steps = len(trainer.splits.train) // job().recipe.sizes[0]
    assert steps < 40 < 2 * steps
    monkeypatch.setattr(pipeline.Batch, "loss", spoilt)
    said, last = perform(trainer, job())
    assert [message.epoch for message in said if isinstance(message, Measurement)] == [1]
    assert last == Failed(f"training loss is {value} in epoch 2", "trial")


def test_an_evaluation_that_is_not_finite_fails_the_trial_and_not_the_worker(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.training.loop.functional.cross_entropy", lambda *_, **__: torch.tensor(float("nan")))
    monkeypatch.setattr(pipeline.Batch, "loss", lambda batch, logits, _: logits.float().square().mean())
    assert perform(trainer, job()) == ([], Failed("evaluation loss is nan", "trial"))


# A full disk.


@contextmanager
def full_disk(most: int) -> Iterator[None]:
    """No file may grow beyond `most` bytes. Held no longer than the call under test: pytest writes files too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_too_full_for_a_checkpoint_is_told_and_leaves_the_one_before(trainer: Trainer, tmp_path: Path) -> None:
    root = tmp_path / "0000"
    assert perform(trainer, job(root), pause=True)[1] == Paused()
    whole = (root / "attempt-1" / "epoch-00001.ckpt").read_bytes()
    second = job(root)
    with full_disk(len(whole) // 2):
        last = perform(trainer, second, pause=True)[1]
    path = root / "attempt-2" / "epoch-00002.ckpt"
    assert last == Failed(f"cannot write {path}: File too large", "disk")
    assert list(path.parent.iterdir()) == []
    assert (root / "attempt-1" / "epoch-00001.ckpt").read_bytes() == whole
    said, last = perform(trainer, job(root))
    assert str(said[0]) == "Resumed(epoch=1, refused=())" and isinstance(last, Finished)


KILLED_WRITING = """
import os, pickle, signal, sys, threading
from pathlib import Path
from search.training.trainer import Requests, Trainer

setup, job = pickle.loads(Path(sys.argv[1]).read_bytes())
trainer, asked = Trainer(setup), Requests(threading.Event(), threading.Event())
asked.pause.set()
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
trainer.perform(job, print, asked)
"""


@pytest.mark.slow
def test_a_killed_worker_that_was_writing_a_checkpoint_goes_on_from_the_one_before(
    trainer: Trainer, tmp_path: Path
) -> None:
    """It is killed where the file would take its name."""
    root = tmp_path / "0000"
    assert perform(trainer, job(root), pause=True)[1] == Paused()
    half = root / "attempt-2"
    given = tmp_path / "given"
    given.write_bytes(pickle.dumps((Setup(trainer.dataset.folder, 0, "cpu", 1), job(root))))
    done = subprocess.run([sys.executable, "-c", KILLED_WRITING, str(given)], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (left,) = half.iterdir()
    assert left.name.startswith(".epoch-00002.ckpt.") and left.stat().st_size > 0
    said, last = perform(trainer, job(root))
    assert str(said[0]) == "Resumed(epoch=1, refused=())" and isinstance(last, Finished)
    assert [message.epoch for message in said if isinstance(message, Measurement)] == [1, 2, 3]


# The command as a user runs it, in processes that can be killed.

SEARCH = (
    *("search", "--data", "digits", "--space", "small.yaml", "--budget", "20k", "--limit", "macs=none"),
    *("--fill", "none", "--no-warm-start", "--pruner", "none"),
)


@contextmanager
def started(
    folder: Path, *arguments: str, worker: str = "eager_worker", most_bytes: int | None = None
) -> Iterator[Popen[str]]:
    """`nas` with such workers, on one processor, where no file may be larger; killed at last if it has not ended."""
    own = processor()

    def prepare() -> None:
        os.sched_setaffinity(0, own)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test runner in the background has it ignored
        if most_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    command = [sys.executable, "-P", "-c", OFFLINE + NAS.format(worker=worker), *arguments]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with Popen(command, cwd=folder, preexec_fn=prepare, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_until(process: Popen[str], text: str) -> list[str]:
    """What it says up to a line with `text`."""
    assert process.stdout is not None
    said = []
    while not said or text not in said[-1]:
        said.append(process.stdout.readline())
        assert said[-1], f"it has ended: {said}"
    return said


def run(folder: Path, *arguments: str, **how: Any) -> CompletedProcess[str]:
    with started(folder, *arguments, **how) as process:
        out, err = process.communicate(timeout=300)
    return CompletedProcess(arguments, process.returncode, out, err)


def newest_checkpoint(files: StudyFiles, number: int) -> int:
    """The newest epoch that any attempt has kept, or 0."""
    found = files.trial(number).glob("attempt-*/epoch-*.ckpt")
    return max((int(path.stem.removeprefix("epoch-")) for path in found), default=0)


@pytest.mark.slow
def test_a_signal_is_answered_in_seconds_and_the_same_command_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path / "studies", "digits-20k")
    command = (*SEARCH, "--trials", "2", "--epochs", "2000")
    kept = 0
    for sent, status in ((signal.SIGTERM, 143), (signal.SIGHUP, 129)):
        with started(tmp_path, *command) as process:
            lines_until(process, f"goes on after epoch {kept}\n" if kept else "trial 0 begins")
            wait_for(lambda: newest_checkpoint(files, 0) > kept)  # noqa: B023
            (worker,) = children(process.pid)
            at = time.monotonic()
            process.send_signal(sent)
            _, err = process.communicate(timeout=60)
            took = time.monotonic() - at
        assert process.returncode == status
        assert err == f"nas: ended by {sent.name}; the same command goes on from here\n"
        assert took < 10
        assert not is_running(worker)
        assert newest_checkpoint(files, 0) > kept
        kept = newest_checkpoint(files, 0)
    # A second one leaves at once, here past a worker that answers nothing.
    with started(tmp_path, *command) as process:
        lines_until(process, f"goes on after epoch {kept}\n")
        (worker,) = children(process.pid)
        os.kill(worker, signal.SIGSTOP)
        at = time.monotonic()
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None, "the first one waits for the epoch's end"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert time.monotonic() - at < GRACE_SECONDS, "the first one alone would have waited so long"
    assert (process.returncode, err) == (130, "nas: ended by SIGINT; the same command goes on from here\n")
    wait_for(lambda: not is_running(worker))
    (trial,), _ = read_study(files, None)
    assert trial.state == TrialState.RUNNING
    assert list(trial.intermediate_values) == list(range(1, len(trial.intermediate_values) + 1))
    assert len(trial.intermediate_values) >= kept


@pytest.mark.slow
def test_a_stray_worker_that_wakes_after_its_coordinator_was_killed_harms_nothing(
    tmp_path: Path, trainer: Trainer
) -> None:
    files = StudyFiles(tmp_path / "studies", "digits-20k")
    command = (*SEARCH, "--trials", "1", "--epochs", "20")
    with started(tmp_path, *command) as process:
        wait_for(lambda: newest_checkpoint(files, 0) >= 3)
        (stray,) = children(process.pid)
        os.kill(stray, signal.SIGSTOP)
        process.kill()
    assert is_running(stray), "it is stopped, and does not know that it is alone"
    with started(tmp_path, *command) as process:
        lines_until(process, "goes on after epoch ")
        os.kill(stray, signal.SIGCONT)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    wait_for(lambda: not is_running(stray), within=30)
    (trial,), _ = read_study(files, None)
    precision = Plan.load(files).circumstances.precision
    recipe = job(epochs=20).recipe.model_copy(update={"precision": precision})
    said, _ = perform(trainer, replace(job(), recipe=recipe, architecture=architecture_of(trial), seed=run_seed(0, 0)))
    values = {each.epoch: each.validation_accuracy for each in said if isinstance(each, Measurement)}
    assert trial.intermediate_values == values and len(values) == 20
    assert not files.trial(0).exists(), "nor does it make its folder again"


@pytest.mark.slow
def test_of_two_searches_that_are_started_together_one_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    command = (*SEARCH, "--trials", "2", "--epochs", "1")
    with started(tmp_path, *command) as one, started(tmp_path, *command) as other:
        out = {process: process.communicate(timeout=300) for process in (one, other)}
    refused, done = (one, other) if one.returncode else (other, one)
    assert (done.returncode, refused.returncode) == (0, 2), out
    host = os.uname().nodename
    [line] = out[refused][1].splitlines()
    assert line.startswith(f"nas: study = 'digits-20k': in use by process {done.pid} on {host} since 20")
    trials, _ = read_study(StudyFiles(tmp_path / "studies", "digits-20k"), None)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2


@pytest.mark.slow
def test_a_search_in_which_every_trial_fails_ends_with_the_commonest_reason(tmp_path: Path) -> None:
    done = run(tmp_path, *SEARCH, "--trials", "20", "--seed", "1", worker="failing_worker")
    trials, _ = read_study(StudyFiles(tmp_path / "studies", "digits-20k"), None)
    reasons = Counter(trial.user_attrs["reason"] for trial in trials)
    commonest, times = reasons.most_common(1)[0]
    assert [trial.state for trial in trials] == [TrialState.FAIL] * 5 and len(reasons) == 2
    assert done.returncode == 1
    assert done.stderr == f"nas: 5 trials failed, {times} of them with: {commonest}\n"


@pytest.mark.slow
def test_a_full_disk_ends_a_search_in_one_line_and_the_same_command_goes_on_once_there_is_room(
    tmp_path: Path, nas: Callable[..., CompletedProcess[str]]
) -> None:
    command = (*SEARCH, "--trials", "6", "--epochs", "2")
    full = run(tmp_path, *command, most_bytes=250_000)
    assert full.returncode == 1
    assert full.stderr.startswith("nas: study 'digits-20k': its database failed: disk I/O error; is there room on ")
    assert full.stderr.count("\n") == 1
    before, _ = read_study(StudyFiles(tmp_path / "studies", "digits-20k"), None)
    assert 0 < len(before) < 6
    done = run(tmp_path, *command)
    assert done.returncode == 0, done.stderr
    trials, _ = read_study(StudyFiles(tmp_path / "studies", "digits-20k"), None)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
    assert [trial.params for trial in trials[: len(before)]] == [trial.params for trial in before]
    report = tmp_path / "studies" / "digits-20k" / "report.html"
    report.write_text("the report before")
    with full_disk(1_000_000):
        reported = nas("report", "--study", "digits-20k")
    assert (reported.returncode, reported.stderr.count("\n")) == (1, 1)
    assert reported.stderr.startswith("nas: cannot write ") and "report.html: File too large" in reported.stderr
    assert report.read_text() == "the report before"


# Clocks.


def test_only_dates_and_old_leftovers_ask_for_the_time_of_day() -> None:
    """All deadlines and durations are of clocks that only ever grow: a wall clock may jump by a day either way."""
    root = Path(search.__file__).parent
    asking = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in (
                "time.time",
                "time.time_ns",
                "datetime.now",
                "datetime.utcnow",
                "datetime.today",
                "date.today",
            ):
                asking.add(str(path.relative_to(root)))
    # When a study was begun, its reports were written and a number was logged, and temporary folders of over a day ago.
    assert asking == {"study/plan.py", "tracking/mlflow.py", "data/datasets.py"}


# The network.


def test_who_asks_for_the_network_here_would_be_ended() -> None:
    """So that every search above shows that none does."""
    for asking in ("socket.getaddrinfo('localhost', 80)", "socket.socket().connect(('127.0.0.1', 9))"):
        done = subprocess.run([sys.executable, "-c", f"{OFFLINE}\nimport socket\n{asking}"], check=False)
        assert done.returncode == 99


# Killed twelve times.


@pytest.mark.slow
def test_a_study_that_is_killed_at_twelve_random_instants_ends_with_every_trial_once(
    tmp_path: Path, trainer: Trainer
) -> None:
    """kill -9 of the coordinator, wherever it is: importing, timing, proposing, writing, waiting for an epoch.

    Three times of four where it trains: a start, most of which is imports, changes little on the disk.
    """
    while_starting, epochs = [False] * 8 + [True] * 3, 2
    files = StudyFiles(tmp_path / "studies", "digits-20k")
    command = (*SEARCH, "--epochs", str(epochs), "--trials")
    rng = random.Random(6)
    rng.shuffle(while_starting)
    log: list[str] = []
    begun: dict[int, str] = {}
    usual = 0.0  # seconds that a start takes on this machine, today
    for kill, is_starting in enumerate([False, *while_starting], 1):
        with started(tmp_path, *command, "150") as process:
            at = time.monotonic()
            if is_starting:
                time.sleep(usual * rng.random())
            else:
                lines_until(process, " begins")
                usual = usual or time.monotonic() - at
                time.sleep(rng.random())
            after, left = time.monotonic() - at, children(process.pid)
            process.kill()
            process.wait()
        assert process.returncode == -signal.SIGKILL
        wait_for(lambda: not any(map(is_running, left)), within=60)  # noqa: B023
        trials = read_study(files, None)[0]
        for trial in trials:
            known = begun.setdefault(trial.number, trial.user_attrs["architecture"])
            assert known == trial.user_attrs["architecture"], "a number stays with its design"
        assert sorted(begun) == list(range(len(trials))), "none is lost"
        states = Counter(trial.state.name.lower() for trial in trials)
        log.append(f"kill {kill:2} after {after:4.1f} s, {len(left)} worker: {dict(states)}")
    num_trials = len(begun) + 3
    new_attempt(files.trial(0))  # as a kill right after the end of trial 0 would leave it
    done = run(tmp_path, *command, str(num_trials))
    print("", f"a start takes {usual:.1f} s", *log, done.stdout, sep="\n")
    assert done.returncode == 0, done.stderr
    assert f"{num_trials} trials trained" in done.stdout
    trials, _ = read_study(files, None)
    assert [trial.number for trial in trials] == list(range(num_trials))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert len({architecture_of(trial) for trial in trials}) == num_trials
    for trial in trials:
        assert list(trial.intermediate_values) == list(range(1, epochs + 1))
        assert [epoch["epoch"] for epoch in json.loads(trial.user_attrs["history"])] == list(range(1, epochs + 1))
    assert [trial.user_attrs["architecture"] for trial in trials[: len(begun)]] == list(begun.values())
    assert not list((files.folder / "trials").iterdir()), "no checkpoint is left"
    # What was interrupted has the numbers that it has in one piece.
    precision = Plan.load(files).circumstances.precision
    recipe = job(epochs=epochs).recipe.model_copy(update={"precision": precision})
    for number in sorted(begun)[-3:]:
        whole = replace(job(), recipe=recipe, architecture=architecture_of(trials[number]), seed=run_seed(0, number))
        said, _ = perform(trainer, whole)
        values = {each.epoch: each.validation_accuracy for each in said if isinstance(each, Measurement)}
        assert trials[number].intermediate_values == values
