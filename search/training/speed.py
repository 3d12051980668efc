"""How fast this device is: seconds per epoch, seconds per image, and the fastest precision, all measured."""

import hashlib
import math
import time
from statistics import median
from typing import Any, NamedTuple

import torch

from models.architecture import Architecture, Stage, Stem
from models.build import build
from search.recipe import Recipe
from search.recipe_parts import SmallImages
from search.trained_network import Precision
from search.training.device import hardware
from search.training.graph import capture_on
from search.training.images import Images, Normalisation
from search.training.loop import Training, evaluate, evaluation_batch
from search.training.measured import Measured
from search.training.mixed_precision import DTYPES, MEMORY_FORMAT, forward
from search.training.network import begin
from search.training.small_images import small_size

SECONDS = 0.5  # of training steps that are timed
NUM_STEPS = 16
NUM_PRODUCTS = 10
MIN_GAIN = 1.1
ALWAYS = SmallImages(epochs=0.99)
ENDLESS = {"schedule": "constant", "stop_patience": None, "keep_best": False}  # needs no validation split

# Part of every key; raised when a change measures the same design differently. The first was measured under load.
LATENCY_VERSION = 2
NUM_WARM_UPS = 5
NUM_RUNS = 50
MAX_SECONDS = 1.0


class Pace(NamedTuple):
    """Seconds that a training takes before its first epoch, and in each, its validation included."""

    setup: float
    epoch: float


def pace(architecture: Architecture, recipe: Recipe, data: Images, validation: Images | None, precision: str) -> Pace:
    """The pace of a training, by a few steps and a batch of the validation images; where it begins with smaller images,
    an epoch is the mean of its epochs.

    Steps are counted by the median of some short epochs after a first that warms up and belongs to the setup. A short
    epoch is a step, but on CUDA `NUM_STEPS`, since launches overlap there.
    """
    whole = _pace(architecture, recipe, data, validation, precision, None)
    size = small_size(architecture, recipe, data.images.shape[-1])
    if size == data.images.shape[-1]:
        return whole
    small = _pace(architecture, recipe, data, validation, precision, size)
    share = recipe.num_small_epochs / recipe.epochs
    return Pace(whole.setup + small.setup, share * small.epoch + (1 - share) * whole.epoch)


def _pace(
    architecture: Architecture,
    recipe: Recipe,
    data: Images,
    validation: Images | None,
    precision: str,
    size: int | None,
) -> Pace:
    """The pace on images of this size in pixels; by default on whole ones."""
    started = time.perf_counter()
    batch_size = min(recipe.sizes[0], len(data))
    num_steps = min(NUM_STEPS, len(data) // batch_size) if data.device.type == "cuda" else 1
    few = data.take(torch.arange(num_steps * batch_size).numpy())
    normalise = Normalisation.of(recipe, few)
    training = Training(
        begin(architecture, recipe).to(data.device),
        recipe.model_copy(
            update={"batch_size": batch_size, "epochs": 10_000, "small_images": None if size is None else ALWAYS}
            | ENDLESS
        ),
        few,
        None,
        normalise,
        seed=0,
        precision=precision,
        small_size=size,
        capture=capture_on(data.device),
    )
    epochs = training.epochs()
    next(epochs)
    batch = None
    if validation is not None:
        num_evaluated = min(len(validation), evaluation_batch(validation.images.shape[1:], data.device))
        batch = validation.take(torch.arange(num_evaluated).numpy())
    if batch is not None and data.device.type == "cuda":
        evaluate(training.network, batch, normalise, precision)  # the first loads its kernels
    setup = time.perf_counter() - started
    times: list[float] = []
    while not times or (sum(times) < SECONDS and len(times) < 50):
        times.append(next(epochs).seconds)
    seconds = median(times) * len(data) / len(few)
    if validation is not None and batch is not None:
        started = time.perf_counter()
        evaluate(training.network, batch, normalise, precision)
        seconds += (time.perf_counter() - started) * len(validation) / len(batch)
    return Pace(setup, seconds)


def seconds_per_epoch(architecture: Architecture, recipe: Recipe, data: Images, precision: str) -> float:
    """Seconds of an epoch of training alone."""
    return pace(architecture, recipe, data, None, precision).epoch


def peak_flops(device: torch.device, precision: str) -> float:
    """FLOP/s of products of square matrices, the most that a network could reach: the median of several."""
    size = 8_192 if device.type == "cuda" else 1_024
    left, right = (torch.randn(size, size, device=device).to(DTYPES[precision]) for _ in range(2))
    times = []
    for _ in range(2 * NUM_PRODUCTS):  # the first half warms up
        started = time.perf_counter()
        (left @ right)[0, 0].item()  # waits for the device
        times.append(time.perf_counter() - started)
    return float(2 * size**3 / median(times[NUM_PRODUCTS:]))


def fastest_precision(data: Images, num_classes: int, cache: Measured) -> Precision:
    """The precision in which a reference network trains fastest on this CPU: a ResNet-8 of 16, 32 and 64 channels.

    Half precision must be `MIN_GAIN` times as fast to be chosen. The answer is kept in `cache` for this hardware,
    version of torch, number of threads and shape of images, so one machine always gives the same.
    """
    channels, size = data.images.shape[1], data.images.shape[2]
    key = f"{_hardware(data.device)}, {channels}x{size}x{size}"
    precision: Precision = cache.value(key, lambda: _time_precisions(data, num_classes))
    return precision


def is_precision(value: Any) -> bool:
    """Whether a kept value can be one of `fastest_precision`."""
    return value in ("fp32", "bf16", "fp16")


def latency(
    architecture: Architecture, image_size: int, device: torch.device, precision: str, cache: Measured
) -> float:
    """Seconds from one image on the device to its logits: the median of up to 50 runs in a second, after a warm-up,
    while no other worker on this machine computes.

    A run is a batch of one image, in evaluation mode, in the precision in which trials are trained. The answer is kept
    in `cache` for this hardware, version of torch and number of threads, so a design is measured once and a search that
    is resumed decides as before.
    """
    described = f"{LATENCY_VERSION} {architecture.to_json()} {image_size} {precision} {_hardware(device)}"
    key = hashlib.sha256(described.encode()).hexdigest()[:32]
    seconds: float = cache.value(key, lambda: _measure_latency(architecture, image_size, device, precision))
    return seconds


def is_latency(value: Any) -> bool:
    """Whether a kept value can be one of `latency`."""
    return isinstance(value, float) and math.isfinite(value) and value > 0


def _hardware(device: torch.device) -> str:
    """What a measured time depends on: the hardware, the version of torch and the number of threads."""
    return f"{hardware(device)}, torch {torch.__version__}, {torch.get_num_threads()} threads"


def _time_precisions(data: Images, num_classes: int) -> str:
    stages = tuple(Stage("basic", 1, width) for width in (16, 32, 64))
    network = Architecture(Stem(16), stages, in_channels=data.images.shape[1], num_classes=num_classes)
    recipe = Recipe(name="timing", epochs=1)
    full_seconds = seconds_per_epoch(network, recipe, data, "fp32")
    return "bf16" if seconds_per_epoch(network, recipe, data, "bf16") * MIN_GAIN < full_seconds else "fp32"


@torch.inference_mode()
def _measure_latency(architecture: Architecture, image_size: int, device: torch.device, precision: str) -> float:
    model = build(architecture).to(device, memory_format=MEMORY_FORMAT).eval()  # type: ignore[call-overload]
    image = torch.zeros(1, architecture.in_channels, image_size, image_size, device=device)
    image = image.contiguous(memory_format=MEMORY_FORMAT)
    times: list[float] = []
    deadline = time.perf_counter() + MAX_SECONDS
    while len(times) < NUM_WARM_UPS + NUM_RUNS and (len(times) < NUM_WARM_UPS + 3 or time.perf_counter() < deadline):
        started = time.perf_counter()
        forward(model, image, precision)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return median(times[NUM_WARM_UPS:])
