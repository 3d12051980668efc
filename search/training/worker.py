"""The process that owns torch and a device: tasks in, measurements out.

Started as `python -P -m search.training.worker FD`, where FD is the file descriptor of a socket to the coordinator.
"""

import os
import platform
import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy
import torch
from safetensors.torch import save_file

from models.architecture import Architecture
from models.build import build
from search.data.datasets import Dataset, load_cached
from search.errors import NasError, StorageError, TrainingError
from search.files import replacing, write_atomically
from search.protocol import (
    OPEN,
    PAUSE,
    STOP,
    Assignment,
    ContactSheet,
    Drawn,
    Failed,
    Finished,
    Job,
    Message,
    Opening,
    Paused,
    Ranged,
    RangeTest,
    Ready,
    Setup,
    Timed,
    Timing,
    TooSlow,
)
from search.recipe import Recipe
from search.training.certify import certify_built
from search.training.contact_sheet import draw_contact_sheet
from search.training.images import Images, Normalisation, Splits
from search.training.inference import Inference
from search.training.latency import latency
from search.training.loop import Training, evaluate
from search.training.memory import does_not_fit, is_out_of_memory
from search.training.range_test import range_test
from search.training.run_log import RunLog
from search.training.timing import fastest_precision, seconds_per_epoch

Send = Callable[[Message], None]


class Trainer:
    """A device, its data and what is done with them."""

    def __init__(self, setup: Setup) -> None:
        assert setup.data is not None
        torch.set_num_threads(setup.num_threads)
        torch.backends.cudnn.benchmark = True
        self.device = torch.device(setup.device)
        self.dataset: Dataset = load_cached(setup.data)
        self.splits = Splits.load(self.dataset, setup.split_seed, self.device)
        cache = setup.data.parent / "precision.json"
        self.precision = fastest_precision(self.splits.train, len(self.dataset.classes), cache)
        self._normalisations: dict[tuple[object, ...], Normalisation] = {}

    def ready(self) -> Ready:
        is_cuda = self.device.type == "cuda"
        device = torch.cuda.get_device_name(self.device) if is_cuda else f"CPU, {torch.get_num_threads()} threads"
        versions = {"python": platform.python_version(), "torch": torch.__version__, "numpy": numpy.__version__}
        return Ready(device, self.precision, versions)

    def perform(self, task: Assignment, send: Send, asked: "Asked") -> Message:
        """Do the task, sending a Measurement per epoch on the way; the last message is returned."""
        try:
            if isinstance(task, Timing):
                return self._time(task)
            if isinstance(task, RangeTest):
                return self._test_range(task)
            if isinstance(task, ContactSheet):
                draw_contact_sheet(task, self.splits.train)
                return Drawn()
            assert isinstance(task, Job), "the rest is for a worker without data"
            return self._train(task, send, asked)
        except StorageError as error:
            return Failed(str(error), "disk")
        except NasError as error:
            return Failed(str(error))
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                return does_not_fit(task, self.device)
            # After an error of the device nothing that this process does there can be trusted, and where memory is
            # short torch says many things ("could not create a primitive"): a new process tries once more.
            said = (str(error).strip().splitlines() or [""])[0]
            return Failed(f"{type(error).__name__}: {said}", "worker")

    def _time(self, task: Timing) -> Timed:
        precision = self._resolve(task.recipe.precision)
        data = self.splits.train
        return Timed(tuple(seconds_per_epoch(each, task.recipe, data, precision) for each in task.architectures))

    def _test_range(self, task: RangeTest) -> Ranged:
        data = self.splits.train
        torch.manual_seed(task.seed)
        model = build(task.architecture, zero_init_last_norm=task.recipe.zero_init_last_norm).to(self.device)
        return range_test(
            model,
            task.recipe,
            data,
            self._normalisation(task.recipe, data),
            lowest=task.lowest,
            highest=task.highest,
            num_steps=task.num_steps,
            seed=task.seed,
            precision=self._resolve(task.recipe.precision),
        )

    def _train(self, job: Job, send: Send, asked: "Asked") -> Finished | TooSlow | Paused:
        started = time.perf_counter()
        certify_built(job.architecture, job.max_params)
        precision = self._resolve(job.recipe.precision)
        if job.max_latency is not None:
            size, cache = self.dataset.image_size, self.dataset.folder.parent / "latency.json"
            seconds = latency(job.architecture, size, self.device, precision, cache)
            if seconds > job.max_latency:
                return TooSlow(seconds)
        training = self._begin(job, precision, asked.stop.is_set)
        log = RunLog(training, job, precision)
        for measurement in log.resume(send, self.device):
            send(measurement)
        for measurement in training.epochs():
            log.add(measurement)
            send(measurement)
            is_last = measurement.epoch == job.recipe.epochs or training.is_over
            if not is_last and log.wants_checkpoint(asked.pause.is_set()):
                log.write()
            if not is_last and asked.pause.is_set() and job.checkpoints is not None:
                return Paused()
        if asked.stop.is_set():
            return log.finished(time.perf_counter() - started)
        if job.keep is not None:
            save(training.network, job.architecture, job.keep)
        test = None
        if job.purpose == "final":
            send(Opening())
            asked.open.wait()  # until the opening stands in the ledger
            images = Images.from_arrays(*self.dataset.test(), self.device)
            test = evaluate(training.network, images, training.normalise, precision)
        return log.finished(time.perf_counter() - started, test)

    def _begin(self, job: Job, precision: str, is_unwanted: Callable[[], bool]) -> Training:
        holds_out = job.purpose != "final" or job.holdout or job.recipe.needs_validation
        data = self.splits.train if holds_out else self.splits.both
        validation = self.splits.validation if holds_out else None
        torch.manual_seed(job.seed)
        model = build(job.architecture, zero_init_last_norm=job.recipe.zero_init_last_norm).to(self.device)
        normalise = self._normalisation(job.recipe, data)
        return Training(
            model,
            job.recipe,
            data,
            validation,
            normalise,
            seed=job.seed,
            precision=precision,
            is_unwanted=is_unwanted,
        )

    def _normalisation(self, recipe: Recipe, data: Images) -> Normalisation:
        """Kept from job to job: the statistics of all images take longer than the rest of what a job needs to begin."""
        key = recipe.mean, recipe.std, data is self.splits.both
        if key not in self._normalisations:
            self._normalisations[key] = Normalisation.of(recipe, data)
        return self._normalisations[key]

    def _resolve(self, precision: str) -> str:
        if precision == "fp16" and self.device.type == "cpu":
            raise TrainingError("precision = fp16: needs a CUDA device")
        return self.precision if precision == "auto" else precision


@dataclass(frozen=True, slots=True)
class Asked:
    """What the coordinator has asked of the running job."""

    stop: threading.Event = field(default_factory=threading.Event)
    pause: threading.Event = field(default_factory=threading.Event)
    open: threading.Event = field(default_factory=threading.Event)


def save(model: torch.nn.Module, architecture: Architecture, folder: Path) -> None:
    """Write weights.safetensors (parameters and BatchNorm statistics) and architecture.json."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with replacing(folder / "weights.safetensors") as path:
        save_file(tensors, path)
    write_atomically(folder / "architecture.json", architecture.to_json(indent=1))


def main() -> None:
    connection = Connection(int(sys.argv[1]))
    setup: Setup = connection.recv()
    tasks: queue.SimpleQueue[Assignment] = queue.SimpleQueue()
    asked = Asked()

    def listen() -> None:
        while True:
            try:
                message = connection.recv()
            except (EOFError, OSError):
                os._exit(0)  # the coordinator is gone, however it ended: nobody wants the rest
            if message == STOP:
                asked.stop.set()
            elif message == PAUSE:
                asked.pause.set()
            elif message == OPEN:
                asked.open.set()
            else:
                # What was asked of the job before is over; what comes after this message is asked of the new one.
                for event in (asked.stop, asked.pause, asked.open):
                    event.clear()
                tasks.put(message)

    try:
        trainer = Trainer(setup) if setup.data is not None else Inference(setup)
    except NasError as error:
        connection.send(Failed(str(error)))
        return
    threading.Thread(target=listen, daemon=True).start()
    connection.send(trainer.ready())
    while True:
        connection.send(trainer.perform(tasks.get(), connection.send, asked))


if __name__ == "__main__":
    main()
