"""A device with its data, and every task that a worker performs there."""

import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

import numpy
import torch
from safetensors.torch import save_file

from models.architecture import Architecture
from models.count import count_parameters
from search.data.datasets import Dataset, load_cached
from search.errors import NasError, StorageError, TrainingError
from search.protocol import (
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
from search.quantities import brief, plural
from search.recipe import Recipe, is_mirrored
from search.trained_network import Robustness, augmentations
from search.training.certify import certify_built
from search.training.contact_sheet import draw_contact_sheet
from search.training.corruptions import evaluate_corrupted
from search.training.device import settle, use_device
from search.training.graph import capture_on
from search.training.images import Images, Normalisation, Splits
from search.training.loop import Training, evaluate, evaluate_fully
from search.training.lr_range_test import lr_range_test
from search.training.measured import Measured
from search.training.mixed_precision import computes_in, precision_of
from search.training.network import begin
from search.training.pulse import Pulse, beat
from search.training.quiet import Quiet
from search.training.run_log import RunLog
from search.training.small_images import small_size
from search.training.speed import (
    fastest_precision,
    is_latency,
    is_precision,
    latency,
    pace,
    peak_flops,
)
from search.training.teachers import Teachers
from search.training.views import evaluate_augmented
from search.writing import replacing, write_atomically

# What torch and CUDA's libraries say about a lack of memory where they have no exception of its own for it.
# A convolution that lacks room for every way to compute it says that it finds no engine.
OUT_OF_MEMORY_SIGNS = (
    *("out of memory", "can't allocate memory", "alloc_failed", "allocation_failed", "unable to find an engine"),
)
# And torch, of BatchNorm where images have shrunk to one pixel and a batch is of one image.
NOTHING_TO_AVERAGE = "more than 1 value per channel"

Send = Callable[[Message], None]


@dataclass(frozen=True, slots=True)
class Requests:
    """What the coordinator has requested of the running job."""

    stop: threading.Event = field(default_factory=threading.Event)
    pause: threading.Event = field(default_factory=threading.Event)
    open: threading.Event = field(default_factory=threading.Event)


class Trainer:
    """A device with its data.

    Args:
        note: is called with a line on what people should know of beside messages.

    Raises:
        DataError: the cache does not hold the data, or not whole.
        StorageError: the fastest precision cannot be noted beside it.
        TrainingError: it cannot be measured, since other work on this machine does not pause.
    """

    def __init__(self, setup: Setup, note: Callable[[str], None] = lambda text: None) -> None:
        assert setup.data is not None
        torch.set_num_threads(setup.num_threads)
        self.device = use_device(setup.device)
        self._noted: set[str] = set()
        self._note = note
        cache = setup.data.parent
        self._quiet = Quiet(cache, lambda: settle(self.device))
        self._latencies = Measured(cache / "latency.json", is_latency, self._quiet, note)
        with self._quiet.computing():
            self.dataset: Dataset = load_cached(setup.data)
            self.splits = Splits.load(self.dataset, setup.split_seed, self.device)
            if self.device.type == "cuda":
                self.precision = precision_of(torch.cuda.get_device_capability(self.device))
            else:
                precisions = Measured(cache / "precision.json", is_precision, self._quiet, note)
                self.precision = fastest_precision(self.splits.train, len(self.dataset.classes), precisions)
        self._normalisations: dict[tuple[object, ...], Normalisation] = {}

    def ready(self) -> Ready:
        """The message that the worker is ready: its device and what that can do, and versions."""
        is_cuda = self.device.type == "cuda"
        device = (
            torch.cuda.get_device_name(self.device) if is_cuda else f"CPU, {plural(torch.get_num_threads(), 'thread')}"
        )
        versions = {"python": platform.python_version(), "torch": str(torch.__version__), "numpy": numpy.__version__}
        peak = peak_flops(self.device, self.precision) if is_cuda else None
        return Ready(device, self.precision, versions, len(self.splits.train), peak)

    def perform(self, task: Assignment, send: Send, requests: Requests) -> Message:
        """The answer to a task; Failed if it ended without a result. A job sends a Measurement per epoch on the way."""
        with self._quiet.computing():
            return self._perform(task, send, requests)

    def _perform(self, task: Assignment, send: Send, requests: Requests) -> Message:
        try:
            if isinstance(task, Timing):
                return self._time(task)
            if isinstance(task, RangeTest):
                return self._test_range(task)
            if isinstance(task, ContactSheet):
                draw_contact_sheet(task, self.splits.train)
                return Drawn()
            assert isinstance(task, Job), "the other tasks are for a worker without data"
            return self._train(task, send, requests)
        except StorageError as error:
            return Failed(str(error), "disk")
        except NasError as error:
            return Failed(str(error))
        except ValueError as error:
            if NOTHING_TO_AVERAGE not in str(error):
                raise
            return Failed(f"{type(error).__name__}: {brief(error)}")
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                return out_of_memory_failure(task, self.device)
            # After an error of the device nothing that this process computes there can be trusted, and where memory is
            # short torch says many things ("could not create a primitive"): a new process tries once more.
            first_line = (str(error).strip().splitlines() or [""])[0]
            return Failed(f"{type(error).__name__}: {first_line}", "worker")

    def _time(self, task: Timing) -> Timed:
        precision = self._resolve(task.recipe.precision)
        train, validation = self.splits.train, self.splits.validation
        paces = [pace(network, task.recipe, train, validation, precision) for network in task.architectures]
        return Timed(tuple(one.epoch for one in paces), median(one.setup for one in paces))

    def _test_range(self, task: RangeTest) -> Ranged:
        data = self.splits.train
        return lr_range_test(
            self._build(task),
            task.recipe,
            data,
            self._normalisation(task.recipe, data),
            lowest=task.lowest,
            highest=task.highest,
            num_steps=task.num_steps,
            seed=task.seed,
            precision=self._resolve(task.recipe.precision),
        )

    def _train(self, job: Job, send: Send, requests: Requests) -> Finished | TooSlow | Paused:
        started = time.perf_counter()
        certify_built(job.architecture, job.max_params)
        precision = self._resolve(job.recipe.precision)
        torch.backends.cudnn.benchmark = False  # or latency would depend on what was trained before
        if job.max_latency is not None:
            size = self.dataset.image_size
            seconds = latency(job.architecture, size, self.device, precision, self._latencies)
            if seconds > job.max_latency:
                return TooSlow(seconds)
        # Trying out algorithms takes seconds for every new design, and gains a few percent: too little but for the
        # longest runs.
        torch.backends.cudnn.benchmark = job.purpose in ("final", "teacher")
        training = self._begin(job, precision, requests)
        log = RunLog(training, job, precision)
        for measurement in log.resume(send, self.device):
            send(measurement)
        for measurement in training.epochs():
            log.add(measurement)
            send(measurement)
            is_last = measurement.epoch == job.recipe.epochs or training.is_over
            if not is_last and log.wants_checkpoint(requests.pause.is_set()):
                log.write()
            if not is_last and requests.pause.is_set() and job.checkpoints is not None:
                return Paused()
        if requests.stop.is_set():
            return log.finished(time.perf_counter() - started)
        if job.keep is not None:
            save(training.network, job.architecture, job.keep)
        # What follows takes many passes over images: longer than others wait for a measurement, or for a word.
        beat(training.network, Pulse(self._quiet, send))
        test = robustness = None
        if job.robust:
            robustness = self._robustness(training)
        if job.purpose == "final":
            send(Opening())
            with self._quiet.resting():
                requests.open.wait()  # until the ledger has the opening
            images = Images.from_arrays(*self.dataset.test(), self.device)
            test = evaluate_fully(training.network, images, training.normalise, precision)
            mirrored = is_mirrored(job.recipe.flip, self.dataset.name)
            augmented = [
                evaluate_augmented(training.network, images, training.normalise, precision, mirrored, augmentation)
                for augmentation in augmentations(mirrored)
            ]
            test = replace(test, augmented=tuple(augmented))
        return log.finished(time.perf_counter() - started, test, robustness)

    def _robustness(self, training: Training) -> Robustness:
        """Of the network that is kept, on the validation split."""
        how = training.network, self.splits.validation, training.normalise, training.precision
        return Robustness("validation", evaluate(*how).accuracy, evaluate_corrupted(*how))

    def _begin(self, job: Job, precision: str, requests: Requests) -> Training:
        def should_stop() -> bool:
            self._quiet.give_way()
            return requests.stop.is_set()

        holds_out = job.purpose != "final" or job.holdout or job.recipe.needs_validation
        data = self.splits.train if holds_out else self.splits.both
        validation = self.splits.validation if holds_out else None
        normalise = self._normalisation(job.recipe, data)
        teachers = [network.architecture for network in job.lesson.networks] if job.lesson is not None else []
        size = small_size(job.architecture, job.recipe, self.dataset.image_size, teachers)
        if job.recipe.small_images is not None and size == self.dataset.image_size:
            self._note_once("no smaller images: a network does not take them, and is trained on whole ones alone")
        return Training(
            self._build(job),
            job.recipe,
            data,
            validation,
            normalise,
            seed=job.seed,
            precision=precision,
            small_size=size,
            should_stop=should_stop,
            capture=capture_on(self.device) if job.captured else None,
            note=self._note_once,
            teach=Teachers(job.lesson, normalise, self.device).loss if job.lesson is not None else None,
        )

    def _note_once(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self._note(text)

    def _build(self, task: Job | RangeTest) -> torch.nn.Module:
        """The task's network on the device, its weights drawn from the task's seed."""
        torch.manual_seed(task.seed)
        return begin(task.architecture, task.recipe).to(self.device)

    def _normalisation(self, recipe: Recipe, data: Images) -> Normalisation:
        """Kept from job to job: the statistics of all images take longer than all else that a job needs to begin."""
        key = recipe.mean, recipe.std, data is self.splits.both
        if key not in self._normalisations:
            self._normalisations[key] = Normalisation.of(recipe, data)
        return self._normalisations[key]

    def _resolve(self, precision: str) -> str:
        """The precision that a recipe's stands for here; 'auto' is the fastest."""
        if precision == "auto":
            return self.precision
        if not computes_in(precision, self.device):
            needs = "a CUDA device" if precision == "fp16" else "a GPU of compute capability 8.0 or more"
            raise TrainingError(f"precision = {precision}: needs {needs}")
        return precision


def save(model: torch.nn.Module, architecture: Architecture, folder: Path) -> None:
    """Write weights.safetensors (parameters and BatchNorm statistics) and architecture.json into a folder.

    Raises:
        StorageError: a file cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with replacing(folder / "weights.safetensors") as path:
        save_file(tensors, path)
    write_atomically(folder / "architecture.json", architecture.to_json(indent=1))


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error means that memory is short, of the device or of the host."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in OUT_OF_MEMORY_SIGNS)


def out_of_memory_failure(task: Assignment, device: torch.device) -> Failed:
    """The answer to a task that ran out of memory. Its reason gives the batch size and the number of parameters."""
    reason = "out of memory on the device" if device.type == "cuda" else "out of memory"
    if isinstance(task, Job | RangeTest | Timing):
        reason += f" at batch_size = {task.recipe.batch_size}"
    if isinstance(task, Job | RangeTest):
        reason += f" with {count_parameters(task.architecture):,} parameters"
    return Failed(reason, "memory")
