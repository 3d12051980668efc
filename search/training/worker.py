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
from multiprocessing.connection import Connection
from pathlib import Path

import numpy
import torch
from safetensors.torch import save_file

from models.architecture import Architecture
from models.build import build
from search.datasets import Dataset, load_cached
from search.errors import NasError, TrainingError
from search.files import replacing, write_atomically
from search.protocol import STOP, Assignment, Failed, Finished, Job, Message, Ready, Setup, Timed, Timing
from search.training.certify import certify
from search.training.data import Images, Normalisation, Splits
from search.training.loop import evaluate, train
from search.training.timing import fastest_precision, seconds_per_epoch

Send = Callable[[Message], None]


class Trainer:
    """A device, its data and what is done with them."""

    def __init__(self, setup: Setup) -> None:
        torch.set_num_threads(setup.num_threads)
        torch.backends.cudnn.benchmark = True
        self.device = torch.device(setup.device)
        self.dataset: Dataset = load_cached(setup.data)
        self.splits = Splits.load(self.dataset, setup.split_seed, self.device)
        cache = setup.data.parent / "precision.json"
        self.precision = fastest_precision(self.splits.train, len(self.dataset.classes), cache)

    def ready(self) -> Ready:
        is_cuda = self.device.type == "cuda"
        device = torch.cuda.get_device_name(self.device) if is_cuda else f"CPU, {torch.get_num_threads()} threads"
        versions = {"python": platform.python_version(), "torch": torch.__version__, "numpy": numpy.__version__}
        return Ready(device, self.precision, versions)

    def perform(self, task: Assignment, send: Send, stopped: threading.Event) -> Message:
        """Do the task, sending a Measurement per epoch on the way; the last message is returned."""
        try:
            if isinstance(task, Timing):
                return self._time(task)
            return self._train(task, send, stopped)
        except NasError as error:
            return Failed(str(error))
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            return Failed("out of memory on the device")
        except MemoryError:
            return Failed("out of memory")
        except RuntimeError as error:
            return Failed(f"{type(error).__name__}: {str(error).strip().splitlines()[0]}")

    def _time(self, task: Timing) -> Timed:
        precision = self._resolve(task.recipe.precision)
        data = self.splits.train
        return Timed(tuple(seconds_per_epoch(each, task.recipe, data, precision) for each in task.architectures))

    def _train(self, job: Job, send: Send, stopped: threading.Event) -> Finished:
        started = time.perf_counter()
        certify(job.architecture, job.max_params)
        precision = self._resolve(job.recipe.precision)
        is_final = job.purpose == "final"
        data = self.splits.both if is_final else self.splits.train
        validation = None if is_final else self.splits.validation
        normalise = Normalisation.of(job.recipe, data)
        torch.manual_seed(job.seed)
        model = build(job.architecture, zero_init_last_norm=job.recipe.zero_init_last_norm).to(self.device)
        for measurement in train(model, job.recipe, data, validation, normalise, seed=job.seed, precision=precision):
            send(measurement)
            if stopped.is_set() and measurement.epoch < job.recipe.epochs:
                return Finished(time.perf_counter() - started, normalise.mean, normalise.std)
        test = None
        if is_final:
            images = Images.from_arrays(*self.dataset.test(), self.device)
            test = evaluate(model, images, normalise, precision)
        if job.keep is not None:
            save(model, job.architecture, job.keep)
        return Finished(time.perf_counter() - started, normalise.mean, normalise.std, test)

    def _resolve(self, precision: str) -> str:
        if precision == "fp16" and self.device.type == "cpu":
            raise TrainingError("precision = fp16: needs a CUDA device")
        return self.precision if precision == "auto" else precision


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
    stopped = threading.Event()

    def listen() -> None:
        while True:
            try:
                message = connection.recv()
            except (EOFError, OSError):
                os._exit(0)  # the coordinator is gone, however it ended: nobody wants the rest
            if message == STOP:
                stopped.set()
            else:
                tasks.put(message)

    try:
        trainer = Trainer(setup)
    except NasError as error:
        connection.send(Failed(str(error)))
        return
    threading.Thread(target=listen, daemon=True).start()
    connection.send(trainer.ready())
    while True:
        task = tasks.get()
        stopped.clear()
        connection.send(trainer.perform(task, connection.send, stopped))


if __name__ == "__main__":
    main()
